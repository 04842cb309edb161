"""The incomplete gamma functions, in float64 for both dtypes: P is `gammainc`, Q `gammaincc`.

For orders from 20 on and x / a between about 0.12 and 3 Temme's uniform expansion (DLMF 8.12),
whose correction is a series of our own in two variables (`tools.fit_gamma`); elsewhere below the
order the series of P (8.7.1), above it the continued fraction of Q (8.9.2), and for Q next to order
0 the power series without its cancelling head (8.7.3). The smaller of P and Q is computed, the
other is what it lacks to 1. The loops end when every lane has converged; a lane that has is left as
it is, so that its value does not depend on its neighbours. They make blocks, so these belong into
internal functions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exprd_compiler.backends.llvm.control import repeated
from exprd_compiler.backends.llvm.math_erf import erfcx
from exprd_compiler.backends.llvm.math_exp import EXP_BOUNDS, exp, exp_sum, expm1
from exprd_compiler.backends.llvm.math_form import (
    at_least,
    at_most,
    double_product,
    double_quotient,
    double_select,
    estrin,
    scale,
    two_sum,
)
from exprd_compiler.backends.llvm.math_gamma import gamma
from exprd_compiler.backends.llvm.math_log import decompose, log, log_sum
from exprd_compiler.backends.llvm.math_pow import power
from exprd_compiler.backends.llvm.math_reduce import any_lane
from exprd_compiler.ops import gamma_coefficients as table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exprd_compiler.backends.llvm.arithmetic import Arithmetic
    from exprd_compiler.backends.llvm.text import Value

_EPSILON: Final = 2.0**-55
_LARGE: Final = 20.0  # orders from here on have the uniform expansion
_WIDEST: Final = 1.5  # the largest eta for which it is fitted
_NEAR: Final = 0.375  # up to this distance of x / a to 1 eta is fitted
_START: Final = 1.1  # the fraction begins here, or at the order
_TINY: Final = 2.0**-60
_FARTHEST: Final = 2000.0  # Q of a small order is 0 from here on
_HUGE: Final = 1e300
_HUGE_ORDER: Final = 1e15
_ENOUGH: Final = 1e5  # exp of its negative is 0
_CLOSE: Final = 2.0**-7  # nearer to 1 the fitted form of eta is more exact than the logarithm
_TWO_PI: Final = 2 * math.pi
# DLMF 5.11.1: the logarithm of gamma(a) less its head, times a, in 1 / a**2
_STIRLING: Final = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where P and Q are computed.

    Attributes:
        a: the order, 1 where P and Q are no numbers or known.
        x: the argument, likewise.
        large: whether the order is large.
        eta: eta**2 / 2 = l - 1 - log l for l = x / a, with the sign of l - 1.
        exponent: a eta**2 / 2, head and tail.
        uniform: whether the uniform expansion holds.
        below: whether P has its series.
    """

    a: Value
    x: Value
    large: Value
    eta: Value
    exponent: tuple[Value, Value]
    uniform: Value
    below: Value


def gammainc(k: Arithmetic, a: Value, x: Value) -> Value:
    """P(a, x): 0 at x = 0, 1 at infinity and for order 0; NaN below 0, and for 0 and 0."""
    if x.dtype == "float32":
        return k.cast(gammainc(k, *_widened(k, a, x)), "float32")
    place = _place(k, a, x)
    one, factor = k.like(1.0, x), _factor(k, place)
    lower = k.mul(factor, _series(k, place))
    value = k.select(place.below, lower, k.sub(one, _beyond(k, place, factor)))
    tail = _tail(k, place)
    above = k.compare("gt", place.eta, k.like(0.0, x))
    value = k.select(place.uniform, k.select(above, k.sub(one, tail), tail), value)
    return _ends(k, a, x, at_most(k, value, 1.0), (0.0, 1.0))


