"""Products over nodes: numpy's and Theano's functions on tensors of any rank.

Large ones end in BLAS, whatever their ranks; only axes that are statically 1 broadcast.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, TypeAlias

from exprd.convert import as_node, is_sequence
from exprd.shaping import dimshuffle, extent, flatten, reshape
from exprd.subscripts import Subscripts, from_lists, from_text
from exprd_compiler.errors import GraphError, ShapeError
from exprd_compiler.ir.dtype import COMPLEX
from exprd_compiler.ir.node import Node
from exprd_compiler.ops import arithmetic, linalg, parts, products
from exprd_compiler.ops.einsum import einsum as einsum_op

__all__ = [
    "batched_dot",
    "batched_tensordot",
    "dot",
    "einsum",
    "inner",
    "kron",
    "matmul",
    "outer",
    "tensordot",
    "vdot",
]

# An integer, or axes of the one and of the other operand.
Axes: TypeAlias = "int | Sequence[int | Sequence[int]]"


def dot(a: object, b: object) -> Node:
    """The sum of products over the last axis of a and the last but one of b, as numpy.dot.

    Of matrices the matrix product, of vectors the inner product; with a 0-d operand the plain one.
    """
    left, right = as_node(a), as_node(b)
    if not left.ndim or not right.ndim:
        return arithmetic.mul(left, right)
    if left.ndim <= 2 and right.ndim <= 2:
        return linalg.dot(left, right)
    inner_axis = max(right.ndim - 2, 0)
    return products.tensordot(left, right, left=(left.ndim - 1,), right=(inner_axis,))


def matmul(a: object, b: object) -> Node:
    """The matrix product on the last two axes, as numpy.matmul; the axes before are a batch.

    Raises:
        GraphError: an operand is 0-d.
    """
    left, right = as_node(a), as_node(b)
    if 1 <= left.ndim <= 2 and 1 <= right.ndim <= 2:
        return linalg.dot(left, right)
    return products.matmul(left, right)


def tensordot(a: object, b: object, axes: Axes = 2) -> Node:
    """The sum of products over pairs of axes, as numpy.tensordot.

    Args:
        a: a tensor.
        b: another.
        axes: how many of the last axes of a meet the first ones of b, in order; or the axes of a
            and those of b, each an integer or a sequence.
    """
    x, y = as_node(a), as_node(b)
    left, right = _pairs(x, y, axes, 0)
    return products.tensordot(x, y, left=left, right=right)


def _pairs(a: Node, b: Node, axes: Axes, first: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes that meet; `first` is where those of b begin when only their number is given."""
    if not is_sequence(axes):
        count = operator.index(axes)  # type: ignore[arg-type]
        if not 0 <= count <= min(a.ndim, b.ndim) - first:
            raise ShapeError(f"{a.type} and {b.type} have no {count} such axes", op="tensordot")
        return tuple(range(a.ndim - count, a.ndim)), tuple(range(first, first + count))
    if len(axes) != 2:
        raise GraphError(f"axes are an integer or two sequences, not {axes!r}", op="tensordot")
    return _axes(a, axes[0]), _axes(b, axes[1])


def _axes(x: Node, given: int | Sequence[int]) -> tuple[int, ...]:
    """Axes as they are given, negative ones counted from the end."""
    chosen: list[Any] = list(given) if is_sequence(given) else [given]
    places = tuple(operator.index(axis) + (x.ndim if axis < 0 else 0) for axis in chosen)
    if not all(0 <= place < x.ndim for place in places):
        raise ShapeError(f"axes {given!r} are not axes of {x.type}", op="tensordot")
    return places


# ---- a product for each position on the first axis
def batched_dot(a: object, b: object) -> Node:
    """numpy.dot of a[i] and b[i] for every i, stacked along the first axis.

    Raises:
        ShapeError: an operand is 0-d.
    """
    x, y = as_node(a), as_node(b)
    if not x.ndim or not y.ndim:
        raise ShapeError(
            f"the first axis is the batch, got {x.type} and {y.type}", op="batched_dot"
        )
    if x.ndim == 1 or y.ndim == 1:
        return _batched(x, y, (), ())
    return _batched(x, y, (x.ndim - 1,), (max(y.ndim - 2, 1),))


