"""Statistics: folds over axes that are made of other folds.

Each has numpy's value where there are no elements. Gradients are written out where the way through
the expansion would fold more often than is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from exprd_compiler.errors import DTypeError, GraphError
from exprd_compiler.ir.dtype import DTYPES, FLOATS, INTEGERS
from exprd_compiler.ir.half import converted
from exprd_compiler.ir.lowering import Expand
from exprd_compiler.ir.node import (
    THROUGH_EXPANSION,
    Array,
    Example,
    GradRule,
    Node,
    Op,
    ThroughExpansion,
)
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import abs_, add, cast, mul, sqr, sqrt, sub, true_div
from exprd_compiler.ops.families import check_axes, check_ints, drop_axes
from exprd_compiler.ops.halves import single_expansion, single_gradient
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import isfinite, maximum, neq, switch
from exprd_compiler.ops.reduce import (
    expand_axes,
    max_,
    mean,
    mean_dtype,
    min_,
    number_of,
    sum_,
)
from exprd_compiler.ops.transcendental import exp, log, pow_

_SOME: Final = (
    ((5,), (0,)),
    ((3, 4), (0, 1)),
    ((3, 41), (1,)),
    ((37, 2), (0,)),
    ((2, 35, 3), (0, 2)),
    ((4, 2), (1,)),
)


def _examples(attrs: Sequence[dict[str, Any]] = ({},)) -> tuple[Example, ...]:
    """Every attribute once, in turns over the shapes."""
    count = max(len(_SOME), len(attrs))
    return tuple(
        Example(shapes=(_SOME[i % len(_SOME)][0],), attrs={"axes": axes, **attrs[i % len(attrs)]})
        for i in range(count)
        for axes in (_SOME[i % len(_SOME)][1],)
    )


def _floating(x: Node) -> Node:
    dtype = mean_dtype(x.dtype)
    return x if x.dtype == dtype else cast(x, dtype=dtype)


def _kept(fold: Op, x: Node, axes: tuple[int, ...]) -> Node:
    return expand_axes(fold(x, axes=axes), axes)


def _float_type(name: str) -> Callable[..., TensorType]:
    """Reduced axes, the float dtype of a mean, and whole numbers as further attributes."""

    def rule(x: TensorType, *, axes: tuple[int, ...], **whole: Any) -> TensorType:
        check_axes(name, x.ndim, axes)
        check_ints(name, whole.values())
        return TensorType(mean_dtype(x.dtype), drop_axes(x.shape, axes))

    return rule


def _float_numpy(fold: Callable[..., Any]) -> Callable[..., Array]:
    """A fold in float64, as the native sums are, rounded to the dtype of the result."""

    def meaning(x: Array, *, axes: tuple[int, ...], **attrs: Any) -> Array:
        with np.errstate(all="ignore"):
            value = fold(x.astype("float64"), axes, **attrs)
            return converted(np.asarray(value), mean_dtype(x.dtype.name))

    return meaning


def _statistic(
    name: str,
    *,
    numpy: Callable[..., Any],
    expand: Callable[..., Node],
    grad: GradRule | ThroughExpansion,
    examples: tuple[Example, ...],
    doc: str,
) -> Op:
    return Op(
        name=name,
        type=_float_type(name),
        numpy=_float_numpy(numpy),
        grad=grad if isinstance(grad, ThroughExpansion) else single_gradient(grad),
        lowering=Expand(single_expansion(expand)),
        dtypes=DTYPES,
        examples=examples,
        theano="Elemwise",
        doc=doc,
    )


# ---- spread
def _freedom(x: Node, axes: tuple[int, ...], ddof: int, dtype: str) -> Node:
    """The number of elements less ddof, not below 0."""
    left = sub(number_of(x, axes), const(ddof, "int64"))
    return cast(maximum(left, const(0, "int64")), dtype=dtype)


def _var_numpy(x: Array, axes: tuple[int, ...], *, ddof: int) -> Array:
    count = np.prod([x.shape[axis] for axis in axes], dtype="float64")
    off = x - np.sum(x, axis=axes, keepdims=True) / count
    return np.asarray(np.sum(off * off, axis=axes) / np.maximum(count - ddof, 0.0))


def _var_expand(x: Node, *, axes: tuple[int, ...], ddof: int) -> Node:
    wide = _floating(x)
    off = sub(wide, _kept(mean, wide, axes))
    return true_div(sum_(sqr(off), axes=axes), _freedom(x, axes, ddof, wide.dtype))


def _slope(x: Node, axes: tuple[int, ...], ddof: int) -> Node:
    """Half the gradient of the variance; the part through the mean sums to zero."""
    wide = _floating(x)
    off = sub(wide, _kept(mean, wide, axes))
    return true_div(off, _freedom(x, axes, ddof, wide.dtype))


def _var_grad(g: Node, _y: Node, x: Node, *, axes: tuple[int, ...], ddof: int) -> Sequence[Node]:
    twice = mul(expand_axes(g, axes), const(2, g.dtype))
    return (mul(twice, _slope(x, axes, ddof)),)


def _std_grad(g: Node, y: Node, x: Node, *, axes: tuple[int, ...], ddof: int) -> Sequence[Node]:
    return (mul(expand_axes(true_div(g, y), axes), _slope(x, axes, ddof)),)


var: Op = _statistic(
    "var",
    numpy=_var_numpy,
    expand=_var_expand,
    grad=_var_grad,
    examples=_examples(({"ddof": 0}, {"ddof": 1})),
    doc="Variance over axes: squared distances from the mean over their number less ddof.",
)

std: Op = _statistic(
    "std",
    numpy=lambda x, axes, *, ddof: np.sqrt(_var_numpy(x, axes, ddof=ddof)),
    expand=lambda x, **attrs: sqrt(var(x, **attrs)),
    grad=_std_grad,
    examples=_examples(({"ddof": 0}, {"ddof": 1})),
    doc="Standard deviation over axes: the square root of var.",
)


# ---- range
def _ptp_type(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    if x.dtype == "bool":
        raise DTypeError("does not exist for bool", op="ptp", hint="cast to an integer")
    return TensorType(x.dtype, drop_axes(x.shape, check_axes("ptp", x.ndim, axes)))


ptp: Op = Op(
    name="ptp",
    type=_ptp_type,
    numpy=lambda x, *, axes: np.asarray(max_.numpy(x, axes=axes) - min_.numpy(x, axes=axes)),
    grad=THROUGH_EXPANSION,
    lowering=Expand(lambda x, *, axes: sub(max_(x, axes=axes), min_(x, axes=axes))),
    dtypes=INTEGERS + FLOATS,
    examples=_examples(),
    theano="Elemwise",
    doc="Largest less smallest element over axes; integers wrap around as numpy's do.",
)


# ---- norm
def _norm_type(x: TensorType, *, axes: tuple[int, ...], order: float) -> TensorType:
    if order.__class__ is not float or np.isnan(order):
        raise GraphError(f"the order is a float, not {order!r}", op="norm")
    return _float_type("norm")(x, axes=axes)


def _norm_numpy(x: Array, axes: tuple[int, ...], *, order: float) -> Array:
    size = np.abs(x)
    if np.isinf(order):
        return np.asarray((max_ if order > 0 else min_).numpy(size, axes=axes))
    if order == 0:
        return np.asarray(np.sum(size != 0, axis=axes))
    return np.asarray(np.sum(size**order, axis=axes) ** (1 / order))


def _norm_expand(x: Node, *, axes: tuple[int, ...], order: float) -> Node:
    wide = _floating(x)
    if order == 2:
        return sqrt(sum_(sqr(wide), axes=axes))
    size = abs_(wide)
    if np.isinf(order):
        return (max_ if order > 0 else min_)(size, axes=axes)
    if order == 0:
        return sum_(cast(neq(size, const(0, wide.dtype)), dtype=wide.dtype), axes=axes)
    if order == 1:
        return sum_(size, axes=axes)
    total = sum_(pow_(size, const(order, wide.dtype)), axes=axes)
    return pow_(total, const(1 / order, wide.dtype))


norm: Op = Op(
    name="norm",
    type=_norm_type,
    numpy=_float_numpy(_norm_numpy),
    grad=THROUGH_EXPANSION,
    lowering=Expand(single_expansion(_norm_expand)),
    dtypes=DTYPES,
    examples=_examples(
        tuple({"order": order} for order in (2.0, 1.0, np.inf, 3.0, -np.inf, 2.0, 0.0, 0.5))
    ),
    theano="Elemwise",
    doc="The vector norm of an order over axes: 2.0 Euclid's, inf and -inf extremes of |x|.",
)


# ---- logsumexp
def _bounded(x: Node) -> Node:
    """x where it is finite, else 0, so that no infinity is taken from itself."""
    return switch(isfinite(x), x, const(0, x.dtype))


def _logsumexp_numpy(x: Array, axes: tuple[int, ...]) -> Array:
    top = max_.numpy(x, axes=axes)
    top = np.where(np.isfinite(top), top, 0.0)
    off = x - np.expand_dims(top, axes)
    return np.asarray(np.log(np.sum(np.exp(off), axis=axes)) + top)


def _logsumexp_expand(x: Node, *, axes: tuple[int, ...]) -> Node:
    wide = _floating(x)
    top = _bounded(max_(wide, axes=axes))
    total = sum_(exp(sub(wide, expand_axes(top, axes))), axes=axes)
    return add(log(total), top)


def _logsumexp_grad(g: Node, y: Node, x: Node, *, axes: tuple[int, ...]) -> Sequence[Node]:
    share = exp(sub(_floating(x), expand_axes(_bounded(y), axes)))
    return (mul(expand_axes(g, axes), share),)


logsumexp: Op = _statistic(
    "logsumexp",
    numpy=_logsumexp_numpy,
    expand=_logsumexp_expand,
    grad=_logsumexp_grad,
    examples=_examples(),
    doc="log of the sum of exp over axes without overflow; -inf where all elements are.",
)
