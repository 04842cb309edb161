"""Trigonometric and hyperbolic functions, their inverses, and angles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from exprd_compiler.ir.dtype import DTYPES
from exprd_compiler.ir.node import Node, Op
from exprd_compiler.ops.arithmetic import add, mul, neg, sqr, sqrt, sub, true_div
from exprd_compiler.ops.families import elementwise, float_function, upcast_to_float
from exprd_compiler.ops.leaves import const


def _one(x: Node) -> Node:
    return const(1, x.dtype)


def _side(y: Node) -> Node:
    """sqrt(1 - y**2): the other leg over a hypotenuse of 1."""
    return sqrt(sub(_one(y), sqr(y)))


# ---- circular
sin: Op = float_function(
    "sin", np.sin, lambda g, _y, x: (mul(g, cos(x)),), "Sine of an angle in radians.", -9, 9
)

cos: Op = float_function(
    "cos", np.cos, lambda g, _y, x: (neg(mul(g, sin(x))),), "Cosine of an angle in radians.", -9, 9
)

tan: Op = float_function(
    "tan",
    np.tan,
    lambda g, y, _x: (mul(g, add(_one(y), sqr(y))),),
    "Tangent of an angle in radians.",
    -1.4,
    1.4,
)

arcsin: Op = float_function(
    "arcsin",
    np.arcsin,
    lambda g, _y, x: (true_div(g, _side(x)),),
    "Angle in radians, -pi/2 to pi/2, whose sine is x.",
    -0.95,
    0.95,
)

arccos: Op = float_function(
    "arccos",
    np.arccos,
    lambda g, _y, x: (neg(true_div(g, _side(x))),),
    "Angle in radians, 0 to pi, whose cosine is x.",
    -0.95,
    0.95,
)

arctan: Op = float_function(
    "arctan",
    np.arctan,
    lambda g, _y, x: (true_div(g, add(_one(x), sqr(x))),),
    "Angle in radians, -pi/2 to pi/2, whose tangent is x.",
    -9,
    9,
)


def _arctan2_grad(g: Node, _y: Node, a: Node, b: Node) -> Sequence[Node]:
    scaled = true_div(g, add(sqr(a), sqr(b)))
    return (mul(scaled, b), neg(mul(scaled, a)))


arctan2: Op = elementwise(
    "arctan2",
    arity=2,
    numpy=np.arctan2,
    body=lambda k, a, b: k.call("arctan2", a, b),
    grad=_arctan2_grad,
    result=upcast_to_float,
    dtypes=DTYPES,
    doc="Angle in radians, -pi to pi, of the point (b, a).",
)


hypot: Op = elementwise(
    "hypot",
    arity=2,
    numpy=np.hypot,
    body=lambda k, a, b: k.call("hypot", a, b),
    grad=lambda g, y, a, b: (mul(g, true_div(a, y)), mul(g, true_div(b, y))),
    result=upcast_to_float,
    dtypes=DTYPES,
    low=0.1,
    doc="sqrt(a ** 2 + b ** 2), without overflow on the way.",
)


# ---- hyperbolic (tanh stands with the exponentials)
sinh: Op = float_function(
    "sinh", np.sinh, lambda g, _y, x: (mul(g, cosh(x)),), "Hyperbolic sine.", -5, 5
)

cosh: Op = float_function(
    "cosh", np.cosh, lambda g, _y, x: (mul(g, sinh(x)),), "Hyperbolic cosine.", -5, 5
)

arcsinh: Op = float_function(
    "arcsinh",
    np.arcsinh,
    lambda g, _y, x: (true_div(g, sqrt(add(sqr(x), _one(x)))),),
    "Inverse of sinh.",
    -9,
    9,
)

arccosh: Op = float_function(
    "arccosh",
    np.arccosh,
    lambda g, _y, x: (true_div(g, sqrt(sub(sqr(x), _one(x)))),),
    "Inverse of cosh, at least 0.",
    1.1,
    9,
)

arctanh: Op = float_function(
    "arctanh",
    np.arctanh,
    lambda g, _y, x: (true_div(g, sub(_one(x), sqr(x))),),
    "Inverse of tanh.",
    -0.9,
    0.9,
)


# ---- angles
def _scaled(name: str, numpy: Any, factor: float, doc: str) -> Op:
    return elementwise(
        name,
        arity=1,
        numpy=numpy,
        body=lambda k, x: k.mul(x, k.const(factor, x.dtype)),
        grad=lambda g, _y, _x: (mul(g, const(factor, g.dtype)),),
        result=upcast_to_float,
        dtypes=DTYPES,
        cheap=True,
        low=-400,
        high=400,
        doc=doc,
    )


deg2rad: Op = _scaled("deg2rad", np.deg2rad, np.pi / 180, "Degrees as radians.")
rad2deg: Op = _scaled("rad2deg", np.rad2deg, 180 / np.pi, "Radians as degrees.")
