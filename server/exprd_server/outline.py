"""Outlines: what serving a function takes of its graph, while its nodes stay text.

A graph of thousands of nodes is thousands of objects, which a server would have its collector walk
for as long as the function lives. Nobody looks at them between two compilations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from exprd_compiler.errors import GraphError
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.text import parse_graph, print_graph
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.table import find_op
from exprd_server.fingerprint import graph_digest
from exprd_server.values import Parameter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exprd_compiler.ir.node import Node

Parameters: TypeAlias = tuple[Parameter, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Outline:
    """A graph without its nodes.

    Attributes:
        digest: of what the graph means.
        inputs: names and types of what a call supplies, in order.
        outputs: the same of what it returns.
        shared: the same of the slots for shared variables.
        updated: the slots that a call assigns, in the order of its update values.
        source: the graph itself, or its text with names and origins.
    """

    digest: bytes
    inputs: Parameters
    outputs: Parameters
    shared: Parameters
    updated: tuple[int, ...]
    source: Graph | bytes

    def graph(self) -> Graph:
        """The graph."""
        source = self.source
        return source if isinstance(source, Graph) else parse_graph(source.decode(), find_op)

    def text(self) -> bytes:
        """The text of the graph, with names and origins."""
        source = self.source
        return text_of(source) if isinstance(source, Graph) else source

    def facts(self) -> dict[str, Any]:
        """All but the source, as JSON has it."""
        return {
            "digest": self.digest.hex(),
            "inputs": _listed(self.inputs),
            "outputs": _listed(self.outputs),
            "shared": _listed(self.shared),
            "updated": self.updated,
        }


def outline_of(graph: Graph, text: bytes | None = None) -> Outline:
    """The outline of a graph, which keeps its text, or the graph itself where none is given."""
    return Outline(
        digest=graph_digest(graph),
        inputs=_parameters(graph.inputs),
        outputs=_parameters(graph.outputs),
        shared=_parameters(graph.shared),
        updated=tuple(slot for slot, _ in graph.updates),
        source=graph if text is None else text,
    )


def outline_of_text(text: bytes) -> Outline:
    """The outline of a graph that was written down, with every type derived anew.

    Raises:
        GraphError: this is no such text.
        UnsupportedVersion: an op is not known.
    """
    try:
        written = text.decode()
    except UnicodeDecodeError as error:
        raise GraphError(f"the text of the graph is not UTF-8: {error.reason}") from error
    return outline_of(parse_graph(written, find_op), text)


def text_of(graph: Graph) -> bytes:
    """The text of a graph, with names and origins."""
    return print_graph(graph, origins=True).encode()


def read_outline(facts: Mapping[str, Any], text: bytes) -> Outline:
    """The outline whose `facts` these are."""
    return Outline(
        digest=bytes.fromhex(facts["digest"]),
        inputs=_read(facts["inputs"]),
        outputs=_read(facts["outputs"]),
        shared=_read(facts["shared"]),
        updated=tuple(facts["updated"]),
        source=text,
    )


def _parameters(nodes: Iterable[Node]) -> Parameters:
    return tuple(Parameter(name=node.name or "", type=node.type) for node in nodes)


def _listed(parameters: Parameters) -> list[Any]:
    return [(p.name, p.type.dtype, p.type.shape) for p in parameters]


def _read(items: Iterable[Any]) -> Parameters:
    return tuple(
        Parameter(name=name, type=TensorType(dtype, tuple(shape))) for name, dtype, shape in items
    )
