"""Elementwise expressions over nodes: the table's ops under Theano's typing rules.

Operands are converted by the cast policy; everything else is the op's own business.
"""

from __future__ import annotations

from functools import reduce
from typing import Final

from exprd.config import config
from exprd.convert import as_node, cast_to
from exprd_compiler.errors import DTypeError, GraphError
from exprd_compiler.ir.dtype import is_complex, is_discrete
from exprd_compiler.ir.lowering import Scalar
from exprd_compiler.ir.node import Node, Op
from exprd_compiler.ops import arithmetic, division, logic, rounding, transcendental
from exprd_compiler.ops.leaves import const, scalar_value
from exprd_compiler.ops.table import OPS

__all__ = ["apply", "divide", "elementwise_ops"]

_FOLDED: Final = (arithmetic.add, arithmetic.mul, logic.and_, logic.or_)
MOST_POWER: Final = 1024
_PYTHON_NAMES: Final = {"abs": "abs_", "and": "and_", "or": "or_", "xor": "xor_"}


def elementwise_ops() -> dict[str, Op]:
    """The elementwise ops by their name in Python, those with attributes left out."""
    found = {op.name: op for op in OPS.values() if isinstance(op.lowering, Scalar)}
    del found["cast"]
    return {_PYTHON_NAMES.get(name, name): op for name, op in found.items()}


def apply(op: Op, *values: object) -> Node:
    """The op on values; sums, products and bitwise ops take any number of operands."""
    nodes = [as_node(value) for value in values]
    if op in _FOLDED and len(nodes) > 2:
        return reduce(lambda a, b: op(a, b), nodes)
    if op is arithmetic.true_div and len(nodes) == 2:
        return divide(*nodes)
    if op is transcendental.pow_ and len(nodes) == 2 and is_complex(nodes[0].dtype):
        return whole_power(*nodes)
    return op(*nodes)


def whole_power(base: Node, exponent: Node) -> Node:
    """A complex value to a whole constant power, by squares (numpy's way up to 100).

    Raises:
        DTypeError: the exponent is not a constant integer.
    """
    value = scalar_value(exponent)
    if value is None or exponent.ndim or value % 1 or abs(value) > MOST_POWER:
        raise DTypeError(
            f"{base.dtype} has powers by constant whole numbers up to {MOST_POWER} only",
            op="pow",
            hint="for others take abs(x) and angle(x) apart",
        )
    out, factor, rest = None, base, abs(int(value))
    while rest:
        if rest & 1:
            out = factor if out is None else arithmetic.mul(out, factor)
        rest >>= 1
        factor = arithmetic.sqr(factor) if rest else factor
    if out is None:
        return arithmetic.second(base, const(1, base.dtype))
    return division.reciprocal(out) if value < 0 else out


def divide(a: Node, b: Node) -> Node:
    """The quotient; of two integers in floatX, or an error if the configuration says so."""
    if is_discrete(a.dtype) and is_discrete(b.dtype):
        if config.int_division == "raise":
            raise DTypeError(
                f"/ on {a.dtype} and {b.dtype}",
                hint="cast one operand, or set config.int_division to int",
            )
        a, b = cast_to(a, "floatX"), cast_to(b, "floatX")
    return arithmetic.true_div(a, b)


def compare(name: str, a: object, b: object) -> Node:
    """A comparison by the op's name."""
    return apply(OPS[name], a, b)


def rounded(x: object, mode: str = "half_to_even") -> Node:
    """x rounded to integers; halves go "half_to_even" or "half_away_from_zero"."""
    modes = {
        "half_to_even": rounding.round_half_to_even,
        "half_away_from_zero": rounding.round_half_away_from_zero,
    }
    if mode not in modes:
        raise GraphError(f"mode is one of {', '.join(modes)}, not {mode!r}", op="round")
    return apply(modes[mode], x)


def clip(x: object, low: object, high: object) -> Node:
    """x held between two bounds."""
    if low is None or high is None:
        raise GraphError("takes a lower and an upper bound", op="clip")
    return apply(logic.minimum, apply(logic.maximum, x, low), high)
