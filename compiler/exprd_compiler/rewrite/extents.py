"""Extents: the length of every axis, as a number or as an integer node made of the leaves alone.

This is Theano's ShapeFeature: with it `x.shape` costs nothing and two values can be known to have
the same shape. Extents that an elementwise op forces to agree count as equal, because every call
in which they differ is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from exprd_compiler.ir.lowering import ArgReduce, Reduce, Scalar
from exprd_compiler.ir.node import Node, Op
from exprd_compiler.ir.type import Extent as Static
from exprd_compiler.ops import (
    contraction,
    creation,
    diagonals,
    index,
    joining,
    linalg,
    movement,
    nnet,
    reduce,
    scans,
    statistics,
)
from exprd_compiler.ops.arithmetic import cast
from exprd_compiler.ops.leaves import scalar_value
from exprd_compiler.rewrite.intern import Interner

Extent: TypeAlias = int | Node
Shape: TypeAlias = tuple[Extent, ...]


class Extents:
    """The shapes of the nodes of one graph, found as they are asked for, inputs first."""

    def __init__(self, pool: Interner) -> None:
        self._pool = pool
        self._shapes: dict[Node, Shape] = {}
        self._same: dict[Node, Extent] = {}

    def of(self, node: Node) -> Shape:
        """The extent of every axis of a node."""
        stack = [node]
        while stack:
            top = stack[-1]
            missing = [x for x in top.inputs if x not in self._shapes]
            if missing and top not in self._shapes:
                stack.extend(missing)
                continue
            if top not in self._shapes:
                self._shapes[top] = self._find(top)
            stack.pop()
        return tuple([self._root(extent) for extent in self._shapes[node]])

    def equal(self, a: Node, b: Node) -> bool:
        """Whether two values have the same shape in every call that succeeds."""
        if a is b or a.ndim != b.ndim:
            return a is b
        self.of(a)  # finding the shape of b may show that lengths of a agree
        pairs = zip(self.of(b), self.of(a), strict=True)
        return all(x is y or (isinstance(x, int) and x == y) for x, y in pairs)

    def spec(self, node: Node) -> tuple[tuple[Static, ...], tuple[Node, ...]]:
        """The shape as attribute and integer inputs of an op such as alloc."""
        shape = self.of(node)
        return (
            tuple(extent if isinstance(extent, int) else None for extent in shape),
            tuple(extent for extent in shape if not isinstance(extent, int)),
        )

    def unify(self, a: Extent, b: Extent) -> Extent:
        """Note that two extents agree in every call that succeeds; the one that stands for both."""
        keep, drop = self._root(a), self._root(b)
        if keep is not drop and _rank(drop) < _rank(keep):
            keep, drop = drop, keep
        if keep is not drop and isinstance(drop, Node):
            self._same[drop] = keep
        return keep

    def length(self, node: Node, axis: int) -> Node:
        """The interned node `shape_i(node, axis)`."""
        new = movement.shape_i(node, axis=axis)
        return self._pool.adopt(new, new.inputs)

    def integer(self, node: Node) -> Extent:
        """An integer node as an extent: a number if it is constant, else int64."""
        value = scalar_value(node)
        if value is not None:
            return int(value)
        wide = node if node.dtype == "int64" else cast(node, dtype="int64")
        return self._pool.adopt(wide, wide.inputs)

    def _root(self, extent: Extent) -> Extent:
        while isinstance(extent, Node) and extent in self._same:
            extent = self._same[extent]
        return extent

    def _find(self, node: Node) -> Shape:
        found = self._rule(node)
        out: list[Extent] = []
        for axis, static in enumerate(node.type.shape):
            extent = static if static is not None else found[axis] if found else None
            out.append(self.length(node, axis) if extent is None else extent)
        return tuple(out)

    def _rule(self, node: Node) -> Sequence[Extent] | None:
        if isinstance(node.op.lowering, Scalar) and node.ndim:
            return self.broadcast(node.inputs, node.ndim)
        if None not in node.type.shape:
            return None
        if isinstance(node.op.lowering, Reduce | ArgReduce) or node.op in _STATISTICS:
            axes = node["axes"]
            return [e for axis, e in enumerate(self.of(node.inputs[0])) if axis not in axes]
        rule = _RULES.get(node.op)
        return rule(self, node) if rule else None

    def broadcast(self, nodes: Sequence[Node], rank: int) -> Shape:
        """The broadcast shape of several values; what must agree is noted to agree."""
        out: list[Extent] = [1] * rank
        for node in nodes:
            lead = rank - node.ndim
            for axis, extent in enumerate(self.of(node), lead):
                if node.type.shape[axis - lead] == 1:
                    continue
                out[axis] = extent if out[axis] == 1 else self.unify(out[axis], extent)
        return tuple(out)


def _rank(extent: Extent) -> int:
    """How good a representative is: numbers, then extents of leaves, then anything else."""
    if isinstance(extent, int):
        return 0
    return 1 if extent.op is movement.shape_i and not extent.inputs[0].inputs else 2


# ---- one rule per op whose extents follow from those of its inputs
def _dimshuffle(extents: Extents, node: Node) -> Sequence[Extent]:
    of = extents.of(node.inputs[0])
    order: tuple[int, ...] = node["order"]
    return [1 if axis == movement.NEW_AXIS else of[axis] for axis in order]


def _given(extents: Extents, node: Node) -> Sequence[Extent] | None:
    if -1 in node["shape"]:
        return None
    entries = movement.filled(node["shape"], node.inputs[1:])
    return [e if isinstance(e, int) else extents.integer(e) for e in entries]


def _specified(extents: Extents, node: Node) -> Sequence[Extent]:
    of = extents.of(node.inputs[0])
    entries = movement.filled(node["shape"], node.inputs[1:])
    return [
        entry if isinstance(entry, int) else extents.integer(entry)
        for entry in (
            have if want == movement.ANY else want for have, want in zip(of, entries, strict=True)
        )
    ]


def _iota(extents: Extents, node: Node) -> Sequence[Extent] | None:
    count = extents.integer(node.inputs[0])
    # a length that could be negative is left to the op, which takes it as 0
    return [count] if isinstance(count, Node) and count.op is movement.shape_i else None


def _product(extents: Extents, node: Node) -> Sequence[Extent]:
    a, b = (extents.of(x) for x in node.inputs[:2])
    extents.unify(a[-1], b[-2:][0])
    batch = [
        y if x == 1 else x if y == 1 else extents.unify(x, y)
        for x, y in zip(a[:-2], b[:-2], strict=True)
    ]
    return [*batch, *a[-2:-1], *b[1:][-1:]]


def _gather(extents: Extents, node: Node) -> Sequence[Extent]:
    indexes = node.inputs[1:]
    rest = extents.of(node.inputs[0])[len(indexes) :]
    lead = extents.broadcast(indexes, max(x.ndim for x in indexes))
    return [*lead, *rest]


def _first(extents: Extents, node: Node) -> Sequence[Extent]:
    return extents.of(node.inputs[0])


def _subtensor(extents: Extents, node: Node) -> Sequence[Extent]:
    of, entries = extents.of(node.inputs[0]), node["index"]
    out: list[Extent] = []
    for axis, extent in enumerate(of):
        entry = entries[axis] if axis < len(entries) else ("slice", None, None, None)
        if entry[0] == "slice":
            whole = entry[1] in (None, 0) and entry[2] is None and entry[3] in (None, 1)
            out.append(extent if whole else extents.length(node, len(out)))
    return out


def _join(extents: Extents, node: Node) -> Sequence[Extent]:
    along: int = node["axis"]
    out = list(extents.of(node.inputs[0]))
    for x in node.inputs[1:]:
        for axis, extent in enumerate(extents.of(x)):
            if axis != along:
                extents.unify(out[axis], extent)
    out[along] = extents.length(node, along)
    return out


_STATISTICS: Final = frozenset(
    (
        reduce.mean,
        statistics.var,
        statistics.std,
        statistics.ptp,
        statistics.norm,
        statistics.logsumexp,
    )
)
_RULES: Final[dict[Op, Callable[[Extents, Node], Sequence[Extent] | None]]] = {
    movement.dimshuffle: _dimshuffle,
    movement.reshape: _given,
    movement.specify_shape: _specified,
    creation.alloc: _given,
    creation.iota: _iota,
    linalg.dot: _product,
    linalg.gemv: _product,
    linalg.gemm: _product,
    contraction.batched_gemm: _product,
    index.gather: _gather,
    index.scatter: _first,
    index.assign: _first,
    index.subtensor: _subtensor,
    scans.cumsum: _first,
    scans.cumprod: _first,
    diagonals.tril: _first,
    diagonals.triu: _first,
    diagonals.assign_diagonal: _first,
    joining.join: _join,
    joining.roll: _first,
    nnet.softmax: _first,
    nnet.log_softmax: _first,
}
