"""The commands `exprd functions ...`: what is published on a server, and where labels point."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

import exprd_proto as wire
from exprd_proto.decode import OwnLimits, decode_type
from exprd_server.cli_access import asks_a_server
from exprd_server.published import STABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exprd_proto.channels import Access

_SECONDS = 10.0
_CLIENT = "exprd-functions"  # holds nothing
_LASTING = "until it is taken away"
_MINUTES = 120.0  # seconds up to which a time is told in seconds
_LIMITS = OwnLimits()
_NUMBER = click.IntRange(0, (1 << 64) - 1)  # of a version
target_option = click.option(
    "--target", default="127.0.0.1:50051", envvar="EXPRD_TARGET", help="the server"
)


@click.group()
def functions() -> None:
    """Show published functions, move their labels, take versions away."""


@functions.command()
@click.argument("prefix", default="")
@click.option("--held", is_flag=True, help="every compiled function, and who keeps it how long")
@target_option
@asks_a_server
def ls(prefix: str, *, held: bool, target: str, access: Access) -> None:
    """List versions whose names begin with PREFIX, and how long they last."""
    rows = _held_rows if held else _rows
    for row in rows(target, access, prefix):
        click.echo("\t".join(row))


@functions.command()
@click.argument("name")
@click.option(
    "--version", default=0, type=_NUMBER, help="its number; 0: what callers get who name none"
)
@click.option("--label", default="", help="or a label")
@target_option
@asks_a_server
def show(name: str, version: int, label: str, target: str, access: Access) -> None:
    """Show how a version of NAME is called, who published it, and what it keeps alive."""
    found = [x for x in _all(target, access, name) if x.name == name]
    chosen = _chosen(found, version, label)
    if chosen is None:
        raise click.ClickException(f"{name} has no such version; exprd functions ls {name}")
    for line in _described(chosen):
        click.echo(line)


@functions.command()
@click.argument("name")
@click.option("--label", default=STABLE)
@click.option(
    "--to", "version", default=0, type=_NUMBER, help="the version; 0: where it pointed before"
)
@target_option
@asks_a_server
def rollback(name: str, label: str, version: int, target: str, access: Access) -> None:
    """Point a label of NAME back at the version before, or at another one."""
    now = [x.version for x in _all(target, access, name) if x.name == name and label in x.labels]
    request = wire.SetLabelRequest(
        client_id=_CLIENT,
        name=name,
        label=label,
        version=version,
        expected_version=now[0] if now else 0,
    )
    info = _ask(target, access, "SetLabel", request).function
    click.echo(f"{label} of {name} points at version {info.version}")


@functions.command()
@click.argument("name")
@click.argument("versions", nargs=-1, type=_NUMBER)
@click.option("--all", "every", is_flag=True, help="every version")
@target_option
@asks_a_server
def rm(name: str, versions: tuple[int, ...], *, every: bool, target: str, access: Access) -> None:
    """Take VERSIONS of NAME away; their numbers are never used again."""
    if bool(versions) == every:
        raise click.UsageError("name the versions, or say --all")
    request = wire.UnpublishRequest(client_id=_CLIENT, name=name, versions=versions)
    reply = _ask(target, access, "Unpublish", request)
    click.echo(f"{reply.removed} taken away, {reply.unknown} unknown")
    if reply.unknown or not reply.removed:
        raise click.exceptions.Exit(1)


def _rows(target: str, access: Access, prefix: str) -> Iterator[tuple[str, ...]]:
    """Name, version, labels, when and by whom it was published, what it keeps, how long."""
    for info in _all(target, access, prefix):
        labels = ",".join(info.labels) or "-"
        by = f"{_when(info)} by {info.publisher}"
        kept = f"{len(info.signature.shared)} variables"
        yield info.name, str(info.version), labels, by, kept, _LASTING


def _held_rows(target: str, access: Access, prefix: str) -> Iterator[tuple[str, ...]]:
    """Handle, name, what it keeps, and who holds it how long."""
    for reply in _pages(target, access, prefix, held=True):
        for held in reply.held:
            holders = [f"{name} {_LASTING}" for name in held.published]
            holders += [f"client {x.client} for {_time(x.seconds)}" for x in held.holders]
            kept = f"{held.variables} variables"
            yield held.handle, held.name or "-", kept, ", ".join(holders)


def _time(seconds: float) -> str:
    """The rest of a lease, which its client renews while it lives."""
    return f"{seconds:.0f} s" if seconds < _MINUTES else f"{seconds / 60:.0f} min"


def _ask(target: str, access: Access, method: str, request: Any) -> Any:
    from exprd_server import probe  # which loads gRPC

    return probe.ask_compiler(target, access, method, request, _SECONDS)


def _chosen(
    found: Sequence[wire.PublishedFunction], version: int, label: str
) -> wire.PublishedFunction | None:
    """The version that a lookup would give."""
    if version:
        return next((x for x in found if x.version == version), None)
    labelled = [x for x in found if (label or STABLE) in x.labels]
    if labelled:
        return labelled[0]
    return found[-1] if found and not label else None


def _all(target: str, access: Access, prefix: str) -> Iterator[wire.PublishedFunction]:
    for reply in _pages(target, access, prefix):
        yield from reply.functions


def _pages(
    target: str, access: Access, prefix: str, *, held: bool = False
) -> Iterator[wire.ListFunctionsResponse]:
    request = wire.ListFunctionsRequest(client_id=_CLIENT, name_prefix=prefix, held=held)
    while True:
        reply = _ask(target, access, "ListFunctions", request)
        yield reply
        if not reply.next_page_token:
            return
        request.page_token = reply.next_page_token


def _described(info: wire.PublishedFunction) -> Iterator[str]:
    yield f"{info.name} version {info.version}" + "".join(f" [{x}]" for x in info.labels)
    if info.doc:
        yield f"  {info.doc}"
    for kind in ("inputs", "outputs", "shared"):
        for place, one in enumerate(getattr(info.signature, kind)):
            updated = kind == "shared" and place in info.signature.updated
            name = one.name or f"number {place}"
            notes = f" {one.variable}" * bool(one.variable) + " updated" * updated
            yield f"  {kind.removesuffix('s')}: {name} {decode_type(one.type, _LIMITS)}{notes}"
    yield f"  published {_when(info)} by {info.publisher}; stays until it is taken away"
    yield f"  handle: {info.handle}"


def _when(info: wire.PublishedFunction) -> str:
    return datetime.fromtimestamp(info.created, UTC).isoformat(timespec="seconds")
