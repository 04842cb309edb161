"""Maker: the compiled graph where Theano's users look for it, `f.maker.fgraph`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exprd.mode import Mode
from exprd.recipe import Recipe
from exprd.transport import PlanStep
from exprd.variable import NamedOp, TensorVariable, named_op, variable_of

__all__ = ["CompiledGraph", "Maker", "PlanNode"]


@dataclass(frozen=True, slots=True)
class PlanNode:
    """A node of the compiled plan; its op's class has Theano's name."""

    op: NamedOp
    text: str

    def __repr__(self) -> str:
        return self.text or repr(self.op)


class CompiledGraph:
    """The compiled plan, and the variables between which it computes."""

    __slots__ = ("_recipe", "nodes")

    def __init__(self, recipe: Recipe, plan: Sequence[PlanStep]) -> None:
        self._recipe = recipe
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
        return [variable_of(node) for node in self._recipe.graph.roots]


@dataclass(frozen=True, slots=True)
class Maker:
    """What a function was made of.

    Attributes:
        fgraph: the compiled graph.
        mode: how it was compiled.
    """

    fgraph: CompiledGraph
    mode: Mode
