"""The error function and its relatives, in float64 for both dtypes.

Below 1 erf is its series; elsewhere everything comes from erfc(x) = exp(-x**2) g(t) / (1 + 2 x) for
x >= 0 with t = (x - 4) / (x + 4), where g is smooth, and both the power and the quotient are kept
as head plus tail. Bounds: 1 ulp for erf, 1.5 for erfc, 2 for erfcx.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from exprd_compiler.backends.llvm import math_coefficients as table
from exprd_compiler.backends.llvm.math_exp import EXP_BOUNDS, exp_sum
from exprd_compiler.backends.llvm.math_form import (
    at_least,
    at_most,
    double_quotient,
    estrin,
    fast_two_sum,
    horner,
    product,
    scale,
)

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.arithmetic import Arithmetic
    from exprd_compiler.backends.llvm.text import Value

_ZERO_FROM: Final = 28.0  # erfc is 0 from here on
_INFINITE_BELOW: Final = -27.0  # erfcx is inf from here down
_LARGEST: Final = 1.7976931348623157e308


def erf(k: Arithmetic, x: Value) -> Value:
    """The error function."""
    if x.dtype == "float32":
        return k.cast(erf(k, k.cast(x, "float64")), "float32")
    one, size = k.like(1.0, x), k.abs(x)
    far = k.sub(one, _complement(k, size))
    return k.copysign(k.select(k.compare("lt", size, one), _series(k, size), far), x)


def erfc(k: Arithmetic, x: Value) -> Value:
    """1 - erf(x), exact in the sense of its own size for large x."""
    if x.dtype == "float32":
        return k.cast(erfc(k, k.cast(x, "float64")), "float32")
    size = k.abs(x)
    near = k.compare("lt", size, k.like(0.5, x))
    upper = k.select(near, k.sub(k.like(1.0, x), _series(k, size)), _complement(k, size))
    negative = k.compare("lt", x, k.like(0.0, x))
    return k.select(negative, k.sub(k.like(2.0, x), upper), upper)


def erfcx(k: Arithmetic, x: Value) -> Value:
    """exp(x**2) erfc(x): a slow decline for large x, inf far below 0."""
    if x.dtype == "float32":
        return k.cast(erfcx(k, k.cast(x, "float64")), "float32")
    size, half, zero = k.abs(x), k.like(0.5, x), k.like(0.0, x)
    far = k.add(*_scaled_complement(k, at_most(k, size, _LARGEST)))
    square, error = product(k, *[at_most(k, size, -_INFINITE_BELOW)] * 2)
    head, tail, n = exp_sum(k, square, error)
    series = k.copysign(_series(k, size), x)
    near_value, lost = fast_two_sum(k, k.like(1.0, x), k.neg(series))
    near = k.fma(head, near_value, k.fma(tail, near_value, k.mul(head, lost)))
    near = scale(k, near, n)
    double = k.add(n, k.like(1, n))
    left = k.sub(scale(k, k.add(head, tail), double), far)
    result = k.select(k.compare("lt", x, zero), left, far)
    result = k.select(k.compare("lt", size, half), near, result)
    result = k.select(k.compare("lt", x, k.like(_INFINITE_BELOW, x)), k.like(math.inf, x), result)
    return k.select(k.compare("eq", x, k.like(math.inf, x)), zero, result)


def _series(k: Arithmetic, x: Value) -> Value:
    """erf(x) for 0 <= x <= 1."""
    held = at_most(k, x, 1.0)
    return k.fma(held, estrin(k, k.mul(held, held), table.ERF_F64), held)


def _scaled_complement(k: Arithmetic, x: Value) -> tuple[Value, Value]:
    """exp(x**2) erfc(x) for 1/2 <= x as head and tail."""
    four, half = k.like(4.0, x), k.like(0.5, x)
    t = k.div(k.sub(x, four), k.add(x, four))
    first = k.like(table.ERFCX_F64[0], x)
    rest = horner(k, t, table.ERFCX_F64[1:])
    smooth = k.fma(t, rest, first)
    lost = k.fma(t, rest, k.sub(first, smooth))
    numerator = (k.mul(smooth, half), k.mul(lost, half))  # so that 2 x does not overflow
    return double_quotient(k, numerator, fast_two_sum(k, x, half))


def _complement(k: Arithmetic, x: Value) -> Value:
    """erfc(x) for x >= 1/2."""
    x = at_most(k, x, _ZERO_FROM)
    smooth, smooth_rest = _scaled_complement(k, x)
    square, error = product(k, x, x)
    exponent = at_least(k, k.neg(square), EXP_BOUNDS[x.dtype].zero)
    head, tail, n = exp_sum(k, exponent, k.neg(error))
    value, lost = product(k, head, smooth)
    lost = k.add(lost, k.fma(head, smooth_rest, k.mul(tail, smooth)))
    return scale(k, k.add(value, lost), n)
