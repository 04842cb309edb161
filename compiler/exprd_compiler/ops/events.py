"""Events: cases of integers that have a value, but one that is rarely wanted; calls count them.

A test is written like a scalar body and says which elements are such a case. The values themselves
are told by the bodies of the ops; docs/values.md lists both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from exprd_compiler.ir.counts import EventCount
from exprd_compiler.ir.dtype import FLOATS, INTEGERS, ITEMSIZE, SIGNED
from exprd_compiler.ir.lowering import Event, Scalar
from exprd_compiler.ir.node import Array, Node

DIVISION_BY_ZERO: Final = "integer division by zero"
OVERFLOW: Final = "integer overflow"
WIDE_SHIFT: Final = "shift out of range"
NEGATIVE_POWER: Final = "negative power of an integer"
INVALID_CAST: Final = "invalid cast"

# Floats that hold 2**63; narrower ones are widened before they are compared with such bounds.
_WIDE: Final = ("float32", "float64")


def _is(k: Any, x: Any, value: float) -> Any:
    return k.compare("eq", x, k.const(value, str(x.dtype)))


def _least_by_minus_one(k: Any, a: Any, b: Any) -> Any:
    least = -(1 << (8 * ITEMSIZE[str(a.dtype)] - 1))
    return k.and_(_is(k, a, least), _is(k, b, -1))


def _outside_width(k: Any, _a: Any, count: Any) -> Any:
    name = str(count.dtype)
    beyond = k.compare("ge", count, k.const(8 * ITEMSIZE[name], name))
    below = k.compare("lt", count, k.const(0, name))
    return k.or_(beyond, below) if name in SIGNED else beyond


def _not_held(k: Any, x: Any, *, dtype: str) -> Any:
    """Whether a float, rounded towards zero, is no number of an integer dtype; NaN is none."""
    wide = x if str(x.dtype) in _WIDE else k.cast(x, "float32")
    name = str(wide.dtype)
    info = np.iinfo(dtype)
    low, high = float(info.min), 2.0 ** (info.bits - (dtype in SIGNED))
    # next to the least integer lies a float that is rounded to it, where floats are that fine
    exact = float(np.dtype(name).type(low - 1)) == low - 1 == info.min - 1
    above = k.compare("gt" if exact else "ge", wide, k.const(low - exact, name))
    return k.not_(k.and_(above, k.compare("lt", wide, k.const(high, name))))


def _far(k: Any, x: Any, *, dtype: str) -> Any:
    """Whether a float is not within the least integer and its negative: one comparison, not two."""
    if dtype not in SIGNED:
        return _not_held(k, x, dtype=dtype)
    bound = k.const(-float(np.iinfo(dtype).min), str(x.dtype))
    return k.not_(k.compare("lt", k.abs(x), bound))


BY_ZERO: Final = Event(kind=DIVISION_BY_ZERO, test=lambda k, _a, b: _is(k, b, 0), dtypes=INTEGERS)
LEAST_BY_MINUS_ONE: Final = Event(kind=OVERFLOW, test=_least_by_minus_one, dtypes=SIGNED)
OUTSIDE_WIDTH: Final = Event(kind=WIDE_SHIFT, test=_outside_width, dtypes=INTEGERS)
TO_NEGATIVE_POWER: Final = Event(
    kind=NEGATIVE_POWER,
    test=lambda k, _a, b: k.compare("lt", b, k.const(0, str(b.dtype))),
    dtypes=SIGNED,
)
NOT_HELD: Final = Event(
    kind=INVALID_CAST,
    test=_not_held,
    dtypes=FLOATS,
    when=lambda attrs: attrs["dtype"] in INTEGERS,
    suspicion=_far,
)


# ---- the same tests on arrays
_COMPARISONS: Final = MappingProxyType(
    {"eq": np.equal, "ge": np.greater_equal, "gt": np.greater, "lt": np.less}
)


class _OnArrays:
    """As much of the scalar builder as tests use, on arrays."""

    def const(self, value: float, dtype: str) -> Array:
        return np.asarray(value, dtype)

    def cast(self, a: Array, dtype: str) -> Array:
        return a.astype(dtype)

    def compare(self, predicate: str, a: Array, b: Array) -> Any:
        return _COMPARISONS[predicate](a, b)

    def and_(self, a: Array, b: Array) -> Any:
        return np.logical_and(a, b)

    def or_(self, a: Array, b: Array) -> Any:
        return np.logical_or(a, b)

    def not_(self, a: Array) -> Any:
        return np.logical_not(a)


def events_met(node: Node, arrays: Sequence[Array]) -> Iterator[EventCount]:
    """The events that a node meets on the values of its inputs."""
    rule = node.op.lowering
    if not isinstance(rule, Scalar) or not rule.events:
        return
    operands = rule.operands([x.dtype for x in node.inputs], node.dtype)
    shape = np.broadcast_shapes(*[array.shape for array in arrays])
    origin = node.origin if isinstance(node.origin, int) else -1
    for event in rule.events:
        if event.possible(operands, node.attributes):
            cast = [a.astype(d, copy=False) for a, d in zip(arrays, operands, strict=True)]
            flags = np.broadcast_to(event.test(_OnArrays(), *cast, **node.attributes), shape)
            if count := int(np.count_nonzero(flags)):
                yield EventCount(event.kind, node.op.name, origin, count)
