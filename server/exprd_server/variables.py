"""Shared variables: identity, published values, and the one way to change them.

Invariant: a reader sees either all values of a commit or none, and never waits for a
running call, at most for a patch to be written (see `patches`); whoever publishes holds
the write locks of what it publishes. Lock order: variable locks (ascending uuid), then
`_storing`, the table lock, the store's own.
"""

from __future__ import annotations

import threading
import uuid as uuids
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from exprd_compiler.backends.patch import Patch
from exprd_compiler.errors import Conflict, LimitExceeded, UnknownHandle
from exprd_compiler.ir.dtype import numpy_dtype
from exprd_compiler.ir.type import TensorType
from exprd_server.creation import (
    check_attachable,
    check_names,
    check_value,
    frozen,
    same_creation,
    stored_of,
)
from exprd_server.locks import Hold, ReadWriteLock, in_order
from exprd_server.patches import Patching, Settling
from exprd_server.store import Change, StoredVariable, label_of, version_conflict
from exprd_server.values import Durability, VariableInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from exprd_server.leases import LeaseTable
    from exprd_server.policy import Policy
    from exprd_server.settings import Limits
    from exprd_server.store import CallRecord, Store
    from exprd_server.values import BufferRef


@dataclass(slots=True, kw_only=True, eq=False)
class Variable:
    """A shared variable at run time. Only `VariableTable` writes to its fields.

    Attributes:
        value: read-only; readers without its lock get views of it, so that the references to its
            memory show whether there are any.
        settling: whether its memory is being written to; then such readers wait.
        dtype: of numpy.
        extents: the static ones, by axis.
    """

    uuid: str
    name: str
    type: TensorType
    durability: Durability
    owner: str
    version: int
    value: NDArray[Any]
    dtype: np.dtype[Any] = field(init=False)
    extents: tuple[tuple[int, int], ...] = field(init=False)
    deleted: bool = False
    settling: bool = False
    lock: ReadWriteLock = field(default_factory=ReadWriteLock)

    def __post_init__(self) -> None:
        self.dtype = numpy_dtype(self.type.dtype)
        self.extents = tuple([(a, e) for a, e in enumerate(self.type.shape) if e is not None])


class Snapshot(NamedTuple):
    """Values and versions of several variables at one moment."""

    values: Sequence[NDArray[Any]]
    versions: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVariable:
    """What a caller says of a variable it wants; no type means dtype and rank of the value.

    With `attach` it is the durable variable of the name, if there is one; without a value nothing
    else will do.
    """

    value: NDArray[Any] | BufferRef | None
    uuid: str = ""
    name: str = ""
    type: TensorType | None = None
    durability: Durability = Durability.VOLATILE
    attach: bool = False


