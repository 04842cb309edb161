"""Storage: which node's buffer holds a value's elements, and under which layout.

A view shares the buffer of its source. A view that would need another order of elements than its
source has (a reshape of a transpose, an operand BLAS cannot step through) gets a copy of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from exprd_compiler.ir.integer import IntExpr, const, maximum, nonnegative
from exprd_compiler.ir.lowering import Lapack, Layout, Library, Routine, View
from exprd_compiler.ir.node import Node
from exprd_compiler.kernel.shapes import Shapes
from exprd_compiler.ops.movement import contiguous_strides


class Storage:
    """The base node and layout of every node, and the views that must be copied.

    Attributes:
        copies: view nodes that get a buffer of their own.
    """

    def __init__(self, shapes: Shapes, order: Sequence[Node]) -> None:
        self.copies: set[Node] = set()
        self._shapes = shapes
        self._base: dict[Node, Node] = {}
        self._layout: dict[Node, Layout] = {}
        for node in order:
            self._place(node)

    def base(self, node: Node) -> Node:
        """The node whose buffer holds the elements."""
        return self._base[node]

    def layout(self, node: Node) -> Layout:
        """Where in the buffer of the base the elements lie."""
        return self._layout[node]

    def _place(self, node: Node) -> None:
        rule = node.op.lowering
        if isinstance(rule, View):
            source = node.inputs[0]
            if rule.contiguous and not _contiguous(self._layout[source]):
                self._copy(source)
            self._base[node] = self._base[source]
            self._layout[node] = self._shapes.view(node, self._layout[source])
            return
        fits = _steppable if isinstance(rule, Library) else _contiguous
        for operand in _whole_operands(node):
            if not fits(self._layout[operand]):
                self._copy(operand)
        self._own(node)

    def _own(self, node: Node) -> None:
        extents = self._shapes[node]
        self._base[node] = node
        self._layout[node] = Layout(const(0), extents, contiguous_strides(extents))

    def _copy(self, node: Node) -> None:
        self.copies.add(node)
        self._own(node)


def _whole_operands(node: Node) -> Sequence[Node]:
    """The inputs that a routine steps through itself, where they lie."""
    match node.op.lowering:
        case Library():
            return node.inputs[:2]
        case Routine(operands=count):
            return node.inputs[:count]
        case Lapack(places=places):
            pairs = zip(node.inputs, places, strict=True)
            return [x for x, place in pairs if place == "read"]
        case _:
            return ()


def _contiguous(layout: Layout) -> bool:
    """Whether the elements are provably one after the other; axes of one element do not matter."""
    want = contiguous_strides(layout.extents)
    return all(
        have is expected or extent.known == 1
        for have, expected, extent in zip(layout.strides, want, layout.extents, strict=True)
    )


def _steppable(layout: Layout) -> bool:
    """Whether BLAS can step through: a vector of stride 1, matrices with one unit stride."""
    if len(layout.strides) == 1:
        return layout.strides[0].known == 1
    return leading(layout) is not None


def leading(layout: Layout) -> tuple[IntExpr, bool] | None:
    """The leading dimension of the matrices on the last two axes, and whether transposed.

    None for matrices that BLAS cannot step through.
    """
    (m, n), (down, right) = layout.extents[-2:], layout.strides[-2:]
    if right.known == 1 or n.known == 1:
        step, transposed = _step(down, m, n), False
    elif down.known == 1 or m.known == 1:
        step, transposed = _step(right, n, m), True
    else:
        return None
    return None if step is None else (step, transposed)


def _step(stride: IntExpr, count: IntExpr, length: IntExpr) -> IntExpr | None:
    """The distance between `count` lines of `length` elements, unless it may be 0 or negative."""
    if count.known in (0, 1) or length.known == 0:
        return length
    return maximum(stride, length) if nonnegative(stride) and stride.known != 0 else None
