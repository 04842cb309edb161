"""Grad: reverse-mode differentiation of a graph into further nodes of the same graph.

Every gradient has the dtype, rank and broadcast pattern of its value; a discrete value lets none
through, and asked for its own gives it as a float. Nodes are only added, never changed.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal, TypeAlias

from exprd_compiler.errors import (
    CompilerBug,
    DisconnectedInput,
    DTypeError,
    NotDifferentiable,
    ShapeError,
)
from exprd_compiler.ir.dtype import float_of, is_discrete, is_float
from exprd_compiler.ir.graph import toposort
from exprd_compiler.ir.lowering import Expand
from exprd_compiler.ir.node import Node, NoGrad, ThroughExpansion
from exprd_compiler.ir.origin import blame
from exprd_compiler.ops.arithmetic import add, cast, mul, second
from exprd_compiler.ops.leaves import const, scalar_value
from exprd_compiler.ops.reduce import expand_axes, sum_

Disconnected: TypeAlias = Literal["raise", "warn", "ignore"]
# What reaches each value: an empty list says that it is connected, with a gradient of zero.
Reached: TypeAlias = dict[Node, list[Node]]

_POLICIES: Final = ("raise", "warn", "ignore")


def grad(
    cost: Node | None,
    wrt: Sequence[Node],
    *,
    consider_constant: Collection[Node] = (),
    disconnected: Disconnected = "raise",
    known_grads: Mapping[Node, Node] | None = None,
) -> list[Node]:
    """The derivatives of a scalar cost, one per value asked for.

    Args:
        cost: a 0-d float; None if `known_grads` says where to begin.
        wrt: leaves or any other values.
        consider_constant: values through which nothing is propagated.
        disconnected: what to do for a value on which the cost does not depend; unless it is
            "raise", its gradient is zero.
        known_grads: gradients of values, taken instead of what would be derived.

    Raises:
        NotDifferentiable: the way from the cost leads through an op without a gradient.
        DisconnectedInput: the cost does not depend on a value.
    """
    if disconnected not in _POLICIES:
        raise ValueError(f"disconnected={disconnected!r} is not one of {', '.join(_POLICIES)}")
    seeds = dict(known_grads or {})
    for node, known in seeds.items():
        _check_known(node, known)
    if cost is not None and cost not in seeds:
        seeds[cost] = _seed(cost)
    reached = _backward(seeds, set(wrt), set(consider_constant))
    for node in wrt:
        if node not in reached and disconnected != "ignore":
            _tell_disconnected(node, disconnected)
    found = [reached.get(node) for node in wrt]
    return [
        _total(parts) if parts else zeros_like(node) for node, parts in zip(wrt, found, strict=True)
    ]


def zeros_like(node: Node) -> Node:
    """A gradient of zero for a value."""
    return second(node, const(0, _grad_dtype(node)))


# ---- the ends
def _seed(cost: Node) -> Node:
    if cost.ndim:
        hint = "take a sum or a mean of it"
        raise blame(
            ShapeError(f"the cost must be a scalar (0-d), got {cost.type}", op="grad", hint=hint),
            cost,
        )
    if not is_float(cost.dtype):
        hint = "cast it, if it is meant to be differentiated"
        raise blame(DTypeError(f"the cost must be a float, got {cost.type}", hint=hint), cost)
    return const(1, cost.dtype)


def _check_known(node: Node, known: Node) -> None:
    if known.ndim != node.ndim or not is_float(known.dtype):
        raise ShapeError(
            f"the known gradient of {node.type} has type {known.type}",
            hint="it must be a float of the same rank",
        )


def _tell_disconnected(node: Node, disconnected: Disconnected) -> None:
    message = (
        f"the cost does not depend on {node.name or repr(node)}, or only by way of its shape "
        "or of an op that lets no gradient through"
    )
    if disconnected == "raise":
        hint = "leave it out, or pass disconnected_inputs='ignore' for a gradient of zero"
        raise blame(DisconnectedInput(message, op="grad", hint=hint), node)
    warnings.warn(message, stacklevel=3)


# ---- the sweep
def _backward(seeds: Mapping[Node, Node], wrt: set[Node], constants: set[Node]) -> Reached:
    """What reaches each value that lies between the seeds and `wrt`."""
    order = toposort(seeds, stop=lambda node: node in constants)
    wanted: set[Node] = set()
    for node in order:
        inner = node not in constants and not wanted.isdisjoint(node.inputs)
        if inner or node in wrt:
            wanted.add(node)
    reached: Reached = {node: [_fit(known, node)] for node, known in seeds.items()}
    for node in reversed(order):
        if node not in reached or node not in wanted or node in constants:
            continue
        for x, part in zip(node.inputs, _contributions(node, reached[node], wanted), strict=True):
            if part is None or x in seeds or x not in wanted:
                continue
            parts = reached.setdefault(x, [])
            if not _is_zero(part) and not (is_discrete(x.dtype) and x not in wrt):
                parts.append(_fit(_simple(part), x))
    return reached


def _contributions(node: Node, parts: list[Node], wanted: set[Node]) -> Sequence[Node | None]:
    """What a node passes to each of its inputs."""
    if wanted.isdisjoint(node.inputs):
        return [None] * len(node.inputs)
    if not parts or not is_float(node.dtype):
        return _zeros(node)
    parts[:] = [_total(parts)]
    rule = node.op.grad
    if isinstance(rule, NoGrad):
        hint = "use consider_constant, or another cost"
        raise blame(NotDifferentiable("has no gradient", hint=hint), node)
    if isinstance(rule, ThroughExpansion):
        return _through_expansion(node, parts[0])
    return rule(parts[0], node, *node.inputs, **node.attributes)


def _zeros(node: Node) -> Sequence[Node | None]:
    """Zeros for the inputs to which the rule of the op knows a way."""
    rule = node.op.grad
    zero = const(0, "float64")
    if isinstance(rule, NoGrad | ThroughExpansion):
        return [zero] * len(node.inputs)
    g = second(node, const(0, node.dtype))
    ways = rule(g, node, *node.inputs, **node.attributes)
    return [None if way is None else zero for way in ways]


def _through_expansion(node: Node, g: Node) -> Sequence[Node | None]:
    lowering = node.op.lowering
    if not isinstance(lowering, Expand):
        raise CompilerBug("is not an expansion", op=node.op.name)
    inputs = set(node.inputs)
    reached = _backward({lowering.body(*node.inputs, **node.attributes): g}, inputs, inputs)
    # an input that is used twice has its whole gradient already
    parts = {x: _total(found) if found else zeros_like(x) for x, found in reached.items()}
    return [parts.pop(x, None) if x in inputs else None for x in node.inputs]


# ---- contributions
def _grad_dtype(node: Node) -> str:
    return float_of(node.dtype)


def _is_zero(node: Node) -> bool:
    filled = node.inputs[1] if node.op is second else node
    return scalar_value(filled) == 0


def _simple(part: Node) -> Node:
    """The part without a factor of 1, which the seed of a scalar cost brings."""
    if part.op is mul:
        for one, other in (part.inputs, part.inputs[::-1]):
            if one.ndim == 0 and other.type == part.type and scalar_value(one) == 1:
                return other
    return part


def _fit(part: Node, node: Node) -> Node:
    """The part summed over the axes along which the value was broadcast, in its dtype."""
    lead = part.ndim - node.ndim
    ones = tuple(
        axis
        for axis, extent in enumerate(node.type.shape)
        if extent == 1 and part.type.shape[lead + axis] != 1
    )
    axes = (*range(lead), *(lead + axis for axis in ones))
    if axes:
        part = sum_(part, axes=axes)
        part = expand_axes(part, ones) if ones else part
    dtype = _grad_dtype(node)
    part = part if part.dtype == dtype else cast(part, dtype=dtype)
    return part if part.type.broadcastable == node.type.broadcastable else second(node, part)


def _total(parts: Sequence[Node]) -> Node:
    total = parts[0]
    for part in parts[1:]:
        total = add(total, part)
    return total
