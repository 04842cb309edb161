"""Derivatives of expressions: `grad`, and gradients of a part of a graph.

Works on the client alone: the result is an ordinary expression.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar, cast, overload

from exprd.config import config
from exprd.convert import as_node, is_mapping, is_sequence, node_of
from exprd.gradient.kinds import NoGradient, NullType, disconnected_type
from exprd.origin import here, mark
from exprd.variable import TensorVariable, Variable, variable_of
from exprd_compiler.errors import ArgumentError, DisconnectedInput, NotDifferentiable
from exprd_compiler.grad import (
    Null,
    Part,
    disconnected_text,
    gradients,
    tell_disconnected,
    zeros_like,
)
from exprd_compiler.ir.node import Node

DisconnectedInputError = DisconnectedInput
NullTypeGradError = NotDifferentiable

__all__ = [
    "DisconnectedInputError",
    "NullTypeGradError",
    "derivatives",
    "differentiate",
    "grad",
    "like",
    "listed",
    "subgraph_grad",
    "tell",
]

T = TypeVar("T")
# What a result may hold: an expression, what stands for one, or None.
Found: TypeAlias = "TensorVariable | NoGradient | None"


@overload
def grad(
    cost: object,
    wrt: Variable,
    consider_constant: Sequence[Variable] | None = ...,
    disconnected_inputs: str = ...,
    add_names: bool = ...,
    known_grads: Mapping[Any, Any] | None = ...,
    return_disconnected: str = ...,
    null_gradients: str = ...,
) -> TensorVariable: ...
@overload
def grad(
    cost: object,
    wrt: tuple[Variable, ...],
    consider_constant: Sequence[Variable] | None = ...,
    disconnected_inputs: str = ...,
    add_names: bool = ...,
    known_grads: Mapping[Any, Any] | None = ...,
    return_disconnected: str = ...,
    null_gradients: str = ...,
) -> tuple[TensorVariable, ...]: ...
@overload
def grad(
    cost: object,
    wrt: list[Any],
    consider_constant: Sequence[Variable] | None = ...,
    disconnected_inputs: str = ...,
    add_names: bool = ...,
    known_grads: Mapping[Any, Any] | None = ...,
    return_disconnected: str = ...,
    null_gradients: str = ...,
) -> list[TensorVariable]: ...
def grad(
    cost: object,
    wrt: Variable | Sequence[Variable],
    consider_constant: Sequence[Variable] | None = None,
    disconnected_inputs: str = "raise",
    add_names: bool = True,
    known_grads: Mapping[Any, Any] | None = None,
    return_disconnected: str = "zero",
    null_gradients: str = "raise",
) -> Any:
    """The derivative of a scalar cost by variables.

    Each has the rank of its variable, and its dtype if that is a float.

    Args:
        cost: a 0-d expression; None when `known_grads` says where to start.
        wrt: one variable or several; a list gives a list, a tuple a tuple.
        consider_constant: variables through which no gradient flows.
        disconnected_inputs: what to do about a variable that the cost does not depend on:
            "raise", "warn", or "ignore".
        add_names: name the results after cost and variable.
        known_grads: gradients of intermediate variables, taken as given.
        return_disconnected: what stands for the gradient by such a variable: "zero", "none", or
            "disconnected" for something whose type is DisconnectedType.
        null_gradients: "raise", or "return" for something whose type is NullType.

    Raises:
        ArgumentError: the cost is no scalar, or an argument is not one of these.
        DisconnectedInput: see `disconnected_inputs`.
        NotDifferentiable: an op on the way has no gradient.
    """
    return differentiate(
        cost,
        wrt,
        consider_constant=consider_constant,
        disconnected_inputs=disconnected_inputs,
        add_names=add_names,
        known_grads=known_grads,
        return_disconnected=return_disconnected,
        null_gradients=null_gradients,
    )


def differentiate(
    cost: object,
    wrt: Any,
    *,
    consider_constant: Sequence[Any] | None = None,
    disconnected_inputs: str = "raise",
    add_names: bool = True,
    known_grads: Mapping[Any, Any] | None = None,
    return_disconnected: str = "zero",
    null_gradients: str = "raise",
) -> Any:
    """What `grad` does, for callers that do not know of what kind `wrt` is."""
    targets = [_wrt(item) for item in listed(wrt)]
    top = _cost(cost)
    found = derivatives(
        top,
        targets,
        consider_constant=_constants(consider_constant),
        disconnected_inputs=disconnected_inputs,
        known_grads=_known(known_grads),
    )
    shown = _presented(targets, found, return_disconnected, null_gradients)
    if add_names and top is not None:
        _name(top, targets, shown)
    return like(wrt, shown)


def derivatives(
    cost: Node | None,
    wrt: Sequence[Node],
    *,
    consider_constant: Sequence[Node] = (),
    disconnected_inputs: str = "raise",
    known_grads: Mapping[Node, Part] | None = None,
) -> list[Part]:
    """The derivatives as nodes, None and Null for those that are missing."""
    told_here = disconnected_inputs == "warn"  # at the user's line, which the compiler cannot know
    found = gradients(
        cost,
        wrt,
        consider_constant=consider_constant,
        disconnected="ignore" if told_here else disconnected_inputs,
        known_grads=known_grads,
        float_dtype=config.floatX,
    )
    for node, part in zip(wrt, found, strict=True):
        if told_here and part is None:
            tell(node, disconnected_inputs)
    mark([part for part in found if isinstance(part, Node)])
    return found


def tell(node: Node, disconnected: str) -> None:
    """What is to be done about something disconnected: a warning names the user's line.

    Raises:
        DisconnectedInput: it is "raise".
    """
    if disconnected == "warn":
        line = here()
        warnings.warn_explicit(disconnected_text(node), UserWarning, line.file, line.line)
    else:
        tell_disconnected(node, disconnected)


# ---- arguments
def listed(value: T | Sequence[T]) -> list[T]:
    """The members of a list or tuple; anything else alone in a list.

    Raises:
        ArgumentError: it is a set, which has no order.
    """
    if isinstance(value, set | frozenset):
        raise ArgumentError("needs a list, a set has no order", op="grad")
    return list(value) if is_sequence(value) else [cast("T", value)]


def like(given: object, results: Sequence[T]) -> Any:
    """The results as a list, a tuple or one alone, as the argument was given."""
    if isinstance(given, tuple):
        return tuple(results)
    return list(results) if isinstance(given, list) else results[0]


def _cost(cost: object) -> Node | None:
    if isinstance(cost, NoGradient):
        raise ArgumentError(f"the cost does not exist: {cost.type!r}", op="grad")
    return None if cost is None else as_node(cost)


def _wrt(item: object) -> Node:
    node = node_of(item)
    if node is None:
        raise ArgumentError(f"expected a variable, got {item!r}", op="grad")
    return node


def _constants(given: Sequence[Variable] | None) -> list[Node]:
    if given is None or is_sequence(given):
        return [_wrt(x) for x in given or ()]
    hint = "put it in a list"
    raise ArgumentError(f"consider_constant is a list, got {given!r}", op="grad", hint=hint)


def _known(given: Mapping[Any, Any] | None) -> dict[Node, Part] | None:
    if given is None:
        return None
    if not is_mapping(given):
        raise ArgumentError(f"known_grads is a dict, got {given!r}", op="grad")
    return {_wrt(x): _part(g) for x, g in given.items()} or None


def _part(given: object) -> Part:
    if isinstance(given, NoGradient):
        return Null(None, given.type.why_null) if isinstance(given.type, NullType) else None
    return as_node(given)


# ---- results
_MISSING: Final[dict[str, Callable[[Node], Found]]] = {
    "zero": lambda node: variable_of(zeros_like(node, config.floatX)),
    "none": lambda _: None,
    "disconnected": lambda _: disconnected_type(),
}
_NULL: Final = ("raise", "return")


def _presented(
    targets: Sequence[Node], found: Sequence[Part], disconnected: str, null: str
) -> list[Found]:
    missing = _MISSING.get(str(disconnected).lower())
    if missing is None:
        raise ArgumentError(f"return_disconnected={disconnected!r} is not one of {list(_MISSING)}")
    if null not in _NULL:
        raise ArgumentError(f"null_gradients={null!r} is not one of {list(_NULL)}")
    out: list[Found] = []
    for node, part in zip(targets, found, strict=True):
        if isinstance(part, Null) and null == "raise":
            raise part.error()
        if isinstance(part, Null):
            out.append(NullType(str(part.error()))())
        else:
            out.append(missing(node) if part is None else variable_of(part))
    return out


def _name(cost: Node, targets: Sequence[Node], shown: Sequence[Found]) -> None:
    for target, found in zip(targets, shown, strict=True):
        # the gradient may be a node of the user's own expression, which keeps its name
        own = found is None or found.name is not None
        leaf = isinstance(found, TensorVariable) and not found.node.inputs
        if cost.name and target.name and found is not None and not own and not leaf:
            found.name = f"(d{cost.name}/d{target.name})"


# ---- a part of a graph
def subgraph_grad(
    wrt: Sequence[Any],
    end: Sequence[Any],
    start: Mapping[Any, Any] | None = None,
    cost: object = None,
    details: bool = False,
) -> tuple[list[TensorVariable], ...]:
    """The gradients within a part of a graph, from `start` or a cost down to `end`.

    Args:
        wrt: variables within the part.
        end: variables at which it ends: nothing is propagated through them.
        start: known gradients of the variables where it starts.
        cost: a scalar whose gradients are added to those from `start`.
        details: give also the two parts of the sum.

    Returns:
        The gradients by `wrt` and those by `end`; with details also all of them from `start` alone
        and from the cost alone, None for what was not given.

    Raises:
        ArgumentError: neither `start` nor `cost` is given, or an argument is no list.
    """
    if start is None and cost is None:
        raise ArgumentError("needs start or cost", op="subgraph_grad")
    if not all(isinstance(given, list) for given in (wrt, end)):
        raise ArgumentError("wrt and end are lists", op="subgraph_grad")
    params = list(dict.fromkeys([*wrt, *end]))
    from_start = None if start is None else _within(None, params, end, start)
    from_cost = None if cost is None else _within(cost, params, end, None)
    parts = [part for part in (from_start, from_cost) if part is not None]
    sums = [a if len(rest) == 0 else a + rest[0] for a, *rest in zip(*parts, strict=True)]
    total = dict(zip(params, sums, strict=True))
    result = ([total[x] for x in wrt], [total[x] for x in end])
    return (*result, from_start, from_cost) if details else result  # type: ignore[return-value]


def _within(
    cost: object, params: list[Any], end: Sequence[Any], start: Mapping[Any, Any] | None
) -> list[TensorVariable]:
    found: list[TensorVariable] = differentiate(
        cost, params, consider_constant=end, disconnected_inputs="ignore", known_grads=start
    )
    return found
