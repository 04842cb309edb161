"""Writes: updates of a shared variable that change a part of it, split from the graph.

Such an update is a chain of writes (scatter, assign) that begins at the variable itself. The graph
that is left computes what is written and where, for old values, and reads what is about to be
overwritten, whereby every index is checked; a graph of its own, the writer, makes all of a chain's
writes, and its plan makes them in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from exprd_compiler.ir.graph import Graph, toposort
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.index import NEXT, Index, assign, gather, scatter, subtensor
from exprd_compiler.ops.leaves import constant, input_, shared


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a chain: where it goes.

    Attributes:
        places: the operands that are its indexes, or the integers of its index.
        index: of an assign, as the op has it; None for a scatter.
    """

    places: tuple[int, ...]
    index: Index | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """The writes of one update.

    Attributes:
        update: the position of the update.
        argument: the position of the variable among the arguments.
        operands: where the writer's inputs come from: arguments by position, or -1 - k for the
            k-th further value of the graph that is left.
        old: per write, where that comes from which is about to be overwritten.
        writes: in order.
        graph: inputs are the operands, the variable is its only shared leaf and update.
    """

    update: int
    argument: int
    operands: tuple[int, ...]
    old: tuple[int, ...]
    writes: tuple[Write, ...]
    graph: Graph


@dataclass(frozen=True, slots=True)
class Split:
    """A graph without its writes, and the writes.

    Attributes:
        graph: outputs, then the new values that are computed whole, then further values; all of
            them are outputs.
        writers: one per update that is left out.
    """

    graph: Graph
    writers: tuple[Writer, ...]


def split_writes(graph: Graph) -> Split:
    """A graph, and the updates that can be made in place split from it."""
    found = [_chain(graph.shared[slot], new) for slot, new in graph.updates]
    chains: dict[int, list[Node]] = {p: chain for p, chain in enumerate(found) if chain}
    whole = [new for place, (_, new) in enumerate(graph.updates) if place not in chains]
    while chains:
        # a new value that something else reads must exist apart from the old one
        read = set(toposort((*graph.outputs, *whole, *_operands(chains.values()))))
        kept: dict[int, list[Node]] = {
            place: chain for place, chain in chains.items() if read.isdisjoint(chain)
        }
        if len(kept) == len(chains):
            break
        whole = [new for place, (_, new) in enumerate(graph.updates) if place not in kept]
        chains = kept
    if not chains:
        return Split(graph, ())
    extra = _Extra(graph)
    writers = tuple(
        _writer(place, graph.updates[place][0], chain, extra) for place, chain in chains.items()
    )
    left = Graph(graph.inputs, (*graph.outputs, *whole, *extra.values), graph.shared)
    return Split(left, writers)


def _chain(leaf: Node, new: Node) -> list[Node]:
    """The writes that lead from a leaf to a value, first to last; none if there is no such way."""
    chain: list[Node] = []
    while _is_narrow_write(new):
        chain.append(new)
        new = new.inputs[0]
    return chain[::-1] if new is leaf else []


def _is_narrow_write(node: Node) -> bool:
    """Whether a node writes, and not presumably most of the elements: copying is faster then."""
    if node.op is scatter:
        return True
    return node.op is assign and any(map(_is_narrow, node["index"]))


def _is_narrow(entry: tuple[Any, ...]) -> bool:
    if entry[0] == "at":
        return True
    start, stop = entry[1:3]
    return stop == NEXT or (stop or -1) >= 0 or (start not in (None, NEXT) and start < 0)


def _operands(chains: Iterable[Sequence[Node]]) -> list[Node]:
    return [x for chain in chains for node in chain for x in node.inputs[1:]]


class _Extra:
    """The values that writers take from the graph that is left."""

    def __init__(self, graph: Graph) -> None:
        self.values: list[Node] = []
        self.variables = len(graph.inputs)
        self._source = {node: place for place, node in enumerate(graph.inputs)}

    def source(self, node: Node) -> int:
        """Where a value comes from; inputs are passed on as they are."""
        if node not in self._source:
            self._source[node] = -1 - len(self.values)
            self.values.append(node)
        return self._source[node]


class _Inputs:
    """The inputs of a writer in the making."""

    def __init__(self, extra: _Extra) -> None:
        self.nodes: list[Node] = []
        self.sources: list[int] = []
        self._extra = extra

    def place(self, node: Node) -> int:
        """The number of the operand that stands for a value."""
        source = self._extra.source(node)
        if source not in self.sources:
            self.sources.append(source)
            self.nodes.append(input_(type=node.type))
        return self.sources.index(source)


# What reads where another op writes; an index that is out of range is an error of the writing op.
_READERS: Final = {
    assign: replace(subtensor, name=assign.name),
    scatter: replace(gather, name=scatter.name),
}


def _writer(update: int, slot: int, chain: Sequence[Node], extra: _Extra) -> Writer:
    variable = chain[0].inputs[0]
    leaf = shared(type=variable.type)
    leaf.name = variable.name
    inputs = _Inputs(extra)
    writes: list[Write] = []
    old: list[int] = []
    new = leaf
    for node in chain:
        value, *where = node.inputs[1:]
        places = tuple(inputs.place(x) for x in where)
        given = [inputs.nodes[place] for place in places]
        what = value if value.op is constant else inputs.nodes[inputs.place(value)]
        index = node["index"] if node.op is assign else None
        attrs = {} if index is None else {"index": index}
        writes.append(Write(places, index))
        read = _READERS[node.op](variable, *where, **attrs)
        new = node.op(new, what, *given, **node.attributes)
        read.origin = new.origin = node.origin
        old.append(extra.source(read))
    return Writer(
        update=update,
        argument=extra.variables + slot,
        operands=tuple(inputs.sources),
        old=tuple(old),
        writes=tuple(writes),
        graph=Graph(tuple(inputs.nodes), (), (leaf,), ((0, new),)),
    )
