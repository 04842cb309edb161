"""Theano's place of products with logarithms that are 0 at 0."""

from __future__ import annotations

from exprd.combining import xlogy
from exprd.tensor.functions import lift
from exprd_compiler.ir.node import Node

__all__ = ["xlogx", "xlogy0"]

xlogy0 = lift(xlogy)


@lift
def xlogx(x: object) -> Node:
    """x log(x), and 0 where x is 0."""
    return xlogy(x, x)
