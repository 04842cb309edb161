"""Powers: x**y as numpy and C99 define it, integers included.

float64 takes the logarithm to about 68 bits, since an error of it grows with y log x up to 745
times; float32 takes float64 arithmetic instead. Bound: 1 ulp.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from exprd_compiler.backends.llvm.math_exp import EXP_BOUNDS, exp, exp_sum
from exprd_compiler.backends.llvm.math_form import (
    clamp,
    product,
    scale,
)
from exprd_compiler.backends.llvm.math_log import decompose, log, log_sum
from exprd_compiler.backends.llvm.text import Value, constant
from exprd_compiler.backends.llvm.types import is_float, is_signed, suffix

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.arithmetic import Arithmetic


def power(k: Arithmetic, x: Value, y: Value) -> Value:
    """x**y; integers wrap, and a negative power of one is 0, but for 1 and -1."""
    if not is_float(x.dtype):
        return _integer_power(k, x, y)
    size = k.abs(x)
    if x.dtype == "float32":
        wide = k.mul(k.cast(y, "float64"), log(k, k.cast(size, "float64")))
        magnitude = k.cast(exp(k, wide), "float32")
    else:
        magnitude = _exp_of(k, *_times(k, y, _log_of(k, size)))
    return _with_special_cases(k, x, y, magnitude)


# --- float64 to one ulp -------------------------------------------------------------------------


def _log_of(k: Arithmetic, x: Value) -> tuple[Value, Value]:
    """log(x) as head and tail, for x from 0 to infinity."""
    n, f = decompose(k, x)
    head, tail = log_sum(k, n, f)
    infinity = k.like(math.inf, x)
    head = k.select(k.compare("eq", x, infinity), infinity, head)
    pole = k.compare("eq", x, k.like(0.0, x))
    return k.select(pole, k.like(-math.inf, x), head), tail


def _times(k: Arithmetic, y: Value, logarithm: tuple[Value, Value]) -> tuple[Value, Value]:
    head, error = product(k, y, logarithm[0])
    tail = k.fma(y, logarithm[1], error)
    usable = k.compare("lt", k.abs(head), k.like(1000.0, head))  # else inf - inf is in the tail
    return head, k.select(usable, tail, k.like(0.0, tail))


def _exp_of(k: Arithmetic, head: Value, tail: Value) -> Value:
    bounds = EXP_BOUNDS[head.dtype]
    total, rest, n = exp_sum(k, clamp(k, head, bounds.zero, bounds.infinity), tail)
    return scale(k, k.add(total, rest), n)


# --- special cases ------------------------------------------------------------------------------


def _with_special_cases(k: Arithmetic, x: Value, y: Value, magnitude: Value) -> Value:
    """Annex F of C99: odd powers keep signs, NaN below zero, 1 if x = 1 or y = 0 even with NaN."""
    zero, one, nan = k.like(0.0, x), k.like(1.0, x), k.like(math.nan, x)
    size = k.abs(x)
    result = k.select(k.compare("eq", size, one), one, magnitude)  # also (-1)**inf
    bits = k.bits(x)
    signed = k.and_(k.compare("lt", bits, k.like(0, bits)), _odd(k, y))
    result = k.select(signed, k.neg(result), result)
    finite_negative = k.and_(k.compare("lt", x, zero), k.compare("lt", size, k.like(math.inf, x)))
    outside = k.and_(finite_negative, k.compare("ne", k.trunc(y), y))
    undefined = k.or_(k.compare("ne", x, x), k.compare("ne", y, y))
    result = k.select(k.or_(outside, undefined), nan, result)
    return k.select(k.or_(k.compare("eq", y, zero), k.compare("eq", x, one)), one, result)


def _odd(k: Arithmetic, y: Value) -> Value:
    half = k.mul(y, k.like(0.5, y))
    whole = k.compare("eq", k.trunc(y), y)
    return k.and_(whole, k.compare("ne", k.trunc(half), half))


# --- integers -----------------------------------------------------------------------------------


def _integer_power(k: Arithmetic, x: Value, y: Value) -> Value:
    """Squaring and multiplying until every lane has used up the bits of its exponent."""
    function = k.function
    loop, done = function.label("pow"), function.label("powered")
    zero, one = k.like(0, x), k.like(1, x)
    exponent = k.select(k.compare("lt", y, zero), zero, y)
    before = function.block
    function.jump(loop)
    function.begin(loop)
    result, base, left = (function.phi(x.dtype, x.lanes) for _ in range(3))
    odd = k.compare("ne", k.and_(left, one), zero)
    following = (
        k.select(odd, k.mul(result, base), result),
        k.mul(base, base),
        function.emit(f"lshr {left.typed}, {one.text}", x.dtype, x.lanes),
    )
    for phi, first, later in zip((result, base, left), (one, x, exponent), following, strict=True):
        function.incoming(phi, first, before)
        function.incoming(phi, later, function.block)
    function.branch(_any_nonzero(k, following[2]), loop, done)
    function.begin(done)
    return _negative_power(k, x, y, following[0]) if is_signed(x.dtype) else following[0]


def _any_nonzero(k: Arithmetic, x: Value) -> Value:
    if x.lanes > 1:
        name = f"llvm.vector.reduce.or.{suffix(x.dtype, x.lanes)}"
        x = k.function.call(name, x.dtype, x)
    return k.compare("ne", x, constant(0, x.dtype))


def _negative_power(k: Arithmetic, x: Value, y: Value, result: Value) -> Value:
    zero, one, minus_one = k.like(0, x), k.like(1, x), k.like(-1, x)
    odd = k.compare("ne", k.and_(y, one), zero)
    alternating = k.select(odd, minus_one, one)
    quotient = k.select(k.compare("eq", x, minus_one), alternating, zero)
    quotient = k.select(k.compare("eq", x, one), one, quotient)
    return k.select(k.compare("lt", y, zero), quotient, result)
