"""Elementwise laws that hold for every value: neutral elements, signs, casts and choices.

None of them rounds differently; only the sign of a zero may change. Zeros are not absorbing for
floats (0 * inf is NaN), and x / x stays, because x may be 0.
"""

from __future__ import annotations

from typing import Final

from exprd_compiler.ir.dtype import (
    DISCRETE,
    EVERY,
    FLOATS,
    INTEGERS,
    ITEMSIZE,
    SIGNED,
    is_discrete,
    promote,
)
from exprd_compiler.ir.lowering import Scalar
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.arithmetic import cast, mul, neg, true_div
from exprd_compiler.ops.leaves import constant_value, scalar_value
from exprd_compiler.ops.table import OPS
from exprd_compiler.rewrite.pattern import P, constants, wild
from exprd_compiler.rewrite.rules import Match, Rule

x, y, a, b = wild("x y a b")
(c,) = constants("c")
ELEMENTWISE: Final = tuple(op for op in OPS.values() if isinstance(op.lowering, Scalar))


# ---- casts
def _cast_operands(m: Match) -> Node | None:
    lowering = m.root.op.lowering
    assert isinstance(lowering, Scalar)
    have = [operand.dtype for operand in m.root.inputs]
    want = lowering.operands(have, m.root.dtype)
    if list(want) == have:
        return None
    pairs = zip(m.root.inputs, want, strict=True)
    inputs = [x if x.dtype == dtype else cast(x, dtype=dtype) for x, dtype in pairs]
    return m.root.op(*inputs, **m.root.attributes)


def holds(dtype: str, other: str) -> bool:
    """Whether every value of `other` is a value of `dtype`."""
    if dtype in FLOATS and other in INTEGERS:
        return ITEMSIZE[other] < ITEMSIZE[dtype]
    return promote(dtype, other) == dtype


def _merge_casts(m: Match) -> Node | None:
    first, middle, last = m["x"].dtype, m.attr("a"), m.attr("b")
    if first == last and holds(middle, first):
        return m["x"]
    # a float out of range becomes an integer as the machine likes: keep the way it takes
    wild_way = is_discrete(first) and middle in FLOATS and not holds(last, first)
    if not holds(middle, first) or (is_discrete(last) and wild_way):
        return None
    return cast(m["x"], dtype=last)


CASTS: Final = (
    Rule(
        name="casts of operands are visible",
        theano="local_upcast_elemwise_constant_inputs",
        left=ELEMENTWISE,
        right=_cast_operands,
        same_shape=True,
        dtypes=EVERY,
        why="An elementwise op casts its operands; said aloud, other rules see one dtype.",
    ),
    Rule(
        name="a cast to the same dtype does nothing",
        theano="local_cast_cast",
        left=P.cast(x, dtype=a),
        right=x,
        dtypes=EVERY,
        why="The dtype is the same.",
    ),
    Rule(
        name="a cast after a lossless cast",
        theano="local_cast_cast",
        left=P.cast(P.cast(x, dtype=a), dtype=b),
        right=_merge_casts,
        mixed=True,
        dtypes=EVERY,
        why="The first cast keeps every value, so the second can start from the original.",
    ),
)


# ---- signs
def _is_minus_one(m: Match) -> bool:
    return scalar_value(m["c"]) == -1


def _into_factor(m: Match) -> Node:
    return mul(m["x"], neg(m["c"]))


def _into_numerator(m: Match) -> Node:
    return true_div(neg(m["c"]), m["x"])


_EXACT = "Rounding is symmetric: the result differs at most in the sign of a zero."
_ADD, _MUL = "local_add_canonizer", "local_mul_canonizer"

