"""Hash-consing: from here on, equal structure is the same node.

A graph as built keeps every node apart; interning merges what computes the same thing (Theano's
MergeOptimizer), bottom-up and without recursion. Inputs and shared variables stay themselves.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from exprd_compiler.errors import ShapeError
from exprd_compiler.ir.graph import Graph, toposort
from exprd_compiler.ir.node import Node, Op
from exprd_compiler.ops import arithmetic, leaves, logic
from exprd_compiler.ops.movement import hide_extents

Key: TypeAlias = tuple[Op, tuple[Any, ...], tuple[Any, ...]]

COMMUTATIVE: Final = frozenset(
    (
        arithmetic.add,
        arithmetic.mul,
        logic.maximum,
        logic.minimum,
        logic.eq,
        logic.neq,
        logic.and_,
        logic.or_,
    )
)
_THEMSELVES: Final = frozenset((leaves.input_, leaves.shared))


class Interner:
    """The pool of one rewriting pass: one node per op, inputs and attributes."""

    def __init__(self) -> None:
        self._pool: dict[Key, Node] = {}

    def adopt(self, node: Node, inputs: tuple[Node, ...], origin: object = None) -> Node:
        """The pool's node of this op and these attributes over other, already interned inputs.

        Args:
            node: gives op, attributes, name and origin.
            inputs: interned nodes that take the place of its inputs.
            origin: where the user built it, for nodes that do not know.
        """
        if node.op in _THEMSELVES:
            return node
        key = _key(node, inputs)
        found = self._pool.get(key)
        if found is None:
            found = self._pool[key] = self._over(node, inputs, origin)
        elif found.origin is None:
            found.origin = node.origin or origin
        return found

    def _over(self, node: Node, inputs: tuple[Node, ...], origin: object) -> Node:
        try:
            return _over(node, inputs, origin)
        except ShapeError:  # what is known now of the inputs does not fit; the call shall say so
            hidden = tuple(map(self._as_before, inputs, node.inputs))
            return _over(node, hidden, origin)

    def _as_before(self, new: Node, old: Node) -> Node:
        """An input of which no more is known statically than of the one whose place it takes."""
        pairs = enumerate(zip(new.type.shape, old.type.shape, strict=True))
        axes = tuple(axis for axis, (now, before) in pairs if now != before)
        return self.adopt(hide_extents(new, axes=axes), (new,)) if axes else new


def _key(node: Node, inputs: tuple[Node, ...]) -> Key:
    # the order of two operands does not change a bit of the result
    if len(inputs) == 2 and node.op in COMMUTATIVE and id(inputs[0]) > id(inputs[1]):
        return node.op, (inputs[1], inputs[0]), node.attrs
    return node.op, inputs, node.attrs


def _over(node: Node, inputs: tuple[Node, ...], origin: object) -> Node:
    if inputs == node.inputs and (node.origin is not None or origin is None):
        return node
    new = Node(node.op, inputs, node.attrs, origin if node.origin is None else node.origin)
    new.name = node.name
    return new


def intern(graph: Graph) -> Graph:
    """The graph with equal nodes merged."""
    pool = Interner()
    new: dict[Node, Node] = {leaf: leaf for leaf in graph.leaves}
    for node in toposort(graph.roots):
        if node not in new:
            new[node] = pool.adopt(node, tuple([new[x] for x in node.inputs]))
    return graph.with_roots([new[root] for root in graph.roots])
