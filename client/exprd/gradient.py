"""Gradients: `grad`, and the ways to hold a part of the graph constant.

Works on the client alone: the result is an ordinary expression.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, overload

from exprd.convert import as_node, node_of
from exprd.origin import mark
from exprd.variable import TensorVariable, Variable, variable_of
from exprd_compiler.errors import DisconnectedInput, GraphError, NotDifferentiable
from exprd_compiler.grad import grad as grad_nodes
from exprd_compiler.ir.node import Node

DisconnectedInputError = DisconnectedInput
NullTypeGradError = NotDifferentiable

__all__ = ["DisconnectedInputError", "NullTypeGradError", "grad"]

_DISCONNECTED = ("raise", "warn", "ignore")


@overload
def grad(
    cost: object,
    wrt: Variable,
    consider_constant: Sequence[Variable] | None = ...,
    disconnected_inputs: str = ...,
    add_names: bool = ...,
    known_grads: Mapping[Any, Any] | None = ...,
) -> TensorVariable: ...
@overload
def grad(
    cost: object,
    wrt: tuple[Variable, ...],
    consider_constant: Sequence[Variable] | None = ...,
    disconnected_inputs: str = ...,
    add_names: bool = ...,
    known_grads: Mapping[Any, Any] | None = ...,
) -> tuple[TensorVariable, ...]: ...
@overload
def grad(
    cost: object,
    wrt: list[Any],
    consider_constant: Sequence[Variable] | None = ...,
    disconnected_inputs: str = ...,
    add_names: bool = ...,
    known_grads: Mapping[Any, Any] | None = ...,
) -> list[TensorVariable]: ...
def grad(
    cost: object,
    wrt: Variable | Sequence[Variable],
    consider_constant: Sequence[Variable] | None = None,
    disconnected_inputs: str = "raise",
    add_names: bool = True,
    known_grads: Mapping[Any, Any] | None = None,
) -> TensorVariable | list[TensorVariable] | tuple[TensorVariable, ...]:
    """The derivative of a scalar cost by variables; each has the type of its variable.

    Args:
        cost: a 0-d float expression; None when `known_grads` says where to start.
        wrt: one variable or several; a list gives a list, a tuple a tuple.
        consider_constant: variables through which no gradient flows.
        disconnected_inputs: what to do about a variable that the cost does not depend on:
            "raise", "warn", or "ignore" (both give zeros).
        add_names: name the results after cost and variable.
        known_grads: gradients of intermediate variables, taken as given.

    Raises:
        DisconnectedInput: see `disconnected_inputs`.
        NotDifferentiable: an op on the way has no gradient.
    """
    if disconnected_inputs not in _DISCONNECTED:
        raise GraphError(f"disconnected_inputs is one of {', '.join(_DISCONNECTED)}", op="grad")
    targets = [_wrt(item) for item in (wrt if isinstance(wrt, Sequence) else [wrt])]
    known = {_wrt(x): as_node(g) for x, g in (known_grads or {}).items()}
    top = None if cost is None else as_node(cost)
    found = grad_nodes(
        top,
        targets,
        consider_constant=[_wrt(x) for x in consider_constant or ()],
        disconnected=disconnected_inputs,  # type: ignore[arg-type]
        known_grads=known or None,
    )
    mark(found)
    if add_names and top is not None:
        _name(top, targets, found)
    shown = [variable_of(node) for node in found]
    if isinstance(wrt, Variable):
        return shown[0]
    return tuple(shown) if isinstance(wrt, tuple) else shown


def _wrt(item: object) -> Node:
    node = node_of(item)
    if node is None:
        raise GraphError(f"expected a variable, got {item!r}", op="grad")
    return node


def _name(cost: Node, targets: Sequence[Node], found: Sequence[Node]) -> None:
    for target, node in zip(targets, found, strict=True):
        # the gradient may be a node of the user's own expression, which keeps its name
        if cost.name and target.name and node.name is None and node.inputs:
            node.name = f"(d{cost.name}/d{target.name})"
