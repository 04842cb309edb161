"""Constant folding: what depends on constants alone is computed once, by the interpreter.

A result above the cap that is no smaller than what it is made of stays an expression; so does a
computation that fails, which then fails at run time with its own message, and one that calls report
as an event.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from exprd_compiler.errors import ExprdError
from exprd_compiler.ir.dtype import EVERY, ITEMSIZE
from exprd_compiler.ir.lowering import Leaf
from exprd_compiler.ir.node import Array, Node
from exprd_compiler.ops.creation import alloc, iota
from exprd_compiler.ops.events import events_met
from exprd_compiler.ops.leaves import const, constant, constant_value
from exprd_compiler.ops.table import OPS
from exprd_compiler.rewrite.rules import Match, Rule

MOST_BYTES: Final = 1 << 20
_KEPT: Final = (alloc, iota)  # small to say, large to store

_FOLDED: Final = tuple(
    op for op in OPS.values() if not isinstance(op.lowering, Leaf) and op not in _KEPT
)


def _size(node: Node) -> int | None:
    """Bytes of the value, if all extents are known."""
    extents = [e for e in node.type.shape if e is not None]
    if len(extents) != node.ndim:
        return None
    return int(np.prod(extents, dtype=object)) * ITEMSIZE[node.dtype]


def _value(node: Node, arrays: list[Array]) -> Array | None:
    try:
        value = node.op.numpy(*arrays, **node.attributes)
    except ExprdError:
        return None
    return np.asarray(value, node.dtype)


def _fold(m: Match) -> Node | None:
    arrays = [constant_value(x) for x in m.root.inputs]
    known = [array for array in arrays if array is not None]
    if len(known) != len(arrays):
        return None
    size, given = _size(m.root), sum(array.nbytes for array in known)
    if size is None or (size > MOST_BYTES and size >= given):
        return None
    value = _value(m.root, known)
    told = any(events_met(m.root, known))  # every call counts them, so none is hidden
    return None if value is None or told else const(value)


LAWS: Final = (
    Rule(
        name="constants are computed once",
        theano="constant_folding",
        left=_FOLDED,
        right=_fold,
        over=(constant,),
        same_shape=True,
        dtypes=EVERY,
        why="What depends on constants alone is computed at compile time.",
    ),
)
