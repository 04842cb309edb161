"""Error functions, the gamma family and their inverses and derivatives, element by element."""

from __future__ import annotations

import math
from typing import Final

from exprd_compiler.ir.node import NO_GRAD, Node, Op
from exprd_compiler.ops import special_numpy as meaning
from exprd_compiler.ops.arithmetic import mul, neg, sqr, sub
from exprd_compiler.ops.families import float_function
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.transcendental import exp

_TWO_OVER_ROOT_PI: Final = 2 / math.sqrt(math.pi)
_HALF_ROOT_PI: Final = math.sqrt(math.pi) / 2


def _scaled(g: Node, factor: float) -> Node:
    return mul(g, const(factor, g.dtype))


def _bell(g: Node, x: Node, factor: float) -> Node:
    """g times the factor times exp(-x**2)."""
    return mul(_scaled(g, factor), exp(neg(sqr(x))))


def _inverse_bell(g: Node, y: Node, factor: float) -> Node:
    """g times the factor times exp(y**2)."""
    return mul(_scaled(g, factor), exp(sqr(y)))


# ---- error functions
erf: Op = float_function(
    "erf",
    meaning.erf,
    lambda g, _y, x: (_bell(g, x, _TWO_OVER_ROOT_PI),),
    "Error function.",
    low=-3,
    high=3,
)

erfc: Op = float_function(
    "erfc",
    meaning.erfc,
    lambda g, _y, x: (_bell(g, x, -_TWO_OVER_ROOT_PI),),
    "1 - erf(x), exact for large x.",
    low=-3,
    high=3,
)


def _erfcx_grad(g: Node, y: Node, x: Node) -> tuple[Node]:
    slope = mul(x, y)
    return (mul(g, sub(mul(slope, const(2, x.dtype)), const(_TWO_OVER_ROOT_PI, x.dtype))),)


erfcx: Op = float_function(
    "erfcx",
    meaning.erfcx,
    _erfcx_grad,
    "exp(x ** 2) * erfc(x), without overflow for large x.",
    low=-1.5,
    high=3,
)

erfinv: Op = float_function(
    "erfinv",
    meaning.erfinv,
    lambda g, y, _x: (_inverse_bell(g, y, _HALF_ROOT_PI),),
    "The y with erf(y) = x.",
    low=-0.9,
    high=0.9,
)

erfcinv: Op = float_function(
    "erfcinv",
    meaning.erfcinv,
    lambda g, y, _x: (_inverse_bell(g, y, -_HALF_ROOT_PI),),
    "The y with erfc(y) = x.",
    low=0.1,
    high=1.9,
)

# ---- the gamma family
tri_gamma: Op = float_function(
    "tri_gamma", meaning.tri_gamma, NO_GRAD, "Derivative of psi.", low=0.3, high=9
)

psi: Op = float_function(
    "psi",
    meaning.psi,
    lambda g, _y, x: (mul(g, tri_gamma(x)),),
    "Derivative of gammaln (digamma); NaN at negative whole numbers.",
    low=0.3,
    high=9,
)

gamma: Op = float_function(
    "gamma",
    meaning.gamma,
    lambda g, y, x: (mul(g, mul(y, psi(x))),),
    "Gamma function; NaN at negative whole numbers.",
    low=0.3,
    high=5,
)

gammaln: Op = float_function(
    "gammaln",
    meaning.gammaln,
    lambda g, _y, x: (mul(g, psi(x)),),
    "Logarithm of the size of gamma; inf at its poles.",
    low=0.3,
    high=9,
)
