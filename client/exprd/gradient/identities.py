"""Identities that change gradients and nothing else; compiled, they are gone."""

from __future__ import annotations

from exprd.convert import as_node
from exprd.variable import TensorVariable, variable_of
from exprd_compiler.errors import ArgumentError
from exprd_compiler.ops import backward

__all__ = [
    "consider_constant",
    "disconnected_grad",
    "grad_clip",
    "grad_scale",
    "undefined_grad",
    "zero_grad",
]


def consider_constant(x: object) -> TensorVariable:
    """x, through which gradients are zero."""
    return variable_of(backward.consider_constant(as_node(x)))


def zero_grad(x: object) -> TensorVariable:
    """x, through which gradients are zero."""
    return variable_of(backward.zero_grad(as_node(x)))


def disconnected_grad(x: object) -> TensorVariable:
    """x, on which nothing depends as far as gradients are concerned."""
    return variable_of(backward.disconnected_grad(as_node(x)))


def undefined_grad(x: object) -> TensorVariable:
    """x, through which no gradient may be taken: one that is raises NotDifferentiable."""
    return variable_of(backward.undefined_grad(as_node(x)))


def grad_clip(x: object, lower_bound: float, upper_bound: float) -> TensorVariable:
    """x, through which gradients are held between two bounds, element by element.

    Raises:
        ArgumentError: the lower bound is above the upper one.
    """
    low, high = float(lower_bound), float(upper_bound)
    if not low <= high:
        raise ArgumentError(f"{low} is not below {high}", op="grad_clip")
    return variable_of(backward.grad_clip(as_node(x), low=low, high=high))


def grad_scale(x: object, multiplier: float) -> TensorVariable:
    """x, through which gradients are multiplied by a number."""
    return variable_of(backward.grad_scale(as_node(x), multiplier=float(multiplier)))
