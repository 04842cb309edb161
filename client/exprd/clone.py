"""Clone: expressions with some of their variables replaced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from exprd.assemble import pairs
from exprd.convert import as_node, is_mapping, is_sequence, node_of
from exprd.io import described
from exprd.origin import mark, origin_of
from exprd.variable import variable_of
from exprd_compiler.errors import CallError, DTypeError, ShapeError
from exprd_compiler.ir.graph import substitute, toposort
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.leaves import const, input_

__all__ = ["clone", "rewritten"]


def clone(
    output: Any,
    replace: Mapping[Any, Any] | Iterable[Any] | None = None,
    strict: bool = True,
    share_inputs: bool = True,
) -> Any:
    """The expressions with variables replaced; one gives one, a list a list, a dict a dict.

    Args:
        output: one expression or several.
        replace: pairs (variable, what takes its place); any variable, not only inputs.
        strict: whether a replacement must have the type of what it replaces.
        share_inputs: whether inputs stay; else new ones of the same type and name stand for them.

    Raises:
        CallError: something to replace is not a variable.
        DTypeError: strict, and the dtypes differ.
        ShapeError: strict, and ranks or patterns differ.
    """
    listed = _listed(output)
    roots = [as_node(value) for value in listed]
    places = dict(_replacement(old, new, strict) for old, new in pairs(replace, "replace"))
    if not share_inputs:
        places = {**_new_inputs(roots), **places}
    made = rewritten(roots, places)
    variables = [variable_of(node) for node in made]
    if is_mapping(output):
        return dict(zip(output, variables, strict=True))
    if is_sequence(output):
        return tuple(variables) if isinstance(output, tuple) else variables
    return variables[0]


def rewritten(roots: Sequence[Node], places: Mapping[Node, Node]) -> tuple[Node, ...]:
    """The roots with nodes replaced; new nodes keep the lines of those that they stand for."""
    old = {*toposort(roots), *toposort(places.values())}
    made = substitute(roots, places)
    for node in toposort(made):
        origin = origin_of(node)
        if node not in old and origin is not None:
            node.origin = origin.again()  # a variable shows one node
    mark(made)
    return made


def _listed(output: object) -> Sequence[object]:
    if is_mapping(output):
        return list(output.values())
    return output if is_sequence(output) else [output]


def _replacement(old: object, new: object, strict: bool) -> tuple[Node, Node]:
    node = node_of(old)
    if node is None:
        raise CallError(f"clone replaces variables, not {old!r}")
    given = node_of(new)
    if given is None:
        given = const(new, node.dtype) if strict else as_node(new)
    if not strict or node.type.accepts(given.type):
        return node, given
    kind = DTypeError if node.dtype != given.dtype else ShapeError
    raise kind(
        f"clone replaces {described(node)} by {described(given)}",
        hint="give both one type, or pass strict=False",
    )


def _new_inputs(roots: Sequence[Node]) -> dict[Node, Node]:
    out: dict[Node, Node] = {}
    for node in toposort(roots):
        if node.op is input_:
            out[node] = input_(type=node.type)
            out[node].name = node.name
    return out
