"""Rectified units, under Theano's names."""

from __future__ import annotations

from typing import Final

from exprd.convert import as_node, cast_to
from exprd.elementwise import apply, divide
from exprd.tensor.functions import lift
from exprd.tensor.nnet.sigm import floats
from exprd_compiler.ir.dtype import is_float
from exprd_compiler.ir.node import Node
from exprd_compiler.ops import arithmetic, logic, transcendental

__all__ = ["elu", "relu", "selu", "softsign"]

# Klambauer, Unterthiner, Mayr, Hochreiter: Self-Normalizing Neural Networks (2017), equation 14.
_SELU_ALPHA: Final = 1.6732632423543772848170429916717
_SELU_SCALE: Final = 1.0507009873554804934193349852946


@lift
def relu(x: object, alpha: object = 0) -> Node:
    """x where it is positive, else alpha * x; alpha may be a tensor, a number widens nothing."""
    node = as_node(x)
    number = isinstance(alpha, int | float)
    if number and alpha == 0:
        return apply(logic.maximum, node, 0)
    slope = cast_to(as_node(alpha), node.dtype) if number and is_float(node.dtype) else alpha
    scaled = apply(arithmetic.mul, node, slope)
    return apply(logic.switch, apply(logic.gt, node, 0), node, scaled)


@lift
def elu(x: object, alpha: float = 1) -> Node:
    """x where it is positive, else alpha * (exp(x) - 1)."""
    return _elu(floats(x), alpha)


@lift
def selu(x: object) -> Node:
    """`elu` scaled so that layers keep mean 0 and variance 1."""
    node = floats(x)
    scale = cast_to(as_node(_SELU_SCALE), node.dtype)
    return arithmetic.mul(scale, _elu(node, _SELU_ALPHA))


def _elu(node: Node, alpha: float) -> Node:
    # the branch that is not taken stays finite too, for the gradient's sake
    below = transcendental.expm1(apply(logic.minimum, node, 0))
    scaled = arithmetic.mul(cast_to(as_node(alpha), node.dtype), below)
    return apply(logic.switch, apply(logic.gt, node, 0), node, scaled)


@lift
def softsign(x: object) -> Node:
    """x / (1 + |x|)."""
    node = floats(x)
    return divide(node, apply(arithmetic.add, 1, arithmetic.abs_(node)))
