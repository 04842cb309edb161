"""The server's commands: serve, health, info.

Invariant: flags and environment become one `Settings` here, and nothing below reads
either. Every flag of `serve` can be given as ``EXPRD_SERVE_<FLAG>``.
"""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path

import click

from exprd_compiler.errors import ExprdError
from exprd_server.log import LEVELS, make_logger
from exprd_server.settings import Settings, WorkerSettings, user_cache

DEFAULT_TARGET = "127.0.0.1:50051"


@click.group(context_settings={"auto_envvar_prefix": "EXPRD", "show_default": True})
def main() -> None:
    """Compile and run tensor expressions for clients on this machine or others."""


@main.command()
@click.option("--listen", default=DEFAULT_TARGET, help="unix:///path or host:port")
@click.option("--workers", default=1, type=click.IntRange(1), help="compile processes")
@click.option("--calls", default=192, type=click.IntRange(1), help="calls handled at a time")
@click.option("--lease-seconds", default=3600.0, help="silence before a client is collected")
@click.option("--stream-seconds", default=600.0, help="time one upload may take")
@click.option("--grace-seconds", default=25.0, help="time for running calls at shutdown")
@click.option("--drain-seconds", default=0.5, help="time between NOT_SERVING and refusal")
@click.option("--reflection", is_flag=True, help="let clients list the services")
@click.option("--insecure", is_flag=True, help="allow an address that others can reach")
@click.option("--memory-bytes", default=0, help="memory of the process; 0: a share of the machine")
@click.option(
    "--cache-dir",
    default=lambda: str(user_cache()),
    envvar="EXPRD_CACHE_DIR",
    show_default="the user's cache folder",
    help="compiled objects; empty: keep none",
)
@click.option("--log-level", default="info", type=click.Choice(list(LEVELS)))
def serve(
    *,
    listen: str,
    workers: int,
    calls: int,
    lease_seconds: float,
    stream_seconds: float,
    grace_seconds: float,
    drain_seconds: float,
    reflection: bool,
    insecure: bool,
    memory_bytes: int,
    cache_dir: str,
    log_level: str,
) -> None:
    """Serve until SIGTERM. The first line on stdout says where."""
    from exprd_server.start import run_server

    settings = Settings(
        listen=listen,
        calls=calls,
        lease_seconds=lease_seconds,
        stream_seconds=stream_seconds,
        sweep_seconds=min(10.0, lease_seconds / 4),
        grace_seconds=grace_seconds,
        drain_seconds=drain_seconds,
        reflection=reflection,
        insecure=insecure,
        memory_bytes=memory_bytes,
        cache=Path(cache_dir) if cache_dir else None,
        version=installed_version(),
        workers=WorkerSettings(count=workers),
    )
    try:
        run_server(settings, make_logger(sys.stderr, log_level), announce)
    except (ExprdError, OSError) as error:
        raise click.ClickException(str(error)) from None


@main.command()
@click.argument("target", default=DEFAULT_TARGET, envvar="EXPRD_TARGET")
@click.option("--seconds", default=2.0, help="how long to wait")
def health(target: str, seconds: float) -> None:
    """Say whether the server at TARGET serves; exit status 0 if it does."""
    from exprd_server import probe

    try:
        status = probe.health(target, seconds)
    except ExprdError as error:
        raise click.ClickException(str(error)) from None
    click.echo(status)
    sys.exit(0 if status == "SERVING" else 1)


@main.command()
@click.argument("target", default=DEFAULT_TARGET, envvar="EXPRD_TARGET")
@click.option("--seconds", default=2.0, help="how long to wait")
def info(target: str, seconds: float) -> None:
    """Show what the server at TARGET says of itself, as JSON."""
    from exprd_server import probe

    try:
        facts = probe.info(target, seconds)
    except ExprdError as error:
        raise click.ClickException(str(error)) from None
    click.echo(json.dumps(facts, indent=2))


def installed_version() -> str:
    """The version of the distribution; "source" when it runs from a checkout."""
    try:
        return metadata.version("exprd")
    except metadata.PackageNotFoundError:
        return "source"


def announce(target: str) -> None:
    """Tells whoever started the process where it serves."""
    click.echo(f"serving on {target}")
    sys.stdout.flush()
