"""The incomplete gamma functions P and Q, their regularized forms.

Measured in float64 against arbitrary precision, each of the two relative to its own size: within
3e-15 for orders from 1e-10 to 1e5; beyond, within 1e-15 times the sum of 1 and the size of its
logarithm. Other dtypes are computed in float64 and rounded once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from exprd_compiler.ir.dtype import DTYPES
from exprd_compiler.ir.node import Array, GradRule, Node, Op, Undefined
from exprd_compiler.ops import gamma_coefficients as table
from exprd_compiler.ops import special_numpy
from exprd_compiler.ops.arithmetic import cast, mul, neg, sub
from exprd_compiler.ops.families import elementwise, upcast_to_float
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.special import gammaln
from exprd_compiler.ops.transcendental import exp, log

_LARGE: Final = 20
_SUMMED: Final = 1e5
_FAR: Final = 3000.0
_STIRLING: Final = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)


# ---- numpy meanings: series and fraction in the widest float, Temme's form for the largest orders
def _wide(x: Any) -> Array:
    return np.asarray(x, np.longdouble)


def _two_pi() -> Array:
    return 8 * np.arctan(_wide(1))


def _factor(a: Array, x: Array) -> Array:
    """x**a exp(-x) / gamma(a + 1)."""
    small, far = np.where(a < _LARGE, a, 1), np.minimum(x, _FAR)
    low = small < 1
    divisor = special_numpy.gamma(np.where(low, small + 1, small)) * np.where(low, 1, small)
    direct = far**small * np.exp(-far) / _wide(divisor)
    large = np.maximum(a, _LARGE)
    rest = sum(_wide(c) / large ** (2 * i + 1) for i, c in enumerate(_STIRLING))
    exponent = large - x + large * np.log(x / large)
    return np.where(a < _LARGE, direct, np.exp(exponent - rest) / np.sqrt(_two_pi() * large))


def _series(a: Array, x: Array) -> Array:
    """The sum of x**n / ((a + 1) ... (a + n)), for x of the order of a at most."""
    term, total, n = np.ones_like(a), np.ones_like(a), 0
    while np.any(term > 1e-20 * total):
        n += 1
        term = term * x / (a + n)
        total = total + term
    return total


def _fraction(a: Array, x: Array) -> Array:
    """Q over the factor and the order, for x above the order: DLMF 8.9.2 as a sum."""
    b, n = x - a + 1, 0
    d = 1 / b
    difference, total = d, d
    while np.any(np.abs(difference) > 1e-20 * total):
        n += 1
        b = b + 2
        following = 1 / (n * (a - n) * d + b)
        difference = -n * (a - n) * d * following * difference
        d, total = following, total + difference
    return total


def _small(a: Array, x: Array) -> Array:
    """Q for a < 1 and x <= 1.1, without cancellation."""
    logarithm = np.log(x)
    growth = np.expm1(a * logarithm)
    ratio = np.where(a < 1e-18, logarithm, growth / np.maximum(a, 1e-300))
    excess = np.polynomial.chebyshev.chebval(2 * a - 1, table.EXCESS)
    term, series = np.ones_like(a), np.zeros_like(a)
    for n in range(1, 30):
        term = -term * x / n
        series = series + term / (a + n)
    return np.asarray(a * (excess - ratio - (growth + 1) * series) / (1 + a * excess))


def _uniform(a: Array, x: Array) -> tuple[Array, Array]:
    """P and Q of a large order by Temme's form."""
    beyond = (x - a) / a
    exponent = beyond - np.log1p(beyond)
    eta = np.copysign(np.sqrt(2 * exponent), beyond)
    held = np.clip(eta, -1.5, 1.5)
    rows = [np.polynomial.chebyshev.chebval(held / 1.5, row) for row in table.UNIFORM]
    along = 2 * _LARGE / a - 1
    smooth = sum(
        row * np.cos(n * np.arccos(along.astype(np.float64))) for n, row in enumerate(rows)
    )
    half = special_numpy.erfcx(np.abs(held) * np.sqrt(a / 2)) / 2
    tail = np.exp(-a * exponent) * (
        half + np.where(eta > 0, smooth, -smooth) / np.sqrt(_two_pi() * a)
    )
    return np.where(eta > 0, 1 - tail, tail), np.where(eta > 0, tail, 1 - tail)


def _both(a: Array, x: Array) -> tuple[Array, Array]:
    """P and Q of positive finite numbers."""
    summed = np.minimum(a, _SUMMED)
    low = x <= np.maximum(a, 1.1)
    factor = _factor(summed, x)
    lower = factor * _series(summed, np.where(low & (a <= _SUMMED), x, 0))
    order = np.where(low | (a > _SUMMED), 1, a)
    upper = factor * summed * _fraction(order, np.where(low, 1, x))
    small = _small(np.minimum(a, 1), np.minimum(x, 1.1))
    q = np.where(low, np.where(a < 1, small, 1 - lower), upper)
    p = np.where(low, lower, 1 - upper)
    far = _uniform(np.maximum(a, _SUMMED), np.where(a > _SUMMED, x, _SUMMED))
    return np.where(a > _SUMMED, far[0], p), np.where(a > _SUMMED, far[1], q)


def _meaning(which: int) -> Callable[[Array, Array], Array]:
    def meaning(order: Array, argument: Array) -> Array:
        a, x = np.broadcast_arrays(_wide(order), _wide(argument))
        usable = (a > 0) & (a < np.inf) & (x > 0) & (x < np.inf)
        value = np.clip(_both(np.where(usable, a, 1), np.where(usable, x, 1))[which], 0, 1)
        first, last = (x == 0) | (a == np.inf), (a == 0) | (x == np.inf)
        value = np.where(first, which, np.where(last, 1 - which, value))
        wrong = (a < 0) | (x < 0) | (first & last) | np.isnan(a) | np.isnan(x)
        return np.asarray(np.where(wrong, np.nan, value))

    return meaning


# ---- the ops
def _density(y: Node, a: Node, x: Node) -> Node:
    """The derivative of P by x: x**(a - 1) exp(-x) / gamma(a)."""
    order = cast(a, dtype=y.dtype)
    power = mul(sub(order, const(1, y.dtype)), log(x))
    return exp(sub(sub(power, x), gammaln(order)))


def _by_order(name: str) -> Undefined:
    return Undefined(f"{name} has no gradient by its order (as in Theano)")


def _regularized(name: str, which: int, grad: GradRule, doc: str) -> Op:
    return elementwise(
        name,
        arity=2,
        numpy=_meaning(which),
        body=lambda k, a, x: k.call(name, a, x),
        grad=grad,
        doc=doc,
        result=upcast_to_float,
        dtypes=DTYPES,
        low=0.3,
        high=9,
    )


gammainc: Op = _regularized(
    "gammainc",
    0,
    lambda g, y, a, x: (_by_order("gammainc"), mul(g, _density(y, a, x))),
    "Lower incomplete gamma function P(a, x) of order a, over gamma(a).",
)

gammaincc: Op = _regularized(
    "gammaincc",
    1,
    lambda g, y, a, x: (_by_order("gammaincc"), neg(mul(g, _density(y, a, x)))),
    "Upper incomplete gamma function Q(a, x) = 1 - P(a, x), exact where it is small.",
)
