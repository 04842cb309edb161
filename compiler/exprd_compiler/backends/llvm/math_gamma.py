"""The gamma family, in float64 for both dtypes: gamma, gammaln, psi (digamma) and tri_gamma.

Numbers below 0 are reflected to 1 - x, numbers below 8 are moved up by 8, and there Stirling's
series holds; logarithms, products and quotients on the way are kept as head plus tail. Bounds: 1.5
ulp for gamma, gammaln and psi (which have zeros: nothing cancels there either), 2 for tri_gamma.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exprd_compiler.backends.llvm import math_coefficients as table
from exprd_compiler.backends.llvm.math_exp import exp_sum
from exprd_compiler.backends.llvm.math_form import (
    at_most,
    double_like,
    double_product,
    double_quotient,
    double_select,
    estrin,
    fast_two_sum,
    scale,
    two_sum,
)
from exprd_compiler.backends.llvm.math_log import decompose, log_sum
from exprd_compiler.backends.llvm.math_trig import half_turns

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.arithmetic import Arithmetic
    from exprd_compiler.backends.llvm.text import Value

_SHIFT: Final = 8
_TINY: Final = 2.0**-60
_LARGE: Final = 2.0**60
_LARGEST_LOGARITHM: Final = 800.0  # of a gamma; beyond it gamma is inf, or 0 when reflected
_LARGEST_ARGUMENT: Final = 200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a function of x is computed.

    Attributes:
        reflected: whether the start is 1 - x rather than x, or |x| for a tiny one.
        start: positive, head and tail.
        low: whether the start is below 8.
        y: the start, moved up by 8 if it is low.
    """

    reflected: Value
    start: tuple[Value, Value]
    low: Value
    y: tuple[Value, Value]


def _place(k: Arithmetic, x: Value) -> _Place:
    zero = k.like(0.0, x)
    reflected = k.compare("le", x, k.like(-_TINY, x))
    mirrored = two_sum(k, k.like(1.0, x), k.neg(x))
    start = double_select(k, reflected, mirrored, (k.abs(x), zero))
    low = k.compare("lt", start[0], k.like(float(_SHIFT), x))
    head, error = two_sum(k, start[0], k.like(float(_SHIFT), x))
    moved = (head, k.add(error, start[1]))
    return _Place(reflected=reflected, start=start, low=low, y=double_select(k, low, moved, start))


def _steps(k: Arithmetic, start: tuple[Value, Value]) -> list[tuple[Value, Value]]:
    """start, start + 1, ... start + 7, each as head and tail."""
    steps = [start]
    for i in range(1, _SHIFT):
        head, error = two_sum(k, start[0], k.like(float(i), start[0]))
        steps.append((head, k.add(error, start[1])))
    return steps


def _rising(k: Arithmetic, place: _Place) -> tuple[Value, Value]:
    """gamma(y) / gamma(start): the product of the steps, or 1."""
    first, *others = _steps(k, place.start)
    total = others[0]
    for factor in others[1:]:
        total = double_product(k, total, factor)
    total = fast_two_sum(k, *double_product(k, total, first))
    one = k.like(1.0, first[0])
    return double_select(k, place.low, total, (one, k.like(0.0, one)))


def _stirling(k: Arithmetic, y: tuple[Value, Value]) -> tuple[Value, Value]:
    """log(gamma(y)) for y >= 8: (y - 1/2) log y - y + log(2 pi) / 2 + a series in 1/y."""
    head, tail = y
    logarithm = log_sum(k, *decompose(k, head))
    inverse = k.div(k.like(1.0, head), head)
    series = k.mul(inverse, estrin(k, k.mul(inverse, inverse), table.STIRLING_F64))
    half = k.like(0.5, head)
    power = double_product(k, (k.sub(head, half), k.like(0.0, head)), logarithm)
    total, error = two_sum(k, power[0], k.neg(head))
    constant, constant_rest = double_like(k, table.HALF_LOG_TWO_PI, head)
    total, second = two_sum(k, total, constant)
    slope = k.fma(k.neg(half), inverse, logarithm[0])
    rest = k.fma(tail, slope, k.add(series, k.add(power[1], constant_rest)))
    return fast_two_sum(k, total, k.add(k.add(error, second), rest))


def _whole(k: Arithmetic, x: Value) -> Value:
    return k.compare("eq", k.rint(x), x)


def _sine(k: Arithmetic, x: Value) -> tuple[Value, Value]:
    """sin(pi x) as head and tail, for a finite x."""
    nearest = k.rint(x)
    sine, _ = half_turns(k, k.sub(x, nearest))
    half = k.mul(nearest, k.like(0.5, x))
    odd = k.compare("ne", k.trunc(half), half)
    return double_select(k, odd, (k.neg(sine[0]), k.neg(sine[1])), sine)


