"""Stacks of matrices: what the ops that LAPACK computes have in common.

The last two axes are rows and columns, all axes before are the stack, as in numpy.linalg.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Final, ParamSpec

import numpy as np

from exprd_compiler.errors import DTypeError, LinAlgError, ShapeError
from exprd_compiler.ir.dtype import WIDE_FLOATS
from exprd_compiler.ir.node import Array, Node
from exprd_compiler.ir.type import Extent, TensorType
from exprd_compiler.ops.arithmetic import add, sub, true_div
from exprd_compiler.ops.diagonals import eye
from exprd_compiler.ops.index import subtensor
from exprd_compiler.ops.joining import between
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import minimum
from exprd_compiler.ops.movement import ANY, NEW_AXIS, dimshuffle, shape_i, specify_shape

REALS: Final = WIDE_FLOATS
P = ParamSpec("P")


# ---- types and meanings
def check_stacks(name: str, *types: TensorType) -> tuple[Extent, ...]:
    """The common stack of matrices, as extents.

    Raises:
        DTypeError: not one float type of LAPACK.
        ShapeError: no matrices, or stacks that differ.
    """
    first = types[0]
    if first.dtype not in REALS or {t.dtype for t in types} != {first.dtype}:
        found = ", ".join(t.dtype for t in types)
        raise DTypeError(f"does not exist for {found}", op=name, hint=f"cast to {REALS[-1]}")
    if any(t.ndim < 2 or t.ndim != first.ndim for t in types):
        raise ShapeError(f"takes matrices, got {' and '.join(map(str, types))}", op=name)
    return tuple(
        _common(name, [t.shape[axis] for t in types], axis) for axis in range(first.ndim - 2)
    )


def _common(name: str, extents: Sequence[Extent], axis: int) -> Extent:
    known = {extent for extent in extents if extent is not None}
    if len(known) > 1:
        raise ShapeError(f"extents {sorted(known)} of the stacks differ on axis {axis}", op=name)
    return known.pop() if known else None


def check_square(name: str, x: TensorType) -> Extent:
    """The extent of square matrices.

    Raises:
        ShapeError: they are not square.
    """
    rows, columns = x.shape[-2:]
    if None not in (rows, columns) and rows != columns:
        raise ShapeError(f"takes square matrices, got {x}", op=name)
    return columns if rows is None else rows


def not_square(rows: Any, columns: Any) -> tuple[Any, Any, str]:
    """The demand that matrices be square, for the entry."""
    return (rows, columns, "takes square matrices, got {} by {}")


def least(*extents: Extent) -> Extent:
    """The smallest extent, if all are known."""
    known = [extent for extent in extents if extent is not None]
    return min(known) if len(known) == len(extents) else None


def greatest(*extents: Extent) -> Extent:
    """The largest extent, if all are known."""
    known = [extent for extent in extents if extent is not None]
    return max(known) if len(known) == len(extents) else None


def meaning(name: str) -> Callable[[Callable[P, Any]], Callable[P, Array]]:
    """A numpy meaning that speaks in errors of our tree, of any dtype numpy computes in."""

    def wrap(compute: Callable[P, Any]) -> Callable[P, Array]:
        @wraps(compute)
        def run(*args: P.args, **kwargs: P.kwargs) -> Array:
            try:
                with np.errstate(all="ignore"):
                    return np.asarray(compute(*args, **kwargs))
            except LinAlgError:
                raise
            except np.linalg.LinAlgError as error:
                kind = ShapeError if "square" in str(error) else LinAlgError
                raise kind(str(error), op=name) from error
            except ValueError as error:
                raise ShapeError(str(error), op=name) from error

        return run

    return wrap


def check_equal_sides(name: str, x: Array) -> None:
    """Refuse matrices that are not square, before anything else is said of them.

    Raises:
        ShapeError: they are not.
    """
    if x.shape[-2] != x.shape[-1]:
        raise ShapeError(f"takes square matrices, got {x.shape[-2]} by {x.shape[-1]}", op=name)


def check_finite(name: str, x: Array) -> None:
    """Refuse what iterations may not end on.

    Raises:
        LinAlgError: an element is NaN or infinite.
    """
    if not np.isfinite(x).all():
        raise LinAlgError("an element is not finite", op=name)


NOT_FINITE: Final = "matrix {1} of the stack has elements that are not finite"


# ---- nodes
def swapped(x: Node) -> Node:
    """The transposed matrices."""
    last = x.ndim - 1
    return dimshuffle(x, order=(*range(last - 1), last, last - 1))


def as_column(x: Node) -> Node:
    """Vectors as matrices of one column."""
    return dimshuffle(x, order=(*range(x.ndim), NEW_AXIS))


def as_row(x: Node) -> Node:
    """Vectors as matrices of one row."""
    return dimshuffle(x, order=(*range(x.ndim - 1), NEW_AXIS, x.ndim - 1))


def extent(x: Node, axis: int) -> Node | int:
    """The extent of an axis counted from the last, -1."""
    known = x.type.shape[axis]
    return shape_i(x, axis=x.ndim + axis) if known is None else known


def smaller(x: Node | int, y: Node | int) -> Node | int:
    """The smaller of two extents."""
    if isinstance(x, int) and isinstance(y, int):
        return min(x, y)
    a, b = (item if isinstance(item, Node) else const(item, "int64") for item in (x, y))
    return minimum(a, b)


def row(x: Node, place: int) -> Node:
    """One row of each matrix."""
    every = ("slice", None, None, None)
    return subtensor(x, index=(*[every] * (x.ndim - 2), ("at", place)))


def entry(x: Node, place: int) -> Node:
    """One element of each vector."""
    every = ("slice", None, None, None)
    return subtensor(x, index=(*[every] * (x.ndim - 1), ("at", place)))


def part(x: Node, axis: int, stop: Node | int | None, start: Node | int | None = None) -> Node:
    """A part of an axis counted from the last, -1."""
    return between(x, start, stop, x.ndim + axis)


def of_type(x: Node, shape: Sequence[Extent]) -> Node:
    """The value with extents that are known to be these where they are."""
    spec = tuple(
        ANY if want is None or want == have else want
        for want, have in zip(shape, x.type.shape, strict=True)
    )
    return x if set(spec) <= {ANY} else specify_shape(x, shape=spec)


def identity(x: Node, dtype: str) -> Node:
    """The identity of the extents of square matrices, without a stack."""
    n = extent(x, -1)
    if isinstance(n, int):
        return eye(shape=(n, n), offset=0, dtype=dtype)
    return eye(n, n, shape=(None, None), offset=0, dtype=dtype)


def inverse_gaps(x: Node) -> Node:
    """For vectors, the matrices of 1 / (x_j - x_i) for i != j, with zeros on the diagonal."""
    gaps = sub(as_row(x), as_column(x))
    one = const(1, x.dtype)
    same = identity(gaps, x.dtype)
    return sub(true_div(one, add(gaps, same)), same)
