"""Specialization: general ops replaced by cheaper ones for particular constants."""

from __future__ import annotations

from typing import Final

import numpy as np

from exprd_compiler.ir.dtype import FLOATS, INTEGERS
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.arithmetic import mul
from exprd_compiler.ops.leaves import const, scalar_value
from exprd_compiler.rewrite.pattern import P, Term, constants, wild
from exprd_compiler.rewrite.rules import Match, Rule

(x,) = wild("x")
(c,) = constants("c")
NUMBERS: Final = INTEGERS + FLOATS


def _is_power_of_two(m: Match) -> bool:
    value = scalar_value(m["c"])
    if value is None or value == 0 or not np.isfinite(value):
        return False
    mantissa, exponent = np.frexp(value)
    return abs(float(mantissa)) == 0.5 and abs(int(exponent)) < 100


def _times_inverse(m: Match) -> Node:
    value = scalar_value(m["c"])
    assert value is not None
    return mul(m["x"], const(1.0 / value, m.root.dtype))


_FEWER = "Fewer steps, and rounded no more often than the general power errs."
_ROOT = "One step; only minus infinity and the negative zero come out otherwise."


def _power(
    exponent: float, right: Term, dtypes: tuple[str, ...] = FLOATS, why: str = _FEWER
) -> Rule:
    return Rule(
        name=f"to the power {exponent:g}",
        theano="local_pow_specialize",
        left=x**exponent,
        right=right,
        dtypes=dtypes,
        why=why,
    )


LAWS: Final = (
    _power(2, P.sqr(x), NUMBERS),
    _power(3, x * P.sqr(x), NUMBERS),
    _power(4, P.sqr(P.sqr(x)), NUMBERS),
    _power(0.5, P.sqrt(x), why=_ROOT),
    _power(-0.5, 1 / P.sqrt(x), why=_ROOT),
    _power(-2, 1 / P.sqr(x)),
    Rule(
        name="a product with itself is a square",
        theano="local_mul_to_sqr",
        left=x * x,
        right=P.sqr(x),
        dtypes=NUMBERS,
        why="The same multiplication, its operand read once.",
    ),
    Rule(
        name="over a power of two",
        theano="local_div_to_inv",
        left=x / c,
        right=_times_inverse,
        when=_is_power_of_two,
        dtypes=FLOATS,
        why="The inverse is exact.",
    ),
)
