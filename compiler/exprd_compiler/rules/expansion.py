"""Expansion: ops that are compositions of other ops are replaced by them.

It comes after every rule that recognises such an op; afterwards none is left.
"""

from __future__ import annotations

from typing import Final

from exprd_compiler.ir.dtype import EVERY
from exprd_compiler.ir.lowering import Expand
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.table import OPS
from exprd_compiler.rewrite.rules import Match, Rule

COMPOSED: Final = tuple(op for op in OPS.values() if isinstance(op.lowering, Expand))


def expand(m: Match) -> Node | None:
    """The expansion of a composed op."""
    lowering = m.root.op.lowering
    if not isinstance(lowering, Expand):
        return None
    return lowering.body(*m.root.inputs, **m.root.attributes)


LAWS: Final = (
    Rule(
        name="expand",
        left=COMPOSED,
        right=expand,
        same_shape=True,
        dtypes=EVERY,
        why="A composed op becomes the ops of which it is made.",
    ),
)
