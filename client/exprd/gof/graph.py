"""Variables and what they come from."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from exprd.variable import Apply, TensorConstant, TensorVariable, Variable, variable_of
from exprd_compiler.ir.node import Node

__all__ = ["Apply", "Constant", "Variable", "ancestors", "inputs"]

Constant = TensorConstant


def ancestors(
    variable_list: Iterable[TensorVariable], blockers: Collection[TensorVariable] | None = None
) -> list[TensorVariable]:
    """The variables and all that they depend on, each once, from the first variable downward.

    Args:
        variable_list: where to begin.
        blockers: variables whose own ancestors are left out.
    """
    stops = {variable.node for variable in blockers or ()}
    seen: dict[Node, None] = {}
    waiting = [variable.node for variable in reversed(list(variable_list))]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen[node] = None
        if node not in stops:
            waiting.extend(reversed(node.inputs))
    return [variable_of(node) for node in seen]


def inputs(
    variable_list: Iterable[TensorVariable], blockers: Collection[TensorVariable] | None = None
) -> list[TensorVariable]:
    """The leaves that variables depend on: inputs, shared variables and constants."""
    return [v for v in ancestors(variable_list, blockers) if v.owner is None]
