"""Compiled functions: their handles, who holds them, what they are bound to.

Invariant: equal content, target, options and bindings have the equal handle; a
function lives as long as some client holds it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from exprd_compiler.errors import LimitExceeded, UnknownHandle
from exprd_compiler.ir.dtype import numpy_dtype

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from exprd_compiler.ir.counts import EventCount
    from exprd_compiler.ir.graph import Graph
    from exprd_compiler.ir.type import TensorType
    from exprd_server.deadline import Deadline
    from exprd_server.settings import Limits
    from exprd_server.values import CompileChoices, FunctionInfo, PlanStep
    from exprd_server.variables import Variable


class Runnable(Protocol):
    """Native code, or something that behaves like it. Thread safe."""

    def __call__(
        self, inputs: Sequence[NDArray[Any]], deadline: Deadline | None, /
    ) -> tuple[Sequence[NDArray[Any]], Sequence[EventCount]]:
        """Outputs, then update values, for explicit inputs, then shared values; and the events.

        Raises:
            Cancelled, DeadlineExceeded: it was stopped.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What a compiler makes of a graph."""

    run: Runnable
    plan: tuple[PlanStep, ...]
    timings: tuple[tuple[str, float], ...]


class Compiler(Protocol):
    """How the engine gets native code: in its own process, or from workers."""

    def compile(
        self, graph: Graph, choices: CompileChoices, deadline: Deadline | None, /
    ) -> Compiled:
        """Compiles a graph, or raises one of the documented errors."""
        ...

    def texts(
        self, graph: Graph, choices: CompileChoices, deadline: Deadline | None, /
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
    graph: Graph
    content: str  # hash without bindings: equal content shares native code
    compiled: Compiled
    variables: tuple[Variable, ...]
    written: tuple[Variable, ...]  # those a call assigns, in the order of its update values
    forms: tuple[Form, ...]  # of the inputs, ready for comparison
    holders: set[str] = field(default_factory=set[str])


class FunctionTable:
    """All functions of a server."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._functions: dict[str, Function] = {}

    def __len__(self) -> int:
        return len(self._functions)

    def get(self, handle: str) -> Function:
        """The function of a handle.

        Raises:
            UnknownHandle: there is none.
        """
        function = self._functions.get(handle)
        if function is None:
            raise UnknownHandle(
                f"no function {handle[:64]!r}; it was released, its lease has lapsed,"
                " or the server was restarted",
                hint="compile it again",
            )
        return function

    def hold(self, handle: str, client_id: str) -> Function | None:
        """The function if it exists, now held by this client as well."""
        with self._lock:
            function = self._functions.get(handle)
            if function is not None:
                function.holders.add(client_id)
            return function

    def add(self, function: Function, client_id: str) -> Function:
        """Adds a function, or gives the equal one that was added meanwhile."""
        with self._lock:
            present = self._functions.get(function.info.handle)
            if present is None:
                self._check_room()
                present = self._functions[function.info.handle] = function
            present.holders.add(client_id)
            return present

    def check_room(self) -> None:
        """Returns if one more function may be added; to be asked before compiling it."""
        with self._lock:
            self._check_room()

    def with_content(self, content: str) -> Compiled | None:
        """Native code of equal content, bound to whatever variables."""
        with self._lock:
            found = (f for f in self._functions.values() if f.content == content)
            function = next(found, None)
            return None if function is None else function.compiled

    def graph_of(self, digest: bytes) -> Graph:
        """The graph of a digest that some function of this server has.

        Raises:
            UnknownHandle: there is none; the caller must send the graph itself.
        """
        with self._lock:
            for function in self._functions.values():
                if function.info.graph_digest == digest:
                    return function.graph
        raise UnknownHandle("no graph of this digest is kept here", hint="send the graph itself")

    def release(self, handles: Iterable[str], client_id: str) -> int:
        """Takes this client's hold from functions; the count of those it held."""
        with self._lock:
            return sum(self._drop(handle, client_id) for handle in handles)

    def release_client(self, client_id: str) -> int:
        """Takes all holds of a client away."""
        with self._lock:
            return sum(self._drop(handle, client_id) for handle in tuple(self._functions))

    def _drop(self, handle: str, client_id: str) -> bool:
        function = self._functions.get(handle)
        if function is None or client_id not in function.holders:
            return False
        function.holders.discard(client_id)
        if not function.holders:
            del self._functions[handle]
        return True

    def _check_room(self) -> None:
        if len(self._functions) >= self._limits.functions:
            raise LimitExceeded(
                f"the server keeps {self._limits.functions} functions already",
                hint="release some",
                fields={"limit": "functions"},
            )
