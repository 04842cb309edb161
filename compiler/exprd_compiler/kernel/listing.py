"""Listing: the compiled graph as rows for people, under Theano's class names where it had them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.lowering import Leaf
from exprd_compiler.ir.node import Node


@dataclass(frozen=True, slots=True)
class Listed:
    """One node: its op, the class name Theano's users look for, input rows and type.

    Attributes:
        op: op name.
        theano: class name.
        inputs: rows of the inputs; -1 - i for leaf i.
        type: the type as text.
        origin: wire index of the node it stems from, or -1.
    """

    op: str
    theano: str
    inputs: tuple[int, ...]
    type: str
    origin: int

    @staticmethod
    def from_json(item: Mapping[str, Any]) -> Listed:
        """A row from its fields."""
        fields: dict[str, Any] = {**item, "inputs": tuple(item["inputs"])}
        return Listed(**fields)


def listing(graph: Graph) -> tuple[Listed, ...]:
    """The nodes of a graph in order, leaves left out."""
    rows: dict[Node, int] = {}
    leaves: dict[Node, int] = {}
    out: list[Listed] = []
    for node in graph.nodes():
        if isinstance(node.op.lowering, Leaf):
            leaves[node] = -1 - len(leaves)
            continue
        rows[node] = len(out)
        inputs = tuple(rows.get(x, leaves.get(x, -1)) for x in node.inputs)
        origin = node.origin if isinstance(node.origin, int) else -1
        out.append(Listed(node.op.name, _theano(node), inputs, str(node.type), origin))
    return tuple(out)


def _theano(node: Node) -> str:
    """Theano calls a product without an addend Dot22, one with an addend Gemm."""
    if node.op.name == "gemm" and len(node.inputs) == 2:
        return "Dot22"
    return node.op.theano