def gamma(k: Arithmetic, x: Value) -> Value:
    """The gamma function; inf with the sign of a zero, NaN at other poles and at -inf."""
    if x.dtype == "float32":
        return k.cast(gamma(k, k.cast(x, "float64")), "float32")
    held = k.select(_usable(k, x, _LARGEST_ARGUMENT), x, k.like(1.0, x))
    place = _place(k, held)
    logarithm = _stirling(k, place.y)
    head, tail, n = exp_sum(k, at_most(k, logarithm[0], _LARGEST_LOGARITHM), logarithm[1])
    steps = _rising(k, place)
    # gamma(start) = power / steps, and reflected it is pi steps / (sin(pi x) power)
    power = fast_two_sum(k, head, tail)
    divisor = double_product(k, _sine(k, held), power)
    steps_pi = double_product(k, steps, double_like(k, table.PI, x))
    above = double_select(k, place.reflected, steps_pi, power)
    below = double_select(k, place.reflected, divisor, steps)
    quotient = k.add(*double_quotient(k, above, below))
    value = scale(k, quotient, k.select(place.reflected, k.neg(n), n))
    tiny = k.compare("lt", k.abs(x), k.like(_TINY, x))
    value = k.select(tiny, k.div(k.like(1.0, x), x), value)
    return _gamma_ends(k, x, value)


def _usable(k: Arithmetic, x: Value, limit: float) -> Value:
    return k.compare("lt", k.abs(x), k.like(limit, x))


def _gamma_ends(k: Arithmetic, x: Value, value: Value) -> Value:
    zero, infinity, limit = (k.like(end, x) for end in (0.0, math.inf, _LARGEST_ARGUMENT))
    nan = k.like(math.nan, x)
    value = k.select(k.compare("ge", x, limit), infinity, value)
    value = k.select(k.compare("le", x, k.neg(limit)), zero, value)
    half = k.mul(k.floor(x), k.like(0.5, x))
    negative = k.and_(k.compare("lt", x, zero), k.compare("ne", k.trunc(half), half))
    value = k.select(negative, k.neg(k.abs(value)), value)
    pole = k.and_(k.compare("lt", x, zero), _whole(k, x))
    return k.select(k.or_(pole, k.compare("ne", x, x)), nan, value)


def gammaln(k: Arithmetic, x: Value) -> Value:
    """log(|gamma(x)|); inf at poles and at both infinities."""
    if x.dtype == "float32":
        return k.cast(gammaln(k, k.cast(x, "float64")), "float32")
    place = _place(k, x)
    power, steps = _stirling(k, place.y), _rising(k, place)
    # log(power / steps), and reflected the negative of log(power / (pi steps / sin(pi x)))
    sine = _sine(k, x)
    minus = k.compare("lt", sine[0], k.like(0.0, x))
    size = double_select(k, minus, (k.neg(sine[0]), k.neg(sine[1])), sine)
    mirrored = double_quotient(k, double_product(k, steps, double_like(k, table.PI, x)), size)
    head, tail = double_select(k, place.reflected, mirrored, steps)
    logarithm = log_sum(k, *decompose(k, head))
    total, error = two_sum(k, power[0], k.neg(logarithm[0]))
    tail = k.add(logarithm[1], k.div(tail, head))
    value = k.add(total, k.add(error, k.sub(power[1], tail)))
    value = k.select(place.reflected, k.neg(value), value)
    return _gammaln_ends(k, x, value)


def _gammaln_ends(k: Arithmetic, x: Value, value: Value) -> Value:
    zero, one, infinity = (k.like(end, x) for end in (0.0, 1.0, math.inf))
    held = k.select(_usable(k, x, math.inf), k.abs(x), one)
    logarithm, rest = log_sum(k, *decompose(k, k.select(k.compare("eq", x, zero), one, held)))
    simple = k.mul(x, k.add(k.sub(logarithm, one), rest))
    value = k.select(k.compare("ge", x, k.like(_LARGE, x)), simple, value)
    root = k.or_(k.compare("eq", x, one), k.compare("eq", x, k.like(2.0, x)))
    value = k.select(root, zero, value)
    pole = k.and_(k.compare("le", x, zero), _whole(k, x))
    value = k.select(k.or_(pole, k.compare("eq", k.abs(x), infinity)), infinity, value)
    return k.select(k.compare("ne", x, x), x, value)


