"""Batch rules of products: one large product where only one operand is batched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from exprd_compiler.ir.dtype import promote
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.arithmetic import cast, mul
from exprd_compiler.ops.families import sum_dtype
from exprd_compiler.ops.linalg import dot, transpose
from exprd_compiler.ops.movement import NEW_AXIS, dimshuffle
from exprd_compiler.ops.reduce import sum_
from exprd_compiler.vectorize.batch import Batch, Operand, entries, refused, shaped, times


def _rows(x: Node) -> Node:
    """Stacked matrices as one matrix of all their rows."""
    first, second, last = entries(x)
    return shaped(x, [times(first, second), last])


def _stacked(product: Node, x: Node) -> Node:
    """The products of all rows, stacked as the matrices of x were."""
    return shaped(product, [*entries(x)[:2], *entries(product)[1:]])


def _left(a: Operand, b: Node) -> Node:
    if a.rank == 1:
        return dot(a.node, b)
    return _stacked(dot(_rows(a.node), b), a.node)


def _right(a: Node, b: Operand) -> Node:
    other = a if a.ndim == 1 else transpose(a)
    if b.rank == 1:
        return dot(b.node, other)
    turned = dimshuffle(b.node, order=(0, 2, 1))
    out = _stacked(dot(_rows(turned), other), turned)
    return out if a.ndim == 1 else dimshuffle(out, order=(0, 2, 1))


def _both(a: Operand, b: Operand) -> Node:
    """Products of pairs, as sums."""
    left = dimshuffle(a.node, order=(*range(a.rank + 1), *[NEW_AXIS] * (b.rank - 1)))
    right = dimshuffle(b.node, order=(0, *[NEW_AXIS] * (a.rank - 1), *range(1, b.rank + 1)))
    dtype = promote(a.node.dtype, b.node.dtype)
    total = sum_(mul(left, right), axes=(a.rank,))
    return total if sum_dtype(dtype) == dtype else cast(total, dtype=dtype)


_FORMS: Final[dict[tuple[bool, bool], Callable[[Operand, Operand], Node]]] = {
    (True, False): lambda a, b: _left(a, b.node),
    (False, True): lambda a, b: _right(a.node, b),
    (True, True): _both,
}


def product(_batch: Batch, node: Node, xs: Sequence[Operand]) -> Node:
    """A dot of vectors and matrices."""
    a, b = xs
    if not {a.rank, b.rank} <= {1, 2}:
        raise refused(node, f"ranks {a.rank} and {b.rank} have no batch rule")
    return _FORMS[a.batched, b.batched](a, b)
