"""Reductions: folds over axes. Kept axes are the caller's affair (a dimshuffle puts them back)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from exprd_compiler.errors import ShapeError
from exprd_compiler.ir.dtype import DTYPES, EVERY, FLOATS, HALVES, is_complex, is_discrete
from exprd_compiler.ir.half import converted, widened
from exprd_compiler.ir.lowering import ArgReduce, Expand, Reduce
from exprd_compiler.ir.node import THROUGH_EXPANSION, ZERO_GRAD, Array, Example, Node, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import cast, mul, second, sub, true_div
from exprd_compiler.ops.families import check_axes, drop_axes, reduction, sum_dtype
from exprd_compiler.ops.halves import single_expansion
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import eq, switch
from exprd_compiler.ops.movement import NEW_AXIS, dimshuffle, shape_i
from exprd_compiler.ops.parts import conjugate


def expand_axes(x: Node, axes: Sequence[int]) -> Node:
    """x with axes of length 1 inserted, so that `axes` are their places in the result."""
    rest = iter(range(x.ndim))
    rank = x.ndim + len(axes)
    return dimshuffle(x, order=tuple(NEW_AXIS if i in axes else next(rest) for i in range(rank)))


# ---- sum
def _sum_numpy(x: Array, axes: tuple[int, ...]) -> Array:
    # float32 is accumulated in float64, 16-bit floats in float32: Theano's default acc_dtype
    wide = _sum_accumulator(x.dtype.name)
    with np.errstate(all="ignore"):
        return np.asarray(np.sum(x, axis=axes, dtype=wide))


def _sum_accumulator(dtype: str) -> str:
    if is_complex(dtype):
        return "complex128"
    if dtype in HALVES:
        return "float32"
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
    dtypes=EVERY,
    doc="Sum over axes; bool and small integers rise to 64 bits, floats accumulate in wider ones.",
)


# ---- prod
def _prod_numpy(x: Array, axes: tuple[int, ...]) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(np.prod(x, axis=axes, dtype=_sum_accumulator(x.dtype.name)))


def _prod_grad(g: Node, y: Node, x: Node, *, axes: tuple[int, ...]) -> Sequence[Node]:
    """The product of all other elements, also where some are zero; and so its own gradient.

    Beside an element that is not zero it is the product over the element. Beside the only zero it
    is the product of the rest, and beside one of two zeros that, times the other zero: nothing,
    but not for the derivative by it.
    """
    zero, one = const(0, x.dtype), const(1, x.dtype)
    is_zero = eq(x, zero)
    rest = switch(is_zero, one, x)
    zeros = expand_axes(sum_(is_zero, axes=axes), axes)
    product = expand_axes(prod(rest, axes=axes), axes)
    other = sub(expand_axes(sum_(switch(is_zero, x, zero), axes=axes), axes), x)
    of_two = switch(eq(zeros, const(2, "int64")), mul(product, other), zero)
    at_zero = switch(eq(zeros, const(1, "int64")), product, of_two)
    others = switch(is_zero, at_zero, true_div(expand_axes(y, axes), rest))
    return (mul(expand_axes(g, axes), conjugate(others)),)


prod: Op = reduction(
    "prod",
    numpy=_prod_numpy,
    lowering=Reduce("prod", lambda k, acc, x: k.mul(acc, x), lambda _: 1, _sum_accumulator),
    grad=_prod_grad,
    result=sum_dtype,
    theano="Prod",
    dtypes=EVERY,
    doc="Product over axes, in the dtypes of sum; its gradients are right beside zeros too.",
)


# ---- extremes
def _lowest(dtype: str) -> float:
    if dtype == "bool":
        return 0
    return -np.inf if dtype in FLOATS else int(np.iinfo(dtype).min)


def _highest(dtype: str) -> float:
    if dtype == "bool":
        return 1
    return np.inf if dtype in FLOATS else int(np.iinfo(dtype).max)


def _extreme_grad(g: Node, y: Node, x: Node, *, axes: tuple[int, ...]) -> Sequence[Node]:
    won = eq(x, expand_axes(y, axes))
    return (mul(cast(won, dtype=g.dtype), expand_axes(g, axes)),)


def _extreme(
    name: str,
    fold: Callable[..., Any],
    combine: Callable[..., Any],
    identity: Callable[[str], float],
    what: str,
) -> Op:
    def meaning(x: Array, axes: tuple[int, ...]) -> Array:
        if any(x.shape[axis] == 0 for axis in axes):
            raise ShapeError(f"the {name}imum of no elements does not exist", op=name)
        return np.asarray(fold(widened(x), axis=axes))

    return reduction(
        name,
        numpy=meaning,
        lowering=Reduce(name, combine, identity, _same, empty="error"),
        grad=_extreme_grad,
        result=_same,
        theano="CAReduce",
        doc=f"{what} element over axes; NaN if there is one; an error if there are no elements.",
    )


def _same(dtype: str) -> str:
    return dtype


max_ = _extreme("max", np.max, lambda k, acc, x: k.maximum(acc, x), _lowest, "Largest")
min_ = _extreme("min", np.min, lambda k, acc, x: k.minimum(acc, x), _highest, "Smallest")


# ---- truth
def _truth(
    name: str, fold: Callable[..., Any], combine: Callable[..., Any], identity: float, doc: str
) -> Op:
    return reduction(
        name,
        numpy=lambda x, axes: fold(widened(x), axis=axes),
        lowering=Reduce(name, combine, lambda _: identity, lambda _: "bool"),
        grad=ZERO_GRAD,
        result=lambda _: "bool",
        theano="CAReduce",
        dtypes=EVERY,
        doc=doc,
    )


any_ = _truth(
    "any",
    np.any,
    lambda k, acc, x: k.or_(acc, x),
    0,
    "Whether any element over axes is not zero; NaN is not zero.",
)
all_ = _truth(
    "all",
    np.all,
    lambda k, acc, x: k.and_(acc, x),
    1,
    "Whether no element over axes is zero; so it is of no elements.",
)


# ---- positions of extremes
def _beats(predicate: str) -> Callable[[Any, Any, Any], Any]:
    def better(k: Any, x: Any, best: Any) -> Any:
        beyond = k.compare(predicate, x, best)
        if is_discrete(x.dtype):
            return beyond
        first_nan = k.and_(k.compare("ne", x, x), k.compare("eq", best, best))
        return k.or_(beyond, first_nan)

    return better


def _position(name: str, fold: Callable[..., Any], predicate: str, what: str) -> Op:
    def rule(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
        if len(axes) != 1:
            raise ShapeError("takes one axis", op=name, hint="flatten first")
        return TensorType("int64", drop_axes(x.shape, check_axes(name, x.ndim, axes)))

    def meaning(x: Array, *, axes: tuple[int, ...]) -> Array:
        if x.shape[axes[0]] == 0:
            raise ShapeError(f"the {name[3:]}imum of no elements does not exist", op=name)
        return np.asarray(fold(widened(x), axis=axes[0]), "int64")

    return Op(
        name=name,
        type=rule,
        numpy=meaning,
        grad=ZERO_GRAD,
        lowering=ArgReduce(_beats(predicate)),
        dtypes=DTYPES,
        examples=(
            Example(shapes=((5,),), attrs={"axes": (0,)}),
            Example(shapes=((131,),), attrs={"axes": (0,)}),
            Example(shapes=((3, 4),), attrs={"axes": (1,)}),
            Example(shapes=((37, 41),), attrs={"axes": (0,)}),
            Example(shapes=((2, 35, 3),), attrs={"axes": (1,)}),
        ),
        theano=f"A{name[1:]}",
        doc=f"Position of the first {what} element along one axis; of the first NaN if any.",
    )


argmax = _position("argmax", np.argmax, "gt", "largest")
argmin = _position("argmin", np.argmin, "lt", "smallest")


# ---- mean
def mean_dtype(dtype: str) -> str:
    """The dtype of a mean: that of a float, float64 for all others."""
    return "float64" if is_discrete(dtype) else dtype


def _mean_type(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    check_axes("mean", x.ndim, axes)
    return TensorType(mean_dtype(x.dtype), drop_axes(x.shape, axes))


def _mean_numpy(x: Array, *, axes: tuple[int, ...]) -> Array:
    count = np.prod([x.shape[axis] for axis in axes], dtype="float64")
    with np.errstate(all="ignore"):
        total = np.sum(x, axis=axes, dtype="complex128" if x.dtype.kind == "c" else "float64")
        return converted(np.asarray(np.divide(total, count)), mean_dtype(x.dtype.name))


def _mean_expand(x: Node, *, axes: tuple[int, ...]) -> Node:
    dtype = mean_dtype(x.dtype)
    wide = x if x.dtype == dtype else cast(x, dtype=dtype)
    return true_div(sum_(wide, axes=axes), cast(number_of(x, axes), dtype=dtype))


def number_of(x: Node, axes: Sequence[int]) -> Node:
    """The number of elements over axes, as int64."""
    count = const(1, "int64")
    for axis in axes:
        count = mul(count, shape_i(x, axis=axis))
    return count


mean = Op(
    name="mean",
    type=_mean_type,
    numpy=_mean_numpy,
    grad=THROUGH_EXPANSION,
    lowering=Expand(single_expansion(_mean_expand)),
    dtypes=EVERY,
    examples=sum_.examples,
    theano="Elemwise",
    doc="Arithmetic mean over axes; integers give float64, no elements give NaN.",
)
