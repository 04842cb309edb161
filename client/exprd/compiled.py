"""Function: a compiled graph, called like a Python function. Thread safe.

A call filters its arguments by Theano's rules, runs, and arranges the results; it keeps nothing of
the call in this object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from exprd.buffers import Buffer
from exprd.errors import explain, locate
from exprd.io import In
from exprd.origin import Origin
from exprd.session import Session
from exprd.shared import TensorSharedVariable
from exprd.transport import BufferRef, CompiledInfo, InputValue, OutputValue, RemoteBuffer
from exprd.types import filter_value
from exprd.variable import NamedOp, named_op
from exprd_compiler.errors import CallError, ExprdError
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.type import TensorType

__all__ = ["Function", "Layout", "PlanNode"]


@dataclass(frozen=True, slots=True)
class Layout:
    """How the outputs of a call are arranged."""

    kind: Literal["single", "list", "dict"]
    keys: tuple[str, ...] = ()

    def arrange(self, values: Sequence[Any]) -> Any:
        """The outputs as the user asked for them."""
        if self.kind == "single":
            return values[0]
        return list(values) if self.kind == "list" else dict(zip(self.keys, values, strict=True))


@dataclass(frozen=True, slots=True)
class PlanNode:
    """A node of the compiled plan; its op's class has Theano's name."""

    op: NamedOp
    text: str

    def __repr__(self) -> str:
        return self.text or repr(self.op)


@dataclass(frozen=True, slots=True)
class CompiledGraph:
    """The compiled plan as Theano's users look at it."""

    nodes: tuple[PlanNode, ...]

    def toposort(self) -> list[PlanNode]:
        """The nodes in the order in which they run."""
        return list(self.nodes)

    @property
    def apply_nodes(self) -> set[PlanNode]:
        """The nodes."""
        return set(self.nodes)


@dataclass(frozen=True, slots=True)
class Maker:
    """The place where Theano's users look for the compiled graph: `f.maker.fgraph`."""

    fgraph: CompiledGraph


class _Slot:
    """One input of a function: how its values are taken."""

    __slots__ = ("default", "downcast", "dtype", "name", "strict", "type")

    def __init__(self, entry: In) -> None:
        self.name = entry.name
        self.type: TensorType = entry.variable.node.type
        self.dtype = np.dtype(self.type.dtype)
        self.default, self.strict = entry.value, entry.strict
        self.downcast = entry.allow_downcast

    def take(self, value: object, session: Session) -> InputValue:
        """The array or reference to send for a value."""
        if isinstance(value, Buffer):
            return self._take_buffer(value, session)
        return filter_value(self.type, value, strict=self.strict, allow_downcast=self.downcast)

    def _take_buffer(self, buffer: Buffer, session: Session) -> BufferRef:
        if buffer.session is not session:
            raise CallError(f"{buffer!r} lives elsewhere than this function, in {buffer.session!r}")
        if not self.type.accepts(TensorType(buffer.dtype, buffer.shape)):
            raise CallError(
                f"{buffer!r} is no {self.type}", hint="put an array of the right dtype and rank"
            )
        return buffer.ref


class Function:
    """A compiled function; `f(...)` runs it.

    Attributes:
        name: as given, or the file and line of the call that made it.
        timings: seconds per stage of the compilation.
        trust_input: skip the checks of arguments; arrays must then have exactly the right type.
    """

    def __init__(
        self,
        *,
        session: Session,
        info: CompiledInfo,
        graph: Graph,
        inputs: Sequence[In],
        layout: Layout,
        shared: tuple[TensorSharedVariable, ...],
        origins: Sequence[Origin | None],
        name: str,
    ) -> None:
        self.name, self.timings, self.trust_input = name, dict(info.timings), False
        self._session, self._info, self._graph = session, info, graph
        self._slots = tuple(_Slot(entry) for entry in inputs)
        self._names = {s.name: i for i, s in enumerate(self._slots) if s.name is not None}
        self._layout, self._shared, self._origins = layout, shared, origins
        self._run = session.transport.runner(info.handle, len(graph.outputs))
        session.collect_with(self, "function", info.handle)

    @property
    def handle(self) -> str:
        """The name of the function where it runs."""
        return self._info.handle

    @property
    def maker(self) -> Maker:
        """`f.maker.fgraph.toposort()` lists the compiled plan."""
        nodes = (PlanNode(named_op(s.op, s.op), s.text) for s in self._info.plan)
        return Maker(CompiledGraph(tuple(nodes)))

    @property
    def graph(self) -> Graph:
        """The graph as it was before compilation."""
        return self._graph

    def texts(self) -> Mapping[str, str]:
        """The stages of the compilation as text, by name."""
        return self._session.transport.texts(self._info.handle)

    def get_shared(self) -> tuple[TensorSharedVariable, ...]:
        """The shared variables that the function reads or updates."""
        return self._shared

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the function.

        Raises:
            CallError: an argument is missing, unknown, or not of its input's type.
            ExprdError: whatever the run says; then no shared variable has changed.
        """
        return self._layout.arrange(self._execute(args, kwargs, keep=False))

    def keep(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the function and leaves its outputs where it runs, as buffers."""
        kept = self._execute(args, kwargs, keep=True)
        return self._layout.arrange(
            [Buffer(self._session, x) if isinstance(x, RemoteBuffer) else x for x in kept]
        )

    def _execute(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], *, keep: bool
    ) -> Sequence[OutputValue]:
        values = args if self.trust_input and not kwargs else self._taken(args, kwargs)
        try:
            return self._run(values, keep)
        except ExprdError as error:
            locate(error, self._origins)
            explain(error, self._graph, values)
            raise

    def _taken(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[InputValue]:
        slots = self._slots
        if kwargs or len(args) != len(slots):
            args = self._completed(args, kwargs)
        out: list[InputValue] = []
        for place, value in enumerate(args):
            slot = slots[place]
            # what most calls pass, without a further call
            if type(value) is np.ndarray and value.dtype is slot.dtype:
                shape = slot.type.shape
                if len(shape) == value.ndim and (shape.count(None) == value.ndim):
                    out.append(value)
                    continue
            out.append(self._take(place, value))
        return out

    def _take(self, place: int, value: object) -> InputValue:
        try:
            return self._slots[place].take(value, self._session)
        except CallError as error:
            error.op = f"{self.name}, argument {place} ({self._slots[place].name or 'unnamed'})"
            raise

    def _completed(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """The arguments in order, keywords put in their places and defaults filled in."""
        slots = self._slots
        if len(args) > len(slots):
            raise CallError(f"{self.name} takes {len(slots)} arguments, got {len(args)}")
        given = dict(enumerate(args))
        for keyword, value in kwargs.items():
            place = self._names.get(keyword)
            if place is None:
                known = ", ".join(filter(None, self._names)) or "none"
                raise CallError(
                    f"{self.name} has no input {keyword!r}", hint=f"its keywords: {known}"
                )
            if place in given:
                raise CallError(f"{self.name} got two values for the input {keyword!r}")
            given[place] = value
        missing = [i for i, s in enumerate(slots) if i not in given and s.default is None]
        if missing:
            names = ", ".join(slots[i].name or f"number {i}" for i in missing)
            raise CallError(f"{self.name} misses the input {names}")
        return tuple(given.get(i, slot.default) for i, slot in enumerate(slots))

    def free(self) -> None:
        """Nothing to do: calls keep no memory of their own."""

    def __repr__(self) -> str:
        return f"<function {self.name} in {self._session.target or 'this process'}>"
