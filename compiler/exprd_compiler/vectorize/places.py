"""Batch rules of ops that read and write at places: slices, diagonals, integer indexes."""

from __future__ import annotations

from collections.abc import Sequence

from exprd_compiler.ir.node import Node
from exprd_compiler.ops.index import gather, scatter
from exprd_compiler.ops.movement import NEW_AXIS, dimshuffle
from exprd_compiler.vectorize.axes import first_operand
from exprd_compiler.vectorize.batch import Batch, Operand, own, padded

_EVERY = ("slice", None, None, None)


def _diagonal(node: Node) -> dict[str, object]:
    return {name: node[name] + 1 for name in ("axis1", "axis2")}


slices = first_operand(lambda node: {"index": (_EVERY, *node["index"])})
diagonal = first_operand(_diagonal)


def _write(
    batch: Batch, node: Node, xs: Sequence[Operand], rank: int, change: dict[str, object]
) -> Node:
    """A value written into a view of that rank."""
    rest = own(node, xs[2:])
    attrs = {**node.attributes, **change}
    return node.op(batch.spread(xs[0]), padded(xs[1], rank), *rest, **attrs)


def write_slices(batch: Batch, node: Node, xs: Sequence[Operand]) -> Node:
    """An assignment to slices."""
    dropped = sum(entry[0] == "at" for entry in node["index"])
    index = (_EVERY, *node["index"])
    return _write(batch, node, xs, xs[0].rank - dropped, {"index": index})


def write_diagonal(batch: Batch, node: Node, xs: Sequence[Operand]) -> Node:
    """An assignment to a diagonal."""
    return _write(batch, node, xs, xs[0].rank - 1, _diagonal(node))


# ---- integer arrays
def _moved(x: Node, source: int, target: int) -> Node:
    """x with one axis elsewhere, all others in order."""
    rest = [axis for axis in range(x.ndim) if axis != source]
    return dimshuffle(x, order=(*rest[:target], source, *rest[target:]))


def _numbered(batch: Batch, indexes: Sequence[Operand]) -> tuple[int, list[Node]]:
    """The common rank of indexes of which some are batched, and the indexes at that rank."""
    rank = max(index.rank for index in indexes)
    return rank, [padded(index, rank) for index in indexes]


def read(batch: Batch, _node: Node, xs: Sequence[Operand]) -> Node:
    """A gather: the batch axis stays behind the indexes, or is indexed itself."""
    x, indexes = xs[0], xs[1:]
    rank, arrays = _numbered(batch, indexes)
    if not any(index.batched for index in indexes):
        return _moved(gather(_moved(x.node, 0, len(indexes)), *arrays), rank, 0)
    if x.batched:
        arrays = [batch.numbers(rank), *arrays]
    return gather(x.node, *arrays)


def write(batch: Batch, node: Node, xs: Sequence[Operand]) -> Node:
    """A scatter, as a gather."""
    x, y, indexes = xs[0], xs[1], xs[2:]
    rank, arrays = _numbered(batch, indexes)
    base, count = batch.spread(x), len(indexes)
    view = rank + x.rank - count
    if any(index.batched for index in indexes):
        written = padded(y, view)
        return scatter(base, written, batch.numbers(rank), *arrays, mode=node["mode"])
    written = scatter(_moved(base, 0, count), _behind(y, rank, view), *arrays, mode=node["mode"])
    return _moved(written, count, 0)


def _behind(y: Operand, rank: int, view: int) -> Node:
    """What is written, its batch axis behind the axes of the indexes."""
    if y.batched:
        return _moved(padded(y, view), 0, rank)
    after = min(y.rank, view - rank)
    place = y.rank - after
    if place == 0:
        return y.node  # it broadcasts over the batch
    order = (*range(place), NEW_AXIS, *range(place, y.rank))
    return dimshuffle(y.node, order=order)