def batched_tensordot(x: object, y: object, axes: Axes = 2) -> Node:
    """tensordot of x[i] and y[i] for every i, stacked along the first axis.

    Args:
        x: a tensor; its first axis is the batch.
        y: another.
        axes: how many of the last axes of x meet the first ones of y behind the batch; or the axes
            of x and those of y, counted with the batch, which may not be among them.
    """
    left, right = as_node(x), as_node(y)
    first, second = _pairs(left, right, axes, 1)
    if 0 in (*first, *second):
        raise ShapeError("the batch axis 0 is not summed", op="batched_tensordot")
    return _batched(left, right, first, second)


def _batched(a: Node, b: Node, left: Sequence[int], right: Sequence[int]) -> Node:
    """The product over pairs of axes, with axis 0 as a batch of both."""
    meet = dict(zip(right, left, strict=True))
    behind = [0, *(meet.get(axis, a.ndim + axis) for axis in range(1, b.ndim))]
    front = list(range(a.ndim))
    out = [axis for axis in front if axis not in left]
    out += [label for label in behind if label not in front]
    return einsum_op(a, b, operands=(tuple(front), tuple(behind)), result=tuple(out))


# ---- products by other names
def outer(a: object, b: object) -> Node:
    """The matrix of all products of two vectors; tensors are flattened."""
    left, right = (flatten(x) if x.ndim != 1 else x for x in (as_node(a), as_node(b)))
    return arithmetic.mul(dimshuffle(left, 0, "x"), dimshuffle(right, "x", 0))


def inner(a: object, b: object) -> Node:
    """The sum of products over the last axis of both, as numpy.inner."""
    left, right = as_node(a), as_node(b)
    if not left.ndim or not right.ndim:
        return arithmetic.mul(left, right)
    return tensordot(left, right, ([left.ndim - 1], [right.ndim - 1]))


def vdot(a: object, b: object) -> Node:
    """The sum of all products, the first operand conjugated; tensors are flattened."""
    left, right = as_node(a), as_node(b)
    if left.dtype in COMPLEX:
        left = parts.conj(left)
    return linalg.dot(flatten(left), flatten(right))


def kron(a: object, b: object) -> Node:
    """The Kronecker product: every element of a times all of b, as numpy.kron."""
    left, right = as_node(a), as_node(b)
    rank = max(left.ndim, right.ndim)
    left, right = (dimshuffle(x, *["x"] * (rank - x.ndim), *range(x.ndim)) for x in (left, right))
    wide = dimshuffle(left, *[entry for axis in range(rank) for entry in (axis, "x")])
    deep = dimshuffle(right, *[entry for axis in range(rank) for entry in ("x", axis)])
    lengths = [_times(extent(left, axis), extent(right, axis)) for axis in range(rank)]
    return reshape(arithmetic.mul(wide, deep), lengths)


def _times(a: int | Node, b: int | Node) -> int | Node:
    if isinstance(a, int) and isinstance(b, int):
        return a * b
    return arithmetic.mul(as_node(a), as_node(b))


# ---- einsum
def einsum(subscripts: object, *operands: object) -> Node:
    """Einstein's sum, with all of numpy's subscripts; the order of products is chosen here.

    Args:
        subscripts: a text such as "bij,bjk->bik", with "..." for axes that are not written and the
            output left out at will; or, numpy's other form, tensors and lists of integers in turn.
        operands: the tensors.

    Raises:
        GraphError: the subscripts are wrong, or do not fit the ranks.
        ShapeError: the lengths of axes with one subscript differ.
    """
    if isinstance(subscripts, str):
        nodes = [as_node(x) for x in operands]
        found = from_text(subscripts, [x.ndim for x in nodes])
    else:
        nodes, found = _in_turn([subscripts, *operands])
    return einsum_op(*nodes, operands=found.operands, result=found.result)


def _in_turn(given: Sequence[Any]) -> tuple[list[Node], Subscripts]:
    """Tensors and their subscripts in turn, those of the output last if there are any."""
    output: Sequence[object] | None = given[-1] if len(given) % 2 else None
    pairs = given[: len(given) // 2 * 2]
    nodes = [as_node(x) for x in pairs[::2]]
    lists: list[Any] = list(pairs[1::2])
    if not all(map(is_sequence, [*lists, *([] if output is None else [output])])):
        hint = "a text first, or tensors and lists of integers in turn"
        raise GraphError("cannot read the subscripts", op="einsum", hint=hint)
    return nodes, from_lists(lists, output, [x.ndim for x in nodes])
