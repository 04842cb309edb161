"""Comparisons, logic and selection, element by element."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from exprd_compiler.ir.dtype import (
    DISCRETE,
    DTYPES,
    EVERY,
    INTEGERS,
    is_complex,
    is_float,
    promote,
)
from exprd_compiler.ir.node import ZERO_GRAD, Node, Op
from exprd_compiler.ops.arithmetic import zeros_like
from exprd_compiler.ops.events import OUTSIDE_WIDTH
from exprd_compiler.ops.families import as_common, boolean, comparison, elementwise
from exprd_compiler.ops.leaves import const

lt: Op = comparison("lt", "lt", np.less, ZERO_GRAD, "a < b.")
le: Op = comparison("le", "le", np.less_equal, ZERO_GRAD, "a <= b.")
gt: Op = comparison("gt", "gt", np.greater, ZERO_GRAD, "a > b.")
ge: Op = comparison("ge", "ge", np.greater_equal, ZERO_GRAD, "a >= b.")
eq: Op = comparison("eq", "eq", np.equal, ZERO_GRAD, "a == b.", EVERY)
neq: Op = comparison("neq", "ne", np.not_equal, ZERO_GRAD, "a != b.", EVERY)

and_: Op = elementwise(
    "and",
    arity=2,
    numpy=np.bitwise_and,
    body=lambda k, a, b: k.and_(a, b),
    grad=ZERO_GRAD,
    dtypes=DISCRETE,
    cheap=True,
    doc="Bitwise and; of bools the logical one.",
)

or_: Op = elementwise(
    "or",
    arity=2,
    numpy=np.bitwise_or,
    body=lambda k, a, b: k.or_(a, b),
    grad=ZERO_GRAD,
    dtypes=DISCRETE,
    cheap=True,
    doc="Bitwise or; of bools the logical one.",
)

xor: Op = elementwise(
    "xor",
    arity=2,
    numpy=np.bitwise_xor,
    body=lambda k, a, b: k.xor(a, b),
    grad=ZERO_GRAD,
    dtypes=DISCRETE,
    cheap=True,
    doc="Bitwise exclusive or; of bools the logical one.",
)

invert: Op = elementwise(
    "invert",
    arity=1,
    numpy=np.invert,
    body=lambda k, a: k.not_(a),
    grad=ZERO_GRAD,
    dtypes=DISCRETE,
    cheap=True,
    doc="Bitwise complement; of bools the negation.",
)


left_shift: Op = elementwise(
    "left_shift",
    arity=2,
    numpy=np.left_shift,
    body=lambda k, a, b: k.shl(a, b),
    grad=ZERO_GRAD,
    dtypes=INTEGERS,
    cheap=True,
    events=(OUTSIDE_WIDTH,),
    low=0.0,
    doc="a times 2 to the power b; 0 where b is negative or not below the width.",
)

right_shift: Op = elementwise(
    "right_shift",
    arity=2,
    numpy=np.right_shift,
    body=lambda k, a, b: k.shr(a, b),
    grad=ZERO_GRAD,
    dtypes=INTEGERS,
    cheap=True,
    events=(OUTSIDE_WIDTH,),
    low=0.0,
    doc="a over 2 to the power b, rounded down; only the sign where b is negative or too large.",
)


# ---- what kind of number it is
def _kind(name: str, numpy: Any, of_float: Callable[[Any, Any], Any], doc: str) -> Op:
    """A predicate of floats; integers are finite numbers, complex ones what their parts are."""

    def body(k: Any, x: Any) -> Any:
        if is_complex(x.dtype):
            re, im = (of_float(k, part) for part in (k.real(x), k.imag(x)))
            return k.and_(re, im) if name == "isfinite" else k.or_(re, im)
        return of_float(k, x) if is_float(x.dtype) else k.const(int(name == "isfinite"), "bool")

    return elementwise(
        name,
        arity=1,
        numpy=numpy,
        body=body,
        grad=ZERO_GRAD,
        result=boolean,
        operands=as_common,
        dtypes=EVERY,
        cheap=True,
        doc=doc,
    )


def _against_infinity(k: Any, predicate: str, x: Any) -> Any:
    return k.compare(predicate, k.abs(x), k.const(math.inf, x.dtype))


isnan: Op = _kind("isnan", np.isnan, lambda k, x: k.compare("ne", x, x), "Whether it is NaN.")
isinf: Op = _kind(
    "isinf", np.isinf, lambda k, x: _against_infinity(k, "eq", x), "Whether it is inf or -inf."
)
isfinite: Op = _kind(
    "isfinite",
    np.isfinite,
    lambda k, x: _against_infinity(k, "lt", x),
    "Whether it is neither NaN nor infinite.",
)


# ---- selection
def _switch_result(dtypes: Sequence[str]) -> str:
    return promote(*dtypes[1:])


def _switch_operands(_: Sequence[str], result: str) -> Sequence[str]:
    return ("bool", result, result)


def _switch_grad(g: Node, _y: Node, condition: Node, _a: Node, _b: Node) -> Sequence[Node | None]:
    zero = const(0, g.dtype)
    # as Theano has it, a little more of the condition takes the same branch
    return (zeros_like(condition), switch(condition, g, zero), switch(condition, zero, g))


def _switch_body(k: Any, condition: Any, a: Any, b: Any) -> Any:
    return k.select(condition, a, b)


switch: Op = elementwise(
    "switch",
    arity=3,
    numpy=np.where,
    body=_switch_body,
    grad=_switch_grad,
    result=_switch_result,
    operands=_switch_operands,
    dtypes=EVERY,
    doc="a where the condition is not zero, else b; both are computed.",
)


def _to_winner(g: Node, won: Node) -> Sequence[Node]:
    """The gradient goes to the operand that was taken."""
    zero = const(0, g.dtype)
    return (switch(won, g, zero), switch(won, zero, g))


maximum: Op = elementwise(
    "maximum",
    arity=2,
    numpy=np.maximum,
    body=lambda k, a, b: k.maximum(a, b),
    grad=lambda g, _y, a, b: _to_winner(g, ge(a, b)),
    dtypes=DTYPES,
    cheap=True,
    doc="The larger of two; NaN if either is.",
)

minimum: Op = elementwise(
    "minimum",
    arity=2,
    numpy=np.minimum,
    body=lambda k, a, b: k.minimum(a, b),
    grad=lambda g, _y, a, b: _to_winner(g, le(a, b)),
    dtypes=DTYPES,
    cheap=True,
    doc="The smaller of two; NaN if either is.",
)
