"""Functions of numpy and Theano that are short compositions of the elementwise ops and folds.

They take variables, arrays and numbers, and follow the cast policy.
"""

from __future__ import annotations

import math
from functools import reduce as fold_left

import numpy as np

from exprd.convert import as_node, cast_to
from exprd.elementwise import apply, divide
from exprd.reduction import Axis, fold, mean, sum_
from exprd.shaping import shape_padright
from exprd_compiler.errors import ArgumentError, ShapeError
from exprd_compiler.ir.dtype import COMPLEX, float_of, is_discrete, is_float
from exprd_compiler.ir.node import Node
from exprd_compiler.ops import (
    arithmetic,
    division,
    index,
    logic,
    movement,
    positions,
    reduce,
    transcendental,
    trigonometric,
)
from exprd_compiler.ops.leaves import const

__all__ = [
    "allclose",
    "average",
    "ceil_intdiv",
    "count_nonzero",
    "divmod_",
    "fabs",
    "fmax",
    "fmin",
    "heaviside",
    "inverse_permutation",
    "isclose",
    "largest",
    "logaddexp2",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logit",
    "nan_to_num",
    "nanmean",
    "nansum",
    "positive",
    "sinc",
    "smallest",
    "xlogy",
]


# ---- comparison
def isclose(
    a: object, b: object, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Node:
    """Whether |a - b| <= atol + rtol |b|, element by element; infinities are close to themselves.

    Args:
        a: a tensor.
        b: the reference.
        rtol: the allowed difference relative to b.
        atol: and the absolute one.
        equal_nan: whether NaN is close to NaN.
    """
    x, y = as_node(a), as_node(b)
    same = apply(logic.eq, x, y)
    if is_discrete(x.dtype) and is_discrete(y.dtype):
        x, y = cast_to(x, "float64"), cast_to(y, "float64")
    bound = apply(arithmetic.add, atol, apply(arithmetic.mul, rtol, apply(arithmetic.abs_, y)))
    distance = apply(arithmetic.abs_, apply(arithmetic.sub, x, y))
    near = logic.and_(apply(logic.le, distance, bound), logic.isfinite(y))
    close = logic.or_(same, near)
    if not equal_nan:
        return close
    return logic.or_(close, logic.and_(logic.isnan(x), logic.isnan(y)))


def allclose(
    a: object, b: object, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Node:
    """Whether all elements are close, see `isclose`."""
    return fold(reduce.all_, isclose(a, b, rtol, atol, equal_nan))


# ---- logic on truth values of anything
def _truth(x: object) -> Node:
    node = as_node(x)
    return node if node.dtype == "bool" else logic.neq(node, const(0, node.dtype))


def logical_and(a: object, b: object) -> Node:
    """Whether both are other than zero."""
    return logic.and_(_truth(a), _truth(b))


def logical_or(a: object, b: object) -> Node:
    """Whether one or both are other than zero."""
    return logic.or_(_truth(a), _truth(b))


def logical_xor(a: object, b: object) -> Node:
    """Whether exactly one is other than zero."""
    return logic.xor(_truth(a), _truth(b))


def logical_not(x: object) -> Node:
    """Whether it is zero."""
    return logic.invert(_truth(x))


def count_nonzero(x: object, axis: Axis = None, keepdims: bool = False) -> Node:
    """How many elements over axes are other than zero."""
    return sum_(_truth(x), axis, None, keepdims)


# ---- arithmetic
def positive(x: object) -> Node:
    """The tensor itself."""
    return as_node(x)


def fabs(x: object) -> Node:
    """The absolute value as a float."""
    node = as_node(x)
    return apply(arithmetic.abs_, cast_to(node, float_of(node.dtype)))


def divmod_(a: object, b: object) -> list[Node]:
    """The quotient rounded down, and the rest."""
    return [apply(division.int_div, a, b), apply(division.mod, a, b)]


def ceil_intdiv(a: object, b: object) -> Node:
    """The quotient of integers rounded up."""
    down = apply(division.int_div, apply(arithmetic.neg, a), b)
    return apply(arithmetic.neg, down)


def largest(*xs: object) -> Node:
    """The largest of several tensors, element by element; of one, the largest element."""
    if len(xs) == 1:
        return fold(reduce.max_, xs[0])
    return fold_left(lambda a, b: apply(logic.maximum, a, b), map(as_node, xs))


def smallest(*xs: object) -> Node:
    """The smallest of several tensors, element by element; of one, the smallest element."""
    if len(xs) == 1:
        return fold(reduce.min_, xs[0])
    return fold_left(lambda a, b: apply(logic.minimum, a, b), map(as_node, xs))


def fmax(a: object, b: object) -> Node:
    """The larger of two; where one is NaN, the other."""
    x, y = as_node(a), as_node(b)
    rest = logic.switch(logic.isnan(y), x, apply(logic.maximum, x, y))
    return logic.switch(logic.isnan(x), y, rest)


def fmin(a: object, b: object) -> Node:
    """The smaller of two; where one is NaN, the other."""
    x, y = as_node(a), as_node(b)
    rest = logic.switch(logic.isnan(y), x, apply(logic.minimum, x, y))
    return logic.switch(logic.isnan(x), y, rest)


def nan_to_num(
    x: object, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Node:
    """The tensor with numbers for NaN and infinities, by default 0 and the largest floats."""
    node = as_node(x)
    if node.dtype in COMPLEX:
        raise ArgumentError("takes real tensors", op="nan_to_num", hint="take real() and imag()")
    if not is_float(node.dtype):
        return node
    most = _largest_float(node.dtype)
    zero = const(0, node.dtype)
    high, low = (most if posinf is None else posinf), (-most if neginf is None else neginf)
    bounds = logic.switch(logic.gt(node, zero), const(high, node.dtype), const(low, node.dtype))
    finite = logic.switch(logic.isinf(node), bounds, node)
    return logic.switch(logic.isnan(node), const(nan, node.dtype), finite)


def _largest_float(dtype: str) -> float:
    if dtype == "bfloat16":
        return float.fromhex("0x1.fep127")
    return float(np.finfo(dtype).max)


# ---- functions
def logit(x: object) -> Node:
    """log(x / (1 - x)), the inverse of the logistic function."""
    node = as_node(x)
    node = cast_to(node, float_of(node.dtype))
    rest = transcendental.log1p(arithmetic.neg(node))
    return arithmetic.sub(transcendental.log(node), rest)


def logaddexp2(a: object, b: object) -> Node:
    """log2(2**a + 2**b)."""
    scaled = [apply(arithmetic.mul, x, math.log(2.0)) for x in (a, b)]
    return apply(arithmetic.mul, apply(transcendental.logaddexp, *scaled), 1 / math.log(2.0))


def xlogy(x: object, y: object) -> Node:
    """x log(y), and 0 where x is 0."""
    node = as_node(x)
    product = apply(arithmetic.mul, node, transcendental.log(as_node(y)))
    is_zero = logic.eq(node, const(0, node.dtype))
    return logic.switch(is_zero, const(0, product.dtype), product)


def sinc(x: object) -> Node:
    """sin(pi x) / (pi x), and 1 at 0."""
    node = as_node(x)
    node = cast_to(node, float_of(node.dtype))
    is_zero = logic.eq(node, const(0, node.dtype))
    angle = apply(arithmetic.mul, const(math.pi, node.dtype), node)
    safe = logic.switch(is_zero, const(1, node.dtype), angle)
    return logic.switch(is_zero, const(1, node.dtype), divide(trigonometric.sin(safe), safe))


def heaviside(x: object, at_zero: object) -> Node:
    """0 below zero, 1 above, a given value at zero."""
    node = as_node(x)
    node = cast_to(node, float_of(node.dtype))
    zero = const(0, node.dtype)
    step = cast_to(logic.gt(node, zero), node.dtype)
    out = logic.switch(logic.eq(node, zero), as_node(at_zero), step)
    return logic.switch(logic.isnan(node), node, out)


# ---- folds
def average(x: object, axis: Axis = None, weights: object = None, keepdims: bool = False) -> Node:
    """The mean over axes; weights have the shape of x, or are a vector along the one axis."""
    node = as_node(x)
    if weights is None:
        return mean(node, axis, None, keepdims)
    each = _along(as_node(weights), node, axis)
    total = sum_(apply(arithmetic.mul, node, each), axis, None, keepdims)
    return divide(total, sum_(arithmetic.second(node, each), axis, None, keepdims))


def _along(weights: Node, x: Node, axis: Axis) -> Node:
    if weights.ndim == x.ndim:
        return weights
    if weights.ndim != 1 or not isinstance(axis, int):
        raise ShapeError(f"weights {weights.type} for {x.type}, axis {axis!r}", op="average")
    behind = x.ndim - 1 - (axis + x.ndim if axis < 0 else axis)
    return shape_padright(weights, behind)


def nansum(x: object, axis: Axis = None, keepdims: bool = False) -> Node:
    """The sum over axes, NaN taken as 0."""
    node = as_node(x)
    return sum_(logic.switch(logic.isnan(node), const(0, node.dtype), node), axis, None, keepdims)


def nanmean(x: object, axis: Axis = None, keepdims: bool = False) -> Node:
    """The mean over axes of what is not NaN."""
    present = logic.invert(logic.isnan(as_node(x)))
    total = nansum(x, axis, keepdims)
    return divide(total, cast_to(sum_(present, axis, None, keepdims), float_of(total.dtype)))


# ---- permutations
def inverse_permutation(perm: object) -> Node:
    """The vector that undoes a permutation: its entry p[i] is i."""
    node = as_node(perm)
    if node.ndim != 1 or not is_discrete(node.dtype):
        raise ShapeError(f"a permutation is a vector of integers, got {node.type}")
    places = arithmetic.second(node, const(0, "int64"))
    order = positions.iota(movement.shape_i(node, axis=0))
    return index.scatter(places, order, node, mode="set")
