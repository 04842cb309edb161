"""Expressions as bytes: the wire form of their graph, and what the wire does not carry.

A graph on the wire knows no identity across graphs. In a pickle several graphs share variables, so
beside each graph stand keys of the nodes that another may share; a `Scope` holds them together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import exprd_proto as wire
from exprd.encode import encode_bundle
from exprd.opfromgraph import Override
from exprd.origin import mark, origin_of
from exprd.prints import Print
from exprd.shared import TensorSharedVariable, shared_of
from exprd_compiler.errors import CallError, GraphError
from exprd_compiler.ir.graph import Graph, rebuild, toposort
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.leaves import input_, shared
from exprd_proto.decode import OwnLimits, decode_bundle

__all__ = ["Scope", "Stored", "graph_of", "load_graph_bytes", "stored", "variables_of"]

_LIMITS: Final = OwnLimits()


class Scope:
    """The nodes that were read so far, by key; one for everything that was written together."""

    __slots__ = ("nodes",)

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A graph apart from memory.

    Attributes:
        graph: its wire form, a `GraphBundle`.
        keys: positions of nodes that others may share, each with its key.
        shared: the variables of its shared slots.
        notes: positions of nodes with what the wire does not say of them.
    """

    graph: bytes
    keys: tuple[tuple[int, int], ...]
    shared: tuple[TensorSharedVariable, ...]
    notes: tuple[tuple[int, Any], ...]


def graph_of(roots: Sequence[Node]) -> Graph:
    """The graph of expressions: its inputs and shared variables are those that it reads."""
    leaves = toposort(roots)
    return Graph(
        inputs=tuple(node for node in leaves if node.op is input_),
        outputs=tuple(roots),
        shared=tuple(node for node in leaves if node.op is shared),
    )


def variables_of(graph: Graph) -> tuple[TensorSharedVariable, ...]:
    """The variables of a graph's shared slots.

    Raises:
        CallError: one of them has gone.
    """
    found = tuple(shared_of(node) for node in graph.shared)
    if None in found:
        raise CallError("an expression reads a shared variable that has no value any more")
    return tuple(variable for variable in found if variable is not None)


def stored(graph: Graph, variables: tuple[TensorSharedVariable, ...]) -> Stored:
    """A graph and the variables of its slots, apart from memory."""
    keys: list[tuple[int, int]] = []
    notes: list[tuple[int, Any]] = []
    for position, node in enumerate(graph.nodes()):
        origin = origin_of(node)
        if not node.inputs or node.name or (origin is not None and origin.shown() is not None):
            keys.append((position, id(node)))
        if origin is not None and _says_more(origin.note):
            notes.append((position, origin.note))
    data = encode_bundle(graph).SerializeToString(deterministic=True)
    return Stored(graph=data, keys=tuple(keys), shared=variables, notes=tuple(notes))


def _says_more(note: object) -> bool:
    """Whether a note is more than the attributes of its node tell again."""
    return isinstance(note, Override) or (isinstance(note, Print) and note.global_fn is not None)


def load_graph_bytes(data: bytes) -> tuple[Graph, Sequence[Node]]:
    """The graph of a wire form, and its nodes in order.

    Raises:
        GraphError: these are not the bytes of a graph.
        UnsupportedVersion: it has ops that are not known here.
    """
    try:
        bundle = wire.GraphBundle.FromString(data)
    except Exception as error:  # of the protobuf in use; it has no common class
        raise GraphError("these bytes are no graph", hint="were they cut or changed?") from error
    return decode_bundle(bundle, _LIMITS)


def restored(kept: Stored, scope: Scope) -> Graph:
    """The graph again; nodes whose keys were read before are the same ones."""
    graph, nodes = load_graph_bytes(kept.graph)
    if len(graph.shared) != len(kept.shared):
        raise GraphError(f"{len(kept.shared)} variables for {len(graph.shared)} shared slots")
    places: dict[Node, Node] = {}
    for node, variable in zip(graph.shared, kept.shared, strict=True):
        places[node] = variable.node
    _join(nodes, kept.keys, scope, places)
    _mark(places.values(), dict(kept.notes), [places[node] for node in nodes])
    return Graph(
        tuple(places[x] for x in graph.inputs),
        tuple(places[x] for x in graph.outputs),
        tuple(places[x] for x in graph.shared),
        tuple((slot, places[x]) for slot, x in graph.updates),
    )


def _join(
    nodes: Sequence[Node],
    keys: Iterable[tuple[int, int]],
    scope: Scope,
    places: dict[Node, Node],
) -> None:
    """Puts what was read before, or a new node, in the place of each node."""
    key_at = dict(keys)
    for position, node in enumerate(nodes):
        key = key_at.get(position)
        known = scope.nodes.get(key) if key is not None else None
        if node not in places:
            if known is None:
                known = rebuild(node, tuple([places[x] for x in node.inputs]))
                known.origin = None  # the position in the wire form
            places[node] = known
        if key is not None:
            scope.nodes[key] = places[node]


def _mark(nodes: Iterable[Node], notes: Mapping[int, Any], order: Sequence[Node]) -> None:
    mark(nodes)
    for position, note in notes.items():
        origin = origin_of(order[position])
        if origin is not None:
            origin.note = note