def gammaincc(k: Arithmetic, a: Value, x: Value) -> Value:
    """Q(a, x) = 1 - P(a, x): 1 at x = 0, 0 at infinity and for order 0; NaN where P is."""
    if x.dtype == "float32":
        return k.cast(gammaincc(k, *_widened(k, a, x)), "float32")
    place = _place(k, a, x)
    one, factor = k.like(1.0, x), _factor(k, place)
    rest = k.sub(one, k.mul(factor, _series(k, place)))
    small = k.compare("lt", place.a, one)
    rest = k.select(small, _next_to_order_zero(k, place), rest)
    value = k.select(place.below, rest, _beyond(k, place, factor))
    tail = _tail(k, place)
    above = k.compare("gt", place.eta, k.like(0.0, x))
    value = k.select(place.uniform, k.select(above, tail, k.sub(one, tail)), value)
    return _ends(k, a, x, at_most(k, value, 1.0), (1.0, 0.0))


def _widened(k: Arithmetic, *values: Value) -> list[Value]:
    return [k.cast(value, "float64") for value in values]


def _ends(k: Arithmetic, a: Value, x: Value, value: Value, ends: tuple[float, float]) -> Value:
    """The value where it was computed, its limits at 0 and infinity, and NaN elsewhere."""
    zero, infinity = k.like(0.0, x), k.like(math.inf, x)
    first, last = k.like(ends[0], x), k.like(ends[1], x)
    at_start = k.or_(k.compare("eq", x, zero), k.compare("eq", a, infinity))
    at_end = k.or_(k.compare("eq", a, zero), k.compare("eq", x, infinity))
    value = k.select(at_start, first, k.select(at_end, last, value))
    wrong = k.or_(k.compare("lt", a, zero), k.compare("lt", x, zero))
    wrong = k.or_(wrong, k.and_(at_start, at_end))
    wrong = k.or_(wrong, k.or_(k.compare("ne", a, a), k.compare("ne", x, x)))
    return k.select(wrong, k.like(math.nan, x), value)


def _chebyshev(k: Arithmetic, t: Value, coefficients: Sequence[Value]) -> Value:
    """A series in Chebyshev polynomials, by Clenshaw's recurrence."""
    twice, zero = k.add(t, t), k.like(0.0, t)
    one, two = coefficients[-1], zero
    for c in reversed(coefficients[1:-1]):
        one, two = k.fma(twice, one, k.sub(c, two)), one
    return k.fma(t, one, k.sub(coefficients[0], two))


def _fitted(k: Arithmetic, t: Value, coefficients: Sequence[float]) -> Value:
    return _chebyshev(k, t, [k.like(c, t) for c in coefficients])


def _place(k: Arithmetic, a: Value, x: Value) -> _Place:
    zero, one, infinity = (k.like(end, x) for end in (0.0, 1.0, math.inf))
    usable = k.and_(k.compare("gt", a, zero), k.compare("lt", a, infinity))
    usable = k.and_(usable, k.and_(k.compare("gt", x, zero), k.compare("lt", x, infinity)))
    a, x = k.select(usable, a, one), k.select(usable, x, one)
    beyond = at_most(k, k.div(k.sub(x, a), a), _HUGE)
    away = k.sub(beyond, log(k, at_most(k, k.div(x, a), _HUGE)))
    close = k.mul(beyond, _fitted(k, k.mul(beyond, k.like(1 / _NEAR, x)), table.SLOPE))
    near = k.compare("le", k.abs(beyond), k.like(_NEAR, x))
    far_eta = k.copysign(k.sqrt(k.add(away, away)), beyond)
    eta = k.select(near, close, far_eta)
    half = k.mul(k.mul(close, close), k.like(0.5, x))
    large = k.compare("ge", a, k.like(_LARGE, x))
    fits = k.compare("le", k.abs(eta), k.like(_WIDEST, x))
    first = k.select(k.compare("gt", a, k.like(_START, x)), a, k.like(_START, x))
    return _Place(
        a=a,
        x=x,
        large=large,
        eta=eta,
        exponent=_exponent(k, a, x, k.mul(a, k.select(near, half, away))),
        uniform=k.and_(large, fits),
        below=k.compare("le", x, first),
    )


