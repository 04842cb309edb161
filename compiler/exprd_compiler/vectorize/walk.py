"""The walk: every node that depends on a batched value is rebuilt over the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from exprd_compiler.errors import ArgumentError, ShapeError
from exprd_compiler.ir.graph import rebuild, toposort
from exprd_compiler.ir.lowering import Expand
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.movement import shape_i
from exprd_compiler.vectorize.batch import Batch, Entry, Operand, entries, refused
from exprd_compiler.vectorize.table import rule_of


def vectorize(roots: Sequence[Node], replace: Mapping[Node, Node]) -> list[Node]:
    """The roots for many values at once, stacked along a new first axis.

    Args:
        roots: what is computed of one value.
        replace: for values, nodes of the same dtype with one axis more, which comes first; all are
            of the same length there.

    Raises:
        NotVectorizable: an op that depends on them carries no batch axis.
    """
    lengths = [_length(node, batched) for node, batched in replace.items()]
    if not lengths:
        raise ArgumentError("nothing is replaced", op="vectorize")
    static = [length for length in lengths if isinstance(length, int)]
    walk = _Walk(Batch(length=static[0] if static else lengths[0]))
    for node, batched in replace.items():
        walk.done[node] = Operand(node=batched, rank=node.ndim, batched=True)
    return [walk.batch.spread(found) for found in walk.through(roots)]


def _length(node: Node, batched: Node) -> Entry:
    if batched.ndim != node.ndim + 1 or batched.dtype != node.dtype:
        raise ShapeError(f"{batched.type} is not {node.type} with one axis more", op="vectorize")
    return entries(batched)[0]


@dataclass(frozen=True, slots=True)
class _Walk:
    """What has been made of the nodes so far."""

    batch: Batch
    done: dict[Node, Operand] = field(default_factory=dict[Node, Operand])

    def through(self, roots: Sequence[Node]) -> list[Operand]:
        """The roots over the batch, where they depend on it."""
        for node in toposort(roots, stop=lambda n: n in self.done):
            if node not in self.done:
                self.done[node] = self._over(node, [self.done[x] for x in node.inputs])
        return [self.done[root] for root in roots]

    def _over(self, node: Node, xs: Sequence[Operand]) -> Operand:
        if node.op is shape_i and xs[0].batched:
            extent = shape_i(xs[0].node, axis=node["axis"] + 1)
            return Operand(node=extent, rank=0, batched=False)
        if not any(x.batched for x in xs):
            same = rebuild(node, tuple([x.node for x in xs]))
            return Operand(node=same, rank=node.ndim, batched=False)
        rule = rule_of(node.op)
        over = None if rule is None else rule(self.batch, node, xs)
        if over is None:
            return self._expanded(node, xs)
        return Operand(node=over, rank=node.ndim, batched=True)

    def _expanded(self, node: Node, xs: Sequence[Operand]) -> Operand:
        lowering = node.op.lowering
        if not isinstance(lowering, Expand):
            raise refused(node, "has no batch rule")
        inner = _Walk(self.batch, dict(zip(node.inputs, xs, strict=True)))
        (out,) = inner.through([lowering.body(*node.inputs, **node.attributes)])
        return out
