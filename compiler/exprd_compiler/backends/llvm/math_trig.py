"""Sine, cosine and tangent, for every finite angle.

The polynomials take the reduced angle as head plus
tail. Bounds: 1 ulp for sin and cos, 1 for tan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exprd_compiler.backends.llvm import math_coefficients as table
from exprd_compiler.backends.llvm.math_form import (
    double_like,
    double_product,
    double_select,
    fast_two_sum,
    polynomial,
)
from exprd_compiler.backends.llvm.math_reduce import (
    Angle,
    reduce_angle,
    reduce_single_angle,
)

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.arithmetic import Arithmetic
    from exprd_compiler.backends.llvm.text import Value


def sin(k: Arithmetic, x: Value) -> Value:
    """The sine; NaN for infinities."""
    angle = _reduced(k, x)
    even = k.compare("eq", _bit(k, angle.quadrant, 1), k.like(0, angle.quadrant))
    value = k.select(even, _rounded(k, sine_terms(k, angle)), _rounded(k, cosine_terms(k, angle)))
    value = _signed(k, value, angle.quadrant)
    flipped = k.compare("lt", k.bits(x), k.like(0, k.bits(x)))
    return k.select(flipped, k.neg(value), value)


def cos(k: Arithmetic, x: Value) -> Value:
    """The cosine; NaN for infinities."""
    angle = _reduced(k, x)
    even = k.compare("eq", _bit(k, angle.quadrant, 1), k.like(0, angle.quadrant))
    value = k.select(even, _rounded(k, cosine_terms(k, angle)), _rounded(k, sine_terms(k, angle)))
    return _signed(k, value, k.add(angle.quadrant, k.like(1, angle.quadrant)))


def tan(k: Arithmetic, x: Value) -> Value:
    """The tangent: sine by cosine, or the other way round with a minus in odd quadrants."""
    angle = _reduced(k, x)
    even = k.compare("eq", _bit(k, angle.quadrant, 1), k.like(0, angle.quadrant))
    sine, cosine = fast_two_sum(k, *sine_terms(k, angle)), fast_two_sum(k, *cosine_terms(k, angle))
    upper = tuple(k.select(even, a, b) for a, b in zip(sine, cosine, strict=True))
    lower = tuple(k.select(even, a, k.neg(b)) for a, b in zip(cosine, sine, strict=True))
    quotient = k.div(upper[0], lower[0])
    rest = k.fma(k.neg(quotient), lower[0], upper[0])
    rest = k.fma(k.neg(quotient), lower[1], k.add(rest, upper[1]))
    value = k.add(quotient, k.div(rest, lower[0]))
    flipped = k.compare("lt", k.bits(x), k.like(0, k.bits(x)))
    return k.select(flipped, k.neg(value), value)


def _reduced(k: Arithmetic, x: Value) -> Angle:
    """The angle of |x|, its parts in the dtype of x."""
    size = k.abs(x)
    if x.dtype == "float64":
        return reduce_angle(k, size)
    return reduce_single_angle(k, size)


def half_turns(k: Arithmetic, r: Value) -> tuple[tuple[Value, Value], tuple[Value, Value]]:
    """sin(pi r) and cos(pi r) of a float64 within [-1/2, 1/2], each as head and tail."""
    size = k.abs(r)
    steep = k.compare("gt", size, k.like(0.25, r))
    near = k.select(steep, k.sub(k.like(0.5, r), size), size)
    head, tail = double_product(k, (near, k.like(0.0, r)), double_like(k, table.PI, r))
    angle = Angle(quadrant=k.bits(head), head=head, tail=tail)
    small = fast_two_sum(k, *sine_terms(k, angle))
    large = fast_two_sum(k, *cosine_terms(k, angle))
    sine = double_select(k, steep, large, small)
    flipped = k.compare("lt", r, k.like(0.0, r))
    opposite = (k.neg(sine[0]), k.neg(sine[1]))
    return double_select(k, flipped, opposite, sine), double_select(k, steep, small, large)


def sine_terms(k: Arithmetic, angle: Angle) -> tuple[Value, Value]:
    """sin(r) = r + r**3 S(r**2), as a large and a small term."""
    r = angle.head
    square = k.mul(r, r)
    series = polynomial(k, square, (table.SIN_F32, table.SIN_F64))
    # the tail counts cos(r) = 1 - r**2 / 2 times
    slope = k.fma(square, k.like(-0.5, r), k.like(1.0, r))
    return r, k.fma(k.mul(square, r), series, k.mul(angle.tail, slope))


def cosine_terms(k: Arithmetic, angle: Angle) -> tuple[Value, Value]:
    """cos(r) = 1 - r**2 / 2 + r**4 C(r**2), as a large and a small term."""
    r, one = angle.head, k.like(1.0, angle.head)
    square = k.mul(r, r)
    square_error = k.fma(r, r, k.neg(square))
    series = polynomial(k, square, (table.COS_F32, table.COS_F64))
    half = k.mul(square, k.like(0.5, r))
    head = k.sub(one, half)
    lost = k.sub(k.sub(one, head), half)
    rest = k.fma(k.neg(r), angle.tail, k.mul(square_error, k.like(-0.5, r)))
    return head, k.add(lost, k.fma(k.mul(square, square), series, rest))


def _rounded(k: Arithmetic, terms: tuple[Value, Value]) -> Value:
    return k.add(*terms)


def _bit(k: Arithmetic, x: Value, mask: int) -> Value:
    return k.and_(x, k.like(mask, x))


def _signed(k: Arithmetic, value: Value, quadrant: Value) -> Value:
    upper = k.compare("eq", _bit(k, quadrant, 2), k.like(0, quadrant))
    return k.select(upper, value, k.neg(value))
