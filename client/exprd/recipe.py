"""Recipe: all that a function is made of, before and apart from its compilation.

A copy of a function, and a function that was stored, are compiled of a recipe again; equal graphs
share their native code, so that costs a lookup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from exprd.assemble import numbered
from exprd.errors import locate
from exprd.mode import Mode
from exprd.origin import Origin
from exprd.prints import Printed
from exprd.session import Session
from exprd.shared import TensorSharedVariable
from exprd.slots import Slot
from exprd.transport import CompiledInfo, CompileJob, Run
from exprd_compiler.errors import ExprdError
from exprd_compiler.ir.graph import Graph, substitute
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.leaves import input_

__all__ = ["Layout", "Program", "Recipe"]


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


class Program:
    """A graph that was compiled in a session.

    Attributes:
        info: what the session says of it.
        run: the callable.
        origins: the user's lines by node position.
    """

    __slots__ = ("__weakref__", "info", "origins", "run")

    def __init__(
        self, session: Session, info: CompiledInfo, outputs: int, origins: Sequence[Origin | None]
    ) -> None:
        self.info, self.origins = info, origins
        self.run: Run = session.transport.runner(info.handle, outputs)
        session.collect_with(self, "function", info.handle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A function before compilation.

    Attributes:
        graph: its inputs are the slots without a state, in order.
        slots: the declared inputs.
        shared: the variables of the graph's shared slots.
        layout: how outputs are arranged.
        mode: how the graph is compiled.
        prints: what is printed in each call, from the last outputs of the graph.
        name: for listings and messages.
        place: file and line of the call that made it.
        durability: when what calls change is on disk; "" is as the server has it.
    """

    graph: Graph
    slots: tuple[Slot, ...]
    shared: tuple[TensorSharedVariable, ...]
    layout: Layout
    mode: Mode
    prints: tuple[Printed, ...]
    name: str | None
    place: str
    durability: str = ""

    @property
    def printed(self) -> int:
        """How many of the last outputs are there to be printed."""
        return sum(len(one.outputs) for one in self.prints)

    @property
    def title(self) -> str:
        """The name, or the place where the function was made."""
        return self.name or self.place

    def compiled(self, session: Session, given: frozenset[int] = frozenset()) -> Program:
        """The program in a session; the slots in `given` are inputs although they have a state."""
        session.sweep()
        bindings = tuple(variable.bind(session) for variable in self.shared)
        graph, origins = numbered(self._with_inputs(given))
        # the file and line of the caller stay here: no place of a source travels
        job = CompileJob(
            graph=graph,
            bindings=bindings,
            mode=self.mode.level,
            target=self.mode.target,
            excluding=self.mode.excluded,
            name=self.name or "",
            durability=self.durability,
        )
        with session.acquiring():
            try:
                info = session.transport.compile(job)
            except ExprdError as error:
                locate(error, origins)
                raise
            return Program(session, info, len(graph.outputs), origins)

    def with_shared(self, swap: Mapping[TensorSharedVariable, TensorSharedVariable]) -> Recipe:
        """The recipe over other variables."""
        slots = tuple(
            slot if slot.state is None else replace(slot, state=swap.get(slot.state, slot.state))
            for slot in self.slots
        )
        return replace(self, shared=tuple(swap.get(v, v) for v in self.shared), slots=slots)

    def without_updates(self) -> Recipe:
        """The recipe of a function that assigns nothing."""
        graph = self.graph
        return replace(self, graph=Graph(graph.inputs, graph.outputs, graph.shared))

    def _with_inputs(self, given: frozenset[int]) -> Graph:
        if not given:
            return self.graph
        explicit = iter(self.graph.inputs)
        leaf = dict(zip(self.shared, self.graph.shared, strict=True))
        inputs: list[Node] = []
        places: dict[Node, Node] = {}
        for place, slot in enumerate(self.slots):
            if slot.state is None:
                inputs.append(next(explicit))
            elif place in given:
                node = input_(type=slot.type)
                node.name, node.origin = slot.name, slot.node.origin
                inputs.append(node)
                places[leaf[slot.state]] = node
        roots = substitute(self.graph.roots, places)
        return replace(self.graph.with_roots(roots), inputs=tuple(inputs))
