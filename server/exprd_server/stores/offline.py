"""Offline: a state directory without a server, for the commands `exprd state`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from exprd_compiler.errors import CallError, UnknownHandle
from exprd_compiler.ir.type import TensorType
from exprd_server.store import Change
from exprd_server.stores.checkpoints import Checkpoints
from exprd_server.stores.folder import StateFolder
from exprd_server.stores.sqlite import SqliteStore
from exprd_server.values import Durability

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from numpy.typing import NDArray

    from exprd_server.store import StoredVariable
    from exprd_server.stores.checkpoints import CheckpointInfo

T = TypeVar("T")


class Offline:
    """The variables and checkpoints of a directory; every change is on disk when it returns."""

    def __init__(self, store: SqliteStore, checkpoints: Checkpoints) -> None:
        self._store = store
        self._checkpoints = checkpoints

    def variables(self) -> tuple[StoredVariable, ...]:
        """All variables, by name and uuid."""
        return tuple(sorted(self._store.variables(), key=lambda v: (v.name, v.uuid)))

    def checkpoints(self) -> tuple[CheckpointInfo, ...]:
        """All checkpoints, oldest first."""
        return self._checkpoints.all()

    def find(self, key: str) -> StoredVariable:
        """The variable of a uuid or a name.

        Raises:
            UnknownHandle: there is none.
            CallError: several have the name.
        """
        return the_one(key, [(v.uuid, v.name, v) for v in self._store.variables()])

    def assign(self, key: str, value: NDArray[Any]) -> StoredVariable:
        """Gives a variable a value of its type; the variable afterwards."""
        variable = self.find(key)
        given = TensorType(value.dtype.name, value.shape)
        if not variable.type.accepts(given):
            raise CallError(
                f"shared variable {key!r} has type {variable.type}, but the value is {given}"
            )
        if variable.durability is Durability.CONSTANT:
            raise CallError(f"shared variable {key!r} is a constant and is never assigned")
        self._store.commit([Change(variable.uuid, variable.version, value)], None)
        return self.find(variable.uuid)

    def write_checkpoint(self, name: str) -> CheckpointInfo:
        """Writes a checkpoint."""
        return self._checkpoints.write(name, self._store.variables())

    def restore(self, name: str) -> tuple[int, int]:
        """Gives variables the values of a checkpoint; how many were assigned, and how many made."""
        stored = self._checkpoints.read(name)
        now = {v.uuid: v.version for v in self._store.variables()}
        # Volatile ones would be gone with this process.
        lasting = [v for v in stored if v.durability is not Durability.VOLATILE]
        made = [v for v in lasting if v.uuid not in now]
        for variable in made:
            self._store.create(variable)
        changes = [
            Change(v.uuid, now[v.uuid], v.value)
            for v in lasting
            if v.uuid in now and v.durability is not Durability.CONSTANT
        ]
        self._store.commit(changes, None)
        return len(changes), len(made)


@contextmanager
def offline(path: Path) -> Generator[Offline]:
    """The state of a directory that no server uses.

    Raises:
        CallError: there is none, or a server uses it.
        DamagedFile: it is damaged.
    """
    folder = StateFolder(path, must_exist=True)
    store = SqliteStore(folder)
    try:
        yield Offline(store, Checkpoints(folder.checkpoints))
    finally:
        store.close()


def the_one(key: str, found: list[tuple[str, str, T]]) -> T:
    """The one of (uuid, name, value) whose uuid or else name is the key."""
    by_uuid = [value for uuid, _, value in found if uuid == key]
    matches = by_uuid or [value for _, name, value in found if name == key]
    if not matches:
        raise UnknownHandle(f"no shared variable {key!r}", hint="`exprd state ls` names them")
    if len(matches) > 1:
        raise CallError(f"{len(matches)} shared variables are called {key!r}", hint="use a uuid")
    return matches[0]
