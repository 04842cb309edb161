"""Products over nodes: dot and what is said in terms of it."""

from __future__ import annotations

from exprd.convert import as_node
from exprd.shaping import dimshuffle
from exprd_compiler.ir.node import Node
from exprd_compiler.ops import arithmetic, linalg

__all__ = ["dot", "outer"]


def dot(a: object, b: object) -> Node:
    """The matrix product of vectors and matrices; with a 0-d operand the plain product."""
    left, right = as_node(a), as_node(b)
    if not left.ndim or not right.ndim:
        return arithmetic.mul(left, right)
    return linalg.dot(left, right)


def outer(a: object, b: object) -> Node:
    """The matrix of all products of two vectors."""
    return arithmetic.mul(dimshuffle(a, 0, "x"), dimshuffle(b, "x", 0))
