"""Roots: the nodes that something printable consists of."""

from __future__ import annotations

from dataclasses import dataclass

from exprd.compiled import Function
from exprd.convert import is_sequence, node_of
from exprd.maker import CompiledGraph
from exprd.variable import Apply
from exprd_compiler.errors import CallError
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.text import parse_graph
from exprd_compiler.ops.table import find_op

__all__ = ["Roots", "roots_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roots:
    """What is printed: expressions, or a compiled graph.

    Attributes:
        nodes: from where the printing starts.
        compiled: whether the nodes are the optimized graph of a function.
    """

    nodes: tuple[Node, ...]
    compiled: bool


def roots_of(printed: object) -> Roots:
    """The roots of a variable, an application, a list of these, or a compiled function.

    Raises:
        CallError: it is none of them.
    """
    if isinstance(printed, Function):
        return _optimized(printed)
    if isinstance(printed, CompiledGraph):
        return _optimized(printed.function)
    if isinstance(printed, Graph):
        return Roots(nodes=printed.roots, compiled=False)
    items = printed if is_sequence(printed) else [printed]
    return Roots(nodes=tuple(_node(item) for item in items), compiled=False)


def _node(item: object) -> Node:
    node = item.node if isinstance(item, Apply) else node_of(item)
    if node is None:
        raise CallError(
            f"cannot print {type(item).__name__}", hint="pass a variable, a list, or a function"
        )
    return node


def _optimized(function: Function) -> Roots:
    """The graph from which code was generated, as the compiler writes it out."""
    graph = parse_graph(function.texts()["optimized"], find_op)
    return Roots(nodes=graph.roots, compiled=True)
