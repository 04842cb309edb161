"""Evaluation of one variable: a function for each set of inputs, made once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exprd.compiled import Function
from exprd.convert import node_of
from exprd.function import function
from exprd.origin import origin_of
from exprd.session import current_session
from exprd.variable import TensorVariable, variable_of
from exprd_compiler.errors import CallError
from exprd_compiler.ir.graph import toposort
from exprd_compiler.ops.leaves import input_

__all__ = ["evaluate"]


def evaluate(
    variable: TensorVariable, values: Mapping[Any, Any], named: Mapping[str, Any], mode: Any
) -> Any:
    """The value of a variable for values of inputs, by variable or by name."""
    given = {_checked(key): value for key, value in values.items()}
    given.update((_input_of(variable, name), value) for name, value in named.items())
    inputs = sorted(given, key=lambda v: id(v.node))
    session = current_session()
    key = (id(session), mode, *(v.node for v in inputs))
    origin = origin_of(variable.node)
    made: dict[Any, Any] = {} if origin is None else origin.functions
    found = made.get(key)
    if not isinstance(found, Function) or found.session is not session:
        found = made[key] = function(inputs, variable, mode=mode, on_unused_input="ignore")
    return found(*[given[v] for v in inputs])


def _checked(key: object) -> TensorVariable:
    node = node_of(key)
    if node is None:
        raise CallError(f"eval takes values of variables, not of {key!r}")
    return variable_of(node)


def _input_of(variable: TensorVariable, name: str) -> TensorVariable:
    """The input of an expression that has a name."""
    leaves = [n for n in toposort([variable.node]) if n.op is input_]
    found = [n for n in leaves if n.name == name]
    if len(found) != 1:
        known = ", ".join(n.name for n in leaves if n.name) or "none"
        raise CallError(
            f"{len(found)} inputs of {variable!r} are called {name!r}", hint=f"there are: {known}"
        )
    return variable_of(found[0])