SIGNS: Final = (
    Rule(name="minus minus", theano="local_neg_neg", left=P.neg(-x), right=x, why=_EXACT),
    Rule(name="minus a difference", theano=_ADD, left=-(x - y), right=y - x, why=_EXACT),
    Rule(name="adding a negative", theano=_ADD, left=x + (-y), right=x - y, why=_EXACT),
    Rule(name="subtracting a negative", theano=_ADD, left=x - (-y), right=x + y, why=_EXACT),
    Rule(name="a negative minus", theano=_ADD, left=(-x) - y, right=-(x + y), why=_EXACT),
    Rule(name="subtracting from zero", theano=_ADD, left=0 - x, right=-x, why=_EXACT),
    Rule(name="times a negative", theano=_MUL, left=(-x) * y, right=-(x * y), why=_EXACT),
    Rule(name="a negative over", theano=_MUL, left=(-x) / y, right=-(x / y), why=_EXACT),
    Rule(name="over a negative", theano=_MUL, left=x / (-y), right=-(x / y), why=_EXACT),
    Rule(
        name="times minus one",
        theano=_MUL,
        left=x * c,
        right=-x,
        when=_is_minus_one,
        dtypes=SIGNED + FLOATS,
        why=_EXACT,
    ),
    Rule(
        name="a sign goes into a constant factor",
        theano=_MUL,
        left=-(x * c),
        right=_into_factor,
        why=_EXACT,
    ),
    Rule(
        name="a sign goes into a constant numerator",
        theano=_MUL,
        left=-(c / x),
        right=_into_numerator,
        why=_EXACT,
    ),
    Rule(
        name="the sign of a sum",
        theano="local_sum_prod_mul_by_scalar",
        left=P.sum(-x, axes=a),
        right=-P.sum(x, axes=a),
        dtypes=FLOATS,
        why=_EXACT,
    ),
)


# ---- neutral elements
_NEUTRAL = "The other operand does not change a value."

NEUTRAL: Final = (
    Rule(name="one is neutral in products", theano=_MUL, left=x * 1, right=x, why=_NEUTRAL),
    Rule(name="one is neutral below", theano=_MUL, left=x / 1, right=x, why=_NEUTRAL),
    Rule(name="zero is neutral in sums", theano=_ADD, left=x + 0, right=x, why=_NEUTRAL),
    Rule(name="zero is neutral behind minus", theano=_ADD, left=x - 0, right=x, why=_NEUTRAL),
    Rule(
        name="zero absorbs integers",
        theano="local_mul_zero",
        left=x * 0,
        right=P.second(x, 0),
        dtypes=DISCRETE,
        why="Integers have neither NaN nor infinity.",
    ),
    Rule(
        name="an integer minus itself",
        theano=_ADD,
        left=x - x,
        right=P.second(x, 0),
        dtypes=INTEGERS,
        why="Integers have neither NaN nor infinity.",
    ),
    Rule(
        name="to the power one",
        theano="local_pow_specialize",
        left=x**1,
        right=x,
        why="Exact.",
    ),
    Rule(
        name="to the power zero",
        theano="local_pow_specialize",
        left=x**0,
        right=P.second(x, 1),
        why="IEEE: also of NaN and infinity.",
    ),
    Rule(
        name="to the power minus one",
        theano="local_pow_specialize",
        left=x ** (-1),
        right=1 / x,
        dtypes=FLOATS,
        why="The quotient is rounded once.",
    ),
)


# ---- choices
def _chosen(m: Match) -> Node | None:
    value = constant_value(m["c"])
    if value is None or value.size == 0 or (value != value.reshape(-1)[0]).any():
        return None
    return m["x"] if value.reshape(-1)[0] else m["y"]


_SWITCH, _USELESS = "local_useless_switch", "local_useless_elemwise"

CHOICES: Final = (
    Rule(
        name="a choice with a constant condition",
        theano=_SWITCH,
        left=P.switch(c, x, y),
        right=_chosen,
        mixed=True,
        dtypes=EVERY,
        why="The condition is the same everywhere.",
    ),
    Rule(
        name="a choice between equals",
        theano=_SWITCH,
        left=P.switch(a, x, x),
        right=x,
        mixed=True,
        dtypes=EVERY,
        why="Both branches are the same value.",
    ),
    *[
        Rule(name=f"{op} with itself", theano=_USELESS, left=left, right=x, why="Idempotent.")
        for op, left in (
            ("maximum", P.maximum(x, x)),
            ("minimum", P.minimum(x, x)),
            ("and", getattr(P, "and")(x, x)),
            ("or", getattr(P, "or")(x, x)),
        )
    ],
    Rule(
        name="not not",
        theano=_USELESS,
        left=P.invert(P.invert(x)),
        right=x,
        why="Exact.",
    ),
    Rule(
        name="absolute value twice",
        theano=_USELESS,
        left=P.abs(P.abs(x)),
        right=P.abs(x),
        why="Exact.",
    ),
    Rule(
        name="absolute value of a negative",
        theano=_USELESS,
        left=P.abs(-x),
        right=P.abs(x),
        dtypes=SIGNED + FLOATS,
        why="Exact.",
    ),
    Rule(
        name="square of a negative",
        theano=_USELESS,
        left=P.sqr(-x),
        right=P.sqr(x),
        why="Exact.",
    ),
)

LAWS: Final = (*CASTS, *SIGNS, *NEUTRAL, *CHOICES)
