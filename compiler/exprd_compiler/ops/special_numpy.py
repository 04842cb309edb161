"""The numpy meanings of the special functions that numpy itself lacks.

They are written for exactness, not for speed, in the widest float that numpy has: recurrences,
continued fractions and Newton's steps rather than fitted polynomials, so that they share nothing
with native code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from exprd_compiler.ir.node import Array

_BERNOULLI: Final = (
    *((1, 6), (-1, 30), (1, 42), (-1, 30), (5, 66)),
    *((-691, 2730), (7, 6), (-3617, 510), (43867, 798), (-174611, 330)),
)
_ASYMPTOTIC_FROM: Final = 14
_FRACTION_TERMS: Final = 150
_NEWTON_STEPS: Final = 8


def _each(function: Callable[[float], float]) -> Callable[[Array], Array]:
    """A function of python's math module, element by element."""
    lifted = np.frompyfunc(function, 1, 1)

    def meaning(x: Array) -> Array:
        return np.asarray(lifted(x.astype(np.float64)), np.float64)

    return meaning


def _wide(x: Any) -> Array:
    return np.asarray(x, np.longdouble)


# ---- gamma and its logarithm
def _gamma_of(x: float) -> float:
    if x == 0 or abs(x) == math.inf:
        return math.nan if x == -math.inf else math.copysign(math.inf, x)
    if x < 0 and x == math.floor(x):
        return math.nan
    try:
        return math.gamma(x)
    except OverflowError:
        return math.copysign(math.inf, x)


def _gammaln_of(x: float) -> float:
    if abs(x) == math.inf or (x <= 0 and x == math.floor(x)):
        return math.inf
    try:
        return math.lgamma(x)
    except OverflowError:
        return math.inf


gamma: Final = _each(_gamma_of)
gammaln: Final = _each(_gammaln_of)


# ---- derivatives of the logarithm
def _is_pole(x: Array) -> Array:
    return np.asarray((x <= 0) & (np.floor(x) == x))


def _turned(x: Array) -> Array:
    """pi times what x is beyond the nearest whole number."""
    return np.asarray((x - np.rint(x)) * (4 * np.arctan(_wide(1))))


def psi(x: Array) -> Array:
    """The digamma function: moved up by its recurrence, then its asymptotic series."""
    wide = _wide(x)
    below = wide < 0
    start = np.where(below, 1 - wide, wide)
    total = np.zeros_like(start)
    for _ in range(_ASYMPTOTIC_FROM):
        total, start = total - 1 / start, start + 1
    total = total + np.log(start) - 1 / (2 * start)
    for i, (p, q) in enumerate(_BERNOULLI, 1):
        total = total - _wide(p) / (_wide(q) * 2 * i * start ** (2 * i))
    angle = _turned(wide)
    reflected = total - 4 * np.arctan(_wide(1)) / np.tan(angle)
    total = np.where(below, reflected, np.where(wide == np.inf, wide, total))
    total = np.where(wide == 0, -np.copysign(np.inf, wide), total)
    return np.asarray(np.where(_is_pole(wide) & below, np.nan, total))


def tri_gamma(x: Array) -> Array:
    """The derivative of psi, in the same way."""
    wide = _wide(x)
    below = wide < 0
    start = np.where(below, 1 - wide, wide)
    total = np.zeros_like(start)
    for _ in range(_ASYMPTOTIC_FROM):
        total, start = total + 1 / start**2, start + 1
    total = total + 1 / start + 1 / (2 * start**2)
    for i, (p, q) in enumerate(_BERNOULLI, 1):
        total = total + _wide(p) / (_wide(q) * start ** (2 * i + 1))
    pi = 4 * np.arctan(_wide(1))
    total = np.where(below, (pi / np.sin(_turned(wide))) ** 2 - total, total)
    total = np.where(_is_pole(wide), np.inf, np.where(wide == np.inf, 0, total))
    return np.asarray(np.where(wide == -np.inf, np.nan, total))


# ---- error functions
erf: Final = _each(math.erf)
erfc: Final = _each(math.erfc)


def _fraction(x: Array) -> Array:
    """exp(x**2) erfc(x) for x >= 1, by its continued fraction."""
    rest = x
    for i in range(_FRACTION_TERMS, 0, -1):
        rest = x + _wide(i) / 2 / rest
    return np.asarray(1 / (rest * np.sqrt(4 * np.arctan(_wide(1)))))


def erfcx(x: Array) -> Array:
    """exp(x**2) erfc(x)."""
    wide = _wide(x)
    far = _fraction(np.maximum(wide, 1))
    near = np.minimum(wide, 1)
    scaled = np.exp(near * near) * _wide(erfc(near))
    value = np.where(wide >= 1, far, np.where(wide < -27, np.inf, scaled))
    return np.asarray(np.where(np.isnan(wide), wide, value))


def _erfinv_middle(x: Array) -> Array:
    """Newton's steps on erf, for |x| <= 0.9."""
    half_root = np.sqrt(np.arctan(_wide(1)))
    y = x * half_root
    for _ in range(_NEWTON_STEPS):
        y = y - (_wide(erf(y)) - x) * half_root * np.exp(y * y)
    return y


def _erfcinv_tail(x: Array) -> Array:
    """Newton's steps on the logarithm of erfc, for 0 < x <= 0.1."""
    height = -np.log(x)
    y = np.sqrt(height - np.log(height) / 2)
    slope = 1 / np.sqrt(np.arctan(_wide(1)))
    for _ in range(_NEWTON_STEPS):
        scaled = _fraction(y)
        y = y + (np.log(scaled) - y * y + height) * scaled / slope
    return y


def _inverse(x: Array, end: Array) -> Array:
    """erfinv(x), given the distance of |x| to 1 as well."""
    middle = _erfinv_middle(np.clip(x, -0.9, 0.9))
    tail = _erfcinv_tail(np.clip(end, np.finfo(np.float64).smallest_subnormal, 0.1))
    value = np.where(end < 0.1, np.copysign(tail, x), middle)
    value = np.where(end == 0, np.copysign(np.inf, x), value)
    value = np.where((x == 0) | ~(end >= 0), np.where(x == 0, x, np.nan), value)
    return np.asarray(value)


def erfinv(x: Array) -> Array:
    """The y with erf(y) = x."""
    wide = _wide(x)
    return _inverse(wide, 1 - np.abs(wide))


def erfcinv(x: Array) -> Array:
    """The y with erfc(y) = x."""
    wide = _wide(x)
    return _inverse(1 - wide, np.where(wide > 1, 2 - wide, wide))
