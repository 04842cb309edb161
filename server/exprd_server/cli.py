"""The server's commands: serve, health, info.

Invariant: flags and environment become one `Settings` here, and nothing below reads
either. Every flag of `serve` can be given as ``EXPRD_SERVE_<FLAG>``.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exprd_compiler.errors import ExprdError
from exprd_proto.patience import SECONDS
from exprd_server.cli_access import asks_a_server
from exprd_server.cli_functions import functions
from exprd_server.cli_state import state
from exprd_server.console import installed_version
from exprd_server.log import LEVELS, make_logger
from exprd_server.policy import Policy, parse_policy
from exprd_server.settings import Settings, TlsFiles, WorkerSettings, user_cache
from exprd_server.throttle import LEAST_SHARE
from exprd_server.values import Durability

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exprd_proto.channels import Access

DEFAULT_TARGET = "127.0.0.1:50051"


def _from_0(_context: click.Context, _option: click.Parameter, seconds: float) -> float:
    if not 0 <= seconds < math.inf:
        raise click.BadParameter(f"{seconds} is no time in seconds")
    return seconds


def _above_0(context: click.Context, option: click.Parameter, seconds: float) -> float:
    if not _from_0(context, option, seconds):
        raise click.BadParameter(f"{seconds} is no time above 0 seconds")
    return seconds


def _number(_context: click.Context, _option: click.Parameter, value: float | None) -> float | None:
    if value is not None and math.isnan(value):
        raise click.BadParameter(f"{value} is no number")
    return value


def _policy(_context: click.Context, _option: click.Parameter, text: str) -> Policy:
    try:
        return parse_policy(text)
    except ExprdError as error:
        raise click.BadParameter(str(error)) from None


@click.group(context_settings={"auto_envvar_prefix": "EXPRD", "show_default": True})
def main() -> None:
    """Compile and run tensor expressions for clients on this machine or others."""


@main.command()
@click.option("--listen", default=DEFAULT_TARGET, help="unix:///path or host:port")
@click.option("--workers", default=1, type=click.IntRange(1), help="compile processes")
@click.option("--calls", default=192, type=click.IntRange(1), help="calls handled at a time")
@click.option(
    "--lease-seconds",
    default=3600.0,
    callback=_above_0,
    help="silence before a client is collected",
)
@click.option(
    "--execute-seconds",
    default=60.0,
    callback=_above_0,
    help="time one call may take",
)
@click.option(
    "--stream-seconds",
    default=600.0,
    callback=_above_0,
    help="time one upload or repetition may take",
)
@click.option(
    "--grace-seconds", default=25.0, callback=_from_0, help="time for running calls at shutdown"
)
@click.option(
    "--drain-seconds", default=0.5, callback=_from_0, help="time between NOT_SERVING and refusal"
)
@click.option("--tls-cert", default="", help="PEM file of the server's certificate")
@click.option("--tls-key", default="", help="PEM file of its private key")
@click.option("--tls-client-ca", default="", help="PEM file; clients must show a certificate of it")
@click.option("--tokens", default="", help="TOML file of the tokens that callers must have")
@click.option("--metrics", default="", help="host:port of a page of metrics, on this machine")
@click.option(
    "--idle-poll",
    type=click.FloatRange(0, 1),
    callback=_number,
    show_default="0.001; 0 where the time on the cores is rationed",
    help="seconds after a call for which idle cores stay awake",
)
@click.option(
    "--doorbell-spin",
    default=SECONDS,
    type=click.FloatRange(0, 1),
    callback=_number,
    help="seconds to wait awake for the next call of the doorbell, where that pays",
)
@click.option(
    "--least-share",
    default=LEAST_SHARE,
    type=click.FloatRange(0.01, 1),
    callback=_number,
    help="share of the server's time that a client may always use; 1: nobody rests for others",
)
@click.option("--reflection", is_flag=True, help="let clients list the services")
@click.option("--insecure", is_flag=True, help="allow an address that others can reach")
@click.option(
    "--memory-bytes",
    default=0,
    type=click.IntRange(0, (1 << 63) - 1),
    help="memory of the process; 0: a share of the machine",
)
@click.option(
    "--cache-dir",
    default=lambda: str(user_cache()),
    envvar="EXPRD_CACHE_DIR",
    show_default="the user's cache folder",
    help="compiled objects; empty: keep none",
)
@click.option(
    "--state", default="", help="directory of the durable state; empty: keep it in memory"
)
@click.option(
    "--durability",
    default="always",
    callback=_policy,
    help="always, interval=<seconds> or off",
)
@click.option(
    "--default-durability",
    default="volatile",
    type=click.Choice(["volatile", "durable"]),
    help="of variables whose makers do not say",
)
@click.option(
    "--checkpoint-every", default=0.0, callback=_from_0, help="seconds between checkpoints; 0: none"
)
@click.option("--checkpoint-keep", default=3, type=click.IntRange(1), help="scheduled ones kept")
@click.option("--log-level", default="info", type=click.Choice(list(LEVELS)))
def serve(**flags: Any) -> None:
    """Serve until SIGTERM. The first line on stdout says where."""
    from exprd_server.start import run_server

    log = make_logger(sys.stderr, flags["log_level"])
    try:
        run_server(settings_of(flags), log, announce)
    except (ExprdError, OSError) as error:
        raise click.ClickException(str(error)) from None


@main.command()
@click.argument("target", default=DEFAULT_TARGET, envvar="EXPRD_TARGET")
@click.option("--seconds", default=2.0, callback=_above_0, help="how long to wait")
@asks_a_server
def health(target: str, seconds: float, access: Access) -> None:
    """Say whether the server at TARGET serves; exit status 0 if it does."""
    from exprd_server import probe

    status = probe.health(target, seconds, access)
    click.echo(status)
    sys.exit(0 if status == "SERVING" else 1)


@main.command()
@click.argument("target", default=DEFAULT_TARGET, envvar="EXPRD_TARGET")
@click.option("--seconds", default=2.0, callback=_above_0, help="how long to wait")
@asks_a_server
def info(target: str, seconds: float, access: Access) -> None:
    """Show what the server at TARGET says of itself, as JSON."""
    from exprd_server import probe

    click.echo(json.dumps(probe.info(target, seconds, access), indent=2))


def diagnose(**flags: Any) -> None:
    """Tells what `serve` with the same flags would meet; ends with status 1 if it cannot work."""
    from exprd_server import doctor

    worst = doctor.FINE
    for finding in doctor.findings(settings_of(flags)):
        click.echo(str(finding))
        worst = doctor.FAILURE if finding.level == doctor.FAILURE else worst
    sys.exit(0 if worst == doctor.FINE else 1)


main.add_command(functions)
main.add_command(state)
main.add_command(
    click.Command(
        "doctor",
        params=list(serve.params),
        callback=diagnose,
        context_settings={"auto_envvar_prefix": "EXPRD_SERVE"},
        help="Say whether `serve` with the same flags and environment would work here.",
    )
)


def settings_of(flags: Mapping[str, Any]) -> Settings:
    """The settings of a server, from the flags of `serve`.

    Raises:
        click.UsageError: a flag is given without another that it needs.
    """
    if flags["checkpoint_every"] and not flags["state"]:
        raise click.UsageError("--checkpoint-every needs --state, where checkpoints lie")
    same = ("listen", "calls", "grace_seconds", "drain_seconds", "lease_seconds")
    longest = ("execute_seconds", "stream_seconds")
    kept = ("reflection", "insecure", "metrics", "memory_bytes", "durability", "checkpoint_keep")
    measured = ("idle_poll", "doorbell_spin", "least_share")
    return Settings(
        **{name: flags[name] for name in (*same, *longest, *kept, *measured)},
        sweep_seconds=min(10.0, max(0.05, flags["lease_seconds"] / 4)),
        tls=tls_files(flags["tls_cert"], flags["tls_key"], flags["tls_client_ca"]),
        tokens=_path(flags["tokens"]),
        cache=_path(flags["cache_dir"]),
        state=_path(flags["state"]),
        default_durability=Durability(flags["default_durability"]),
        checkpoint_seconds=flags["checkpoint_every"],
        version=installed_version(),
        workers=WorkerSettings(count=flags["workers"]),
    )


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def tls_files(cert: str, key: str, client_ca: str) -> TlsFiles | None:
    """The files of TLS; None without a certificate.

    Raises:
        click.UsageError: some are given without the others that they need.
    """
    if not (cert or key or client_ca):
        return None
    if not (cert and key):
        raise click.UsageError("TLS needs both --tls-cert and --tls-key")
    return TlsFiles(cert=Path(cert), key=Path(key), client_ca=_path(client_ca))


def announce(target: str) -> None:
    """Tells whoever started the process where it serves."""
    click.echo(f"serving on {target}")
    sys.stdout.flush()
