"""Sigmoids and what goes with them, as Theano's module of that name has them."""

from __future__ import annotations

from typing import Final

from exprd.convert import as_node, cast_to
from exprd.elementwise import apply, clip, divide
from exprd.tensor.functions import lift
from exprd_compiler.ir.dtype import float_of
from exprd_compiler.ir.node import Node
from exprd_compiler.ops import arithmetic, logic, transcendental

__all__ = ["floats", "hard_sigmoid", "sigmoid", "softplus", "ultra_fast_sigmoid"]

# The straight line through 0.2 x + 0.5, and the pieces of a tanh: Theano 1.0's documentation of
# hard_sigmoid and ultra_fast_sigmoid.
_SLOPE: Final = 0.2
_SHIFT: Final = 0.5
_BEND: Final = 1.7
_END: Final = 3.0
_AT_BEND: Final = 0.935409070603099
_RISE: Final = 0.0458812946797165
_TOP: Final = 0.99505475368673


def floats(x: object) -> Node:
    """The node of a value; integers become the float type that holds them."""
    node = as_node(x)
    return cast_to(node, float_of(node.dtype))


@lift
def sigmoid(x: object) -> Node:
    """1 / (1 + exp(-x))."""
    return apply(transcendental.sigmoid, x)


@lift
def softplus(x: object) -> Node:
    """log(1 + exp(x))."""
    return apply(transcendental.softplus, x)


@lift
def hard_sigmoid(x: object) -> Node:
    """0.2 x + 0.5, held between 0 and 1."""
    node = floats(x)
    line = arithmetic.add(arithmetic.mul(_cast(_SLOPE, node), node), _cast(_SHIFT, node))
    return clip(line, _cast(0, node), _cast(1, node))


@lift
def ultra_fast_sigmoid(x: object) -> Node:
    """A sigmoid in pieces of quotients and lines, up to 0.0035 off.

    Here it is slower than `sigmoid`, which is native and exact to the last digits.
    """
    node = floats(x)
    u = apply(arithmetic.mul, _cast(0.5, node), arithmetic.abs_(node))
    bend = divide(apply(arithmetic.mul, _cast(1.5, node), u), apply(arithmetic.add, 1, u))
    past = apply(arithmetic.sub, u, _cast(_BEND, node))
    line = apply(arithmetic.add, _cast(_AT_BEND, node), arithmetic.mul(_cast(_RISE, node), past))
    flat = apply(logic.switch, apply(logic.lt, u, _cast(_END, node)), line, _cast(_TOP, node))
    tanh = apply(logic.switch, apply(logic.lt, u, _cast(_BEND, node)), bend, flat)
    signed = arithmetic.mul(arithmetic.sign(node), tanh)
    return arithmetic.mul(_cast(0.5, node), apply(arithmetic.add, signed, 1))


def _cast(value: float, like: Node) -> Node:
    """A constant in the dtype of what it meets, so that it widens nothing."""
    return cast_to(as_node(value), like.dtype)
