"""Products of tensors of any rank: numpy's matmul and tensordot."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, TypeAlias

import numpy as np

from exprd_compiler.errors import GraphError, ShapeError
from exprd_compiler.ir.dtype import EVERY, is_complex, promote
from exprd_compiler.ir.half import converted, widened
from exprd_compiler.ir.lowering import Expand
from exprd_compiler.ir.node import Array, Example, Node, Op
from exprd_compiler.ir.type import Extent, TensorType, broadcast_shape
from exprd_compiler.ops.contraction import Labelled, contract, slope
from exprd_compiler.ops.families import check_ints, drop_axes
from exprd_compiler.ops.linalg import by_parts, dot, strict
from exprd_compiler.ops.parts import conjugate

Axes: TypeAlias = tuple[int, ...]

_ROW, _INNER, _COLUMN, _FIRST = 0, 1, 2, 3  # labels of matmul; batch axes come behind


def _agree(x: Extent, y: Extent) -> bool:
    return None in (x, y) or x == y


def _inner_differ(name: str, a: object, b: object) -> ShapeError:
    return ShapeError(f"the extents of {a} and {b} over which the sum runs differ", op=name)


# ---- matmul
def _matmul_labels(a: int, b: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """The labels of operands of these ranks and of their product."""
    rank = max(a, b) - 2
    batch = tuple(range(_FIRST, _FIRST + max(rank, 0)))
    left = (_INNER,) if a == 1 else (*batch[len(batch) - (a - 2) :], _ROW, _INNER)
    right = (_INNER,) if b == 1 else (*batch[len(batch) - (b - 2) :], _INNER, _COLUMN)
    out = (*batch, *([_ROW] if a > 1 else []), *([_COLUMN] if b > 1 else []))
    return left, right, out


def _matmul_type(a: TensorType, b: TensorType) -> TensorType:
    if not a.ndim or not b.ndim:
        raise GraphError(f"takes no 0-d operand, got {a} and {b}", op="matmul", hint="use mul")
    if not _agree(a.shape[-1], b.shape[-2:][0]):
        raise _inner_differ("matmul", a, b)
    batch = broadcast_shape([a.shape[:-2], b.shape[:-2]], "matmul")
    return TensorType(promote(a.dtype, b.dtype), (*batch, *a.shape[-2:-1], *b.shape[1:][-1:]))


def _matmul_numpy(a: Array, b: Array) -> Array:
    if a.shape[-1] != b.shape[-2:][0]:
        raise _inner_differ("matmul", a.shape, b.shape)
    with np.errstate(all="ignore"):
        out = np.matmul(widened(a), widened(b))
    return converted(np.asarray(out), promote(a.dtype.name, b.dtype.name))


def _matmul_expand(a: Node, b: Node) -> Node:
    if a.ndim <= 2 and b.ndim <= 2:
        return dot(a, b)
    if is_complex(promote(a.dtype, b.dtype)):
        return by_parts(matmul, a, b)
    inner, other = a.ndim - 1, max(b.ndim - 2, 0)
    a, b = strict(a, b, inner, other), strict(b, a, other, inner)
    left, right, out = _matmul_labels(a.ndim, b.ndim)
    return contract(Labelled(a, left), Labelled(b, right), out).arranged(out).node


def _matmul_grad(g: Node, _y: Node, a: Node, b: Node) -> Sequence[Node]:
    left, right, out = _matmul_labels(a.ndim, b.ndim)
    a, b = conjugate(a), conjugate(b)
    by_result, x, y = Labelled(g, out), Labelled(a, left), Labelled(b, right)
    return (slope(by_result, y, x), slope(by_result, x, y))


_MATMUL: Final = (
    ((5,), (5,)),
    ((3, 4), (4,)),
    ((4,), (4, 3)),
    ((3, 4), (4, 5)),
    ((2, 3, 4), (2, 4, 5)),
    ((2, 3, 4), (4, 5)),
    ((3, 4), (2, 4, 5)),
    ((2, 3, 4), (4,)),
    ((4,), (2, 4, 5)),
    ((2, 1, 3, 4), (7, 4, 5)),
    ((1, 3, 4), (6, 4, 2)),
    ((0, 3, 4), (0, 4, 5)),
    ((2, 3, 0), (2, 0, 5)),
    ((3, 17, 35), (3, 35, 33)),
)

matmul: Op = Op(
    name="matmul",
    type=_matmul_type,
    numpy=_matmul_numpy,
    grad=_matmul_grad,
    lowering=Expand(_matmul_expand),
    dtypes=EVERY,
    examples=tuple(Example(shapes=shapes) for shapes in _MATMUL),
    theano="BatchedDot",
    doc="Products of the matrices on the last two axes, one per position on the axes before.",
)


# ---- tensordot
def _tensordot_check(a: TensorType, b: TensorType, left: Axes, right: Axes) -> None:
    for x, chosen in ((a, left), (b, right)):
        check_ints("tensordot", chosen)
        if len(set(chosen)) != len(chosen) or not all(0 <= axis < x.ndim for axis in chosen):
            raise ShapeError(f"axes {chosen} are not different axes of {x}", op="tensordot")
    if len(left) != len(right):
        raise ShapeError(f"axes {left} and {right} do not pair up", op="tensordot")
    if not all(_agree(a.shape[i], b.shape[j]) for i, j in zip(left, right, strict=True)):
        raise _inner_differ("tensordot", a, b)


def _tensordot_type(a: TensorType, b: TensorType, *, left: Axes, right: Axes) -> TensorType:
    _tensordot_check(a, b, left, right)
    shape = (*drop_axes(a.shape, left), *drop_axes(b.shape, right))
    return TensorType(promote(a.dtype, b.dtype), shape)


def _tensordot_numpy(a: Array, b: Array, *, left: Axes, right: Axes) -> Array:
    if any(a.shape[i] != b.shape[j] for i, j in zip(left, right, strict=True)):
        raise _inner_differ("tensordot", a.shape, b.shape)
    with np.errstate(all="ignore"):
        out = np.tensordot(widened(a), widened(b), (left, right))
    return converted(np.asarray(out), promote(a.dtype.name, b.dtype.name))


def _tensordot_labelled(
    a: Node, b: Node, left: Axes, right: Axes
) -> tuple[Labelled, Labelled, Axes]:
    """Labels of a are its axes, those of b come behind apart from the paired ones; the result's."""
    pair = dict(zip(right, left, strict=True))
    labels = tuple(pair.get(axis, a.ndim + axis) for axis in range(b.ndim))
    first, second = Labelled(a, tuple(range(a.ndim))), Labelled(b, labels)
    return first, second, (*drop_axes(first.labels, left), *drop_axes(labels, right))


