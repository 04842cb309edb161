"""The remainder of floats, exact for every pair of numbers.

A quotient below 2**(mantissa - 2) is found in one division and its remainder in one fma; a larger
one is taken in steps of so many bits, until every lane is done. The loop makes blocks, so this
belongs into an internal function.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from exprd_compiler.backends.llvm.math_form import FORMS, power_of_two, shift_right
from exprd_compiler.backends.llvm.math_reduce import any_lane

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.arithmetic import Arithmetic
    from exprd_compiler.backends.llvm.text import Value


def fmod(k: Arithmetic, x: Value, y: Value) -> Value:
    """x - y trunc(x / y), with the sign of x; NaN for an infinite x and for y = 0."""
    size, divisor = k.abs(x), k.abs(y)
    infinity, zero = k.like(math.inf, x), k.like(0.0, x)
    usable = k.and_(k.compare("lt", size, infinity), k.compare("lt", divisor, infinity))
    usable = k.and_(usable, k.compare("gt", divisor, zero))
    rest = _reduced(k, k.select(usable, size, zero), k.select(usable, divisor, k.like(1.0, x)))
    # what is left: x itself below an infinite divisor, else NaN, which a NaN operand passes on
    whole = k.and_(k.compare("lt", size, infinity), k.compare("eq", divisor, infinity))
    other = k.select(whole, size, k.add(k.add(x, y), k.like(math.nan, x)))
    return k.copysign(k.select(usable, rest, other), x)


def _reduced(k: Arithmetic, size: Value, divisor: Value) -> Value:
    """size mod divisor for positive finite numbers, the first possibly 0."""
    fn = k.function
    loop, done = fn.label("remainder"), fn.label("remained")
    exponent = _exponent(k, divisor)
    before = fn.block
    fn.jump(loop)
    fn.begin(loop)
    left = fn.phi(size.dtype, size.lanes)
    one_step = k.like(FORMS[size.dtype].mantissa - 2, exponent)
    gap = k.sub(k.sub(_exponent(k, left), exponent), one_step)
    none = k.like(0, gap)
    many = k.compare("gt", gap, none)
    step = _raised(k, divisor, k.select(many, gap, none))
    following = _step(k, left, step)
    fn.incoming(left, size, before)
    fn.incoming(left, following, fn.block)
    fn.branch(any_lane(k, many), loop, done)
    fn.begin(done)
    return following


def _step(k: Arithmetic, x: Value, step: Value) -> Value:
    """x mod step for a quotient below 2**(mantissa - 1): exact, as the rest has no finer unit."""
    rest = k.fma(k.neg(k.trunc(k.div(x, step))), step, x)
    return k.select(k.compare("lt", rest, k.like(0.0, x)), k.add(rest, step), rest)


def _exponent(k: Arithmetic, x: Value) -> Value:
    """The binary exponent of a positive number, subnormal or not."""
    form = FORMS[x.dtype]
    raised = form.mantissa + 1
    small = k.compare("lt", x, k.like(form.least, x))
    bits = k.bits(k.select(small, k.mul(x, k.like(2.0**raised, x)), x))
    lowered = k.select(small, k.like(raised, bits), k.like(0, bits))
    return k.sub(shift_right(k, bits, form.mantissa), lowered)


def _raised(k: Arithmetic, x: Value, exponent: Value) -> Value:
    """x * 2**exponent in four steps, for a gap between the least and the largest number."""
    quarter = shift_right(k, exponent, 2)
    power = power_of_two(k, quarter, x.dtype)
    rest = k.sub(exponent, k.add(quarter, k.add(quarter, quarter)))
    x = k.mul(k.mul(k.mul(x, power), power), power)
    return k.mul(x, power_of_two(k, rest, x.dtype))
