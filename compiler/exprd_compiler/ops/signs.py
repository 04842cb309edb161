"""Signs, remainders and common divisors, as C and numpy have them."""

from __future__ import annotations

from typing import Any

import numpy as np

from exprd_compiler.ir.dtype import DTYPES, FLOATS, INTEGERS, is_float
from exprd_compiler.ir.node import ZERO_GRAD, Node, Op
from exprd_compiler.ops.arithmetic import mul, neg, second, sign, true_div
from exprd_compiler.ops.families import boolean, elementwise, upcast_to_float
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.rounding import trunc


def _fmod(k: Any, a: Any, b: Any) -> Any:
    return k.call("fmod", a, b) if is_float(a.dtype) else k.rem(a, b)


def _fmod_grad(g: Node, _y: Node, a: Node, b: Node) -> tuple[Node, Node]:
    return g, neg(mul(g, trunc(true_div(a, b))))


fmod: Op = elementwise(
    "fmod",
    arity=2,
    numpy=np.fmod,
    body=_fmod,
    grad=_fmod_grad,
    low=0.3,
    high=2.9,
    doc="Remainder with the sign of the dividend; of integers by 0, 0.",
)


def _copysign_grad(g: Node, _y: Node, a: Node, b: Node) -> tuple[Node, Node]:
    one = const(1, a.dtype)
    return mul(g, mul(sign(a), copysign(one, b))), second(g, const(0, g.dtype))


copysign: Op = elementwise(
    "copysign",
    arity=2,
    numpy=np.copysign,
    body=lambda k, a, b: k.call("copysign", a, b),
    grad=_copysign_grad,
    result=upcast_to_float,
    dtypes=DTYPES,
    low=0.3,
    cheap=True,
    doc="The size of the first with the sign of the second, a zero's sign included.",
)


def _signbit(k: Any, x: Any) -> Any:
    if not is_float(x.dtype):
        return k.compare("lt", x, k.const(0, x.dtype))
    sign_of = k.call("copysign", k.const(1.0, x.dtype), x)
    return k.compare("lt", sign_of, k.const(0.0, x.dtype))


signbit: Op = elementwise(
    "signbit",
    arity=1,
    numpy=np.signbit,
    body=_signbit,
    grad=ZERO_GRAD,
    result=boolean,
    operands=lambda dtypes, _: dtypes,
    dtypes=INTEGERS + FLOATS,
    cheap=True,
    doc="Whether a number is below 0, or a zero or NaN with that sign.",
)

gcd: Op = elementwise(
    "gcd",
    arity=2,
    numpy=np.gcd,
    body=lambda k, a, b: k.call("gcd", a, b),
    grad=ZERO_GRAD,
    dtypes=INTEGERS,
    doc="Greatest common divisor, at least 0; of two zeros, 0.",
)


def _lcm(k: Any, a: Any, b: Any) -> Any:
    size, other = k.abs(a), k.abs(b)
    return k.mul(k.div(size, k.call("gcd", a, b)), other)


lcm: Op = elementwise(
    "lcm",
    arity=2,
    numpy=np.lcm,
    body=_lcm,
    grad=ZERO_GRAD,
    dtypes=INTEGERS,
    doc="Least common multiple, at least 0 where it fits; of zeros, 0.",
)
