"""Maker: the compiled graph where Theano's users look for it, `f.maker.fgraph`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exprd.mode import Mode
from exprd.transport import PlanStep
from exprd.variable import NamedOp, TensorVariable, named_op, variable_of

if TYPE_CHECKING:
    from exprd.compiled import Function

__all__ = ["CompiledGraph", "Maker", "PlanNode"]


@dataclass(frozen=True, slots=True)
class PlanNode:
    """A node of the compiled plan; its op's class has Theano's name."""

    op: NamedOp
    text: str

    def __repr__(self) -> str:
        return self.text or repr(self.op)


class CompiledGraph:
    """The compiled plan, and the variables between which it computes.

    Attributes:
        function: whose plan it is.
        nodes: its steps in order.
    """

    __slots__ = ("_recipe", "function", "nodes")

    def __init__(self, function: Function, plan: Sequence[PlanStep]) -> None:
        self.function, self._recipe = function, function.recipe
        self.nodes = tuple(PlanNode(named_op(s.op, s.op), s.text) for s in plan)

    def toposort(self) -> list[PlanNode]:
        """The nodes in the order in which they run."""
        return list(self.nodes)

    @property
    def apply_nodes(self) -> set[PlanNode]:
        """The nodes."""
        return set(self.nodes)

    @property
    def inputs(self) -> list[TensorVariable]:
        """The declared inputs, then the shared variables."""
        return [variable_of(node) for node in self._recipe.graph.leaves]

    @property
    def outputs(self) -> list[TensorVariable]:
        """The outputs, then the new values of updated variables."""
        graph = self._recipe.graph
        asked = graph.outputs[: len(graph.outputs) - self._recipe.printed]
        return [variable_of(node) for node in (*asked, *(new for _, new in graph.updates))]


@dataclass(frozen=True, slots=True)
class Maker:
    """What a function was made of.

    Attributes:
        fgraph: the compiled graph.
        mode: how it was compiled.
    """

    fgraph: CompiledGraph
    mode: Mode
