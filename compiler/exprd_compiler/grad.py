"""Grad: reverse-mode differentiation of a graph into further nodes of the same graph.

Every gradient has the rank and broadcast pattern of its value, and its dtype if that is no discrete
one; a discrete value lets none through, and asked for its own gives it as a float. Nodes are only
added, never changed.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from exprd_compiler.errors import (
    ArgumentError,
    CompilerBug,
    DisconnectedInput,
    DTypeError,
    NotDifferentiable,
    ShapeError,
)
from exprd_compiler.ir.dtype import is_complex, is_discrete
from exprd_compiler.ir.graph import toposort
from exprd_compiler.ir.lowering import Expand
from exprd_compiler.ir.node import (
    GradRule,
    Node,
    NoGrad,
    NoPath,
    ThroughExpansion,
    Undefined,
    ZeroGrad,
)
from exprd_compiler.ir.origin import blame
from exprd_compiler.ops.arithmetic import add, cast, mul, second
from exprd_compiler.ops.leaves import const, repeated_value
from exprd_compiler.ops.parts import real
from exprd_compiler.ops.reduce import expand_axes, sum_

Disconnected: TypeAlias = Literal["raise", "warn", "ignore"]
POLICIES: Final = ("raise", "warn", "ignore")


@dataclass(frozen=True, slots=True)
class Null:
    """A gradient that does not exist: which node has none, and why."""

    node: Node | None
    why: str

    def error(self) -> NotDifferentiable:
        """What is raised for it, with the op and the line that it stems from."""
        error = NotDifferentiable(self.why, hint="use consider_constant, or another cost")
        return error if self.node is None else blame(error, self.node)


# What comes to a value from one use of it: None says that there is no path.
Part: TypeAlias = Node | Null | None
# What reaches each value: an empty list says that it is connected, with a gradient of zero.
Reached: TypeAlias = dict[Node, list[Node | Null]]

_ZERO: Final = const(0, "float64")


def grad(
    cost: Node | None,
    wrt: Sequence[Node],
    *,
    consider_constant: Collection[Node] = (),
    disconnected: Disconnected = "raise",
    known_grads: Mapping[Node, Node] | None = None,
    float_dtype: str = "float64",
) -> list[Node]:
    """The derivatives of a scalar cost, one per value asked for; zeros for what is disconnected.

    Args:
        cost: a 0-d number; None if `known_grads` says where to begin.
        wrt: leaves or any other values.
        consider_constant: values through which nothing is propagated.
        disconnected: what to do for a value on which the cost does not depend; unless it is
            "raise", its gradient is zero.
        known_grads: gradients of values, taken instead of what would be derived.
        float_dtype: the dtype of gradients that are zero for want of a float (Theano's floatX).

    Raises:
        NotDifferentiable: the way from the cost leads through an op without a gradient.
        DisconnectedInput: the cost does not depend on a value.
    """
    found = gradients(
        cost,
        wrt,
        consider_constant=consider_constant,
        disconnected=disconnected,
        known_grads=known_grads,
        float_dtype=float_dtype,
    )
    out: list[Node] = []
    for node, part in zip(wrt, found, strict=True):
        if isinstance(part, Null):
            raise part.error()
        out.append(zeros_like(node, float_dtype) if part is None else part)
    return out


def gradients(
    cost: Node | None,
    wrt: Sequence[Node],
    *,
    consider_constant: Collection[Node] = (),
    disconnected: str = "raise",
    known_grads: Mapping[Node, Part] | None = None,
    float_dtype: str = "float64",
) -> list[Part]:
    """The derivatives as `grad` finds them, before it is said what becomes of those that miss.

    Args are those of `grad`; a known gradient may be None or Null as well.

    Returns:
        Per value, a node, None for one that is disconnected, or Null where none exists.
    """
    _check_policy(disconnected)
    seeds = dict(known_grads or {})
    if cost is None and not seeds:
        raise ArgumentError("needs a cost or known gradients", op="grad")
    for node, known in seeds.items():
        _check_known(node, known)
    if cost is not None and cost not in seeds:
        seeds[cost] = _seed(cost, float_dtype)
    reached = _backward(seeds, set(wrt), set(consider_constant), float_dtype)
    for node in wrt:
        if node not in reached:
            tell_disconnected(node, disconnected)
    return [_asked(node, reached, float_dtype) for node in wrt]


def zeros_like(node: Node, float_dtype: str = "float64") -> Node:
    """A gradient of zero for a value."""
    return second(node, const(0, float_dtype if is_discrete(node.dtype) else node.dtype))


# ---- the ends
def _seed(cost: Node, float_dtype: str) -> Node:
    if cost.ndim:
        hint = "take a sum or a mean of it"
        text = f"the cost must be a scalar (0-d), got {cost.type}"
        raise blame(ArgumentError(text, op="grad", hint=hint), cost)
    if is_complex(cost.dtype):
        text = f"the cost must be real, got {cost.type}"
        hint = "take real(x), imag(x) or abs(x) of it"
        raise blame(DTypeError(text, op="grad", hint=hint), cost)
    return const(1, float_dtype if is_discrete(cost.dtype) else cost.dtype)


def _check_known(node: Node, known: Part) -> None:
    if not isinstance(known, Node):
        return
    if is_discrete(known.dtype):
        raise DTypeError(f"the known gradient of {node.type} is no float but {known.type}")
    if known.ndim != node.ndim:
        raise ShapeError(
            f"the known gradient of {node.type} has type {known.type}",
            hint="it must be a float of the same rank",
        )


def _check_policy(disconnected: str) -> None:
    if disconnected not in POLICIES:
        raise ArgumentError(f"{disconnected=} is not one of {', '.join(POLICIES)}", op="grad")


def disconnected_text(node: Node) -> str:
    """What is said of a value that no gradient reaches."""
    return (
        f"the cost does not depend on {node.name or repr(node)}, or only by way of its shape "
        "or of an op that lets no gradient through"
    )


def tell_disconnected(node: Node, disconnected: str) -> None:
    """What is to be done about a value that no gradient reaches.

    Raises:
        DisconnectedInput: if it is "raise".
        ArgumentError: there is no such policy.
    """
    _check_policy(disconnected)
    message = disconnected_text(node)
    if disconnected == "raise":
        hint = "leave it out, or pass disconnected_inputs='ignore' for a gradient of zero"
        raise blame(DisconnectedInput(message, op="grad", hint=hint), node)
    if disconnected == "warn":
        warnings.warn(message, stacklevel=4)


def _asked(node: Node, reached: Reached, float_dtype: str) -> Part:
    """The gradient of a value after the sweep."""
    if node not in reached:
        return None
    total = _total(reached[node])
    return zeros_like(node, float_dtype) if total is None else total


# ---- the sweep
def _backward(
    seeds: Mapping[Node, Part], wrt: set[Node], constants: set[Node], float_dtype: str
) -> Reached:
    """What reaches each value that lies between the seeds and `wrt`."""
    order = toposort(seeds, stop=lambda node: node in constants)
    wanted = _between(order, wrt, constants)
    reached: Reached = {}
    for node, known in seeds.items():
        if known is not None:
            reached[node] = [_fit(known, node)] if isinstance(known, Node) else [known]
    for node in reversed(order):
        passes = node in reached and node in wanted and node not in constants
        if not passes or wanted.isdisjoint(node.inputs):
            continue
        parts = _contributions(node, reached[node], float_dtype)
        for x, part in zip(node.inputs, parts, strict=True):
            if part is None or x in seeds or x not in wanted:
                continue
            _receive(reached.setdefault(x, []), part, x, asked=x in wrt)
    return reached


def _between(order: Sequence[Node], wrt: set[Node], constants: set[Node]) -> set[Node]:
    """The nodes that are asked for or lead to one that is."""
    wanted: set[Node] = set()
    for node in order:
        inner = node not in constants and not wanted.isdisjoint(node.inputs)
        if inner or node in wrt:
            wanted.add(node)
    return wanted


def _receive(parts: list[Node | Null], part: Node | Null, x: Node, *, asked: bool) -> None:
    """Add a part to what reaches x, if it is not zero and x has use for it."""
    if isinstance(part, Null):
        parts.append(part)
    elif not _is_zero(part) and (asked or not is_discrete(x.dtype)):
        parts.append(_fit(_simple(part), x))


def _contributions(node: Node, parts: list[Node | Null], float_dtype: str) -> Sequence[Part]:
    """What a node passes to each of its inputs."""
    total = _total(parts)
    if isinstance(total, Node) and not is_discrete(node.dtype):
        parts[:] = [total]
        return _derived(node, total, float_dtype)
    # where nothing comes, the rule still tells the ways, and those that do not exist
    given = total if isinstance(total, Null) else _ZERO
    ways = _derived(node, second(node, const(0, node.dtype)), float_dtype)
    return [given if isinstance(part, Node) else part for part in ways]


def _derived(node: Node, g: Node, float_dtype: str) -> Sequence[Part]:
    """The rule of the op, applied to the gradient of its value; one of the node's own goes before.

    Whoever builds a graph leaves such a rule at `origin.gradient`: it is no part of the graph.
    """
    own: GradRule | None = getattr(node.origin, "gradient", None)
    rule = node.op.grad if own is None else own
    if isinstance(rule, NoGrad):
        return [Null(node, "has no gradient")] * len(node.inputs)
    if isinstance(rule, ZeroGrad):
        return [_ZERO] * len(node.inputs)
    if isinstance(rule, NoPath):
        return [None] * len(node.inputs)
    if isinstance(rule, ThroughExpansion):
        return _through_expansion(node, g, float_dtype)
    found = rule(g, node, *node.inputs, **({} if own else node.attributes))
    return [Null(node, part.why) if isinstance(part, Undefined) else part for part in found]


def _through_expansion(node: Node, g: Node, float_dtype: str) -> Sequence[Part]:
    lowering = node.op.lowering
    if not isinstance(lowering, Expand):
        raise CompilerBug("is not an expansion", op=node.op.name)
    inputs = set(node.inputs)
    body = lowering.body(*node.inputs, **node.attributes)
    reached = _backward({body: g}, inputs, inputs, float_dtype)
    # an input that is used twice has its whole gradient already
    totals = {x: _blamed(_total(parts) or _ZERO, node) for x, parts in reached.items()}
    return [totals.pop(x, None) if x in inputs else None for x in node.inputs]


def _blamed(part: Node | Null, node: Node) -> Node | Null:
    """A missing gradient laid to the node that the user knows."""
    return Null(node, part.why) if isinstance(part, Null) else part


# ---- contributions
def _is_zero(node: Node) -> bool:
    filled = node.inputs[1] if node.op is second else node
    return repeated_value(filled) == 0


def _simple(part: Node) -> Node:
    """The part without a factor of 1, which the seed of a scalar cost brings."""
    if part.op is mul:
        for one, other in (part.inputs, part.inputs[::-1]):
            if one.ndim == 0 and other.type == part.type and repeated_value(one) == 1:
                return other
    return part


def _fit(part: Node, node: Node) -> Node:
    """The part summed over the axes along which the value was broadcast, in its dtype.

    What reaches a real value from a complex one is real.
    """
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
    if is_complex(part.dtype) and not is_complex(node.dtype):
        part = real(part)  # a real value moves along the real axis only
    if part.dtype != node.dtype and not is_discrete(node.dtype):
        part = cast(part, dtype=node.dtype)
    return part if part.type.broadcastable == node.type.broadcastable else second(node, part)


def _total(parts: Sequence[Node | Null]) -> Node | Null | None:
    """The sum; the first that does not exist if there is one; None for no parts."""
    total: Node | None = None
    for part in parts:
        if isinstance(part, Null):
            return part
        total = part if total is None else add(total, part)
    return total
