"""Assertion: an identity that fails at run time where a condition does not hold."""

from __future__ import annotations

from typing import Any

import numpy as np

from exprd_compiler.errors import AssertionFailed, DTypeError, GraphError, ShapeError
from exprd_compiler.ir.dtype import EVERY
from exprd_compiler.ir.integer import IntExpr
from exprd_compiler.ir.lowering import HostContext, Layout, View
from exprd_compiler.ir.node import Array, Example, Node, Op
from exprd_compiler.ir.type import TensorType


def _type(x: TensorType, *conditions: TensorType, message: Any) -> TensorType:
    if not isinstance(message, str):
        raise GraphError(f"the message is a text, not {message!r}", op="assert")
    for given in conditions:
        if given.ndim:
            raise ShapeError(f"a condition is 0-d, not {given}", op="assert", hint="take all(x)")
        if given.dtype != "int64":
            raise DTypeError(f"a condition is int64, not {given.dtype}", op="assert")
    return x


def _layout(h: HostContext, x: Layout, *conditions: IntExpr, message: str) -> Layout:
    text = message.replace("{", "{{").replace("}", "}}")
    for condition in conditions:
        h.require(condition, "AssertionFailed", text)
    return x


def _meaning(x: Array, *conditions: Array, message: str) -> Array:
    if not all(conditions):
        raise AssertionFailed(message, op="assert")
    return np.array(x)


def _grad(g: Node, _y: Node, _x: Node, *conditions: Node, **_: Any) -> tuple[Node | None, ...]:
    return (g, *([None] * len(conditions)))


assert_: Op = Op(
    name="assert",
    type=_type,
    numpy=_meaning,
    grad=_grad,
    lowering=View(_layout),
    dtypes=EVERY,
    examples=(
        Example(shapes=((3, 4), ()), attrs={"message": "{x}"}, integers={1: 1}),
        Example(shapes=((), (), ()), attrs={"message": ""}, integers={1: 1, 2: -3}),
        Example(shapes=((2, 0),), attrs={"message": "no condition"}),
    ),
    theano="Assert",
    doc="The value itself; an AssertionFailed with the message where a condition is 0.",
)