def _tensordot_expand(a: Node, b: Node, *, left: Axes, right: Axes) -> Node:
    if is_complex(promote(a.dtype, b.dtype)):
        return by_parts(partial(tensordot, left=left, right=right), a, b)
    for i, j in zip(left, right, strict=True):
        a, b = strict(a, b, i, j), strict(b, a, j, i)
    first, second, out = _tensordot_labelled(a, b, left, right)
    return contract(first, second, out).arranged(out).node


def _tensordot_grad(
    g: Node, _y: Node, a: Node, b: Node, *, left: Axes, right: Axes
) -> Sequence[Node]:
    first, second, out = _tensordot_labelled(conjugate(a), conjugate(b), left, right)
    by_result = Labelled(g, out)
    return (slope(by_result, second, first), slope(by_result, first, second))


_TENSORDOT: Final = (
    ((2, 3, 4), (4, 5), (2,), (0,)),
    ((2, 3, 4), (3, 4, 5), (1, 2), (0, 1)),
    ((2, 3, 4), (5, 4, 3), (2, 1), (1, 2)),
    ((3, 2, 4), (5, 3, 6), (0,), (1,)),
    ((3, 4), (3, 4), (0, 1), (0, 1)),
    ((3,), (4,), (), ()),
    ((2, 0), (0, 3), (1,), (0,)),
    ((2, 1, 3), (1, 3), (1, 2), (0, 1)),
    ((17, 5, 7), (7, 35, 5), (2, 1), (0, 2)),
)

tensordot: Op = Op(
    name="tensordot",
    type=_tensordot_type,
    numpy=_tensordot_numpy,
    grad=_tensordot_grad,
    lowering=Expand(_tensordot_expand),
    dtypes=EVERY,
    examples=tuple(
        Example(shapes=(a, b), attrs={"left": left, "right": right})
        for a, b, left, right in _TENSORDOT
    ),
    theano="Dot",
    doc="The sum of products over pairs of axes; what is left of a, then of b, are the axes.",
)
