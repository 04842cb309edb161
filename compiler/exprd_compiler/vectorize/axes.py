"""Batch rules of ops that know axes: elementwise ops, folds, scans, joins and most views."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from exprd_compiler.ir.node import Node
from exprd_compiler.ops.arithmetic import cast
from exprd_compiler.ops.joining import join
from exprd_compiler.ops.movement import ANY, NEW_AXIS, dimshuffle
from exprd_compiler.ops.reduce import all_
from exprd_compiler.vectorize.batch import Batch, Operand, Rule, own, padded, split


def elementwise(_batch: Batch, node: Node, xs: Sequence[Operand]) -> Node:
    """Ranks are padded on the left, so that the batch axis leads everywhere."""
    return node.op(*[padded(x, node.ndim) for x in xs], **node.attributes)


def every_operand(change: Callable[[Node], dict[str, object]]) -> Rule:
    """The rule of ops whose operands are all over the batch, under changed attributes."""

    def rule(batch: Batch, node: Node, xs: Sequence[Operand]) -> Node:
        return node.op(*[batch.spread(x) for x in xs], **{**node.attributes, **change(node)})

    return rule


def first_operand(change: Callable[[Node], dict[str, object]]) -> Rule:
    """The rule of ops on one tensor and integers, under changed attributes."""

    def rule(batch: Batch, node: Node, xs: Sequence[Operand]) -> Node:
        rest = own(node, xs[1:])
        return node.op(batch.spread(xs[0]), *rest, **{**node.attributes, **change(node)})

    return rule


def _next(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(axis if axis == NEW_AXIS else axis + 1 for axis in axes)


axes = every_operand(lambda node: {"axes": _next(node["axes"])})
axis = every_operand(lambda node: {"axis": node["axis"] + 1})
order = every_operand(lambda node: {"order": (0, *_next(node["order"]))})
specify = first_operand(lambda node: {"shape": (ANY, *node["shape"])})


def leading(batch: Batch, node: Node, xs: Sequence[Operand]) -> Node:
    """The rule of routines over the last axes of tensors, which are stacked along all others."""
    tensors = [batch.spread(x) for x in xs if x.rank]
    rest = own(node, [x for x in xs if not x.rank])
    return node.op(*tensors, *rest, **node.attributes)


def every_item(batch: Batch, node: Node, xs: Sequence[Operand]) -> Node:
    """The rule of a tensor under conditions, which must hold for every item of the batch."""
    conditions = [
        cast(all_(cast(x.node, dtype="bool"), axes=(0,)), dtype="int64") if x.batched else x.node
        for x in xs[1:]
    ]
    return node.op(batch.spread(xs[0]), *conditions, **node.attributes)


def vector(batch: Batch, _node: Node, xs: Sequence[Operand]) -> Node:
    """0-d values side by side behind the batch axis."""
    columns = [dimshuffle(batch.spread(x), order=(0, NEW_AXIS)) for x in xs]
    return join(*columns, axis=1)


def shape(batch: Batch, node: Node, xs: Sequence[Operand]) -> Node:
    """A shape as attribute and integers, the length of the batch put before it (reshape, alloc)."""
    rest = iter(own(node, xs[1:]))
    given = [next(rest) if entry is None else entry for entry in node["shape"]]
    spec, dims = split([batch.length, *given])
    rank = node.ndim if node.op.name == "alloc" else xs[0].rank
    return node.op(padded(xs[0], rank), *dims, shape=spec)
