"""Exponentials, logarithms and the functions made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from exprd_compiler.ir.dtype import DTYPES, EVERY, ITEMSIZE, is_complex, is_discrete
from exprd_compiler.ir.node import Array, Node, Op
from exprd_compiler.ops.arithmetic import add, cast, mul, second, sub, true_div
from exprd_compiler.ops.complex_exp import complex_exp
from exprd_compiler.ops.events import TO_NEGATIVE_POWER
from exprd_compiler.ops.families import NUMBERS, elementwise, float_function, upcast_to_float
from exprd_compiler.ops.leaves import const, scalar_value
from exprd_compiler.ops.logic import eq, switch
from exprd_compiler.ops.parts import conjugate

LN2: Final = math.log(2.0)
LN10: Final = math.log(10.0)


def _one(x: Node) -> Node:
    return const(1, x.dtype)


exp: Op = elementwise(
    "exp",
    arity=1,
    numpy=np.exp,
    body=lambda k, x: complex_exp(k, x) if is_complex(x.dtype) else k.call("exp", x),
    grad=lambda g, y, _x: (mul(g, conjugate(y)),),
    result=upcast_to_float,
    dtypes=EVERY,
    low=-5,
    high=5,
    doc="e to the power x.",
)

expm1: Op = float_function(
    "expm1",
    np.expm1,
    lambda g, y, _x: (mul(g, add(y, _one(y))),),
    "exp(x) - 1, accurate near 0.",
    low=-5,
    high=5,
)

exp2: Op = float_function(
    "exp2",
    np.exp2,
    lambda g, y, _x: (mul(g, mul(y, const(LN2, y.dtype))),),
    "2 to the power x.",
    low=-5,
    high=5,
)

log: Op = float_function(
    "log", np.log, lambda g, _y, x: (true_div(g, x),), "Natural logarithm.", low=0.1, high=9
)

log2: Op = float_function(
    "log2",
    np.log2,
    lambda g, _y, x: (true_div(g, mul(x, const(LN2, x.dtype))),),
    "Logarithm to base 2.",
    low=0.1,
    high=9,
)

log10: Op = float_function(
    "log10",
    np.log10,
    lambda g, _y, x: (true_div(g, mul(x, const(LN10, x.dtype))),),
    "Logarithm to base 10.",
    low=0.1,
    high=9,
)

log1p: Op = float_function(
    "log1p",
    np.log1p,
    lambda g, _y, x: (true_div(g, add(_one(x), x)),),
    "log(1 + x), accurate near 0.",
    low=-0.9,
    high=9,
)

tanh: Op = float_function(
    "tanh",
    np.tanh,
    lambda g, y, _x: (mul(g, sub(_one(y), mul(y, y))),),
    "Hyperbolic tangent.",
    low=-4,
    high=4,
)


def _sigmoid_numpy(x: Array) -> Array:
    z = np.exp(-np.abs(x))
    return np.asarray(np.where(x < 0, z, np.ones_like(z)) / (1 + z))


def _sigmoid_grad(g: Node, y: Node, _x: Node) -> Sequence[Node]:
    return (mul(g, mul(y, sub(_one(y), y))),)


sigmoid: Op = float_function(
    "sigmoid", _sigmoid_numpy, _sigmoid_grad, "1 / (1 + exp(-x)), without overflow.", low=-9, high=9
)


def _softplus_numpy(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


softplus: Op = float_function(
    "softplus",
    _softplus_numpy,
    lambda g, _y, x: (mul(g, sigmoid(x)),),
    "log(1 + exp(x)), without overflow.",
    low=-9,
    high=9,
)


def _logaddexp_body(k: Any, a: Any, b: Any) -> Any:
    distance = k.sub(a, b)
    same = k.compare("eq", a, b)  # infinities have no difference
    distance = k.select(same, k.const(0, a.dtype), distance)
    return k.add(k.maximum(a, b), k.call("softplus", k.neg(k.abs(distance))))


def _logaddexp_grad(g: Node, _y: Node, a: Node, b: Node) -> Sequence[Node]:
    return (mul(g, sigmoid(sub(a, b))), mul(g, sigmoid(sub(b, a))))


logaddexp: Op = elementwise(
    "logaddexp",
    arity=2,
    numpy=np.logaddexp,
    body=_logaddexp_body,
    grad=_logaddexp_grad,
    result=upcast_to_float,
    dtypes=DTYPES,
    doc="log(exp(a) + exp(b)), without overflow.",
)


# ---- powers
cbrt: Op = float_function(
    "cbrt",
    np.cbrt,
    lambda g, y, _x: (true_div(g, mul(mul(y, y), const(3, y.dtype))),),
    "Cube root, also of negative numbers.",
    low=0.1,
    high=9,
)


def _integer_power(x: Array, y: Array) -> Array:
    x, y = np.broadcast_arrays(x, y)
    out = np.ones(x.shape, x.dtype)
    base, rest = x.copy(), np.where(y < 0, 0, y).astype(y.dtype)
    for _ in range(ITEMSIZE[x.dtype.name] * 8):
        out = np.where(rest & 1, out * base, out)
        base, rest = base * base, rest >> 1
    if x.dtype.kind == "u":
        return out
    unit = np.where(x == 1, 1, np.where(x == -1, np.where(y & 1, -1, 1), 0)).astype(x.dtype)
    return np.where(y < 0, unit, out)


def _pow_numpy(x: Array, y: Array) -> Array:
    return _integer_power(x, y) if x.dtype.kind in "iu" else np.power(x, y)


def _pow_body(k: Any, x: Any, y: Any) -> Any:
    if not is_discrete(x.dtype):
        return k.call("pow", x, y)
    zero, one = k.const(0, x.dtype), k.const(1, x.dtype)
    out, base, rest = one, x, y
    for _ in range(ITEMSIZE[x.dtype] * 8):
        odd = k.compare("ne", k.and_(rest, one), zero)
        out = k.select(odd, k.mul(out, base), out)
        base, rest = k.mul(base, base), k.shr(rest, one)
    if x.dtype.startswith("uint"):
        return out
    odd = k.compare("ne", k.and_(y, one), zero)
    minus = k.const(-1, x.dtype)
    of_minus = k.select(k.compare("eq", x, minus), k.select(odd, minus, one), zero)
    unit = k.select(k.compare("eq", x, one), one, of_minus)
    return k.select(k.compare("lt", y, zero), unit, out)


def _power_slope(a: Node, exponent: float, dtype: str) -> Node:
    """The derivative of a power, where a whole exponent ends in no 0 * inf at 0."""
    if exponent in (0, 1):
        return second(a, const(exponent, dtype))
    lower = a if exponent == 2 else pow_(a, const(exponent - 1, dtype))
    return mul(const(exponent, dtype), lower)


def _pow_grad(g: Node, y: Node, a: Node, b: Node) -> Sequence[Node | None]:
    known = scalar_value(b)
    if known is not None and not is_discrete(y.dtype):
        return (mul(g, _power_slope(a, known, y.dtype)), None)
    exponent = cast(b, dtype=y.dtype)
    to_base = mul(g, mul(exponent, pow_(a, sub(exponent, const(1, y.dtype)))))
    safe = switch(eq(a, const(0, a.dtype)), const(1, a.dtype), a)
    return (to_base, mul(g, mul(pow_(a, b), log(safe))))


pow_: Op = elementwise(
    "pow",
    arity=2,
    numpy=_pow_numpy,
    body=_pow_body,
    grad=_pow_grad,
    events=(TO_NEGATIVE_POWER,),
    low=0.1,
    high=3.0,
    dtypes=NUMBERS,
    doc="Power; integers wrap around, a negative exponent gives 0 but for bases 1 and -1.",
)
