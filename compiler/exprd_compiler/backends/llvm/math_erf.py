"""The error function and its complement, in float64 for both dtypes.

Below 1 erf is its series; elsewhere everything comes from erfc(x) = exp(-x**2) g(t) / (1 + 2 x) for
x >= 0 with t = (x - 4) / (x + 4), where g is smooth and -x**2 enters as head plus tail. Bounds: 1
ulp for erf, 3 for erfc.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exprd_compiler.backends.llvm import math_coefficients as table
from exprd_compiler.backends.llvm.math_exp import EXP_BOUNDS, exp_sum
from exprd_compiler.backends.llvm.math_form import at_least, at_most, estrin, horner, product, scale

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.arithmetic import Arithmetic
    from exprd_compiler.backends.llvm.text import Value

_ZERO_FROM = 28.0  # erfc is 0 from here on


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


def _series(k: Arithmetic, x: Value) -> Value:
    """erf(x) for 0 <= x <= 1."""
    held = at_most(k, x, 1.0)
    return k.fma(held, estrin(k, k.mul(held, held), table.ERF_F64), held)


def _complement(k: Arithmetic, x: Value) -> Value:
    """erfc(x) for x >= 0."""
    x = at_most(k, x, _ZERO_FROM)
    four, one = k.like(4.0, x), k.like(1.0, x)
    t = k.div(k.sub(x, four), k.add(x, four))
    smooth = k.div(horner(k, t, table.ERFCX_F64), k.add(k.add(x, x), one))
    square, error = product(k, x, x)
    exponent = at_least(k, k.neg(square), EXP_BOUNDS[x.dtype].zero)
    head, tail, n = exp_sum(k, exponent, k.neg(error))
    return scale(k, k.fma(head, smooth, k.mul(tail, smooth)), n)
