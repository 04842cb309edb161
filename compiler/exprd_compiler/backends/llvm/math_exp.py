"""The exponential family: exp, exp2, expm1, sigmoid, tanh, sinh, cosh.

All start from one reduction, x = n ln2 + r with |r| <= ln2/2, and one polynomial for exp(r) - 1
that is kept as head plus tail, so that sums after it round once. Bounds: 1.1 ulp for exp and exp2,
1.5 for expm1, cosh and sinh, 2 for sigmoid and tanh.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from exprd_compiler.backends.llvm import math_coefficients as table
from exprd_compiler.backends.llvm.math_form import (
    FORMS,
    at_least,
    at_most,
    clamp,
    double_quotient,
    estrin,
    fast_two_sum,
    horner,
    power_of_two,
    product,
    scale,
    two_sum,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exprd_compiler.backends.llvm.arithmetic import Arithmetic
    from exprd_compiler.backends.llvm.text import Value

_LOG2_E = 1.4426950408889634
_TINY = 2.0**-60


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpBounds:
    """Arguments beyond which exp is 0 or inf, expm1 is -1, tanh is 1."""

    zero: float
    infinity: float
    minus_one: float
    one: float


EXP_BOUNDS: Mapping[str, ExpBounds] = MappingProxyType(
    {
        "float32": ExpBounds(zero=-104.0, infinity=89.0, minus_one=-18.0, one=10.0),
        "float64": ExpBounds(zero=-746.0, infinity=710.0, minus_one=-40.0, one=22.0),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduced:
    """exp(x) = 2**n * (1 + high + low), n an integer of the width of x."""

    n: Value
    high: Value
    low: Value


def reduce_exp(k: Arithmetic, x: Value) -> Reduced:
    """Split exp(x) for an x within the bounds of its dtype."""
    form = FORMS[x.dtype]
    magic = k.like(form.magic, x)
    shifted = k.fma(x, k.like(_LOG2_E, x), magic)
    whole = k.neg(k.sub(shifted, magic))
    n = k.sub(k.bits(shifted), k.like(form.magic_bits, k.bits(shifted)))
    ln2_high, ln2_low = table.LN2_F32 if x.dtype == "float32" else table.LN2_F64
    exact = k.fma(whole, k.like(ln2_high, x), x)
    r = k.fma(whole, k.like(ln2_low, x), exact)
    lost = k.fma(whole, k.like(ln2_low, x), k.sub(exact, r))
    return _expand(k, n, r, lost)


def _expand(k: Arithmetic, n: Value, r: Value, lost: Value) -> Reduced:
    """2**n * exp(r + lost) for |r| <= ln2/2."""
    square = k.mul(r, r)
    tail = _expm1_polynomial(k, r)
    high = k.fma(square, tail, r)
    low = k.add(k.fma(square, tail, k.sub(r, high)), lost)
    return Reduced(n=n, high=high, low=low)


def _expm1_polynomial(k: Arithmetic, r: Value) -> Value:
    if r.dtype == "float32":
        return horner(k, r, table.EXPM1_F32)
    return estrin(k, r, table.EXPM1_F64)


def exp(k: Arithmetic, x: Value) -> Value:
    """e**x."""
    bounds = EXP_BOUNDS[x.dtype]
    part = reduce_exp(k, clamp(k, x, bounds.zero, bounds.infinity))
    return scale(k, k.add(k.like(1.0, x), part.high), part.n)


def exp_sum(k: Arithmetic, x: Value, tail: Value) -> tuple[Value, Value, Value]:
    """e**(x + tail) as (head + rest) * 2**n, x within the bounds, tail below its ulp."""
    part = reduce_exp(k, x)
    head, error = fast_two_sum(k, k.like(1.0, x), part.high)
    return head, k.fma(tail, head, k.add(error, part.low)), part.n


def exp2(k: Arithmetic, x: Value) -> Value:
    """2**x, exact for whole numbers."""
    form = FORMS[x.dtype]
    lowest, highest = float(-form.bias - form.mantissa - 2), float(form.bias + 2)
    x = clamp(k, x, lowest, highest)
    magic = k.like(form.magic, x)
    shifted = k.add(x, magic)
    n = k.sub(k.bits(shifted), k.like(form.magic_bits, k.bits(shifted)))
    fraction = k.sub(x, k.sub(shifted, magic))
    ln2 = table.LN2_HALVES_F32 if x.dtype == "float32" else table.LN2_HALVES_F64
    r, error = product(k, fraction, k.like(ln2[0], x))
    part = _expand(k, n, r, k.fma(fraction, k.like(ln2[1], x), error))
    return scale(k, k.add(k.like(1.0, x), part.high), part.n)


def sinh(k: Arithmetic, x: Value) -> Value:
    """The hyperbolic sine: h + h / (2 h + 1) with 2 h = e**|x| - 1, the sign put back."""
    bounds = EXP_BOUNDS[x.dtype]
    size = k.abs(x)
    held = at_most(k, size, bounds.one)
    half, lost = fast_two_sum(k, *expm1_sum(k, held))
    divisor, error = two_sum(k, k.add(half, half), k.like(1.0, x))
    rest = k.add(error, k.add(lost, lost))
    quotient, quotient_rest = double_quotient(k, (half, lost), (divisor, rest))
    total, error = fast_two_sum(k, half, quotient)
    small = k.add(total, k.add(error, k.add(quotient_rest, lost)))
    result = k.select(k.compare("gt", size, held), _half_exp(k, size), small)
    tiny = k.compare("lt", size, k.like(_TINY, x))
    return k.select(tiny, x, k.copysign(result, x))


def cosh(k: Arithmetic, x: Value) -> Value:
    """The hyperbolic cosine: e**|x| / 2 + e**-|x| / 2."""
    half = _half_exp(k, k.abs(x))
    return k.add(half, k.div(k.like(0.25, x), half))


def _half_exp(k: Arithmetic, x: Value) -> Value:
    """e**x / 2 without an early overflow, for x >= 0."""
    part = reduce_exp(k, at_most(k, x, EXP_BOUNDS[x.dtype].infinity + 1.0))
    return scale(k, k.add(k.like(1.0, x), part.high), k.sub(part.n, k.like(1, part.n)))


def expm1_sum(k: Arithmetic, x: Value) -> tuple[Value, Value]:
    """e**x - 1 halved, as head plus tail, for an x within the bounds."""
    part = reduce_exp(k, x)
    half_power = power_of_two(k, k.sub(part.n, k.like(1, part.n)), x.dtype)
    base = k.sub(half_power, k.like(0.5, x))
    high = k.fma(half_power, part.high, base)
    rest = k.fma(half_power, part.high, k.sub(base, high))
    return high, k.fma(half_power, part.low, rest)


def expm1(k: Arithmetic, x: Value) -> Value:
    """e**x - 1, exact in the sense of its own size near 0."""
    bounds = EXP_BOUNDS[x.dtype]
    high, low = expm1_sum(k, clamp(k, x, bounds.minus_one, bounds.infinity))
    half = k.add(high, low)
    tiny = k.compare("lt", k.abs(x), k.like(_TINY, x))  # halving would lose subnormal bits and -0
    return k.select(tiny, x, k.add(half, half))


def sigmoid(k: Arithmetic, x: Value) -> Value:
    """1 / (1 + e**-x), with full relative precision on both sides."""
    part = reduce_exp(k, at_least(k, k.neg(k.abs(x)), EXP_BOUNDS[x.dtype].zero))
    one = k.like(1.0, x)
    mantissa = k.add(one, part.high)
    # one below the least exponent has the bits of 0, and 1 + e**x is 1 there all the same
    power = power_of_two(k, at_least(k, part.n, -FORMS[x.dtype].bias), x.dtype)
    divisor = k.fma(mantissa, power, one)
    lost = k.fma(mantissa, power, k.sub(one, divisor))
    negative = k.compare("lt", x, k.like(0.0, x))
    quotient = k.div(k.select(negative, mantissa, one), divisor)
    # 1 / divisor needs no second division: it is the quotient, or 1 - e**x / divisor
    inverse = k.select(negative, k.fma(k.neg(quotient), power, one), quotient)
    exact = k.fma(k.neg(k.mul(quotient, lost)), inverse, quotient)
    return scale(k, exact, k.select(negative, part.n, k.like(0, part.n)))


def tanh(k: Arithmetic, x: Value) -> Value:
    """The hyperbolic tangent: h / (h + 1) with 2 h = e**(2 |x|) - 1, the sign put back."""
    size = at_most(k, k.abs(x), EXP_BOUNDS[x.dtype].one)
    high, low = expm1_sum(k, k.add(size, size))
    half, one = k.add(high, low), k.like(1.0, x)
    divisor, lost = two_sum(k, one, half)
    quotient = k.div(half, divisor)
    inverse = k.sub(one, quotient)
    exact = k.fma(k.neg(k.mul(quotient, lost)), inverse, quotient)
    return k.copysign(exact, x)
