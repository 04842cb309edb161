"""`vectorize_graph`: an expression of one value, for many values stacked along a new first axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exprd.convert import as_node, is_mapping, node_of
from exprd.gradient.derive import like, listed
from exprd.origin import mark
from exprd.variable import variable_of
from exprd_compiler.errors import ArgumentError
from exprd_compiler.ir.node import Node
from exprd_compiler.vectorize import vectorize

__all__ = ["vectorize_graph"]


def vectorize_graph(outputs: Any, replace: Mapping[Any, Any]) -> Any:
    """The expressions over a batch (PyTensor's name).

    Args:
        outputs: one expression or several; the result is a list or a tuple if this is.
        replace: for variables, what takes their place: of the same dtype, with one axis more, which
            comes first and has the same length for all.

    Raises:
        ArgumentError: `replace` is no dict of variables, or empty.
        ShapeError: a replacement has another dtype or rank.
        NotVectorizable: an op between them carries no batch axis.
    """
    if not is_mapping(replace):
        raise ArgumentError(f"replace is a dict, got {replace!r}", op="vectorize_graph")
    batch: dict[Node, Node] = {}
    for old, new in replace.items():
        node = node_of(old)
        if node is None:
            raise ArgumentError(f"expected a variable, got {old!r}", op="vectorize_graph")
        batch[node] = as_node(new)
    found = vectorize([as_node(output) for output in listed(outputs)], batch)
    mark(found)
    return like(outputs, [variable_of(node) for node in found])
