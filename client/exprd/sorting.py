"""Sorting and sets over nodes: order, selection, search, counting, distinct values, quantiles.

Axes may be negative, None means the flattened tensor. The order is numpy's, NaN last, and every
sort is stable: of equal elements the one that stands first comes first.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from exprd.convert import as_extent, as_node, cast_to, dtype_name
from exprd.reduction import Axis, axes_of
from exprd.shaping import axis_of, dimshuffle, extent, flatten
from exprd_compiler.errors import DTypeError, GraphError, ShapeError
from exprd_compiler.ir.dtype import INTEGERS, promote
from exprd_compiler.ir.node import Node, Op
from exprd_compiler.ops import sets, sorting
from exprd_compiler.ops.arithmetic import abs_, add, mul, sub, true_div
from exprd_compiler.ops.index import gather
from exprd_compiler.ops.joining import between
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import ge, gt, isnan, switch
from exprd_compiler.ops.median import rows_of
from exprd_compiler.ops.movement import shape_i, specify_shape
from exprd_compiler.ops.reduce import any_, expand_axes, mean_dtype
from exprd_compiler.ops.rounding import ceil, floor

__all__ = [
    "argsort",
    "argtopk",
    "bincount",
    "percentile",
    "quantile",
    "searchsorted",
    "sort",
    "topk",
    "topk_and_argtopk",
    "unique",
]

# What numpy calls ways to sort; here they are all the one stable way.
_KINDS: Final = ("quicksort", "mergesort", "heapsort", "stable")
_SIDES: Final = ("left", "right")


# ---- along an axis
def _last(x: object, axis: int | None, op: str) -> tuple[Node, int]:
    """The tensor with an axis moved to the end, and the place where that was."""
    node = as_node(x)
    if axis is None:
        return flatten(node), 0
    place = axis_of(node, axis, op)
    order = [at for at in range(node.ndim) if at != place]
    return (node if place == node.ndim - 1 else dimshuffle(node, *order, place)), place


def _back(rows: Node, place: int) -> Node:
    """The last axis back at its place."""
    last = rows.ndim - 1
    if place == last:
        return rows
    order = list(range(last))
    order.insert(place, last)
    return dimshuffle(rows, *order)


def _check_kind(op: str, kind: str, order: object) -> None:
    if kind not in _KINDS:
        raise GraphError(f"kind {kind!r} is not one of {', '.join(_KINDS)}", op=op)
    if order is not None:
        raise GraphError("there are no fields to order by", op=op)


def _sorted(op: Op, x: object, axis: int | None, kind: str, order: object) -> Node:
    _check_kind(op.name, kind, order)
    rows, place = _last(x, axis, op.name)
    return _back(op(rows, descending=False), place)


def sort(x: object, axis: int | None = -1, kind: str = "quicksort", order: object = None) -> Node:
    """The elements in order along an axis; NaN is the largest.

    Args:
        x: what to sort; complex numbers have no order.
        axis: along which; the flattened tensor when None.
        kind: one of numpy's names; every sort is stable.
        order: None, as there are no fields.
    """
    return _sorted(sorting.sort, x, axis, kind, order)


def argsort(
    x: object, axis: int | None = -1, kind: str = "quicksort", order: object = None
) -> Node:
    """The positions, int64, from which the elements in order come; equal ones stay in theirs."""
    return _sorted(sorting.argsort, x, axis, kind, order)


# ---- the first so many
def _first(op: Op, x: object, kth: object, axis: int | None) -> Node:
    rows, place = _last(x, axis, "topk")
    known = as_extent(kth, "the number of elements")
    if known == 0:
        raise ShapeError("there is no topk of 0 elements", op="topk")
    if isinstance(known, int):
        return _back(op(rows, count=abs(known), descending=known > 0), place)
    # only the call knows which are wanted
    wide = cast_to(known, "int64")
    largest, smallest = (op(rows, abs_(wide), count=None, descending=d) for d in (True, False))
    return _back(switch(gt(wide, const(0, "int64")), largest, smallest), place)


def topk(
    x: object, kth: object, axis: int | None = -1, sorted: bool = True, idx_dtype: str = "int64"
) -> Node:
    """The largest elements along an axis, the largest first; the smallest if `kth` is negative.

    Args:
        x: what to choose from; NaN is the largest.
        kth: how many elements; negative for the smallest, smallest first.
        axis: along which; the flattened tensor when None.
        sorted: whether the order matters; they come in order in either case.
        idx_dtype: only for `argtopk`.
    """
    del sorted, idx_dtype
    return _first(sorting.top, x, kth, axis)


def argtopk(
    x: object, kth: object, axis: int | None = -1, sorted: bool = True, idx_dtype: str = "int64"
) -> Node:
    """The positions of what `topk` gives, in an integer dtype; of equal elements the first."""
    del sorted
    name = dtype_name(idx_dtype)
    if name not in INTEGERS:
        raise DTypeError(f"positions are integers, not {name}", op="argtopk")
    return cast_to(_first(sorting.argtop, x, kth, axis), name)


def topk_and_argtopk(
    x: object, kth: object, axis: int | None = -1, sorted: bool = True, idx_dtype: str = "int64"
) -> list[Node]:
    """What `topk` and `argtopk` give."""
    del sorted
    return [topk(x, kth, axis), argtopk(x, kth, axis, idx_dtype=idx_dtype)]


# ---- search
def searchsorted(x: object, v: object, side: str = "left", sorter: object = None) -> Node:
    """For each value the place in a sorted vector where it belongs, int64.

    Args:
        x: a vector in order, or in the order that `sorter` gives it.
        v: the values.
        side: before ("left") or behind ("right") elements that are equal.
        sorter: the positions of the elements in order, as of `argsort`.
    """
    a, values = as_node(x), as_node(v)
    if side not in _SIDES:
        raise GraphError(f"side {side!r} is not one of left, right", op="searchsorted")
    if a.ndim != 1:
        raise ShapeError(f"the sorted values are a vector, not {a.type}", op="searchsorted")
    if sorter is not None:
        a = gather(a, sets.bounded(_as_long(as_node(sorter), a), shape_i(a, axis=0)))
    common = promote(a.dtype, values.dtype)
    return sets.searchsorted(cast_to(a, common), cast_to(values, common), right=side == "right")


def _as_long(order: Node, a: Node) -> Node:
    """Positions of all elements of a vector: as many, which each call checks."""
    if order.ndim != 1 or order.dtype not in INTEGERS:
        raise DTypeError(f"a sorter is a vector of integers, not {order.type}", op="searchsorted")
    length = extent(a, 0)
    if isinstance(length, int):
        return specify_shape(order, shape=(length,))
    return specify_shape(order, length, shape=(None,))


# ---- counting
def bincount(
    x: object, weights: object = None, minlength: object = None, assert_nonneg: bool = False
) -> Node:
    """How often each number from 0 to the largest occurs, or the sum of the weights where it does.

    Args:
        x: a vector of integers; one below 0 is an error of the call.
        weights: as many values; their sums have the dtype of `sum`. Counts are int64.
        minlength: the least length of the result.
        assert_nonneg: Theano's; the numbers are always checked.
    """
    del assert_nonneg
    node = as_node(x)
    least = as_extent(0 if minlength is None else minlength, "minlength")
    if isinstance(least, int) and least < 0:
        raise ShapeError(f"minlength {least} is negative", op="bincount")
    weight = None if weights is None else as_node(weights)
    return sets.counted(node, weight, const(least, "int64") if isinstance(least, int) else least)


def unique(
    ar: object,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
) -> Node | list[Node]:
    """The distinct values in order, of the flattened tensor.

    Args:
        ar: any tensor that has an order; NaN equals NaN.
        return_index: also the row-major number of the first element of each value.
        return_inverse: also, for each element in row-major order, the number of its value.
        return_counts: also how often each value occurs.
        axis: None, or the only axis of a vector.

    Returns:
        The values, or a list of them and what else was asked for, in this order.
    """
    node = as_node(ar)
    if axis is not None and (node.ndim != 1 or axis not in (0, -1)):
        raise ShapeError(
            f"distinct slices of {node.type} along axis {axis} do not exist",
            op="unique",
            hint="flatten, or make one number of each slice",
        )
    if not (return_index or return_inverse or return_counts):
        return sets.distinct_values(node)
    found = sets.distinct(node)
    wanted = (
        (return_index, found.index),
        (return_inverse, found.inverse),
        (return_counts, found.counts),
    )
    return [found.values, *[part for asked, part in wanted if asked]]


# ---- quantiles
def quantile(x: object, q: object, axis: Axis = None, keepdims: bool = False) -> Node:
    """The value below which a share q of the elements over axes lies, by linear interpolation.

    Args:
        x: what to look at, integers as float64; NaN where there is one.
        q: shares between 0 and 1: a number, or a vector, whose axis then comes first.
        axis: over which; all when None.
        keepdims: whether the axes stay, of length 1.
    """
    node, shares = as_node(x), as_node(q)
    if shares.ndim > 1:
        raise ShapeError(f"shares are a number or a vector, not {shares.type}", op="quantile")
    axes = axes_of(node, axis, "quantile")
    rows = sorting.sort(rows_of(cast_to(node, mean_dtype(node.dtype)), axes), descending=False)
    if shares.ndim:
        out = _at_shares(rows, shares)
        return expand_axes(out, tuple(a + 1 for a in axes)) if keepdims else out
    out = dimshuffle(_at_shares(rows, dimshuffle(shares, "x")), *range(1, rows.ndim))
    return expand_axes(out, axes) if keepdims else out


def percentile(x: object, q: object, axis: Axis = None, keepdims: bool = False) -> Node:
    """`quantile` of shares given in hundredths."""
    return quantile(x, true_div(cast_to(as_node(q), "float64"), const(100)), axis, keepdims)


def _at_shares(rows: Node, q: Node) -> Node:
    """Between the two elements of a row in order that are nearest to shares of its length.

    The axis of the shares comes first; a share outside 0 to 1 is an error of the call.
    """
    length = shape_i(rows, axis=rows.ndim - 1)
    last = sub(length, const(1, "int64"))
    place = mul(cast_to(q, "float64"), cast_to(last, "float64"))
    low, high = (sets.bounded(cast_to(near(place), "int64"), length) for near in (floor, ceil))
    part = dimshuffle(cast_to(sub(place, floor(place)), rows.dtype), 0, *["x"] * (rows.ndim - 1))
    front = dimshuffle(rows, rows.ndim - 1, *range(rows.ndim - 1))
    a, b = gather(front, low), gather(front, high)
    step = sub(b, a)
    above = sub(b, mul(step, sub(const(1, rows.dtype), part)))
    value = switch(ge(part, const(0.5, rows.dtype)), above, add(a, mul(step, part)))
    missing = any_(isnan(between(front, -1, None, 0)), axes=(0,))  # in order, NaN is last
    return switch(missing, const(np.nan, rows.dtype), value)
