"""Inverses of the error function and of its complement, in float64 for both dtypes.

Near the middle the inverse is x times a polynomial in x**2; in the tails it is w times a smooth
function of w = sqrt(-log c), c being the distance to the end. Bound: 1.5 ulp.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from exprd_compiler.backends.llvm import math_coefficients as table
from exprd_compiler.backends.llvm.math_form import (
    at_least,
    double_like,
    double_root,
    double_select,
    estrin,
    fast_two_sum,
    horner,
)
from exprd_compiler.backends.llvm.math_log import decompose, log_sum

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.arithmetic import Arithmetic
    from exprd_compiler.backends.llvm.text import Value

_LEAST: Final = 5e-324
_CENTERS: Final = (1.5, 6.0)
_FAR_FROM: Final = 5.0


def erfinv(k: Arithmetic, x: Value) -> Value:
    """The y with erf(y) = x; NaN beyond 1."""
    if x.dtype == "float32":
        return k.cast(erfinv(k, k.cast(x, "float64")), "float32")
    size = k.abs(x)
    return _inverse(k, x, k.sub(k.like(1.0, x), size), x)


def erfcinv(k: Arithmetic, x: Value) -> Value:
    """The y with erfc(y) = x; NaN outside 0 to 2."""
    if x.dtype == "float32":
        return k.cast(erfcinv(k, k.cast(x, "float64")), "float32")
    one = k.like(1.0, x)
    middle = k.sub(one, x)
    above = k.compare("gt", x, one)
    return _inverse(k, middle, k.select(above, k.sub(k.like(2.0, x), x), x), middle)


def _inverse(k: Arithmetic, x: Value, end: Value, sign: Value) -> Value:
    """erfinv(x), of which ``end`` is the distance of |x| to 1."""
    far = k.copysign(_tail(k, end), sign)
    result = k.select(k.compare("le", k.abs(x), k.like(0.5, x)), _middle(k, x), far)
    zero, nan = k.like(0.0, x), k.like(math.nan, x)
    result = k.select(k.compare("eq", end, zero), k.copysign(k.like(math.inf, x), sign), result)
    return k.select(k.compare("ge", end, zero), result, nan)


def _middle(k: Arithmetic, x: Value) -> Value:
    """erfinv(x) for |x| <= 1/2."""
    square = k.mul(x, x)
    slope, slope_rest = double_like(k, table.HALF_ROOT_PI, x)
    series = k.fma(square, estrin(k, square, table.ERFINV_F64), slope_rest)
    return k.fma(x, slope, k.mul(x, series))


def _tail(k: Arithmetic, end: Value) -> Value:
    """erfcinv(end) for 0 < end <= 1/2."""
    head, rest = log_sum(k, *decompose(k, at_least(k, end, _LEAST)))
    # a logarithm near 0 belongs to no tail, but must not become NaN
    root, root_rest = double_root(k, (at_least(k, k.neg(head), 0.5), k.neg(rest)))
    far = k.compare("gt", root, k.like(_FAR_FROM, root))
    center = k.select(far, k.like(_CENTERS[1], root), k.like(_CENTERS[0], root))
    s = k.div(k.sub(root, center), k.add(root, center))
    upper, lower = horner(k, s, table.ERFCINV_FAR_F64), horner(k, s, table.ERFCINV_NEAR_F64)
    middles = (table.ERFCINV_FAR_MIDDLE, table.ERFCINV_NEAR_MIDDLE)
    first, first_rest = double_select(k, far, *[double_like(k, value, root) for value in middles])
    slope = k.mul(s, k.select(far, upper, lower))
    ratio, lost = fast_two_sum(k, first, slope)
    lost = k.add(lost, first_rest)
    return k.fma(root, ratio, k.fma(root_rest, ratio, k.mul(root, lost)))
