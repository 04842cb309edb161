"""Bessel functions of order 0 and 1: j0 and j1 of the first kind, i0 and i1 modified.

Chebyshev series near 0, Hankel's asymptotic forms beyond 8 (Abramowitz and Stegun, 9.2 and 9.7; the
coefficients are our own, see `tools.fit_bessel`). Computed in float64 for every dtype. Measured
against arbitrary precision in float64: i0 and i1 within 3e-15 of the value; j0 and j1 within 1e-14
of the value up to 8, next to their zeros too, and from there on within 6e-16 times the height of
the wave, the root of 2 / (pi x).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from exprd_compiler.ir.dtype import DTYPES
from exprd_compiler.ir.node import Array, GradRule, Node, Op
from exprd_compiler.ops import bessel_coefficients as table
from exprd_compiler.ops.arithmetic import mul, neg, sub, true_div
from exprd_compiler.ops.families import elementwise, upcast_to_float
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import eq, switch

_WIDE: Final = "float64"
_EDGE: Final = 8.0
_TINY: Final = 2.0**-28


# ---- bodies
def _number(k: Any, value: float) -> Any:
    return k.const(value, _WIDE)


def _series(k: Any, coefficients: Sequence[float], t: Any) -> Any:
    """Clenshaw's recurrence."""
    twice = k.add(t, t)
    one, two = _number(k, coefficients[-1]), _number(k, 0.0)
    for c in reversed(coefficients[1:-1]):
        one, two = k.fma(twice, one, k.sub(_number(k, c), two)), one
    return k.fma(t, one, k.sub(_number(k, coefficients[0]), two))


def _signed(k: Any, order: int, x: Any, magnitude: Any) -> Any:
    """The value for x from that for |x|: even for order 0, odd for order 1."""
    if not order:
        return magnitude
    return k.mul(magnitude, k.call("copysign", _number(k, 1.0), x))  # so that -0 gives -0


def _by_half(k: Any, size: Any, value: Any) -> Any:
    """What functions of order 1 are next to 0: half of x, to the last bit."""
    tiny = k.compare("lt", size, _number(k, _TINY))
    return k.select(tiny, k.mul(size, _number(k, 0.5)), value)


def _growing(order: int) -> Callable[[Any, Any], Any]:
    near, far = (table.I0_NEAR, table.I0_FAR) if not order else (table.I1_NEAR, table.I1_FAR)

    def body(k: Any, given: Any) -> Any:
        x = k.cast(given, _WIDE)
        size = k.abs(x)
        one = _number(k, 1.0)
        below = _series(k, near, k.fma(size, _number(k, 0.25), _number(k, -1.0)))
        below = k.mul(below, size) if order else below
        least = k.maximum(size, _number(k, _EDGE))
        above = _series(k, far, k.sub(k.div(_number(k, 16.0), least), one))
        above = k.div(above, k.call("sqrt", least))
        scaled = k.select(k.compare("le", size, _number(k, _EDGE)), below, above)
        # in two factors, since exp overflows before the function does
        half = k.call("exp", k.mul(size, _number(k, 0.5)))
        value = k.mul(k.mul(scaled, half), half)
        endless = k.compare("eq", size, _number(k, math.inf))
        value = k.select(endless, size, value)
        value = k.select(k.compare("ne", x, x), x, _by_half(k, size, value) if order else value)
        return k.cast(_signed(k, order, x, value), given.dtype)

    return body


def _off_zero(k: Any, size: Any, zero: Sequence[float]) -> Any:
    """size**2 less the square of a zero, without cancellation."""
    head, tail = _number(k, zero[0]), _number(k, zero[1])
    return k.mul(k.sub(k.sub(size, head), tail), k.add(size, head))


def _waving(order: int) -> Callable[[Any, Any], Any]:
    near, p, q, zeros = (
        (table.J0_NEAR, table.J0_P, table.J0_Q, (table.J0_ZERO_1, table.J0_ZERO_2))
        if not order
        else (table.J1_NEAR, table.J1_P, table.J1_Q, (table.J1_ZERO_1, table.J1_ZERO_2))
    )

    def far(k: Any, size: Any) -> Any:
        least = k.maximum(size, _number(k, _EDGE))
        ratio = k.div(_number(k, _EDGE), least)
        t = k.fma(k.add(ratio, ratio), ratio, _number(k, -1.0))
        level, tilt = _series(k, p, t), k.mul(ratio, _series(k, q, t))
        # cos(x - pi/4) and the like, by the cosine and the sine of x itself, times root 2
        cos, sin = k.call("cos", least), k.call("sin", least)
        even, odd = k.add(sin, cos), k.sub(sin, cos)
        first, second = (odd, k.neg(even)) if order else (even, odd)
        wave = k.sub(k.mul(level, first), k.mul(tilt, second))
        return k.div(wave, k.call("sqrt", k.mul(_number(k, math.pi), least)))

    def body(k: Any, given: Any) -> Any:
        x = k.cast(given, _WIDE)
        size = k.abs(x)
        inside = k.minimum(size, _number(k, _EDGE))
        t = k.fma(k.mul(inside, inside), _number(k, 1 / 32), _number(k, -1.0))
        below = _series(k, near, t)
        for zero in zeros:
            below = k.mul(below, _off_zero(k, inside, zero))
        below = k.mul(below, inside) if order else below
        value = k.select(k.compare("le", size, _number(k, _EDGE)), below, far(k, size))
        value = k.select(k.compare("eq", size, _number(k, math.inf)), _number(k, 0.0), value)
        value = k.select(k.compare("ne", x, x), x, _by_half(k, size, value) if order else value)
        return k.cast(_signed(k, order, x, value), given.dtype)

    return body


