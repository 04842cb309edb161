"""Inverse trigonometric and hyperbolic functions.

Bounds: 1.5 ulp for the inverse trigonometric functions, 1.2 for the inverse hyperbolic ones, which
are logarithms of numbers kept as head plus tail; those of float32 round once from float64.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from exprd_compiler.backends.llvm import math_coefficients as table
from exprd_compiler.backends.llvm.math_form import (
    at_most,
    double_product,
    double_quotient,
    double_root,
    fast_two_sum,
    polynomial,
    product,
    two_sum,
)
from exprd_compiler.backends.llvm.math_log import log, log_of_sum

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.arithmetic import Arithmetic
    from exprd_compiler.backends.llvm.text import Value

_LN2: Final = 0.6931471805599453
_TINY: Final = 2.0**-60
_LARGE: Final = 2.0**28  # beyond it sqrt(x**2 + 1) is x


def arctan(k: Arithmetic, x: Value) -> Value:
    """The angle whose tangent is x, between -pi/2 and pi/2."""
    one, size = k.like(1.0, x), k.abs(x)
    inverse = k.compare("gt", size, one)
    ratio = k.select(inverse, k.div(one, size), size)
    return k.copysign(_turned(k, inverse, _series(k, ratio)), x)


def arctan2(k: Arithmetic, y: Value, x: Value) -> Value:
    """The angle of the point (x, y), between -pi and pi, with the signs of zeros of C99."""
    width, height = k.abs(x), k.abs(y)
    steep = k.compare("gt", height, width)
    small, large = k.select(steep, width, height), k.select(steep, height, width)
    # 0 / 0 counts as 0 and inf / inf as 1
    ratio = k.select(k.compare("eq", small, large), k.like(1.0, x), k.div(small, large))
    ratio = k.select(k.compare("eq", small, k.like(0.0, x)), small, ratio)
    angle = _turned(k, steep, _series(k, ratio))
    left = k.compare("lt", k.bits(x), k.like(0, k.bits(x)))
    angle = k.select(left, _from_half_turn(k, angle), angle)
    undefined = k.or_(k.compare("ne", x, x), k.compare("ne", y, y))
    return k.copysign(k.select(undefined, k.add(x, y), angle), y)


def _series(k: Arithmetic, x: Value) -> Value:
    """arctan(x) for 0 <= x <= 1."""
    square = k.mul(x, x)
    return k.fma(k.mul(square, x), polynomial(k, square, (table.ARCTAN_F32, table.ARCTAN_F64)), x)


def _turned(k: Arithmetic, condition: Value, angle: Value) -> Value:
    """pi/2 - angle where the condition holds."""
    high, low = _half_pi(angle)
    opposite = k.sub(k.like(high, angle), k.sub(angle, k.like(low, angle)))
    return k.select(condition, opposite, angle)


def _from_half_turn(k: Arithmetic, angle: Value) -> Value:
    high, low = _half_pi(angle)
    return k.sub(k.like(2 * high, angle), k.sub(angle, k.like(2 * low, angle)))


def _half_pi(x: Value) -> tuple[float, ...]:
    """pi/2 in the dtype of x, as head and tail."""
    return (table.HALF_PI_F32 if x.dtype == "float32" else table.HALF_PI)[:2]


def arcsin(k: Arithmetic, x: Value) -> Value:
    """The angle whose sine is x; NaN beyond 1."""
    size = k.abs(x)
    near = k.compare("le", size, k.like(0.5, x))
    root, rest = _arcsine_terms(k, size, near)
    high, low = _half_pi(x)
    angle, error = two_sum(k, k.like(high, x), k.neg(k.add(root, root)))
    far = k.add(angle, k.add(error, k.sub(k.like(low, x), k.add(rest, rest))))
    return k.copysign(k.select(near, k.add(root, rest), far), x)


def arccos(k: Arithmetic, x: Value) -> Value:
    """The angle whose cosine is x; NaN beyond 1."""
    size = k.abs(x)
    near = k.compare("le", size, k.like(0.5, x))
    root, rest = _arcsine_terms(k, size, near)
    negative = k.compare("lt", x, k.like(0.0, x))
    high, low = _half_pi(x)
    sine = k.copysign(root, x)
    small = k.copysign(rest, x)  # the series has the sign of its argument
    middle, error = two_sum(k, k.like(high, x), k.neg(sine))
    middle = k.add(middle, k.add(error, k.sub(k.like(low, x), small)))
    double, double_rest = k.add(root, root), k.add(rest, rest)
    half_turn, error = two_sum(k, k.like(2 * high, x), k.neg(double))
    half_turn = k.add(half_turn, k.add(error, k.sub(k.like(2 * low, x), double_rest)))
    end = k.select(negative, half_turn, k.add(double, double_rest))
    return k.select(near, middle, end)


def _arcsine_terms(k: Arithmetic, size: Value, near: Value) -> tuple[Value, Value]:
    """arcsin(r) as r and a small rest: r = |x| if near, else the sine of half the angle to 1."""
    half = k.mul(k.sub(k.like(1.0, size), size), k.like(0.5, size))
    square = k.select(near, k.mul(size, size), half)
    root = k.sqrt(half)
    lost = k.fma(k.neg(root), root, half)
    zero = k.compare("eq", root, k.like(0.0, root))
    error = k.div(lost, k.select(zero, k.like(1.0, root), k.add(root, root)))
    r = k.select(near, size, root)
    tail = k.select(near, k.like(0.0, size), error)
    series = k.mul(square, polynomial(k, square, (table.ARCSIN_F32, table.ARCSIN_F64)))
    return r, k.fma(r, series, tail)


def arcsinh(k: Arithmetic, x: Value) -> Value:
    """The inverse hyperbolic sine: log1p(a + a**2 / (1 + sqrt(a**2 + 1))), the sign put back."""
    if x.dtype == "float32":
        return k.cast(arcsinh(k, k.cast(x, "float64")), "float32")
    one, size = k.like(1.0, x), k.abs(x)
    held = at_most(k, size, _LARGE)
    square = product(k, held, held)
    total, error = two_sum(k, square[0], one)
    root, rest = double_root(k, (total, k.add(error, square[1])))
    divisor, error = fast_two_sum(k, root, one)
    quotient, rest = double_quotient(k, square, (divisor, k.add(error, rest)))
    above, error = two_sum(k, held, quotient)
    near = _log_above_one(k, above, k.add(error, rest))
    tiny = k.compare("lt", size, k.like(_TINY, x))
    return k.copysign(k.select(tiny, size, _beyond_large(k, size, near)), x)


def arccosh(k: Arithmetic, x: Value) -> Value:
    """The inverse hyperbolic cosine: log1p(b + sqrt(2 b + b**2)) with b = x - 1; NaN below 1."""
    if x.dtype == "float32":
        return k.cast(arccosh(k, k.cast(x, "float64")), "float32")
    one = k.like(1.0, x)
    defined = k.compare("ge", x, one)
    held = k.select(defined, at_most(k, x, _LARGE), one)
    above, rest = two_sum(k, held, k.like(-1.0, x))
    square, error = double_product(k, (above, rest), (above, rest))
    total, lost = two_sum(k, square, k.add(above, above))
    root, root_rest = double_root(k, (total, k.add(lost, k.add(error, k.add(rest, rest)))))
    total, lost = two_sum(k, root, above)
    near = _log_above_one(k, total, k.add(lost, k.add(root_rest, rest)))
    return k.select(defined, _beyond_large(k, x, near), k.like(math.nan, x))


def _beyond_large(k: Arithmetic, x: Value, near: Value) -> Value:
    """log(2 x) where x is so large that its square would overflow or adds nothing."""
    far = k.add(log(k, x), k.like(_LN2, x))
    return k.select(k.compare("gt", x, k.like(_LARGE, x)), far, near)


def _log_above_one(k: Arithmetic, x: Value, rest: Value) -> Value:
    """log(1 + x + rest) for x >= 0 and a rest below its ulp."""
    total, error = two_sum(k, k.like(1.0, x), x)
    return log_of_sum(k, total, k.add(error, rest))


def arctanh(k: Arithmetic, x: Value) -> Value:
    """The inverse hyperbolic tangent: log1p(2 a / (1 - a)) / 2, the sign put back."""
    if x.dtype == "float32":
        return k.cast(arctanh(k, k.cast(x, "float64")), "float32")
    one, size = k.like(1.0, x), k.abs(x)
    inside = k.compare("lt", size, one)
    held = k.select(inside, size, k.like(0.0, x))
    zero = k.like(0.0, x)
    ratio, rest = double_quotient(k, (k.add(held, held), zero), two_sum(k, one, k.neg(held)))
    value = k.mul(_log_above_one(k, ratio, rest), k.like(0.5, x))
    tiny = k.compare("lt", size, k.like(_TINY, x))
    value = k.copysign(k.select(tiny, size, value), x)
    end = k.select(
        k.compare("eq", size, one), k.copysign(k.like(math.inf, x), x), k.like(math.nan, x)
    )
    return k.select(inside, value, end)
