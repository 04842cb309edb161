"""The median over axes, by the order of the elements."""

from __future__ import annotations

import math

import numpy as np

from exprd_compiler.ir.dtype import DTYPES
from exprd_compiler.ir.half import converted, widened
from exprd_compiler.ir.lowering import Expand
from exprd_compiler.ir.node import THROUGH_EXPANSION, Array, Example, Node, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, cast, sub, true_div
from exprd_compiler.ops.division import int_div
from exprd_compiler.ops.families import check_axes, drop_axes
from exprd_compiler.ops.halves import single_expansion
from exprd_compiler.ops.joining import between
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import isnan, maximum, switch
from exprd_compiler.ops.movement import dimshuffle, reshape, shape_i
from exprd_compiler.ops.reduce import any_, mean_dtype, number_of, sum_
from exprd_compiler.ops.sorting import sort


def _median_type(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    check_axes("median", x.ndim, axes)
    return TensorType(mean_dtype(x.dtype), drop_axes(x.shape, axes))


def _median_numpy(x: Array, *, axes: tuple[int, ...]) -> Array:
    dtype = mean_dtype(x.dtype.name)
    kept = drop_axes(x.shape, axes)
    order = (*[axis for axis in range(x.ndim) if axis not in axes], *axes)
    n = math.prod(x.shape[axis] for axis in axes)
    wide = widened(x).astype("float64" if dtype == "float64" else "float32")
    rows = np.sort(wide.transpose(order).reshape(*kept, n), axis=-1)
    middle = rows[..., max((n - 1) // 2, 0) : n // 2 + 1]
    with np.errstate(all="ignore"):
        value = sum_.numpy(middle, axes=(len(kept),)) / np.asarray(middle.shape[-1], wide.dtype)
    missing = np.isnan(rows[..., -1:]).any(axis=-1)  # in order, NaN is last
    return converted(np.where(missing, np.asarray(np.nan, wide.dtype), value), dtype)


def rows_of(x: Node, axes: tuple[int, ...]) -> Node:
    """x with the elements over axes as one last axis."""
    kept = tuple(axis for axis in range(x.ndim) if axis not in axes)
    order = (*kept, *axes)
    moved = x if order == tuple(range(x.ndim)) else dimshuffle(x, order=order)
    if len(axes) == 1:
        return moved
    shape = x.type.shape
    sizes = [shape_i(x, axis=axis) for axis in kept if shape[axis] is None]
    known = None not in [shape[axis] for axis in axes]
    total = math.prod(shape[axis] or 0 for axis in axes) if known else None
    last = () if known else (number_of(x, axes),)
    return reshape(moved, *sizes, *last, shape=(*[shape[axis] for axis in kept], total))


def _median_expand(x: Node, *, axes: tuple[int, ...]) -> Node:
    """The mean of the middle one or two in order; of none, which is 0 / 0, and beside NaN, NaN."""
    dtype = mean_dtype(x.dtype)
    floating = x if x.dtype == dtype else cast(x, dtype=dtype)
    rows = sort(rows_of(floating, axes), descending=False)
    along = rows.ndim - 1
    n, one, two = (shape_i(rows, axis=along), const(1, "int64"), const(2, "int64"))
    first = maximum(int_div(sub(n, one), two), const(0, "int64"))
    middle = between(rows, first, add(int_div(n, two), one), along)
    value = true_div(
        sum_(middle, axes=(along,)), cast(shape_i(middle, axis=along), dtype=rows.dtype)
    )
    missing = any_(isnan(between(rows, -1, None, along)), axes=(along,))
    return switch(missing, const(np.nan, rows.dtype), value)


median: Op = Op(
    name="median",
    type=_median_type,
    numpy=_median_numpy,
    grad=THROUGH_EXPANSION,
    lowering=Expand(single_expansion(_median_expand)),
    dtypes=DTYPES,
    examples=tuple(
        Example(shapes=(shape,), attrs={"axes": axes}, low=-90, high=90)
        for shape, axes in (
            ((5,), (0,)),
            ((4,), (0,)),
            ((3, 4), (0, 1)),
            ((3, 41), (1,)),
            ((36, 2), (0,)),
            ((2, 35, 3), (0, 2)),
            ((0, 2), (0,)),
            ((), ()),
        )
    ),
    theano="Median",
    doc="The middle one of the elements over axes, or the mean of two; NaN where there is one.",
)
