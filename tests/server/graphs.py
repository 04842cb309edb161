"""Graphs that tests of the server run."""

from __future__ import annotations

from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, mul, neg, sub
from exprd_compiler.ops.leaves import const, input_, shared
from exprd_compiler.ops.reduce import sum_

VECTOR = TensorType("float64", (None,))
SCALAR = TensorType("float64", ())


def named(op, name: str, type_: TensorType) -> Node:
    leaf = op(type=type_)
    leaf.name = name
    return leaf


def counter() -> Graph:
    """Gives the old total and adds x to it."""
    x, total = named(input_, "x", SCALAR), named(shared, "total", SCALAR)
    return Graph((x,), (total,), (total,), ((0, add(total, x)),))


def mirrored() -> Graph:
    """Gives the old total, adds x to it, and takes x from its mirror: their sum stays."""
    x, total, mirror = named(input_, "x", SCALAR), *(named(shared, n, SCALAR) for n in "tm")
    return Graph((x,), (total,), (total, mirror), ((0, add(total, x)), (1, sub(mirror, x))))


def transfer() -> Graph:
    """Moves x from a to b; gives a + b."""
    x, a, b = named(input_, "x", SCALAR), *(named(shared, n, SCALAR) for n in "ab")
    return Graph((x,), (add(a, b),), (a, b), ((0, sub(a, x)), (1, add(b, x))))


def scale() -> Graph:
    """Gives x * w and its sum."""
    x, w = named(input_, "x", VECTOR), named(shared, "w", VECTOR)
    return Graph((x,), (mul(x, w), sum_(mul(x, w), axes=(0,))), (w,))


def step() -> Graph:
    """Gives sum(x * w) and sets w to w - 0.5 x."""
    x, w = named(input_, "x", VECTOR), named(shared, "w", VECTOR)
    new = sub(w, mul(const(0.5, "float64"), x))
    return Graph((x,), (sum_(mul(x, w), axes=(0,)),), (w,), ((0, new),))


def keep_everything() -> Graph:
    """Outputs and updates that are leaves themselves: x and w go out, w becomes x."""
    x, w = named(input_, "x", VECTOR), named(shared, "w", VECTOR)
    return Graph((x,), (x, w), (w,), ((0, x),))


def chain(length: int) -> Graph:
    """Negates x `length` times."""
    x = node = named(input_, "x", VECTOR)
    for _ in range(length):
        node = neg(node)
    return Graph((x,), (node,))
