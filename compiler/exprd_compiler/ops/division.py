"""Whole quotients and remainders, element by element, by the sign rules of Python.

The quotient is rounded down and the remainder has the sign of the divisor. Every value is numpy's,
where integers end as well: by zero both are 0, and the least integer by -1 is itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from exprd_compiler.ir.dtype import EVERY, is_float
from exprd_compiler.ir.node import ZERO_GRAD, Op
from exprd_compiler.ops.arithmetic import mul, neg, sqr, true_div
from exprd_compiler.ops.events import BY_ZERO, LEAST_BY_MINUS_ONE
from exprd_compiler.ops.families import elementwise, upcast_to_float
from exprd_compiler.ops.parts import conjugate


def _signs_differ(k: Any, rest: Any, divisor: Any) -> Any:
    """Whether a remainder that is not 0 has another sign than the divisor."""
    zero = k.const(0, rest.dtype)
    opposite = k.xor(k.compare("lt", rest, zero), k.compare("lt", divisor, zero))
    return k.and_(k.compare("ne", rest, zero), opposite)


def _integer_div(k: Any, a: Any, b: Any) -> Any:
    quotient = k.div(a, b)
    if a.dtype.startswith("uint"):
        return quotient
    lower = k.sub(quotient, k.const(1, a.dtype))
    rest = k.sub(a, k.mul(quotient, b))  # a second division would take longer
    rounded_up = k.and_(_signs_differ(k, rest, b), k.compare("ne", b, k.const(0, b.dtype)))
    return k.select(rounded_up, lower, quotient)


def _integer_mod(k: Any, a: Any, b: Any) -> Any:
    rest = k.rem(a, b)
    if a.dtype.startswith("uint"):
        return rest
    return k.select(_signs_differ(k, rest, b), k.add(rest, b), rest)


def _float_div(k: Any, a: Any, b: Any) -> Any:
    """The steps of numpy: the remainder is exact, so the quotient is whole but for its rounding."""
    zero, one, half = (k.const(value, a.dtype) for value in (0, 1, 0.5))
    rest = k.call("fmod", a, b)
    quotient = k.div(k.sub(a, rest), b)
    quotient = k.select(_signs_differ(k, rest, b), k.sub(quotient, one), quotient)
    whole = k.call("floor", quotient)
    whole = k.select(k.compare("gt", k.sub(quotient, whole), half), k.add(whole, one), whole)
    plain = k.div(a, b)
    whole = k.select(k.compare("eq", quotient, zero), k.call("copysign", zero, plain), whole)
    return k.select(k.compare("eq", b, zero), plain, whole)


def _float_mod(k: Any, a: Any, b: Any) -> Any:
    zero = k.const(0, a.dtype)
    rest = k.call("fmod", a, b)
    moved = k.select(_signs_differ(k, rest, b), k.add(rest, b), rest)
    return k.select(k.compare("eq", rest, zero), k.call("copysign", zero, b), moved)


int_div: Op = elementwise(
    "int_div",
    arity=2,
    numpy=np.floor_divide,
    body=lambda k, a, b: (_float_div if is_float(a.dtype) else _integer_div)(k, a, b),
    grad=ZERO_GRAD,
    events=(BY_ZERO, LEAST_BY_MINUS_ONE),
    low=0.3,
    doc="Quotient rounded down; of integers by zero 0, the least integer by -1 itself.",
)

mod: Op = elementwise(
    "mod",
    arity=2,
    numpy=np.remainder,
    body=lambda k, a, b: (_float_mod if is_float(a.dtype) else _integer_mod)(k, a, b),
    grad=lambda g, _y, a, b: (g, neg(mul(g, int_div(a, b)))),
    events=(BY_ZERO,),
    low=0.3,
    doc="Remainder of int_div, with the sign of the divisor; of integers by zero 0.",
)

reciprocal: Op = elementwise(
    "reciprocal",
    arity=1,
    numpy=lambda x: np.divide(1, x, dtype=x.dtype),
    body=lambda k, x: k.div(k.const(1, x.dtype), x),
    grad=lambda g, _y, x: (neg(true_div(g, sqr(conjugate(x)))),),
    result=upcast_to_float,
    dtypes=EVERY,
    low=0.3,
    doc="1 / x as a float (Theano's inv).",
)
