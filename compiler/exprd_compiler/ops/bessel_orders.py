"""Bessel functions of real order: jv of the first kind, iv modified, for orders from -50 to 50.

Other orders give NaN, and so do orders of iv below -8 that are not whole, and arguments below 0
where the order is not whole. Measured in float64 against arbitrary precision: iv within 5e-14 of
itself, jv within 2e-13 of itself where |x| < |v|, else of the height of the wave, the root of
2 / (pi x). The numpy meanings go element by element, and are slow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from exprd_compiler.ir.dtype import DTYPES
from exprd_compiler.ir.node import Array, GradRule, Node, Op, Undefined
from exprd_compiler.ops import special_numpy
from exprd_compiler.ops.arithmetic import add, cast, mul, sub
from exprd_compiler.ops.families import elementwise, upcast_to_float
from exprd_compiler.ops.leaves import const

_ORDERS: Final = 50
_FAR: Final = 1300.0
_SEED: Final = 1e-290


# ---- numpy meanings, element by element in the widest float
def _series(v: Any, x: Any, square: Any) -> Any:
    term = total = np.longdouble(1)
    n = 0
    while n * (v + n) <= abs(square) or n <= -v or abs(term) > 1e-21 * abs(total):
        n += 1
        term = term * square / (n * (v + n))
        total = total + term
    return (x / 2) ** v / _factorial(v) * total


def _recurrence(order: Any, argument: Any) -> Any:
    """J by Miller's recurrence, normalized by Neumann's sum (DLMF 10.23.15).

    In float64 and in the order of native code: next to a zero of J what rounding leaves of it is
    all there is to compare.
    """
    v, x = np.float64(order), np.float64(argument)
    target = np.floor(v)
    base, twice = v - target, 2 / x
    n = 2 * np.ceil(np.ceil(max(target - x, 0.0) + (x + 40) + np.sqrt(x) * 3) * 0.5)
    upper, value, weight = np.float64(0), np.float64(_SEED), np.float64(1)
    total, found, first = np.float64(0), np.float64(0), np.float64(0)
    while n >= min(target, 0.0):
        if n >= 2 and n % 2 == 0:
            total += (base + n) * weight * value
            weight = weight * (n / 2 / (base + n / 2 - 1)) if n > 2 else weight
        found = value if n == target else found
        first = value if n == 0 else first
        value, upper, n = (base + n) * twice * value - upper, value, n - 1
    norm = _factorial(base) * (total / weight + first)
    return found / norm * (x * 0.5) ** base


def _factorial(v: Any) -> Any:
    """gamma(v + 1)."""
    return np.longdouble(special_numpy.gamma(np.asarray(v if v > 1 else v + 1))) * max(1, v)


def _hankel(v: Any, x: Any) -> Any:
    """J for large arguments, DLMF 10.17.3."""
    sums, term = [np.longdouble(1), np.longdouble(0)], np.longdouble(1)
    for n in range(1, 40):
        term = term * (4 * v * v - (2 * n - 1) ** 2) / (8 * n * x)
        sums[n % 2] += -term if n % 4 in (2, 3) else term
    angle = (np.mod(v, 4) + np.longdouble(0.5)) * 2 * np.arctan(np.longdouble(1))
    cos, sin = (np.longdouble(f(float(x))) for f in (np.cos, np.sin))
    along, across = (
        cos * np.cos(angle) + sin * np.sin(angle),
        sin * np.cos(angle) - cos * np.sin(angle),
    )
    wave = sums[0] * along - sums[1] * across
    return np.sqrt(1 / (2 * np.arctan(np.longdouble(1)) * x)) * wave


def _waving(v: Any, x: Any) -> Any:
    if x * x / 4 <= (max(v, 0) + 1) / 2:
        return _series(v, x, -x * x / 4)
    return _recurrence(v, x) if x <= _FAR else _hankel(v, x)


def _growing(v: Any, x: Any) -> Any:
    return _series(v, x, x * x / 4) if x < 720 else np.inf


def _value(name: str, v: Any, x: Any) -> Any:
    """The value for one order and argument."""
    whole, waving = v == np.rint(v), name == "jv"
    broken = not waving and v < -8 and not np.isinf(x)
    if not abs(v) <= _ORDERS or np.isnan(x) or (not whole and (x < 0 or broken)):
        pole = x == 0 and -_ORDERS <= v < 0
        return _at_zero(v) if pole else np.nan
    odd = whole and v % 2 == 1
    sign = -1 if odd and ((x < 0) != (waving and v < 0)) else 1
    order, size = (abs(v) if whole else v), abs(x)
    if size == 0:
        return sign * _at_zero(order)
    if np.isinf(size):
        return sign * (0.0 if waving else np.inf)
    return sign * (_waving if waving else _growing)(order, size)


def _at_zero(v: Any) -> float:
    if v >= 0:
        return float(v == 0)
    return float(np.inf if np.floor(v) % 2 else -np.inf)


def _meaning(name: str) -> Callable[[Array, Array], Array]:
    lifted = np.frompyfunc(lambda v, x: float(_value(name, v, x)), 2, 1)

    def meaning(v: Array, x: Array) -> Array:
        wide = (np.asarray(given, np.longdouble) for given in (v, x))
        return np.asarray(lifted(*wide), np.float64)

    return meaning


# ---- the ops
def _by_order(name: str) -> Undefined:
    return Undefined(f"{name} has no gradient by its order (as in Theano)")


def _neighbours(op: Op, g: Node, y: Node, v: Node, x: Node, meet: Callable[..., Node]) -> Node:
    """Half the difference or sum of the functions of the orders below and above."""
    order = cast(v, dtype=y.dtype)
    one = const(1, y.dtype)
    both = meet(op(sub(order, one), x), op(add(order, one), x))
    return mul(g, mul(both, const(0.5, y.dtype)))


def _of_order(name: str, grad: GradRule, doc: str) -> Op:
    return elementwise(
        name,
        arity=2,
        numpy=_meaning(name),
        body=lambda k, v, x: k.call(name, v, x),
        grad=grad,
        doc=doc,
        result=upcast_to_float,
        dtypes=DTYPES,
        low=0.3,
        high=9,
    )


jv: Op = _of_order(
    "jv",
    lambda g, y, v, x: (_by_order("jv"), _neighbours(jv, g, y, v, x, sub)),
    "Bessel function of the first kind of order v, the first operand; |v| is at most 50.",
)

iv: Op = _of_order(
    "iv",
    lambda g, y, v, x: (_by_order("iv"), _neighbours(iv, g, y, v, x, add)),
    "Modified Bessel function of the first kind of order v, the first operand; |v| is at most 50.",
)
