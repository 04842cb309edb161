"""The commands `exprd state ...`: what a state directory, or a running server, holds.

Invariant: a directory that a server uses is never touched; such a server is asked instead.
"""

from __future__ import annotations

import functools
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import numpy as np
from click.core import ParameterSource

from exprd_compiler.errors import CallError, ExprdError, PermissionDenied
from exprd_proto.arrays import dtype_to_wire
from exprd_server.cli_access import asks_a_server
from exprd_server.online import Online
from exprd_server.stores.folder import StateFolder
from exprd_server.stores.offline import Offline, offline
from exprd_server.stores.salvage import check_state, repair_state

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

    from exprd_proto.channels import Access
    from exprd_server.stores.checkpoints import CheckpointInfo

_DIRECTORY: Final = click.option(
    "--state", default="", envvar="EXPRD_SERVE_STATE", help="a directory that no server uses"
)
_TARGET: Final = click.option(
    "--target", default="", envvar="EXPRD_TARGET", help="a running server, instead of --state"
)


@click.group()
def state() -> None:
    """Look at state, change it, keep and restore checkpoints, check and repair files."""


def _command(work: Callable[..., None]) -> click.Command:
    """A command on a directory or a server, which it gets as `place`."""

    @functools.wraps(work)  # with the parameters that click has noted
    def run(*, state: str, target: str, access: Access, **given: Any) -> None:
        with _place(*_said(state, target), access) as place:
            work(place, **given)

    return state.command()(_DIRECTORY(_TARGET(asks_a_server(run))))


def _said(directory: str, target: str) -> tuple[str, str]:
    """The directory and the server that are meant.

    What is said here counts before what servers and clients find in their surroundings.
    """
    source = click.get_current_context().get_parameter_source
    around = [source(name) is ParameterSource.ENVIRONMENT for name in ("state", "target")]
    match around:
        case [True, False] if target:
            return "", target
        case [False, True] if directory:
            return directory, ""
        case [True, True]:
            raise CallError(
                "EXPRD_SERVE_STATE names a directory and EXPRD_TARGET a server",
                hint="say which is meant, --state DIRECTORY or --target SERVER",
            )
        case _:
            return directory, target


@contextmanager
def _place(directory: str, target: str, access: Access) -> Generator[Offline | Online]:
    if bool(directory) == bool(target):
        raise CallError("say either --state DIRECTORY or --target SERVER")
    if target:
        yield Online(target, access)
    else:
        with offline(Path(directory)) as found:
            yield found


def _file_command(work: Callable[[StateFolder], None]) -> click.Command:
    """A command on the files of a directory, damaged or not."""

    @functools.wraps(work)
    def run(state: str) -> None:
        try:
            if not state:
                raise CallError("say --state DIRECTORY")
            folder = StateFolder(Path(state), must_exist=True)
            try:
                work(folder)
            finally:
                folder.close()
        except ExprdError as error:
            raise click.ClickException(str(error)) from None

    return state.command()(_DIRECTORY(run))


@_command
def ls(place: Offline | Online) -> None:
    """List variables, then checkpoints."""
    for x in place.variables():
        label = x.name or "-"
        click.echo(f"{x.uuid}  {label}  {x.type}  v{x.version}  {x.durability.value}")
    for info in _checkpoints(place):
        made = datetime.fromtimestamp(info.created, UTC).strftime("%Y-%m-%d %H:%M:%S")
        click.echo(
            f"checkpoint {info.name}  {made} UTC  {info.variables} variables  {info.nbytes} bytes"
        )


def _checkpoints(place: Offline | Online) -> tuple[CheckpointInfo, ...]:
    """All checkpoints; none, and why, where the token shows variables only."""
    try:
        return place.checkpoints()
    except PermissionDenied as error:
        click.echo(f"checkpoints are not shown: {error.message}", err=True)
        return ()


@_command
@click.argument("name")
@click.option("--output", "-o", default="", help="a .npy file; without it the value is printed")
def get(place: Offline | Online, name: str, output: str) -> None:
    """Show or save the value of a variable by NAME or uuid."""
    value = place.find(name).value
    if not output:
        click.echo(np.array2string(value, threshold=100))
        return
    try:
        with open(output, "wb") as file:  # noqa: PTH123 - the very name, where numpy adds to it
            np.save(file, value)
    except OSError as error:
        raise CallError(f"{output} cannot be written: {error.strerror}") from None


@_command
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
def set(place: Offline | Online, name: str, file: str) -> None:  # noqa: A001 - the command's name
    """Give the variable NAME the value of a .npy FILE."""
    variable = place.assign(name, _array(file))
    click.echo(f"{variable.uuid} is at version {variable.version}")


@_command
@click.argument("name")
def rm(place: Offline | Online, name: str) -> None:
    """Take the variable NAME away from a running server, whoever uses it."""
    if not isinstance(place, Online):
        raise CallError("only a running server knows who keeps a variable", hint="say --target")
    gone = place.remove(name)
    click.echo(f"{name} is gone" if gone else f"{name} stays until functions published with it go")
    sys.exit(0 if gone else 1)


@_command
@click.argument("name")
def checkpoint(place: Offline | Online, name: str) -> None:
    """Write all variables into a checkpoint NAME."""
    info = place.write_checkpoint(name)
    click.echo(f"{info.name}: {info.variables} variables, {info.nbytes} bytes")


@_command
@click.argument("name")
def restore(place: Offline | Online, name: str) -> None:
    """Give variables the values of the checkpoint NAME, all at once."""
    assigned, made = place.restore(name)
    click.echo(f"{assigned} variables assigned, {made} made")


@_file_command
def check(folder: StateFolder) -> None:
    """Verify every checksum; exit status 1 when something is damaged."""
    damage = check_state(folder)
    for error in damage:
        click.echo(error.message)
    click.echo(f"{len(damage)} damaged" if damage else "sound")
    sys.exit(1 if damage else 0)


@_file_command
def repair(folder: StateFolder) -> None:
    """Write a file of all that is sound; what is damaged comes from the newest checkpoint.

    The damaged file stays, as state.db.damaged. Exit status 1 when something is lost.
    """
    done = repair_state(folder)
    click.echo(f"{done.kept} variables sound")
    for variable, name in done.restored:
        click.echo(f"{variable.name or variable.uuid}: version {variable.version} of {name}")
    for error in done.lost:
        click.echo(f"lost: {error.message}")
    sys.exit(1 if done.lost else 0)


def _array(file: str) -> NDArray[Any]:
    try:
        with Path(file).open("rb") as source:  # numpy leaves those open that it cannot read
            value: NDArray[Any] = np.load(source, allow_pickle=False)
        dtype_to_wire(value.dtype.name)
    except (ValueError, EOFError, OSError, AttributeError):  # such as text, nothing, several arrays
        raise CallError(
            f"{file} is no .npy file of one array of numbers", hint="numpy.save writes one"
        ) from None
    return value.astype(value.dtype.newbyteorder("="), copy=False)
