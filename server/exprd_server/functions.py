"""Compiled functions: their handles, who holds them, what they are bound to.

Invariant: equal content, target, options and bindings have the equal handle; a
function lives as long as some client holds it. With a lasting store it is kept there before its
handle is told, and revived at its first use after a restart. Who holds it changes there first, and
here when that is written; nobody who asks for another function waits for the disk meanwhile.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from exprd_compiler.errors import DamagedFile, LimitExceeded, UnknownHandle
from exprd_compiler.ir.dtype import numpy_dtype
from exprd_server.keeping import KIND, KeptFunction, damaged, kept_of, read_kept

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from exprd_compiler.ir.counts import EventCount
    from exprd_compiler.ir.type import TensorType
    from exprd_server.deadline import Deadline
    from exprd_server.locks import Order
    from exprd_server.outline import Outline
    from exprd_server.policy import Policy
    from exprd_server.reviving import Revivals
    from exprd_server.settings import Limits
    from exprd_server.store import Store
    from exprd_server.values import CompileChoices, FunctionInfo, Plan
    from exprd_server.variables import Variable


class Runnable(Protocol):
    """Native code, or something that behaves like it. Thread safe."""

    def __call__(
        self, inputs: Sequence[NDArray[Any]], deadline: Deadline | None, /
    ) -> tuple[Sequence[Any], Sequence[EventCount]]:
        """Outputs, then update values, for explicit inputs, then shared values; and the events.

        Outputs are arrays; an update value is an array, or a `Patch` of the old value.

        Raises:
            Cancelled, DeadlineExceeded: it was stopped.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What a compiler makes of a graph."""

    run: Runnable
    plan: Plan
    timings: tuple[tuple[str, float], ...]


class Compiler(Protocol):
    """How the engine gets native code: in its own process, or from workers."""

    def compile(
        self, outline: Outline, choices: CompileChoices, deadline: Deadline | None, /
    ) -> Compiled:
        """Compiles a graph, or raises one of the documented errors."""
        ...

    def read(self, text: bytes, deadline: Deadline | None, /) -> Outline:
        """The outline of a graph that was written down, with every type derived anew.

        Raises:
            GraphError, UnsupportedVersion: this is no such text.
        """
        ...

    def texts(
        self, outline: Outline, choices: CompileChoices, deadline: Deadline | None, /
    ) -> Mapping[str, str]:
        """The stages of a graph as text, for people."""
        ...

    def close(self) -> None:
        """Ends whatever it has started."""
        ...


# What an input must be: dtype, rank, and the axes whose extents are static.
Form: TypeAlias = tuple[np.dtype[Any], int, tuple[tuple[int, int], ...]]


def form_of(type_: TensorType) -> Form:
    """The form of a type."""
    extents = tuple((axis, n) for axis, n in enumerate(type_.shape) if n is not None)
    return numpy_dtype(type_.dtype), type_.ndim, extents


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Function:
    """A compiled graph bound to variables."""

    info: FunctionInfo
    outline: Outline
    content: str  # hash without bindings: equal content shares native code
    compiled: Compiled
    variables: tuple[Variable, ...]
    written: tuple[Variable, ...]  # those a call assigns, in the order of its update values
    forms: tuple[Form, ...]  # of the inputs, ready for comparison
    order: Order = ()  # of the locks of a call that writes
    policy: Policy | None = None  # of its commits; the server's when there is none
    holders: set[str] = field(default_factory=set[str])


class Holding(NamedTuple):
    """A function, and the names of those who hold it; how many variables it has."""

    handle: str
    name: str
    holders: frozenset[str]
    variables: int


class FunctionTable:
    """All functions of a server.

    Args:
        limits: how many there may be.
        store: where they are kept; None keeps them in this process alone.
        revive: makes a function of a kept one, compiled and bound.
        revivals: those under way; without them, kept ones are not revived.
    """

    def __init__(
        self,
        limits: Limits,
        store: Store | None = None,
        revive: Callable[[str, KeptFunction, Deadline], Function] | None = None,
        revivals: Revivals | None = None,
    ) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._written = threading.Condition(self._lock)
        self._writing: set[str] = set()  # those whose holders are changing
        self._adding: set[str] = set()  # new ones among them, which take places already
        self._functions: dict[str, Function] = {}
        self._store = store
        self._revive = revive
        self._revivals = revivals
        # Those of an earlier process that nobody has asked for since; a damaged one costs those
        # who ask for it, and not the start of the server.
        self._dormant: dict[str, KeptFunction] = {}
        self._damaged: dict[str, str] = {}  # and why
        kept: Mapping[str, bytes] = {} if store is None else store.entries(KIND)
        for handle, data in kept.items():
            try:
                self._dormant[handle] = read_kept(handle, data)
            except DamagedFile as error:
                self._damaged[handle] = str(error.__cause__)

    def __len__(self) -> int:
        return len(self._functions) + len(self._dormant)

    def get(self, handle: str, client_id: str = "", deadline: Deadline | None = None) -> Function:
        """The function of a handle; a kept one is revived, in a turn of the client.

        Raises:
            UnknownHandle: there is none.
            DamagedFile: what was kept of it cannot be read.
            DeadlineExceeded, Cancelled: it was not revived in time.
        """
        function = self._functions.get(handle) or self._revived(handle, client_id, deadline)
        if function is None:
            raise UnknownHandle(
                f"no function {handle[:64]!r}; it was released, its lease has lapsed,"
                " or the server was restarted",
                hint="compile it again",
                fields={"handle": handle[:64]},
            )
        return function

    def hold(self, handle: str, client_id: str) -> Function | None:
        """The function if it exists, now held by this client as well."""
        with self._turn(handle):
            function = self._functions.get(handle)
            if function is None or client_id in function.holders:
                return function
            self._keep(function, handle, frozenset((*function.holders, client_id)))
            with self._lock:
                function.holders.add(client_id)
            return function

    def add(self, function: Function, client_id: str) -> Function:
        """Adds a function, or gives the equal one that was added meanwhile."""
        handle = function.info.handle
        with self._turn(handle):
            with self._lock:
                present = self._functions.get(handle)
                before = present or self._dormant.get(handle)
                if before is None:
                    self._check_room()
                    self._adding.add(handle)
            holders = frozenset((*(before.holders if before else ()), client_id))
            # Kept first: a handle that was told is known for good.
            self._keep(present or function, handle, holders)
            with self._lock:
                self._adding.discard(handle)
                self._dormant.pop(handle, None)
                self._damaged.pop(handle, None)
                present = self._functions.setdefault(handle, function)
                present.holders.update(holders)
            return present

    def holders(self) -> frozenset[str]:
        """The ids of all clients that hold functions; published versions (@) are no clients."""
        with self._lock:
            live = (name for function in self._functions.values() for name in function.holders)
            kept = (name for function in self._dormant.values() for name in function.holders)
            return frozenset(name for name in (*live, *kept) if not name.startswith("@"))

    def each(self) -> list[Holding]:
        """All functions, those that are kept and not revived included."""
        with self._lock:
            live = [
                Holding(handle, f.info.name, frozenset(f.holders), len(f.variables))
                for handle, f in self._functions.items()
            ]
            return live + [
                Holding(handle, kept.name, kept.holders, len(kept.bindings))
                for handle, kept in self._dormant.items()
            ]

    def check_room(self, handle: str) -> None:
        """Returns if a function may be added; to be asked before compiling it."""
        with self._lock:
            if handle not in self._dormant:
                self._check_room()

    def with_content(self, content: str) -> Compiled | None:
        """Native code of equal content, bound to whatever variables."""
        with self._lock:
            found = (f for f in self._functions.values() if f.content == content)
            function = next(found, None)
            return None if function is None else function.compiled

    def with_digest(self, digest: bytes) -> Function | KeptFunction | None:
        """A function whose graph has this digest."""
        with self._lock:
            for function in self._functions.values():
                if function.info.graph_digest == digest:
                    return function
            return next((k for k in self._dormant.values() if k.digest == digest), None)

    def release(self, handles: Iterable[str], client_id: str) -> int:
        """Takes this client's hold from functions; the count of those it held.

        Who holds a damaged one cannot be read: it stays until it is compiled again.
        """
        return sum(self._drop(handle, client_id) for handle in handles)

    def release_client(self, client_id: str) -> int:
        """Takes all holds of a client away."""
        with self._lock:
            every: dict[str, Function | KeptFunction] = {**self._functions, **self._dormant}
            mine = [handle for handle, one in every.items() if client_id in one.holders]
        return sum(self._drop(handle, client_id) for handle in mine)

    def _revived(self, handle: str, client_id: str, deadline: Deadline | None) -> Function | None:
        reason = self._damaged.get(handle)
        if reason is not None:
            raise damaged(handle, reason)
        if handle not in self._dormant or self._revivals is None:
            return self._functions.get(handle)  # another caller may have revived it just now
        return self._revivals.get(handle, client_id, deadline, partial(self._awake, handle))

    def _awake(self, handle: str, deadline: Deadline) -> Function | None:
        """A kept function, revived unless it has been meanwhile; None when it was released."""
        kept = self._dormant.get(handle)
        if kept is None or self._revive is None:
            return self._functions.get(handle)
        function = self._revive(handle, kept, deadline)
        with self._lock:
            # By now it may have been released, or revived by somebody else.
            kept = self._dormant.pop(handle, None)
            if kept is not None:
                function.holders.update(kept.holders)
                self._functions[handle] = function
            return self._functions.get(handle)

    @contextmanager
    def _turn(self, handle: str) -> Generator[None]:
        """The right to change who holds a function; only those wait who want it for the same."""
        with self._written:
            while handle in self._writing:
                self._written.wait()
            self._writing.add(handle)
        try:
            yield
        finally:
            with self._written:
                self._writing.discard(handle)
                self._adding.discard(handle)
                self._written.notify_all()

    def _drop(self, handle: str, client_id: str) -> bool:
        with self._turn(handle):
            with self._lock:
                found = self._functions.get(handle) or self._dormant.get(handle)
            if found is None or client_id not in found.holders:
                return False
            rest = frozenset(found.holders) - {client_id}
            self._keep(found, handle, rest)
            with self._lock:
                self._set_holders(handle, rest)
            return True

    def _set_holders(self, handle: str, holders: frozenset[str]) -> None:
        """Has the table say what was written; one that was kept may have been revived since."""
        function = self._functions.get(handle)
        if not holders:
            self._functions.pop(handle, None)
            self._dormant.pop(handle, None)
        elif function is not None:
            function.holders.intersection_update(holders)
        else:
            self._dormant[handle] = replace(self._dormant[handle], holders=holders)

    def _keep(
        self, function: Function | KeptFunction, handle: str, holders: frozenset[str]
    ) -> None:
        """Writes down who holds a function; one that nobody holds is forgotten."""
        if self._store is None:
            return
        if not holders:
            self._store.drop_entry(KIND, handle)
            return
        kept = function if isinstance(function, KeptFunction) else _kept(function)
        self._store.put_entry(KIND, handle, replace(kept, holders=holders).to_bytes())

    def _check_room(self) -> None:
        if len(self) + len(self._adding) >= self._limits.functions:
            raise LimitExceeded(
                f"the server keeps {self._limits.functions} functions already",
                hint="release some",
                fields={"limit": "functions"},
            )


def _kept(function: Function) -> KeptFunction:
    return kept_of(
        function.outline,
        bindings=[variable.uuid for variable in function.variables],
        choices=function.info.choices,
        name=function.info.name,
        holders=frozenset(),
    )
