"""Batch: what every rule needs to carry a leading batch axis through an op.

A batched operand has the batch axis first and then its own axes; others are as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from exprd_compiler.errors import NotVectorizable
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.origin import blame
from exprd_compiler.ops.arithmetic import mul
from exprd_compiler.ops.creation import alloc
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.movement import NEW_AXIS, dimshuffle, reshape, shape_i
from exprd_compiler.ops.positions import iota

# The length of an axis: an integer, or a 0-d node where only the call knows it.
Entry: TypeAlias = "int | Node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """An input of the op at hand.

    Attributes:
        node: the input over the batch, or as it was.
        rank: the rank of the input as it was.
        batched: whether the batch axis leads.
    """

    node: Node
    rank: int
    batched: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The length of the batch axis."""

    length: Entry

    def spread(self, x: Operand) -> Node:
        """The operand over the batch, repeated if it is the same everywhere."""
        if x.batched:
            return x.node
        spec, dims = split([self.length, *entries(x.node)])
        return alloc(x.node, *dims, shape=spec)

    def numbers(self, rank: int) -> Node:
        """The position in the batch, with `rank` axes of length 1 behind."""
        count = self.length
        order = iota(length=count) if isinstance(count, int) else iota(count)
        return dimshuffle(order, order=(0, *[NEW_AXIS] * rank)) if rank else order


# The op over the batch; None says that it is to be taken through its expansion.
Rule: TypeAlias = Callable[[Batch, Node, Sequence[Operand]], "Node | None"]


def entries(x: Node) -> list[Entry]:
    """The shape of a value, static where it is."""
    return [
        shape_i(x, axis=axis) if extent is None else extent
        for axis, extent in enumerate(x.type.shape)
    ]


def split(shape: Sequence[Entry]) -> tuple[tuple[int | None, ...], list[Node]]:
    """A shape as an attribute with None for each node, and the nodes."""
    spec = tuple(None if isinstance(entry, Node) else entry for entry in shape)
    return spec, [entry for entry in shape if isinstance(entry, Node)]


def shaped(x: Node, shape: Sequence[Entry]) -> Node:
    """The elements of x under a shape."""
    spec, dims = split(shape)
    return reshape(x, *dims, shape=spec)


def times(a: Entry, b: Entry) -> Entry:
    """The product of two lengths."""
    if isinstance(a, int) and isinstance(b, int):
        return a * b
    a, b = (n if isinstance(n, Node) else const(n, "int64") for n in (a, b))
    return mul(a, b)


def padded(x: Operand, rank: int) -> Node:
    """The operand with axes of length 1 in front of its own, if it is batched, up to `rank`."""
    if not x.batched or x.rank == rank:
        return x.node
    own = range(1, x.rank + 1)
    return dimshuffle(x.node, order=(0, *[NEW_AXIS] * (rank - x.rank), *own))


def own(node: Node, xs: Sequence[Operand]) -> list[Node]:
    """The operands, none of which is batched.

    Raises:
        NotVectorizable: one is: an extent, a bound or the like that differs over the batch.
    """
    if any(x.batched for x in xs):
        raise refused(node, "an extent or a bound differs from one element of the batch to another")
    return [x.node for x in xs]


def refused(node: Node, why: str) -> NotVectorizable:
    """The error for an op that cannot carry a batch axis."""
    return blame(NotVectorizable(why, hint="extents that are static can do without"), node)