class VariableTable:
    """All shared variables of a server, in front of its store."""

    def __init__(self, store: Store, leases: LeaseTable, limits: Limits) -> None:
        self._store = store
        self._leases = leases
        self._limits = limits
        self._storing = threading.Lock()  # held while the store waits for the disk
        self._lock = threading.Lock()
        self._settling = Settling(self._lock)
        self._variables = {v.uuid: _revived(v) for v in store.variables()}
        self._pins: Counter[str] = Counter()
        self._given_up: set[str] = set()  # pinned variables that their owners no longer want
        for variable in self._variables.values():
            leases.restore(variable.owner, variable.value.nbytes)
        self._promoted: set[str] = set()  # durable only because they were pinned

    def __len__(self) -> int:
        return len(self._variables)

    def create(self, client_id: str, new: NewVariable, value: NDArray[Any]) -> VariableInfo:
        """Makes a variable with a value; repeating a creation gives the same variable.

        Raises:
            Conflict: the uuid belongs to another variable.
            LimitExceeded: too many variables, or too much memory.
        """
        variable = self._prepared(client_id, new, value)
        self._leases.charge(client_id, variable.value.nbytes)
        try:
            existing = self._add(variable, new)
        except BaseException:
            self._leases.refund(client_id, variable.value.nbytes)
            raise
        if existing is None:
            return info_of(variable)
        self._leases.refund(client_id, variable.value.nbytes)
        if new.attach and existing.uuid != variable.uuid:
            check_attachable(existing, variable.type)
        elif not same_creation(existing, variable):
            raise Conflict(
                f"shared variable {label_of(existing.uuid, existing.name)} exists already"
                " with other content",
                hint="draw a new uuid",
                fields={"uuid": existing.uuid, "name": existing.name},
            )
        return info_of(existing)

    def find(self, uuid: str) -> Variable:
        """The variable of a uuid.

        Raises:
            UnknownHandle: there is none.
        """
        variable = self._variables.get(uuid)
        if variable is None:
            raise UnknownHandle(
                f"no shared variable {uuid[:64]!r}; it was deleted, its lease has lapsed,"
                " or the server was restarted",
                fields={"uuid": uuid[:64]},
            )
        return variable

    def snapshot(self, variables: Sequence[Variable], *, held: bool = False) -> Snapshot:
        """The published values of variables, all of one moment.

        With `held`, the caller has locks of all that are not constant, so that nobody changes
        them, and keeps the values no longer than the locks.
        """
        if held:
            _check_alive(variables)
            return Snapshot([v.value for v in variables], [v.version for v in variables])
        with self._lock:
            self._settling.wait(variables)
            _check_alive(variables)
            return Snapshot([_readable(v) for v in variables], [v.version for v in variables])

    def held(self, variables: Sequence[Variable]) -> list[NDArray[Any]]:
        """The values of a snapshot with `held`, alone."""
        if True in [v.deleted for v in variables]:
            _check_alive(variables)
        return [v.value for v in variables]

    def describe(self, uuid: str) -> tuple[VariableInfo, NDArray[Any]]:
        """A consistent description and value."""
        with self._lock:
            variable = self.find(uuid)
            self._settling.wait((variable,))
            return info_of(variable), _readable(variable)

    def describe_all(self, names: Sequence[str]) -> tuple[tuple[VariableInfo, NDArray[Any]], ...]:
        """Descriptions and values of several variables, all of one moment."""
        with self._lock:
            found = [self.find(name) for name in names]
            self._settling.wait(found)
            return tuple((info_of(v), _readable(v)) for v in found)

    def named(self, name: str) -> VariableInfo:
        """The durable variable of a name.

        Raises:
            UnknownHandle: there is none.
            Conflict: there are several.
        """
        with self._lock:
            found = self._named(name)
        if found is None:
            raise UnknownHandle(
                f"no durable shared variable is called {name!r}",
                hint="give a default, or list the variables",
            )
        return info_of(found)

    def present(self, names: Iterable[str]) -> frozenset[str]:
        """Those of the variables that exist."""
        return frozenset(name for name in names if name in self._variables)

    def commit(
        self,
        new: Iterable[tuple[Variable, NDArray[Any] | Patch]],
        record: CallRecord | None,
        policy: Policy | None = None,
    ) -> None:
        """Publishes new values together, or none of them; the caller holds the write locks.

        Record and policy are those of `Store.commit`.
        """
        changes: list[Change] = []
        values: list[tuple[Variable, NDArray[Any]]] = []
        patches: list[tuple[Variable, Patch]] = []
        for variable, value in new:
            if isinstance(value, Patch):
                patches.append((variable, value))
                continue
            check_value(variable, value)
            made = frozen(value)
            values.append((variable, made))
            changes.append(Change(variable.uuid, variable.version, made))
        if not patches:
            self._publish(values, changes, record, policy)
            return
        with Patching(self._settling, patches, self._store) as patched:
            for variable, value, dirty in patched:
                made = value if value is variable.value else frozen(value)
                values.append((variable, made))
                changes.append(Change(variable.uuid, variable.version, made, dirty))
            self._publish(values, changes, record, policy)

    def _publish(
        self,
        values: Sequence[tuple[Variable, NDArray[Any]]],
        changes: Sequence[Change],
        record: CallRecord | None,
        policy: Policy | None,
    ) -> None:
        grown = [(v, value) for v, value in values if value.nbytes != v.value.nbytes]
        if grown:
            self._charge(grown)
        try:
            self._store.commit(changes, record, policy)
        except BaseException:
            self._refund(grown)
            raise
        with self._lock:
            for variable, value in values:
                variable.value = value
                variable.version += 1

    def delete(self, names: Iterable[str]) -> int:
        """Removes variables; the count of those that existed."""
        with self._storing:
            with self._lock:
                kept, free = self._without_pinned(names)
                gone = [v for name in free if (v := self._variables.pop(name, None)) is not None]
                for variable in gone:
                    variable.deleted = True
            try:
                self._store.delete([variable.uuid for variable in gone])
            except BaseException:
                with self._lock:
                    for variable in gone:
                        variable.deleted = False
                        self._variables[variable.uuid] = variable
                raise
        for variable in gone:
            self._promoted.discard(variable.uuid)
            self._leases.refund(variable.owner, variable.value.nbytes)
        return len(gone) + kept

    def pin(self, names: Iterable[str]) -> None:
        """Keeps variables, whatever becomes of their owners, until they are unpinned as often.

        Volatile ones become durable, since a published function outlives the server.
        """
        names = tuple(names)
        with self._lock:
            self._pins.update(names)
        for name in names:
            variable = self._variables.get(name)
            if variable is not None and variable.durability is Durability.VOLATILE:
                with Hold(in_order((variable,), ()), None):
                    self._make_durable(variable)

    def unpin(self, names: Iterable[str]) -> None:
        """Takes a pin from each; what its owner gave up meanwhile goes with the last one."""
        with self._lock:
            self._pins.subtract(names)
            self._pins = +self._pins
            gone = [name for name in self._given_up if name not in self._pins]
            self._given_up.difference_update(gone)
        self.delete(gone)

    def _make_durable(self, variable: Variable) -> None:
        with self._storing:
            with self._lock:
                if variable.durability is not Durability.VOLATILE or variable.deleted:
                    return
            before = stored_of(variable)
            self._store.delete([variable.uuid])  # volatile, so nothing waits for the disk or fails
            try:
                self._store.create(replace(before, durability=Durability.DURABLE))
            except BaseException:
                self._store.create(before)
                raise
            with self._lock:
                variable.durability = Durability.DURABLE
                self._promoted.add(variable.uuid)

    def release_client(self, client_id: str) -> int:
        """Removes the variables of a client, but for named durable ones."""
        with self._lock:
            mine = [
                v.uuid
                for v in self._variables.values()
                if v.owner == client_id and not self._stays(v)
            ]
        return self.delete(mine)

    def every(self) -> tuple[StoredVariable, ...]:
        """All variables as they are at one moment."""
        with self._lock:
            self._settling.wait(self._variables.values())
            return tuple(
                replace(stored_of(v), value=_readable(v)) for v in self._variables.values()
            )

    def revive(self, stored: StoredVariable) -> Variable:
        """Makes a variable as it once was, or gives the one that has its uuid."""
        variable = _revived(stored)
        check_value(variable, variable.value)
        existing = self._add(variable, NewVariable(value=variable.value))
        if existing is None:
            self._leases.restore(variable.owner, variable.value.nbytes)
        return existing or variable

    def page(self, prefix: str, size: int, after: str) -> tuple[tuple[VariableInfo, ...], str]:
        """Up to `size` variables whose uuids lie beyond `after`, and the next `after` or ""."""
        with self._lock:
            found = sorted(
                (v for v in self._variables.values() if v.name.startswith(prefix)),
                key=lambda v: v.uuid,
            )
        rest = [v for v in found if v.uuid > after]
        page = tuple(info_of(v) for v in rest[:size])
        return page, page[-1].uuid if len(rest) > size else ""

    def _stays(self, variable: Variable) -> bool:
        """Whether a variable outlives the lease of its owner."""
        durable = variable.durability is Durability.DURABLE
        return bool(variable.name) and durable and variable.uuid not in self._promoted

    def _without_pinned(self, names: Iterable[str]) -> tuple[int, list[str]]:
        """How many of the variables are pinned and stay for now, and the names of the others."""
        names = list(names)
        kept = {name for name in names if name in self._pins and name in self._variables}
        self._given_up |= kept
        return len(kept), [name for name in names if name not in kept]

    def _prepared(self, client_id: str, new: NewVariable, value: NDArray[Any]) -> Variable:
        check_names(new, self._limits)
        if value.nbytes > self._limits.tensor_bytes:
            raise LimitExceeded(
                f"a value of {value.nbytes} bytes is above the limit of"
                f" {self._limits.tensor_bytes}",
                fields={"limit": "tensor_bytes"},
            )
        variable = Variable(
            uuid=new.uuid or str(uuids.uuid4()),
            name=new.name,
            type=new.type or TensorType(value.dtype.name, (None,) * value.ndim),
            durability=new.durability,
            owner=client_id,
            version=1,
            value=frozen(value),
        )
        check_value(variable, variable.value)
        return variable

    def _named(self, name: str) -> Variable | None:
        found = [
            v
            for v in self._variables.values()
            if v.name == name and v.durability is Durability.DURABLE
        ]
        if len(found) > 1:
            raise Conflict(
                f"{len(found)} durable shared variables are called {name!r}",
                hint="delete or rename all but one",
                fields={"name": name, "uuids": " ".join(v.uuid for v in found)},
            )
        return found[0] if found else None

    def _add(self, variable: Variable, new: NewVariable) -> Variable | None:
        """Adds the variable, or gives the one that has its uuid, or its name when attaching."""
        with self._storing:
            with self._lock:
                existing = self._variables.get(variable.uuid)
                if existing is None and new.attach:
                    existing = self._named(variable.name)
                if existing is not None:
                    return existing
                self._check_room()
            self._store.create(stored_of(variable))
            with self._lock:
                self._variables[variable.uuid] = variable
            return None

    def _check_room(self) -> None:
        if len(self._variables) >= self._limits.variables:
            raise LimitExceeded(
                f"the server keeps {self._limits.variables} shared variables already",
                hint="delete some",
                fields={"limit": "variables"},
            )

    def _charge(self, new: Sequence[tuple[Variable, NDArray[Any]]]) -> None:
        done: list[tuple[Variable, NDArray[Any]]] = []
        try:
            for variable, value in new:
                self._leases.adjust(variable.owner, value.nbytes - variable.value.nbytes)
                done.append((variable, value))
        except LimitExceeded:
            self._refund(done)
            raise

    def _refund(self, new: Sequence[tuple[Variable, NDArray[Any]]]) -> None:
        for variable, value in new:
            self._leases.refund(variable.owner, value.nbytes - variable.value.nbytes)


