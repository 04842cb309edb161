"""Neural network functions that are more than one elementwise step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from exprd_compiler.errors import DTypeError, ShapeError
from exprd_compiler.ir.dtype import FLOATS
from exprd_compiler.ir.half import converted, widened
from exprd_compiler.ir.lowering import Expand
from exprd_compiler.ir.node import Array, Example, GradRule, Node, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import mul, sub, true_div
from exprd_compiler.ops.families import check_ints
from exprd_compiler.ops.halves import single_expansion, single_gradient
from exprd_compiler.ops.reduce import expand_axes, max_, sum_
from exprd_compiler.ops.transcendental import exp, log


def _over_axis(x: Node, fold: Op, axis: int) -> Node:
    return expand_axes(fold(x, axes=(axis,)), (axis,))


def _top(x: Array, axis: int) -> Array:
    """The largest along an axis, which must have elements."""
    return np.expand_dims(max_.numpy(x, axes=(axis,)), axis)


def _softmax_numpy(x: Array, *, axis: int) -> Array:
    with np.errstate(all="ignore"):
        wide = widened(x)
        e = np.exp(wide - _top(wide, axis))
        return converted(np.asarray(e / np.sum(e, axis=axis, keepdims=True)), x.dtype.name)


def _softmax_expand(x: Node, *, axis: int) -> Node:
    e = exp(sub(x, _over_axis(x, max_, axis)))
    return true_div(e, _over_axis(e, sum_, axis))


def _softmax_grad(g: Node, y: Node, _x: Node, *, axis: int) -> Sequence[Node]:
    weighted = mul(g, y)
    return (sub(weighted, mul(y, _over_axis(weighted, sum_, axis))),)


def _log_softmax_numpy(x: Array, *, axis: int) -> Array:
    with np.errstate(all="ignore"):
        wide = widened(x)
        shifted = wide - _top(wide, axis)
        total = np.sum(np.exp(shifted), axis=axis, keepdims=True)
        return converted(np.asarray(shifted - np.log(total)), x.dtype.name)


def _log_softmax_expand(x: Node, *, axis: int) -> Node:
    shifted = sub(x, _over_axis(x, max_, axis))
    return sub(shifted, log(_over_axis(exp(shifted), sum_, axis)))


def _log_softmax_grad(g: Node, y: Node, _x: Node, *, axis: int) -> Sequence[Node]:
    return (sub(g, mul(exp(y), _over_axis(g, sum_, axis))),)


_SHAPES: Final = (((5,), 0), ((3, 4), 1), ((3, 4), 0), ((37, 41), 1), ((2, 3, 35), 2), ((4, 1), 1))


def _normalizer(
    name: str, numpy: Callable[..., Array], expand: Callable[..., Node], grad: GradRule, doc: str
) -> Op:
    def rule(x: TensorType, *, axis: int) -> TensorType:
        if x.dtype not in FLOATS:
            raise DTypeError(f"needs floats, got {x}", op=name, hint="cast the input")
        check_ints(name, (axis,))
        if not 0 <= axis < x.ndim:
            raise ShapeError(f"axis {axis} is not an axis of {x}", op=name)
        return x

    return Op(
        name=name,
        type=rule,
        numpy=numpy,
        grad=single_gradient(grad),
        lowering=Expand(single_expansion(expand)),
        dtypes=FLOATS,
        examples=tuple(Example(shapes=(s,), attrs={"axis": a}) for s, a in _SHAPES),
        theano=name.title().replace("_", ""),
        doc=doc,
    )


softmax = _normalizer(
    "softmax",
    _softmax_numpy,
    _softmax_expand,
    _softmax_grad,
    "exp(x) over its sum along one axis, without overflow.",
)
log_softmax = _normalizer(
    "log_softmax",
    _log_softmax_numpy,
    _log_softmax_expand,
    _log_softmax_grad,
    "Logarithm of softmax, exact also where softmax underflows.",
)
