"""Reductions: folds over axes. Kept axes are the caller's affair (a dimshuffle puts them back)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from exprd_compiler.errors import ShapeError
from exprd_compiler.ir.dtype import DTYPES, FLOATS, INTEGERS, is_discrete
from exprd_compiler.ir.lowering import ArgReduce, Expand, Reduce
from exprd_compiler.ir.node import NO_GRAD, THROUGH_EXPANSION, Array, Example, Node, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import cast, mul, second, true_div
from exprd_compiler.ops.families import check_axes, drop_axes, reduction, sum_dtype
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import eq
from exprd_compiler.ops.movement import NEW_AXIS, dimshuffle, shape_i


def expand_axes(x: Node, axes: Sequence[int]) -> Node:
    """x with axes of length 1 inserted, so that `axes` are their places in the result."""
    rest = iter(range(x.ndim))
    rank = x.ndim + len(axes)
    return dimshuffle(x, order=tuple(NEW_AXIS if i in axes else next(rest) for i in range(rank)))


# ---- sum
def _sum_numpy(x: Array, axes: tuple[int, ...]) -> Array:
    # float32 is accumulated in float64, Theano's default acc_dtype
    wide = "float64" if x.dtype.kind == "f" else sum_dtype(x.dtype.name)
    with np.errstate(all="ignore"):
        return np.asarray(np.sum(x, axis=axes, dtype=wide)).astype(sum_dtype(x.dtype.name))


def _sum_accumulator(dtype: str) -> str:
    return "float64" if dtype in FLOATS else sum_dtype(dtype)


def _sum_grad(g: Node, _y: Node, x: Node, *, axes: tuple[int, ...]) -> Sequence[Node]:
    return (second(x, expand_axes(g, axes)),)


sum_ = reduction(
    "sum",
    numpy=_sum_numpy,
    lowering=Reduce("sum", lambda k, acc, x: k.add(acc, x), lambda _: 0, _sum_accumulator),
    grad=_sum_grad,
    result=sum_dtype,
    theano="Sum",
    doc="Sum over axes; bool and small integers rise to 64 bits, float32 accumulates in float64.",
)


# ---- max
def _lowest(dtype: str) -> float:
    if dtype == "bool":
        return 0
    return -np.inf if dtype in FLOATS else int(np.iinfo(dtype).min)


def _max_numpy(x: Array, axes: tuple[int, ...]) -> Array:
    if any(x.shape[axis] == 0 for axis in axes):
        raise ShapeError("the maximum of no elements does not exist", op="max")
    return np.asarray(np.max(x, axis=axes))


def _max_grad(g: Node, y: Node, x: Node, *, axes: tuple[int, ...]) -> Sequence[Node]:
    won = eq(x, expand_axes(y, axes))
    return (mul(cast(won, dtype=g.dtype), expand_axes(g, axes)),)


max_ = reduction(
    "max",
    numpy=_max_numpy,
    lowering=Reduce(
        "max", lambda k, acc, x: k.maximum(acc, x), _lowest, lambda dtype: dtype, empty="error"
    ),
    grad=_max_grad,
    result=lambda dtype: dtype,
    theano="CAReduce",
    doc="Largest element over axes; NaN if there is one; an error if there are no elements.",
)


# ---- argmax
def _argmax_type(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    if len(axes) != 1:
        raise ShapeError("takes one axis", op="argmax", hint="flatten first")
    return TensorType("int64", drop_axes(x.shape, check_axes("argmax", x.ndim, axes)))


def _argmax_numpy(x: Array, *, axes: tuple[int, ...]) -> Array:
    if x.shape[axes[0]] == 0:
        raise ShapeError("the maximum of no elements does not exist", op="argmax")
    return np.asarray(np.argmax(x, axis=axes[0]), "int64")


def _beats(k: Any, x: Any, best: Any) -> Any:
    larger = k.compare("gt", x, best)
    if is_discrete(x.dtype):
        return larger
    first_nan = k.and_(k.compare("ne", x, x), k.compare("eq", best, best))
    return k.or_(larger, first_nan)


argmax = Op(
    name="argmax",
    type=_argmax_type,
    numpy=_argmax_numpy,
    grad=NO_GRAD,
    lowering=ArgReduce(_beats),
    dtypes=DTYPES,
    examples=(
        Example(shapes=((5,),), attrs={"axes": (0,)}),
        Example(shapes=((131,),), attrs={"axes": (0,)}),
        Example(shapes=((3, 4),), attrs={"axes": (1,)}),
        Example(shapes=((37, 41),), attrs={"axes": (0,)}),
        Example(shapes=((2, 35, 3),), attrs={"axes": (1,)}),
    ),
    theano="Argmax",
    doc="Position of the first largest element along one axis; of the first NaN if there is one.",
)


# ---- mean
def _mean_dtype(dtype: str) -> str:
    return "float64" if is_discrete(dtype) else dtype


def _mean_type(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    check_axes("mean", x.ndim, axes)
    return TensorType(_mean_dtype(x.dtype), drop_axes(x.shape, axes))


def _mean_numpy(x: Array, *, axes: tuple[int, ...]) -> Array:
    count = np.prod([x.shape[axis] for axis in axes], dtype="float64")
    with np.errstate(all="ignore"):
        total = np.sum(x, axis=axes, dtype="float64")
        return np.asarray(np.divide(total, count)).astype(_mean_dtype(x.dtype.name))


def _mean_expand(x: Node, *, axes: tuple[int, ...]) -> Node:
    dtype = _mean_dtype(x.dtype)
    count: Node = const(1, "int64")
    for axis in axes:
        count = mul(count, shape_i(x, axis=axis))
    wide = x if x.dtype == dtype else cast(x, dtype=dtype)
    return true_div(sum_(wide, axes=axes), cast(count, dtype=dtype))


mean = Op(
    name="mean",
    type=_mean_type,
    numpy=_mean_numpy,
    grad=THROUGH_EXPANSION,
    lowering=Expand(_mean_expand),
    dtypes=FLOATS + INTEGERS + ("bool",),
    examples=sum_.examples,
    theano="Elemwise",
    doc="Arithmetic mean over axes; integers give float64, no elements give NaN.",
)
