"""The logarithm family: log, log1p, log2, log10, softplus.

A positive number is 2**n * (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)]; log1p puts the rounding
error of 1 + x back into f, and softplus the one of its exponential, so all three share one core.
Bounds: 1 ulp, 1.5 for softplus.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exprd_compiler.backends.llvm import math_coefficients as table
from exprd_compiler.backends.llvm.math_exp import EXP_BOUNDS, reduce_exp
from exprd_compiler.backends.llvm.math_form import (
    FORMS,
    at_least,
    at_most,
    double_like,
    double_product,
    estrin,
    fast_two_sum,
    horner,
    power_of_two,
    scale,
    shift_left,
    shift_right,
    two_sum,
    whole_to_float,
)

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.arithmetic import Arithmetic
    from exprd_compiler.backends.llvm.text import Value

_TWO_THIRDS = (2.0 / 3.0, 3.700743415417188e-17)
# Bit patterns of sqrt(1/2): subtracting them leaves n in the exponent field.
_SQRT_HALF_BITS = {"float32": 0x3F3504F3, "float64": 0x3FE6A09E667F3BCD}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Split:
    """x = 2**n * m; ``shift`` is n in the exponent field, to scale other numbers by 2**-n."""

    n: Value
    mantissa: Value
    shift: Value


def _split(k: Arithmetic, x: Value) -> _Split:
    form = FORMS[x.dtype]
    bits = k.bits(x)
    above = k.sub(bits, k.like(_SQRT_HALF_BITS[x.dtype], bits))
    n = shift_right(k, above, form.mantissa)
    shift = shift_left(k, n, form.mantissa)
    return _Split(n=n, mantissa=k.from_bits(k.sub(bits, shift), x.dtype), shift=shift)


def _core(k: Arithmetic, n: Value, f: Value, lost: Value | None = None) -> Value:
    """n ln2 + log1p(f + lost) for f in the reduced range; n is a float, lost below an ulp of f."""
    high, low = table.LN2_F32 if f.dtype == "float32" else table.LN2_F64
    least = k.mul(n, k.like(low, f)) if lost is None else k.fma(n, k.like(low, f), lost)
    if f.dtype == "float32":
        return _core_single(k, k.mul(n, k.like(high, f)), f, least)
    s = k.div(f, k.add(f, k.like(2.0, f)))
    z = k.mul(s, s)
    tail = k.mul(estrin(k, z, table.ATANH_F64), z)
    half_square = k.mul(k.mul(f, f), k.like(0.5, f))
    rest = k.fma(s, k.add(half_square, tail), least)
    return k.fma(n, k.like(high, f), k.sub(f, k.sub(half_square, rest)))


def _core_single(k: Arithmetic, whole: Value, f: Value, least: Value) -> Value:
    square = k.mul(f, f)
    tail = k.fma(k.mul(square, f), horner(k, f, table.LOG1P_F32), least)
    rest = k.fma(square, k.like(-0.5, f), tail)
    return k.add(whole, k.add(rest, f))


def _ends(k: Arithmetic, x: Value, y: Value, zero: float) -> Value:
    """The values of a logarithm at infinity, at its pole ``zero`` and below it."""
    infinity = k.like(math.inf, x)
    y = k.select(k.compare("eq", x, infinity), infinity, y)
    y = k.select(k.compare("eq", x, k.like(zero, x)), k.like(-math.inf, x), y)
    defined = k.compare("ge", x, k.like(zero, x))
    return k.select(defined, y, k.like(math.nan, x))


def log(k: Arithmetic, x: Value) -> Value:
    """The natural logarithm; -inf at 0, NaN below."""
    n, f = decompose(k, x)
    return _ends(k, x, _core(k, n, f), 0.0)


def decompose(k: Arithmetic, x: Value) -> tuple[Value, Value]:
    """n (a float) and f with x = 2**n * (1 + f), for a positive finite x, subnormal or not."""
    form = FORMS[x.dtype]
    small = k.compare("lt", x, k.like(form.least, x))
    raised = float(form.mantissa)
    part = _split(k, k.select(small, k.mul(x, k.like(2.0**raised, x)), x))
    lowered = k.select(small, k.like(raised, x), k.like(0.0, x))
    n = k.sub(whole_to_float(k, part.n, x.dtype), lowered)
    return n, k.sub(part.mantissa, k.like(1.0, x))


def log_sum(k: Arithmetic, n: Value, f: Value) -> tuple[Value, Value]:
    """n ln2 + log(1 + f) in float64 as head and tail, to about 68 bits.

    It is n ln2 + 2 s + s**3 (2/3 + ...) with s = f / (2 + f), every step with its error.
    """
    s = _ratio(k, f)
    z = double_product(k, s, s)
    rest = k.mul(z[0], estrin(k, z[0], table.ATANH_LONG_F64))
    third = fast_two_sum(k, k.like(_TWO_THIRDS[0], f), rest)
    third = (third[0], k.add(third[1], k.like(_TWO_THIRDS[1], f)))
    cubic = double_product(k, double_product(k, s, z), third)
    ln2_high, ln2_low = table.LN2_F64
    first = fast_two_sum(k, k.mul(n, k.like(ln2_high, n)), k.add(s[0], s[0]))
    second = fast_two_sum(k, first[0], cubic[0])
    tail = k.fma(n, k.like(ln2_low, n), k.add(k.add(s[1], s[1]), cubic[1]))
    return fast_two_sum(k, second[0], k.add(k.add(first[1], second[1]), tail))


def _ratio(k: Arithmetic, f: Value) -> tuple[Value, Value]:
    divisor, lost = fast_two_sum(k, k.like(2.0, f), f)
    inverse = k.div(k.like(1.0, f), divisor)
    head = k.mul(f, inverse)
    rest = k.fma(k.neg(head), lost, k.fma(k.neg(head), divisor, f))
    return head, k.mul(rest, inverse)


def log_of_sum(k: Arithmetic, total: Value, error: Value) -> Value:
    """log(total + error), the error being below an ulp of a total that is normal and positive."""
    part = _split(k, total)
    form = FORMS[total.dtype]
    shift = at_most(k, part.shift, (form.bias - 1) << form.mantissa)
    power = k.from_bits(k.sub(k.like(form.bias << form.mantissa, shift), shift), total.dtype)
    scaled = k.mul(error, power)
    f, lost = fast_two_sum(k, k.sub(part.mantissa, k.like(1.0, total)), scaled)
    return _core(k, whole_to_float(k, part.n, total.dtype), f, lost)


def log1p(k: Arithmetic, x: Value) -> Value:
    """log(1 + x), exact in the sense of its own size near 0; -inf at -1, NaN below."""
    total, error = two_sum(k, k.like(1.0, x), x)
    y = log_of_sum(k, total, error)
    return _ends(k, x, k.copysign(y, x), -1.0)


def log2(k: Arithmetic, x: Value) -> Value:
    """The logarithm to base 2, exact for powers of two."""
    if x.dtype == "float32":
        return _single_to_base(k, x, (1.0, 0.0), table.LOG2_E_F32)
    return _log_to_base(k, x, table.LOG2_2, table.LOG2_E)


def _single_to_base(
    k: Arithmetic, x: Value, two: tuple[float, float], e: tuple[float, float]
) -> Value:
    """n log(2) + log1p(f) log(e) in float32, logarithms of the base given as head and tail."""
    n, f = decompose(k, x)
    square = k.mul(f, f)
    tail = k.mul(k.mul(square, f), horner(k, f, table.LOG1P_F32))
    head, rest = fast_two_sum(k, f, k.fma(square, k.like(-0.5, f), tail))
    scaled, error = double_product(k, (head, rest), double_like(k, e, f))
    if two[1]:
        error = k.fma(n, k.like(two[1], n), error)
        n = k.mul(n, k.like(two[0], n))
    total, lost = fast_two_sum(k, n, scaled)
    # for n = 0 the order of the sum is wrong, but nothing is lost either
    return _ends(k, x, k.add(total, k.add(lost, error)), 0.0)


def log10(k: Arithmetic, x: Value) -> Value:
    """The logarithm to base 10, exact for powers of ten."""
    if x.dtype == "float32":
        return _single_to_base(k, x, table.LOG10_2_F32, table.LOG10_E_F32)
    return _log_to_base(k, x, table.LOG10_2, table.LOG10_E)


def _log_to_base(
    k: Arithmetic, x: Value, two: tuple[float, float], e: tuple[float, float]
) -> Value:
    """n log(2) + log(1 + f) log(e) in float64, logarithms of the base given as head and tail."""
    n, f = decompose(k, x)
    part = log_sum(k, k.like(0.0, n), f)
    scaled = double_product(k, part, (k.like(e[0], f), k.like(e[1], f)))
    total = fast_two_sum(k, k.mul(n, k.like(two[0], n)), scaled[0])
    tail = k.fma(n, k.like(two[1], n), k.add(total[1], scaled[1]))
    return _ends(k, x, k.add(total[0], tail), 0.0)


def softplus(k: Arithmetic, x: Value) -> Value:
    """log(1 + e**x) = max(x, 0) + log1p(e**-|x|)."""
    one = k.like(1.0, x)
    part = reduce_exp(k, at_least(k, k.neg(k.abs(x)), EXP_BOUNDS[x.dtype].zero))
    mantissa, rest = fast_two_sum(k, one, part.high)
    total, error = fast_two_sum(k, one, scale(k, mantissa, part.n))
    # one below the least exponent has the bits of 0: a subnormal power has no tail
    power = power_of_two(k, at_least(k, part.n, -FORMS[x.dtype].bias), x.dtype)
    error = k.fma(k.add(rest, part.low), power, error)
    return k.add(k.maximum(x, k.like(0.0, x)), log_of_sum(k, total, error))
