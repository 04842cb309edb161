"""Scans: running folds along one axis, each element combined with all before it in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from exprd_compiler.errors import ShapeError
from exprd_compiler.ir.dtype import EVERY
from exprd_compiler.ir.lowering import Scan
from exprd_compiler.ir.node import Array, Example, GradRule, Node, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, mul, true_div
from exprd_compiler.ops.families import check_ints, sum_dtype
from exprd_compiler.ops.index import subtensor
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import and_, eq, switch
from exprd_compiler.ops.parts import conjugate

_EVERY = ("slice", None, None, None)
_BACKWARDS = ("slice", None, None, -1)


def flip(x: Node, axes: Sequence[int]) -> Node:
    """x with the order along axes reversed, a view."""
    index = tuple(
        _BACKWARDS if axis in axes else _EVERY for axis in range(max(axes, default=-1) + 1)
    )
    return subtensor(x, index=index) if index else x


def _scan(
    name: str, numpy: Callable[..., Any], step: Op, grad: GradRule, theano: str, doc: str
) -> Op:
    def rule(x: TensorType, *, axis: int) -> TensorType:
        check_ints(name, (axis,))
        if not 0 <= axis < x.ndim:
            raise ShapeError(f"axis {axis} is not an axis of {x}", op=name)
        return x.with_dtype(sum_dtype(x.dtype))

    def meaning(x: Array, *, axis: int) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(numpy(x, axis=axis, dtype=sum_dtype(x.dtype.name)))

    return Op(
        name=name,
        type=rule,
        numpy=meaning,
        grad=grad,
        lowering=Scan(step),
        dtypes=EVERY,
        examples=tuple(
            Example(shapes=(shape,), attrs={"axis": axis}, low=-1.5, high=1.5)
            for shape, axis in (
                ((37,), 0),
                ((3, 4), 0),
                ((3, 4), 1),
                ((2, 35), 0),
                ((2, 3, 5), 1),
                ((4, 1, 3), 1),
                ((3, 1), 0),
                ((0, 3), 0),
                ((3, 0), 0),
            )
        ),
        theano=theano,
        doc=doc,
    )


def _from_here(x: Node, axis: int) -> Node:
    """The sum of each element and all behind it."""
    return flip(cumsum(flip(x, (axis,)), axis=axis), (axis,))


def _cumprod_grad(g: Node, y: Node, x: Node, *, axis: int) -> Sequence[Node]:
    """Also at zeros, and so is its own gradient: there it is summed over products without them.

    At the third zero and behind, two other zeros are in every product.
    """
    zero, one = const(0, x.dtype), const(1, x.dtype)
    is_zero = eq(x, zero)
    number = cumsum(is_zero, axis=axis)
    out = zero
    for count in (2, 1):
        this = and_(is_zero, eq(number, const(count, "int64")))
        without = cumprod(switch(this, one, x), axis=axis)
        out = switch(this, _from_here(mul(g, conjugate(without)), axis), out)
    rest = conjugate(switch(is_zero, one, x))
    beside = true_div(_from_here(mul(g, conjugate(y)), axis), rest)
    return (switch(is_zero, out, beside),)


cumsum: Op = _scan(
    "cumsum",
    np.cumsum,
    add,
    lambda g, _y, _x, *, axis: (_from_here(g, axis),),
    "CumOp",
    "Running sum along one axis, in order; bool and small integers rise to 64 bits.",
)

cumprod: Op = _scan(
    "cumprod",
    np.cumprod,
    mul,
    _cumprod_grad,
    "CumOp",
    "Running product along one axis, in the dtypes of cumsum; gradients are right at zeros too.",
)
