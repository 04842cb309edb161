"""Batch rules of products: all are products of stacked matrices, an op that has a gradient.

The compiler makes one large product where only one operand is batched; BLAS forms have no gradient,
so what a rule gives must not be one.
"""

from __future__ import annotations

from collections.abc import Sequence

from exprd_compiler.ir.node import Node
from exprd_compiler.ops.arithmetic import add, mul
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.linalg import dot, transpose
from exprd_compiler.ops.movement import NEW_AXIS, dimshuffle
from exprd_compiler.ops.products import matmul
from exprd_compiler.vectorize.batch import Batch, Operand, padded


def product(_batch: Batch, _node: Node, xs: Sequence[Operand]) -> Node | None:
    """A dot of vectors and matrices, where it is a matmul; any other by its expansion."""
    a, b = xs
    return multiplied(a, b) if {a.rank, b.rank} <= {1, 2} else None


def matrices(_batch: Batch, _node: Node, xs: Sequence[Operand]) -> Node:
    """A matmul."""
    return multiplied(xs[0], xs[1])


def blas(batch: Batch, node: Node, xs: Sequence[Operand]) -> Node:
    """alpha * a @ b + beta * c."""
    a, b = xs[0], xs[1]
    if not (a.batched or b.batched):
        a = Operand(node=batch.spread(a), rank=a.rank, batched=True)
    out = multiplied(a, b)
    if node["alpha"] != 1.0:
        out = mul(const(node["alpha"], node.dtype), out)
    if len(xs) == 2:
        return out
    return add(out, mul(const(node["beta"], node.dtype), batch.spread(xs[2])))


def multiplied(a: Operand, b: Operand) -> Node:
    """The matmul of two operands, of which one or both are batched."""
    of_vectors = _of_vectors(a, b)
    if of_vectors is not None:
        return of_vectors
    left, right = _matrix(a, (0, NEW_AXIS, 1)), _matrix(b, (0, 1, NEW_AXIS))
    rank = max(left.rank, right.rank)
    out = matmul(padded(left, rank), padded(right, rank))
    if right is not b:
        out = _dropped(out, 1)
    return out if left is a else _dropped(out, 1 if b.rank == 1 else 2)


def _of_vectors(a: Operand, b: Operand) -> Node | None:
    """The one product where vectors over the batch, a matrix, meet what is not batched."""
    if a.batched == b.batched or max(a.rank, b.rank) > 2:
        return None
    vectors, other = (a, b) if a.batched else (b, a)
    if vectors.rank != 1:
        return None
    turned = vectors is b and other.rank == 2
    return dot(vectors.node, transpose(other.node) if turned else other.node)


def _matrix(x: Operand, order: tuple[int, ...]) -> Operand:
    """A batched vector as a batch of matrices with one row or one column."""
    if not x.batched or x.rank > 1:
        return x
    return Operand(node=dimshuffle(x.node, order=order), rank=2, batched=True)


def _dropped(x: Node, place: int) -> Node:
    """x without an axis of length 1, counted from the end."""
    return dimshuffle(x, order=tuple(i for i in range(x.ndim) if i != x.ndim - place))