def psi(k: Arithmetic, x: Value) -> Value:
    """The logarithmic derivative of gamma; -inf at 0, inf at -0, NaN at other poles."""
    if x.dtype == "float32":
        return k.cast(psi(k, k.cast(x, "float64")), "float32")
    place = _place(k, x)
    total, rest = _minus_inverses(k, place, _psi_series(k, place.y))
    cotangent, cotangent_rest = _pi_cotangent(k, x)
    mirrored, error = two_sum(k, total, k.neg(cotangent))
    mirrored = k.add(mirrored, k.add(error, k.sub(rest, cotangent_rest)))
    value = k.select(place.reflected, mirrored, k.add(total, rest))
    tiny = k.compare("lt", k.abs(x), k.like(_TINY, x))
    value = k.select(tiny, k.div(k.like(-1.0, x), x), value)
    infinity = k.like(math.inf, x)
    value = k.select(k.compare("eq", x, infinity), infinity, value)
    pole = k.and_(k.compare("lt", x, k.like(0.0, x)), _whole(k, x))
    return k.select(pole, k.like(math.nan, x), value)


def _psi_series(k: Arithmetic, y: tuple[Value, Value]) -> tuple[Value, Value]:
    """psi(y) for y >= 8: log y - 1 / (2 y) - a series in 1/y."""
    head, tail = y
    logarithm = log_sum(k, *decompose(k, head))
    inverse = k.div(k.like(1.0, head), head)
    square = k.mul(inverse, inverse)
    series = k.mul(square, estrin(k, square, table.PSI_F64))
    lost = k.fma(tail, inverse, logarithm[1])
    total, error = fast_two_sum(k, logarithm[0], k.mul(inverse, k.like(-0.5, head)))
    half_error = k.mul(k.fma(k.neg(inverse), head, k.like(1.0, head)), inverse)
    rest = k.fma(half_error, k.like(-0.5, head), k.sub(lost, series))
    return fast_two_sum(k, total, k.add(error, rest))


def _minus_inverses(
    k: Arithmetic, place: _Place, total: tuple[Value, Value]
) -> tuple[Value, Value]:
    """The sum less the inverses of the steps, where there are any."""
    one = (k.like(1.0, total[0]), k.like(0.0, total[0]))
    head, rest = total
    for step in reversed(_steps(k, place.start)):
        inverse, inverse_rest = double_quotient(k, one, step)
        head, error = two_sum(k, head, k.neg(inverse))
        rest = k.add(rest, k.sub(error, inverse_rest))
    return double_select(k, place.low, (head, rest), total)


def _pi_cotangent(k: Arithmetic, x: Value) -> tuple[Value, Value]:
    """pi / tan(pi x) as head and tail."""
    sine, cosine = half_turns(k, k.sub(x, k.rint(x)))
    pi_cosine = double_product(k, cosine, double_like(k, table.PI, x))
    return double_quotient(k, pi_cosine, sine)


def _plus_squares(k: Arithmetic, start: tuple[Value, Value], total: Value) -> Value:
    """The sum and the squares of the inverses of the steps."""
    one = (k.like(1.0, total), k.like(0.0, total))
    rest = one[1]
    for step in reversed(_steps(k, start)):
        inverse = double_quotient(k, one, step)
        square, lost = double_product(k, inverse, inverse)
        total, error = two_sum(k, total, square)
        rest = k.add(rest, k.add(error, lost))
    return k.add(total, rest)


def tri_gamma(k: Arithmetic, x: Value) -> Value:
    """The derivative of psi; inf at its poles, NaN at -inf."""
    if x.dtype == "float32":
        return k.cast(tri_gamma(k, k.cast(x, "float64")), "float32")
    place = _place(k, x)
    one, head = k.like(1.0, x), place.y[0]
    inverse = k.div(one, head)
    square = k.mul(inverse, inverse)
    series = k.fma(estrin(k, square, table.TRI_GAMMA_F64), inverse, k.like(0.5, x))
    value = k.fma(square, series, inverse)
    total = k.select(place.low, _plus_squares(k, place.start, value), value)
    sine, _ = half_turns(k, k.sub(x, k.rint(x)))
    root, rest = double_quotient(k, double_like(k, table.PI, x), sine)
    mirrored = k.fma(root, root, k.fma(k.add(root, root), rest, k.neg(total)))
    value = k.select(place.reflected, mirrored, total)
    far = k.div(one, x)
    value = k.select(k.compare("lt", k.abs(x), k.like(_TINY, x)), k.mul(far, far), value)
    pole = k.and_(k.compare("le", x, k.like(0.0, x)), _whole(k, x))
    infinity = k.like(math.inf, x)
    value = k.select(pole, infinity, value)
    value = k.select(k.compare("eq", x, infinity), k.like(0.0, x), value)
    return k.select(k.compare("eq", x, k.neg(infinity)), k.like(math.nan, x), value)