def _exponent(k: Arithmetic, a: Value, x: Value, rough: Value) -> tuple[Value, Value]:
    """a eta**2 / 2 = x - a - a log(x / a), the latter with a tail where that is more exact."""
    one, bound = k.like(1.0, x), k.like(_HUGE_ORDER, x)
    distance = k.abs(k.sub(x, a))
    exact = k.compare("gt", distance, k.mul(a, k.like(_CLOSE, x)))
    for number in (a, x):
        inside = k.and_(k.compare("lt", number, bound), k.compare("gt", number, k.div(one, bound)))
        exact = k.and_(exact, inside)
    a, x = k.select(exact, a, one), k.select(exact, x, one)
    zero = k.like(0.0, x)
    head, rest = double_quotient(k, (x, zero), (a, zero))
    logarithm, tail = log_sum(k, *decompose(k, head))
    scaled = double_product(k, (a, zero), (logarithm, k.add(tail, k.div(rest, head))))
    linear = two_sum(k, x, k.neg(a))
    total, error = two_sum(k, linear[0], k.neg(scaled[0]))
    rest = k.add(error, k.sub(linear[1], scaled[1]))
    return double_select(k, exact, (total, rest), (at_most(k, rough, _ENOUGH), zero))


def _decay(k: Arithmetic, place: _Place, rest: Value) -> Value:
    """exp of the negative of the exponent and of a rest."""
    head, error = two_sum(k, place.exponent[0], rest)
    tail = k.add(place.exponent[1], error)
    lowered = at_least(k, k.neg(head), EXP_BOUNDS["float64"].zero)
    power_, lost, n = exp_sum(k, lowered, k.neg(tail))
    return scale(k, k.add(power_, lost), n)


def _factor(k: Arithmetic, place: _Place) -> Value:
    """x**a exp(-x) / gamma(a + 1), where the uniform expansion does not hold."""
    one = k.like(1.0, place.x)
    a, x = k.select(place.large, one, place.a), at_most(k, place.x, _FARTHEST)
    # in two factors, since exp may underflow where its product with the power does not
    root = exp(k, k.mul(x, k.like(-0.5, x)))
    # gamma(a) a is exact where a + 1 would be rounded, gamma(a + 1) where gamma(a) would overflow
    low = k.compare("lt", a, one)
    divisor = k.mul(gamma(k, k.select(low, k.add(a, one), a)), k.select(low, one, a))
    small = k.mul(k.div(k.mul(power(k, x, a), root), divisor), root)
    inverse = k.div(one, at_least(k, place.a, _LARGE))
    rest = k.mul(inverse, estrin(k, k.mul(inverse, inverse), _STIRLING))
    large = k.div(_decay(k, place, rest), k.sqrt(k.mul(place.a, k.like(_TWO_PI, x))))
    return k.select(place.large, large, small)


def _series(k: Arithmetic, place: _Place) -> Value:
    """The sum of x**n / ((a + 1) ... (a + n)) over n from 0, where P has its series."""
    one, zero = k.like(1.0, place.x), k.like(0.0, place.x)
    wanted = k.and_(place.below, k.not_(place.uniform))
    x, epsilon = k.select(wanted, place.x, zero), k.like(_EPSILON, one)

    def active(state: Sequence[Value]) -> Value:
        return k.compare("gt", state[1], k.mul(state[2], epsilon))

    def step(state: Sequence[Value]) -> Sequence[Value]:
        divisor, term, total = state
        divisor = k.add(divisor, one)
        following = k.mul(term, k.div(x, divisor))
        # a lane that has converged stays as it is
        here = active(state)
        return (
            divisor,
            k.select(here, following, zero),
            k.select(here, k.add(total, following), total),
        )

    start = (place.a, one, one)
    return repeated(k.function, start, lambda state: any_lane(k, active(state)), step)[2]