# ---- numpy meanings: the same forms, summed by numpy
def _sum(coefficients: Sequence[float], t: Array) -> Array:
    return np.asarray(np.polynomial.chebyshev.chebval(t, coefficients))


def _signed_numpy(order: int, x: Array, value: Array) -> Array:
    if not order:
        return value
    value = np.where(np.abs(x) < _TINY, np.abs(x) / 2, value)
    return np.asarray(value * np.copysign(1.0, x))


def _growing_numpy(order: int) -> Callable[[Array], Array]:
    near, far = (table.I0_NEAR, table.I0_FAR) if not order else (table.I1_NEAR, table.I1_FAR)

    def meaning(given: Array) -> Array:
        x = given.astype(_WIDE)
        size, least = np.abs(x), np.maximum(np.abs(x), _EDGE)
        below = _sum(near, size / 4 - 1) * size**order
        scaled = np.where(size <= _EDGE, below, _sum(far, 16 / least - 1) / np.sqrt(least))
        value = np.where(np.isinf(size), size, scaled * np.exp(size / 2) * np.exp(size / 2))
        return _signed_numpy(order, x, value).astype(given.dtype)

    return meaning


def _waving_numpy(order: int) -> Callable[[Array], Array]:
    zeros = (table.J1_ZERO_1, table.J1_ZERO_2) if order else (table.J0_ZERO_1, table.J0_ZERO_2)
    near, p, q = (
        (table.J1_NEAR, table.J1_P, table.J1_Q)
        if order
        else (table.J0_NEAR, table.J0_P, table.J0_Q)
    )

    def meaning(given: Array) -> Array:
        x = given.astype(_WIDE)
        size = np.abs(x)
        inside, least = np.minimum(size, _EDGE), np.maximum(size, _EDGE)
        below = _sum(near, inside**2 / 32 - 1) * inside**order
        for head, tail in zeros:
            below = below * ((inside - head - tail) * (inside + head))
        ratio = _EDGE / least
        t = 2 * ratio**2 - 1
        even, odd = np.sin(least) + np.cos(least), np.sin(least) - np.cos(least)
        first, second = (odd, -even) if order else (even, odd)
        wave = _sum(p, t) * first - ratio * _sum(q, t) * second
        value = np.where(size <= _EDGE, below, wave / np.sqrt(math.pi * least))
        value = np.where(np.isinf(size), 0.0, value)
        return _signed_numpy(order, x, value).astype(given.dtype)

    return meaning


# ---- the ops
def _by_x(y: Node, x: Node) -> Node:
    """y / x for a function y of order 1, and its limit at 0."""
    at_zero = eq(x, const(0, x.dtype))
    safe = switch(at_zero, const(1, x.dtype), x)
    return switch(at_zero, const(0.5, y.dtype), true_div(y, safe))


def _bessel(
    name: str, numpy: Callable[[Array], Array], body: Any, grad: GradRule, doc: str, high: float
) -> Op:
    return elementwise(
        name,
        arity=1,
        numpy=numpy,
        body=body,
        grad=grad,
        doc=doc,
        result=upcast_to_float,
        dtypes=DTYPES,
        low=-high,
        high=high,
    )


j1: Op = _bessel(
    "j1",
    _waving_numpy(1),
    _waving(1),
    lambda g, y, x: (mul(g, sub(j0(x), _by_x(y, x))),),
    "Bessel function of the first kind of order 1.",
    12,
)

j0: Op = _bessel(
    "j0",
    _waving_numpy(0),
    _waving(0),
    lambda g, _y, x: (neg(mul(g, j1(x))),),
    "Bessel function of the first kind of order 0.",
    12,
)

i1: Op = _bessel(
    "i1",
    _growing_numpy(1),
    _growing(1),
    lambda g, y, x: (mul(g, sub(i0(x), _by_x(y, x))),),
    "Modified Bessel function of the first kind of order 1.",
    3,
)

i0: Op = _bessel(
    "i0",
    _growing_numpy(0),
    _growing(0),
    lambda g, _y, x: (mul(g, i1(x)),),
    "Modified Bessel function of the first kind of order 0.",
    3,
)
