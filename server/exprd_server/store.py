"""Store: where shared variables and call records live.

Invariant: `commit` takes all its changes and the record of the call, or nothing;
after it returns, both are as lasting as the policy of the commit promises. A store does
no locking of single variables and no type checks: that is `variables.py`. Arrays that a
lasting store was given for a variable that is not volatile change only with a commit that brings
the same array, and only if `may_patch` said so; else it compares them with their successors. Those
of others may change with any commit that brings the same array.
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from exprd_compiler.errors import Conflict, ExprdError, UnknownHandle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from exprd_compiler.ir.type import TensorType
    from exprd_server.policy import Policy
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
    """A new value for a variable that must be at `expected_version`; it becomes the next one.

    `dirty` are the ranges of bytes, of the value in C order, outside of which nothing differs
    from the old value; None says that anything may.
    """

    uuid: str
    expected_version: int
    value: NDArray[Any]
    dirty: Sequence[tuple[int, int]] | None = None


class CallRecord(NamedTuple):
    """The memory of a committed call; `reply` is None when it was too large to keep.

    `nbytes` is the size of the arrays in the reply.
    """

    client_id: str
    seq: int
    digest: bytes
    reply: Reply | None
    nbytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Incarnation:
    """One run of a server on a store. Commits are numbered through all runs.

    Attributes:
        id: what clients know the run by.
        started: in seconds since 1970.
        policy: the server's durability policy, as it is written on the command line.
        first: the number before its first commit.
        durable: the last commit that is on disk.
        acknowledged: the last commit that was answered. It outlives the end of the process; after a
            power failure under a weak policy it may be too low.
        clean: whether the run was ended in order.
    """

    id: str
    started: float
    policy: str
    first: int
    durable: int
    acknowledged: int
    clean: bool

    @property
    def lost(self) -> int:
        """How many commits were answered but are gone."""
        return max(0, self.acknowledged - self.durable)


class Store(Protocol):
    """What every store offers; the contract tests run against each implementation."""

    @property
    def name(self) -> str:
        """How the store is called in settings and answers."""
        ...

    @property
    def lasting(self) -> bool:
        """Whether durable variables outlive the process."""
        ...

    def incarnations(self) -> Sequence[Incarnation]:
        """The runs on this store, oldest first; the last is this one."""
        ...

    def variables(self) -> Sequence[StoredVariable]:
        """Everything stored, in no particular order."""
        ...

    def records(self) -> Sequence[CallRecord]:
        """The call records that were not forgotten."""
        ...

    def floors(self) -> Mapping[str, int]:
        """Per client, the number through which its calls were forgotten."""
        ...

    def create(self, variable: StoredVariable) -> None:
        """Adds a variable; its uuid must be new."""
        ...

    def delete(self, uuids: Iterable[str]) -> None:
        """Removes variables; unknown ones are ignored."""
        ...

    def commit(
        self, changes: Sequence[Change], record: CallRecord | None, policy: Policy | None = None
    ) -> int:
        """Applies all changes and keeps the record, or raises and does neither.

        Args:
            changes: the new values.
            record: of the call that made them. It outlives the process if a change does, or if
                there is none.
            policy: of this commit; the server's when not given.

        Returns:
            The number of the commit; see `Incarnation`.

        Raises:
            Conflict: a variable is not at its expected version.
            UnknownHandle: a variable does not exist.
            LimitExceeded: the disk takes no more; nothing has changed.
        """
        ...

    def may_patch(self, uuid: str, dirty: Sequence[tuple[int, int]]) -> bool:
        """Whether a value may be written to where it lies, before the commit that brings it again.

        The caller has the write lock of the variable and keeps it until after the commit.

        Args:
            uuid: of the variable.
            dirty: as in `Change`.
        """
        ...

    def forget(self, client_id: str, through_seq: int) -> None:
        """Drops the records of a client up to and including a sequence number, which is kept."""
        ...

    def drop_client(self, client_id: str) -> None:
        """Drops all records of a client, and its floor."""
        ...

    def entries(self, kind: str) -> Mapping[str, bytes]:
        """All entries of a kind by key: facts beside the variables, such as published names."""
        ...

    def put_entry(self, kind: str, key: str, data: bytes) -> None:
        """Keeps an entry, in place of what had its key; as lasting as a commit."""
        ...

    def drop_entry(self, kind: str, key: str) -> None:
        """Removes an entry; an unknown one is ignored."""
        ...

    def flush(self) -> None:
        """Returns once everything so far is as lasting as the store can make it."""
        ...

    def close(self) -> None:
        """Ends the use of the store in order; may be called again."""
        ...


_GONE: Final[NDArray[Any]] = np.empty(0)


class State:
    """What a store holds, in memory and without locks: the part that all stores share."""

    def __init__(self) -> None:
        self._created: dict[str, StoredVariable] = {}
        # What changes with every commit, apart from what a variable was created with.
        self._current: dict[str, tuple[int, NDArray[Any]]] = {}
        self.records: dict[str, dict[int, CallRecord]] = {}
        self.floors: dict[str, int] = {}
        self.entries: dict[str, dict[str, bytes]] = {}

    def variables(self) -> tuple[StoredVariable, ...]:
        """All variables as they are now."""
        return tuple(self._now(uuid) for uuid in self._created)

    def variable(self, uuid: str) -> StoredVariable | None:
        """A variable as it is now."""
        return self._now(uuid) if uuid in self._created else None

    def put_back(self, uuid: str, version: int, value: NDArray[Any]) -> None:
        """Gives a variable a version and value that it had; one that is gone stays so."""
        created = self._created.get(uuid)
        if created is not None:
            self.place(replace(created, version=version, value=value))

    def current(self, uuid: str) -> tuple[int, NDArray[Any]] | None:
        """Version and value of a variable, which costs less than `variable`."""
        return self._current.get(uuid)

    def value(self, uuid: str) -> NDArray[Any] | None:
        """The value of a variable as it is now."""
        current = self._current.get(uuid)
        return None if current is None else current[1]

    def created(self, uuid: str) -> StoredVariable | None:
        """A variable as it was created, which costs less; the value is gone once it was changed."""
        return self._created.get(uuid)

    def record(self, client_id: str, seq: int) -> CallRecord | None:
        """The record of a call."""
        return self.records.get(client_id, {}).get(seq)

    def create(self, variable: StoredVariable) -> None:
        """Adds a variable."""
        if variable.uuid in self._created:
            label = label_of(variable.uuid, variable.name)
            raise Conflict(f"a shared variable {label} exists already", hint="draw a new uuid")
        self.place(variable)

    def place(self, variable: StoredVariable) -> None:
        """Puts a variable as it is, whether or not it exists."""
        self._created[variable.uuid] = variable
        self._current[variable.uuid] = (variable.version, variable.value)

    def delete(self, uuid: str) -> None:
        """Removes a variable, if it is there."""
        self._created.pop(uuid, None)
        self._current.pop(uuid, None)

    def commit(self, changes: Sequence[Change], record: CallRecord | None) -> None:
        """Applies all changes and keeps the record, or neither."""
        for uuid, expected, _, _ in changes:
            now = self._current.get(uuid)
            if now is None or now[0] != expected:
                raise self._refusal(uuid, expected)
        for uuid, expected, value, _ in changes:
            self._current[uuid] = (expected + 1, value)
            if self._created[uuid].value is not _GONE:
                self._created[uuid] = replace(self._created[uuid], value=_GONE)
        if record is not None:
            self.records.setdefault(record.client_id, {})[record.seq] = record

    def forget(self, client_id: str, through_seq: int) -> list[int]:
        """Drops old records of a client; the numbers of those that were there."""
        self.floors[client_id] = max(through_seq, self.floors.get(client_id, 0))
        return self._drop(client_id, through_seq)

    def drop_client(self, client_id: str) -> list[int]:
        """Drops what is known of a client; the numbers of its records."""
        self.floors.pop(client_id, None)
        return self._drop(client_id, None)

    def _drop(self, client_id: str, through_seq: int | None) -> list[int]:
        calls = self.records.get(client_id, {})
        old = [seq for seq in calls if through_seq is None or seq <= through_seq]
        for seq in old:
            del calls[seq]
        if not calls:
            self.records.pop(client_id, None)
        return old

    def _refusal(self, uuid: str, expected: int) -> ExprdError:
        if uuid not in self._current:
            return UnknownHandle(f"no shared variable {uuid}; it was deleted meanwhile")
        return version_conflict(uuid, self._created[uuid].name, expected, self._current[uuid][0])

    def _now(self, uuid: str) -> StoredVariable:
        version, value = self._current[uuid]
        created = self._created[uuid]
        if created.version == version:
            return created
        return StoredVariable(  # `replace` takes twice as long
            uuid=uuid,
            name=created.name,
            type=created.type,
            durability=created.durability,
            version=version,
            value=value,
            owner=created.owner,
        )


class MemoryStore:
    """The store that lasts as long as its process."""

    name = "memory"
    lasting = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state = State()
        self._sequence = 0
        self._id = secrets.token_hex(8)
        self._started = time.time()

    def incarnations(self) -> Sequence[Incarnation]:
        """This run alone."""
        with self._lock:
            return (
                Incarnation(
                    id=self._id,
                    started=self._started,
                    policy="off",
                    first=0,
                    durable=0,
                    acknowledged=self._sequence,
                    clean=False,
                ),
            )

    def variables(self) -> Sequence[StoredVariable]:
        """Everything stored."""
        with self._lock:
            return self._state.variables()

    def records(self) -> Sequence[CallRecord]:
        """The call records that were not forgotten."""
        with self._lock:
            return tuple(r for calls in self._state.records.values() for r in calls.values())

    def floors(self) -> Mapping[str, int]:
        """Per client, the number through which its calls were forgotten."""
        with self._lock:
            return dict(self._state.floors)

    def create(self, variable: StoredVariable) -> None:
        """Adds a variable."""
        with self._lock:
            self._state.create(variable)

    def delete(self, uuids: Iterable[str]) -> None:
        """Removes variables."""
        with self._lock:
            for uuid in uuids:
                self._state.delete(uuid)

    def commit(
        self, changes: Sequence[Change], record: CallRecord | None, policy: Policy | None = None
    ) -> int:
        """Applies all changes and keeps the record, or neither."""
        del policy  # there is nothing that could last
        with self._lock:
            self._state.commit(changes, record)
            self._sequence += 1
            return self._sequence

    def may_patch(self, uuid: str, dirty: Sequence[tuple[int, int]]) -> bool:
        """Always, as nothing is read behind a commit."""
        del uuid, dirty
        return True

    def forget(self, client_id: str, through_seq: int) -> None:
        """Drops old records of a client."""
        with self._lock:
            self._state.forget(client_id, through_seq)

    def drop_client(self, client_id: str) -> None:
        """Drops all records of a client, and its floor."""
        with self._lock:
            self._state.drop_client(client_id)

    def entries(self, kind: str) -> Mapping[str, bytes]:
        """All entries of a kind by key."""
        with self._lock:
            return dict(self._state.entries.get(kind, {}))

    def put_entry(self, kind: str, key: str, data: bytes) -> None:
        """Keeps an entry."""
        with self._lock:
            self._state.entries.setdefault(kind, {})[key] = data

    def drop_entry(self, kind: str, key: str) -> None:
        """Removes an entry."""
        with self._lock:
            self._state.entries.get(kind, {}).pop(key, None)

    def flush(self) -> None:
        """Returns at once."""

    def close(self) -> None:
        """Does nothing."""


def label_of(uuid: str, name: str) -> str:
    """A variable as errors call it: by its name, where it has one, and its uuid."""
    return f"{name!r} ({uuid})" if name else uuid


def version_conflict(uuid: str, name: str, expected: int, actual: int) -> Conflict:
    """The error of a call that expected another version of a variable."""
    return Conflict(
        f"shared variable {label_of(uuid, name)} is at version {actual},"
        f" not at the expected {expected}",
        hint="read it again and repeat the call",
        fields={"uuid": uuid, "name": name, "version": str(actual), "expected": str(expected)},
    )
