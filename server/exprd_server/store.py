"""Store: where shared variables and call records live.

Invariant: `commit` takes all its changes and the record of the call, or nothing;
after it returns, both are as lasting as the store promises. A store does no locking
of single variables and no type checks: that is `variables.py`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from exprd_compiler.errors import Conflict, UnknownHandle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from exprd_compiler.ir.type import TensorType
    from exprd_server.values import Durability, Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVariable:
    """A variable as a store keeps it; `value` is read-only. `owner` is a client id or ""."""

    uuid: str
    name: str
    type: TensorType
    durability: Durability
    version: int
    value: NDArray[Any]
    owner: str = ""


class Change(NamedTuple):
    """A new value for a variable that must be at `expected_version`; it becomes the next one."""

    uuid: str
    expected_version: int
    value: NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """The memory of a committed call; `reply` is None when it was too large to keep.

    `nbytes` is the size of the arrays in the reply.
    """

    client_id: str
    seq: int
    digest: bytes
    reply: Reply | None
    nbytes: int = 0


class Store(Protocol):
    """What every store offers; the contract tests run against each implementation."""

    @property
    def name(self) -> str:
        """How the store is called in settings and answers."""
        ...

    def variables(self) -> Sequence[StoredVariable]:
        """Everything stored, in no particular order."""
        ...

    def records(self) -> Sequence[CallRecord]:
        """The call records that were not forgotten."""
        ...

    def create(self, variable: StoredVariable) -> None:
        """Adds a variable; its uuid must be new."""
        ...

    def delete(self, uuids: Iterable[str]) -> None:
        """Removes variables; unknown ones are ignored."""
        ...

    def commit(self, changes: Sequence[Change], record: CallRecord | None) -> None:
        """Applies all changes and keeps the record, or raises and does neither.

        Raises:
            Conflict: a variable is not at its expected version.
            UnknownHandle: a variable does not exist.
        """
        ...

    def forget(self, client_id: str, through_seq: int) -> None:
        """Drops the records of a client up to and including a sequence number."""
        ...

    def entries(self, kind: str) -> Mapping[str, bytes]:
        """All entries of a kind by key: facts beside the variables, such as published names."""
        ...

    def put_entry(self, kind: str, key: str, data: bytes) -> None:
        """Keeps an entry, in place of what had its key; lasting when this returns."""
        ...

    def drop_entry(self, kind: str, key: str) -> None:
        """Removes an entry; an unknown one is ignored."""
        ...


class MemoryStore:
    """The store that lasts as long as its process."""

    name = "memory"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._created: dict[str, StoredVariable] = {}
        # What changes with every commit, apart from what a variable was created with.
        self._current: dict[str, tuple[int, NDArray[Any]]] = {}
        self._records: dict[str, dict[int, CallRecord]] = {}
        self._entries: dict[str, dict[str, bytes]] = {}

    def variables(self) -> Sequence[StoredVariable]:
        """Everything stored."""
        with self._lock:
            return tuple(
                replace(variable, version=version, value=value)
                for variable, (version, value) in zip(
                    self._created.values(), self._current.values(), strict=True
                )
            )

    def records(self) -> Sequence[CallRecord]:
        """The call records that were not forgotten."""
        with self._lock:
            return tuple(r for calls in self._records.values() for r in calls.values())

    def create(self, variable: StoredVariable) -> None:
        """Adds a variable."""
        with self._lock:
            if variable.uuid in self._created:
                raise Conflict(f"a variable {variable.uuid} exists already")
            self._created[variable.uuid] = variable
            self._current[variable.uuid] = (variable.version, variable.value)

    def delete(self, uuids: Iterable[str]) -> None:
        """Removes variables."""
        with self._lock:
            for uuid in uuids:
                self._created.pop(uuid, None)
                self._current.pop(uuid, None)

    def commit(self, changes: Sequence[Change], record: CallRecord | None) -> None:
        """Applies all changes and keeps the record, or neither."""
        with self._lock:
            for uuid, expected, _ in changes:
                self._check(uuid, expected)
            for uuid, expected, value in changes:
                self._current[uuid] = (expected + 1, value)
            if record is not None:
                self._records.setdefault(record.client_id, {})[record.seq] = record

    def forget(self, client_id: str, through_seq: int) -> None:
        """Drops old records of a client."""
        with self._lock:
            calls = self._records.get(client_id, {})
            for seq in [seq for seq in calls if seq <= through_seq]:
                del calls[seq]
            if not calls:
                self._records.pop(client_id, None)

    def entries(self, kind: str) -> Mapping[str, bytes]:
        """All entries of a kind by key."""
        with self._lock:
            return dict(self._entries.get(kind, {}))

    def put_entry(self, kind: str, key: str, data: bytes) -> None:
        """Keeps an entry."""
        with self._lock:
            self._entries.setdefault(kind, {})[key] = data

    def drop_entry(self, kind: str, key: str) -> None:
        """Removes an entry."""
        with self._lock:
            self._entries.get(kind, {}).pop(key, None)

    def _check(self, uuid: str, expected: int) -> None:
        current = self._current.get(uuid)
        if current is None:
            raise UnknownHandle(f"no shared variable {uuid}; it was deleted meanwhile")
        if current[0] != expected:
            raise version_conflict(uuid, expected, current[0])


def version_conflict(uuid: str, expected: int, actual: int) -> Conflict:
    """The error of a call that expected another version of a variable."""
    return Conflict(
        f"shared variable {uuid} is at version {actual}, not at the expected {expected}",
        hint="read it again and repeat the call",
        fields={"uuid": uuid, "version": str(actual), "expected": str(expected)},
    )
