"""Cube root and hypotenuse. Bounds: 0.6 ulp; hypot of float32 rounds once from float64."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from exprd_compiler.backends.llvm import math_coefficients as table
from exprd_compiler.backends.llvm.math_form import (
    FORMS,
    double_root,
    fast_two_sum,
    polynomial,
    power_of_two,
    product,
)
from exprd_compiler.backends.llvm.math_log import decompose

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.arithmetic import Arithmetic
    from exprd_compiler.backends.llvm.text import Value

_SCALE: Final = 2.0**600
_LARGE: Final = 2.0**500
_SMALL: Final = 2.0**-400


def cbrt(k: Arithmetic, x: Value) -> Value:
    """The cube root: a rough polynomial, Halley's step, and Newton's with an exact residue."""
    size = k.abs(x)
    number, fraction = decompose(k, size)
    form, one = FORMS[x.dtype], k.like(1.0, x)
    shifted = k.fma(number, k.like(1 / 3, x), k.like(form.magic, x))
    third = k.sub(shifted, k.like(form.magic, x))
    left = k.fma(third, k.like(-3.0, x), number)  # -1, 0 or 1
    mantissa = k.add(fraction, one)
    factor = _by_sign(k, left, (1 / table.CBRT_2[0], 1.0, table.CBRT_2[0]))
    root = k.mul(polynomial(k, mantissa, (table.CBRT_F32, table.CBRT_F64)), factor)
    root = _polished(k, root, k.mul(mantissa, _by_sign(k, left, (0.5, 1.0, 2.0))))
    exponent = k.sub(k.bits(shifted), k.like(form.magic_bits, k.bits(shifted)))
    root = k.mul(root, power_of_two(k, exponent, x.dtype))
    usable = k.and_(k.compare("gt", size, k.like(0.0, x)), k.compare("lt", size, _infinity(k, x)))
    return k.select(usable, k.copysign(root, x), x)


def _polished(k: Arithmetic, y: Value, m: Value) -> Value:
    """The cube root of m from one that is right to a few millionths."""
    if y.dtype == "float64":  # for float32 the step below is enough
        cube = k.mul(k.mul(y, y), y)
        above, below = k.add(k.add(m, m), cube), k.add(k.add(cube, cube), m)
        y = k.mul(y, k.div(above, below))
    square, error = product(k, y, y)
    cube, cube_error = product(k, square, y)
    rest = k.sub(k.sub(k.sub(m, cube), cube_error), k.mul(error, y))
    return k.add(y, k.div(rest, k.mul(square, k.like(3.0, y))))


def _by_sign(k: Arithmetic, sign: Value, values: tuple[float, float, float]) -> Value:
    """The value for -1, 0 or 1."""
    zero = k.like(0.0, sign)
    low, middle, high = (k.like(value, sign) for value in values)
    upper = k.select(k.compare("gt", sign, zero), high, middle)
    return k.select(k.compare("lt", sign, zero), low, upper)


def _infinity(k: Arithmetic, x: Value) -> Value:
    return k.like(math.inf, x)


def hypot(k: Arithmetic, x: Value, y: Value) -> Value:
    """sqrt(x**2 + y**2) without overflow on the way; inf if either is, even beside NaN."""
    if x.dtype == "float32":
        return k.cast(_of_singles(k, k.cast(x, "float64"), k.cast(y, "float64")), "float32")
    a, b = k.abs(x), k.abs(y)
    higher = k.compare("lt", a, b)
    large, small = k.select(higher, b, a), k.select(higher, a, b)
    over = k.compare("gt", large, k.like(_LARGE, x))
    under = k.compare("lt", large, k.like(_SMALL, x))
    up, down, one = k.like(_SCALE, x), k.like(1 / _SCALE, x), k.like(1.0, x)
    factor = k.select(over, down, k.select(under, up, one))
    back = k.select(over, up, k.select(under, down, one))
    return _ends(k, a, b, k.mul(_leg_sum(k, k.mul(large, factor), k.mul(small, factor)), back))


def _leg_sum(k: Arithmetic, large: Value, small: Value) -> Value:
    square, error = product(k, large, large)
    other, other_error = product(k, small, small)
    total, rest = fast_two_sum(k, square, other)
    return k.add(*double_root(k, (total, k.add(rest, k.add(error, other_error)))))


def _of_singles(k: Arithmetic, x: Value, y: Value) -> Value:
    """float64 holds the squares of float32 numbers without overflow."""
    return _ends(k, k.abs(x), k.abs(y), k.sqrt(k.fma(x, x, k.mul(y, y))))


def _ends(k: Arithmetic, a: Value, b: Value, value: Value) -> Value:
    infinite = k.or_(k.compare("eq", a, _infinity(k, a)), k.compare("eq", b, _infinity(k, b)))
    undefined = k.or_(k.compare("ne", a, a), k.compare("ne", b, b))
    value = k.select(undefined, k.like(math.nan, a), value)
    return k.select(infinite, _infinity(k, a), value)