def info_of(variable: Variable) -> VariableInfo:
    """The description of a variable as it is now."""
    return VariableInfo(
        uuid=variable.uuid,
        name=variable.name,
        type=variable.type,
        durability=variable.durability,
        version=variable.version,
        shape=variable.value.shape,
        nbytes=variable.value.nbytes,
    )


def check_expected(variable: Variable, expected: int) -> None:
    """Returns if the variable is at the expected version."""
    if variable.version != expected:
        raise version_conflict(variable.uuid, variable.name, expected, variable.version)


def _check_alive(variables: Iterable[Variable]) -> None:
    for variable in variables:
        if variable.deleted:
            raise UnknownHandle(
                f"shared variable {label_of(variable.uuid, variable.name)} was deleted",
                fields={"uuid": variable.uuid, "name": variable.name},
            )


def _readable(variable: Variable) -> NDArray[Any]:
    """The value for a reader without the lock; the caller has the table's."""
    fixed = variable.durability is Durability.CONSTANT
    return variable.value if fixed else variable.value.view()


def _revived(stored: StoredVariable) -> Variable:
    return Variable(
        uuid=stored.uuid,
        name=stored.name,
        type=stored.type,
        durability=stored.durability,
        owner=stored.owner,
        version=stored.version,
        value=stored.value if not stored.value.flags.writeable else frozen(stored.value),
    )
