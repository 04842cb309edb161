"""Bessel functions of real order, in float64 for both dtypes: `jv`, and `iv`, the modified one.

iv is its power series (DLMF 10.25.2), whose terms have one sign for orders from -1 on. jv is its
power series (10.2.2) where that does not cancel; up to 1300 Miller's recurrence down the orders
(10.6.1), normalized by Neumann's sum (10.23.15) and continued to negative orders, in which
direction it is stable as well; beyond, Hankel's expansion (10.17.3). The loops end when every lane
is done; a lane that is stays as it is. They make blocks, so these belong into internal functions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exprd_compiler.backends.llvm.control import repeated
from exprd_compiler.backends.llvm.math_exp import exp2
from exprd_compiler.backends.llvm.math_form import at_least, at_most
from exprd_compiler.backends.llvm.math_gamma import gamma
from exprd_compiler.backends.llvm.math_pow import power
from exprd_compiler.backends.llvm.math_reduce import any_lane
from exprd_compiler.backends.llvm.math_trig import cos, half_turns, sin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exprd_compiler.backends.llvm.arithmetic import Arithmetic
    from exprd_compiler.backends.llvm.text import Value

_EPSILON: Final = 2.0**-56
_ORDERS: Final = 50.0  # of either sign
_LEAST_BROKEN: Final = -8.0  # the least order of iv that is not whole
_FARTHEST: Final = 720.0  # iv is infinite from here on
_HANKEL_FROM: Final = 1300.0
_HANKEL_TERMS: Final = 40
_SEED: Final = 1e-290


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """An order and an argument, both 1 where there is no value.

    Attributes:
        v: the order; a whole one is not negative.
        x: the argument, not negative.
        usable: whether there is a value, 0 and infinity left out.
        turned: whether the value changes its sign on the way back.
        whole: whether the order is whole.
    """

    v: Value
    x: Value
    usable: Value
    turned: Value
    whole: Value


def _place(k: Arithmetic, v: Value, x: Value, *, waving: bool) -> _Place:
    zero, one, size = k.like(0.0, x), k.like(1.0, x), k.abs(x)
    whole = k.compare("eq", k.rint(v), v)
    half = k.mul(v, k.like(0.5, v))
    odd = k.and_(whole, k.compare("ne", k.rint(half), half))
    low, below = k.compare("lt", v, zero), k.compare("lt", x, zero)
    turned = k.and_(odd, k.xor(low, below) if waving else below)
    usable = k.compare("le", k.abs(v), k.like(_ORDERS, v))
    usable = k.and_(usable, k.or_(whole, k.not_(below)))
    usable = k.and_(usable, k.compare("lt", size, k.like(math.inf, x)))
    usable = k.and_(usable, k.compare("ne", x, zero))
    if not waving:
        usable = k.and_(usable, k.or_(whole, k.compare("ge", v, k.like(_LEAST_BROKEN, v))))
    order = k.select(whole, k.abs(v), v)
    return _Place(
        v=k.select(usable, order, one),
        x=k.select(usable, size, one),
        usable=usable,
        turned=turned,
        whole=whole,
    )


def _ends(k: Arithmetic, v: Value, x: Value, place: _Place, value: Value, last: float) -> Value:
    """The value where there is one, that at 0 and at infinity, and NaN elsewhere."""
    zero, one, nan = k.like(0.0, x), k.like(1.0, x), k.like(math.nan, x)
    known = k.and_(k.compare("le", k.abs(v), k.like(_ORDERS, v)), k.compare("eq", x, x))
    at_zero = k.select(k.compare("eq", v, zero), one, zero)
    # next to 0 a negative order that is not whole has a pole, of the sign of gamma(v + 1)
    pole = k.and_(k.compare("lt", v, zero), k.not_(place.whole))
    even = k.mul(k.floor(v), k.like(0.5, v))
    sign = k.select(k.compare("eq", k.rint(even), even), one, k.neg(one))
    infinite = k.mul(k.like(math.inf, x), k.neg(sign))
    at_zero = k.select(pole, infinite, at_zero)
    value = k.select(place.usable, value, nan)
    value = k.select(k.and_(known, k.compare("eq", x, zero)), at_zero, value)
    endless = k.compare("eq", k.abs(x), k.like(math.inf, x))
    endless = k.and_(known, k.and_(endless, k.or_(place.whole, k.compare("gt", x, zero))))
    value = k.select(endless, k.like(last, x), value)
    return k.select(place.turned, k.neg(value), value)


def _series(k: Arithmetic, place: _Place, square: Value) -> Value:
    """(x / 2)**v / gamma(v + 1) times the sum of square**n / (n! (v + 1) ... (v + n))."""
    one = k.like(1.0, square)
    size, epsilon = k.abs(square), k.like(_EPSILON, square)

    def active(state: Sequence[Value]) -> Value:
        n, term, total = state
        divisor = k.mul(n, k.add(place.v, n))
        falls = k.and_(k.compare("gt", divisor, size), k.compare("gt", n, k.neg(place.v)))
        small = k.compare("le", k.abs(term), k.mul(k.abs(total), epsilon))
        return k.not_(k.and_(falls, small))

    def step(state: Sequence[Value]) -> Sequence[Value]:
        n, term, total = state
        here = active(state)
        following = k.mul(term, k.div(square, k.mul(n, k.add(place.v, n))))
        return (
            k.select(here, k.add(n, one), n),
            k.select(here, following, term),
            k.select(here, k.add(total, following), total),
        )

    start = (one, one, one)
    total = repeated(k.function, start, lambda state: any_lane(k, active(state)), step)[2]
    # half of the least argument would be 0
    halves = k.mul(power(k, place.x, place.v), exp2(k, k.neg(place.v)))
    head = k.div(halves, _factorial(k, place.v))
    return k.mul(head, total)


def _factorial(k: Arithmetic, v: Value) -> Value:
    """gamma(v + 1), from gamma(v) where v + 1 would be rounded."""
    one = k.like(1.0, v)
    large = k.compare("gt", v, one)
    return k.mul(gamma(k, k.select(large, v, k.add(v, one))), k.select(large, v, one))


def iv(k: Arithmetic, v: Value, x: Value) -> Value:
    """The modified Bessel function of the first kind of order v."""
    if x.dtype == "float32":
        return k.cast(iv(k, k.cast(v, "float64"), k.cast(x, "float64")), "float32")
    place = _place(k, v, x, waving=False)
    held = at_most(k, place.x, _FARTHEST)
    near = _Place(v=place.v, x=held, usable=place.usable, turned=place.turned, whole=place.whole)
    value = _series(k, near, k.mul(k.mul(held, held), k.like(0.25, x)))
    far = k.compare("ge", place.x, k.like(_FARTHEST, x))
    value = k.select(far, k.like(math.inf, x), value)
    return _ends(k, v, x, place, value, math.inf)


def jv(k: Arithmetic, v: Value, x: Value) -> Value:
    """The Bessel function of the first kind of order v."""
    if x.dtype == "float32":
        return k.cast(jv(k, k.cast(v, "float64"), k.cast(x, "float64")), "float32")
    place, one = _place(k, v, x, waving=True), k.like(1.0, x)
    quarter = k.mul(k.mul(place.x, place.x), k.like(0.25, x))
    bound = k.mul(k.add(at_least(k, place.v, 0.0), one), k.like(0.5, x))
    near = k.compare("le", quarter, bound)
    square = k.neg(k.select(near, quarter, k.like(0.0, x)))
    far = k.compare("gt", place.x, k.like(_HANKEL_FROM, x))
    middle = k.select(k.or_(near, far), k.like(2.0, x), place.x)
    value = k.select(near, _series(k, place, square), _recurrence(k, place.v, middle))
    value = k.select(far, _hankel(k, place.v, at_least(k, place.x, _HANKEL_FROM)), value)
    return _ends(k, v, x, place, value, 0.0)


def _recurrence(k: Arithmetic, v: Value, x: Value) -> Value:
    """J of order v by recurrence down from where it is negligible."""
    zero, one, two = k.like(0.0, x), k.like(1.0, x), k.like(2.0, x)
    target = k.floor(v)
    base, twice = k.sub(v, target), k.div(two, x)
    last = at_most(k, target, 0.0)

    def active(state: Sequence[Value]) -> Value:
        return k.compare("ge", state[0], last)

    def step(state: Sequence[Value]) -> Sequence[Value]:
        n, value, upper, weight, total, found, first = state
        here = active(state)
        half = k.mul(n, k.like(0.5, n))
        weighs = k.and_(k.compare("eq", k.rint(half), half), k.compare("ge", n, two))
        share = k.mul(k.mul(k.add(base, n), weight), value)
        # from weight k to weight k - 1, of which 1 is the last
        further = k.and_(weighs, k.compare("gt", n, two))
        safe = k.select(further, k.sub(k.add(base, half), one), one)
        lower = k.mul(weight, k.div(half, safe))
        following = k.sub(k.mul(k.mul(k.add(base, n), twice), value), upper)
        changed = (
            k.sub(n, one),
            following,
            value,
            k.select(further, lower, weight),
            k.select(weighs, k.add(total, share), total),
            k.select(k.compare("eq", n, target), value, found),
            k.select(k.compare("eq", n, zero), value, first),
        )
        return [k.select(here, new, old) for new, old in zip(changed, state, strict=True)]

    state = (_highest(k, target, x), k.like(_SEED, x), zero, one, zero, zero, zero)
    out = repeated(k.function, state, lambda given: any_lane(k, active(given)), step)
    _, _, _, weight, total, found, first = out
    # the sum is (x / 2)**base, of which the weights were gamma(base + 1) / weight times too small
    scale = _factorial(k, base)
    norm = k.mul(scale, k.add(k.div(total, weight), first))
    return k.mul(k.div(found, norm), power(k, k.mul(x, k.like(0.5, x)), base))


def _highest(k: Arithmetic, target: Value, x: Value) -> Value:
    """The step at which the recurrence begins, an even one, which has a weight."""
    above = k.add(at_least(k, k.sub(target, x), 0.0), k.add(x, k.like(40.0, x)))
    start = k.ceil(k.add(above, k.mul(k.sqrt(x), k.like(3.0, x))))
    return k.mul(k.ceil(k.mul(start, k.like(0.5, x))), k.like(2.0, x))


def _hankel(k: Arithmetic, v: Value, x: Value) -> Value:
    """J of order v for large x."""
    one, square = k.like(1.0, x), k.mul(k.mul(v, v), k.like(4.0, v))
    sums = [one, k.like(0.0, x)]
    term, eighth = one, k.div(k.like(0.125, x), x)
    for n in range(1, _HANKEL_TERMS):
        factor = k.sub(square, k.like(float((2 * n - 1) ** 2), v))
        term = k.mul(term, k.mul(factor, k.div(eighth, k.like(float(n), x))))
        sign = k.like(-1.0 if n % 4 in (2, 3) else 1.0, x)
        sums[n % 2] = k.fma(sign, term, sums[n % 2])
    # the phase, (v / 2 + 1 / 4) pi, as half turns, so that it is exact for orders like 3 / 2
    turns = k.fma(v, k.like(0.5, v), k.like(0.25, v))
    nearest = k.rint(turns)
    sine, cosine = half_turns(k, k.sub(turns, nearest))
    half = k.mul(nearest, k.like(0.5, v))
    sign = k.select(k.compare("eq", k.rint(half), half), one, k.like(-1.0, v))
    cos_a, sin_a = k.mul(sign, cosine[0]), k.mul(sign, sine[0])
    cos_x, sin_x = cos(k, x), sin(k, x)
    along = k.add(k.mul(cos_x, cos_a), k.mul(sin_x, sin_a))
    across = k.sub(k.mul(sin_x, cos_a), k.mul(cos_x, sin_a))
    wave = k.sub(k.mul(sums[0], along), k.mul(sums[1], across))
    return k.mul(k.sqrt(k.div(k.like(2 / math.pi, x), x)), wave)