def _beyond(k: Arithmetic, place: _Place, factor: Value) -> Value:
    """Q by its continued fraction (evaluated as a sum, Steed's way), where x is above the order."""
    one, zero = k.like(1.0, place.x), k.like(0.0, place.x)
    other = k.or_(place.below, place.uniform)
    # at order 1 the fraction ends at once
    a = k.select(other, one, place.a)
    epsilon, two = k.like(_EPSILON, one), k.like(2.0, one)

    def active(state: Sequence[Value]) -> Value:
        return k.compare("gt", k.abs(state[3]), k.mul(state[4], epsilon))

    def step(state: Sequence[Value]) -> Sequence[Value]:
        n, b, d, difference, total = state
        n, b = k.add(n, one), k.add(b, two)
        partial = k.mul(n, k.sub(a, n))
        following = k.div(one, k.fma(partial, d, b))
        difference = k.neg(k.mul(k.mul(k.mul(partial, d), following), difference))
        here = active(state)
        return (
            n,
            b,
            following,
            k.select(here, difference, zero),
            k.select(here, k.add(total, difference), total),
        )

    b = k.add(k.sub(place.x, a), one)
    d = k.div(one, b)
    start = (zero, b, d, d, d)
    fraction = repeated(k.function, start, lambda state: any_lane(k, active(state)), step)[4]
    return k.mul(k.mul(factor, place.a), fraction)


def _tail(k: Arithmetic, place: _Place) -> Value:
    """The smaller of P and Q by the uniform expansion."""
    a, zero = at_least(k, place.a, _LARGE), k.like(0.0, place.a)
    eta = k.select(place.uniform, place.eta, zero)
    across, along = k.mul(eta, k.like(1 / _WIDEST, a)), k.div(k.like(2 * _LARGE, a), a)
    rows = [_fitted(k, across, row) for row in table.UNIFORM]
    smooth = _chebyshev(k, k.sub(along, k.like(1.0, a)), rows)
    signed = k.select(k.compare("gt", eta, zero), smooth, k.neg(smooth))
    root = k.mul(k.abs(eta), k.sqrt(k.mul(a, k.like(0.5, a))))
    half = k.mul(erfcx(k, root), k.like(0.5, a))
    total = k.add(half, k.div(signed, k.sqrt(k.mul(a, k.like(_TWO_PI, a)))))
    return k.mul(_decay(k, place, zero), total)


def _next_to_order_zero(k: Arithmetic, place: _Place) -> Value:
    """Q for a < 1 and x <= 1.1, as a (g - (x**a - 1) / a - x**a s) / (1 + a g).

    There gamma(1 + a) is 1 + a g, and s the power series without its head.
    """
    one, zero = k.like(1.0, place.x), k.like(0.0, place.x)
    x, a = at_most(k, place.x, _START), at_most(k, place.a, 1.0)
    logarithm = log(k, x)
    growth = expm1(k, k.mul(a, logarithm))
    tiny = k.compare("lt", a, k.like(_TINY, a))
    ratio = k.select(tiny, logarithm, k.div(growth, k.select(tiny, one, a)))
    g = _fitted(k, k.sub(k.add(a, a), one), table.EXCESS)
    epsilon = k.like(_EPSILON, x)

    def active(state: Sequence[Value]) -> Value:
        return k.compare("gt", k.abs(state[1]), epsilon)

    def step(state: Sequence[Value]) -> Sequence[Value]:
        n, term, total = state
        n, following = k.add(n, one), k.neg(k.mul(term, k.div(x, k.add(n, one))))
        here = active(state)
        part = k.add(total, k.div(following, k.add(a, n)))
        return n, k.select(here, following, zero), k.select(here, part, total)

    start = (zero, one, zero)
    series = repeated(k.function, start, lambda state: any_lane(k, active(state)), step)[2]
    inner = k.sub(k.sub(g, ratio), k.mul(k.add(growth, one), series))
    return k.div(k.mul(a, inner), k.fma(a, g, one))
