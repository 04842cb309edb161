"""Error functions, the gamma family and their inverses and derivatives, element by element."""

from __future__ import annotations

import math
from typing import Final

from exprd_compiler.ir.dtype import HALVES
from exprd_compiler.ir.node import Node, Op
from exprd_compiler.ops import special_numpy as meaning
from exprd_compiler.ops.arithmetic import add, cast, mul, neg, sqr, sub, true_div
from exprd_compiler.ops.division import reciprocal
from exprd_compiler.ops.families import float_function
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import lt, switch
from exprd_compiler.ops.rounding import round_half_to_even
from exprd_compiler.ops.transcendental import exp
from exprd_compiler.ops.trigonometric import cos, sin

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
# psi'' at y >= 8: -(1 + 1/y + ...) / y**2 by the powers of 1/y**2 from 1/y**2 on, from DLMF 5.15.8
_TETRA_SERIES: Final = (0.5, -1 / 6, 1 / 6, -3 / 10, 5 / 6, -691 / 210)
_SHIFT: Final = 8


def _tetra_gamma(x: Node) -> Node:
    """The derivative of tri_gamma, to about 1e-14 of itself in float64."""
    low = lt(x, const(0.5, x.dtype))
    size = switch(low, sub(const(1, x.dtype), x), x)
    y = add(size, const(_SHIFT, x.dtype))
    inverse = reciprocal(y)
    square, series = sqr(inverse), const(0, x.dtype)
    for coefficient in reversed(_TETRA_SERIES):
        series = mul(square, add(const(coefficient, x.dtype), series))
    total = mul(square, add(add(const(1, x.dtype), inverse), series))
    for step in range(_SHIFT):  # psi''(x) = psi''(x + 1) - 2 / x**3
        term = reciprocal(add(size, const(step, x.dtype)))
        total = add(total, mul(const(2, x.dtype), mul(term, sqr(term))))
    return neg(switch(low, add(total, _reflected(x)), total))


def _reflected(x: Node) -> Node:
    """psi''(1 - x) - psi''(x) = 2 pi**3 cos(pi x) / sin(pi x)**3: DLMF 5.15.6."""
    angle = mul(sub(x, round_half_to_even(x)), const(math.pi, x.dtype))
    sine = sin(angle)
    slope = true_div(cos(angle), mul(sine, sqr(sine)))
    return mul(const(2 * math.pi**3, x.dtype), slope)


def _tri_gamma_grad(g: Node, _y: Node, x: Node) -> tuple[Node]:
    wide = "float32" if g.dtype in HALVES else g.dtype
    slope = _tetra_gamma(cast(x, dtype=wide))
    return (mul(g, cast(slope, dtype=g.dtype)),)


tri_gamma: Op = float_function(
    "tri_gamma", meaning.tri_gamma, _tri_gamma_grad, "Derivative of psi.", low=0.3, high=9
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
