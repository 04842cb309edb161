"""Untrusted graphs into IR: the one place where a wire graph becomes nodes.

Invariant: whatever the bytes say, the result is a graph whose every type was derived
by the op table, or a typed error that names the place. Iterative over nodes; the only
recursion is over nested attribute lists, and bounded.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from exprd_compiler.errors import (
    DTypeError,
    ExprdError,
    GraphError,
    LimitExceeded,
    MissingInput,
    UnsupportedVersion,
)
from exprd_compiler.ir.dtype import ITEMSIZE
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Const, Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.leaves import input_, shared
from exprd_compiler.ops.table import OP_SET_VERSION, find_op
from exprd_proto.arrays import WireError, array_from_wire, dtype_from_wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import exprd_proto as wire

ATTRIBUTE_DEPTH: Final = 8
ATTRIBUTE_ENTRIES: Final = 65_536
PLACEHOLDER: Final = "placeholder"
_NODES_PER_TICK: Final = 4_096


class GraphLimits(Protocol):
    """The bounds of a graph; each is named in the error that it causes."""

    @property
    def graph_nodes(self) -> int:
        """Nodes of a bundle, all graphs together."""
        ...

    @property
    def graph_nesting(self) -> int:
        """Depth of sub-graphs."""
        ...

    @property
    def rank(self) -> int:
        """Axes of a tensor."""
        ...

    @property
    def tensor_bytes(self) -> int:
        """Size of one array."""
        ...

    @property
    def name_length(self) -> int:
        """Characters of a name."""
        ...

    @property
    def attributes(self) -> int:
        """Attributes of one node."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLimits:
    """The bounds of graphs that their reader wrote itself."""

    graph_nodes: int = 10_000_000
    graph_nesting: int = 64
    rank: int = 32
    tensor_bytes: int = 1 << 62
    name_length: int = 1024
    attributes: int = 64


class Derivatives(Protocol):
    """What stands for the placeholders of a main graph, and is appended to its outputs."""

    def check(self, count: int) -> None:
        """Returns if it fits a graph of `count` nodes."""
        ...

    def derivative(self, position: int, nodes: Sequence[Node]) -> Node:
        """The node of the placeholder at a position."""
        ...

    def appended(self, nodes: Sequence[Node]) -> tuple[Node, ...]:
        """Further outputs."""
        ...


class NoDerivatives:
    """Nothing: a graph without placeholders."""

    def check(self, count: int) -> None:
        """Returns."""

    def derivative(self, position: int, nodes: Sequence[Node]) -> Node:
        """Raises: nothing stands for a placeholder."""
        raise GraphError("no gradient request names this placeholder")

    def appended(self, nodes: Sequence[Node]) -> tuple[Node, ...]:
        """Nothing."""
        return ()


@dataclass(slots=True)
class _Body:
    """One graph of the bundle while it is being decoded."""

    number: int
    tick: Callable[[], None]
    nodes: list[Node] = field(default_factory=list[Node])
    depth: int = 0  # nesting below this graph


def decode_bundle(
    bundle: wire.GraphBundle,
    limits: GraphLimits,
    derivatives: Derivatives | None = None,
    tick: Callable[[], None] = lambda: None,
) -> tuple[Graph, Sequence[Node]]:
    """The main graph of a bundle, and its nodes in the order of the bundle.

    Args:
        bundle: from anywhere.
        limits: what is accepted.
        derivatives: what its placeholders stand for.
        tick: called every few thousand nodes; may raise.

    Raises:
        GraphError: the bundle contradicts itself or the op table.
        LimitExceeded: it is larger, deeper or longer than the server takes.
        UnsupportedVersion: it speaks of ops that are not known here.
    """
    _check_bundle(bundle, limits)
    decoded: dict[int, tuple[Graph, int]] = {}
    for number in range(len(bundle.graphs) - 1, -1, -1):
        message = bundle.graphs[number]
        asked = derivatives if number == 0 and derivatives is not None else NoDerivatives()
        reader = _Attributes(_Body(number, tick), decoded, limits)
        decoded[number] = _decode_graph(message, reader, asked)
        if number == 0:
            return decoded[0][0], reader.body.nodes
    raise GraphError("the bundle holds no graph", hint="graphs[0] is the main graph")


def decode_type(message: wire.TensorType, limits: GraphLimits) -> TensorType:
    """A tensor type of the wire."""
    if len(message.shape) > limits.rank:
        raise _limit(f"rank {len(message.shape)}", "rank", limits.rank)
    if any(extent < -1 for extent in message.shape):
        raise GraphError(
            f"shape {list(message.shape)} has an extent below -1", hint="-1 says unknown"
        )
    shape = tuple(None if extent == -1 else extent for extent in message.shape)
    try:
        type_ = TensorType(dtype_from_wire(message.dtype), shape)
    except WireError as error:
        raise DTypeError(str(error)) from None
    _check_size(type_, limits)
    return type_


def _check_bundle(bundle: wire.GraphBundle, limits: GraphLimits) -> None:
    if not 1 <= bundle.opset_version <= OP_SET_VERSION:
        raise UnsupportedVersion(
            f"op set {bundle.opset_version} is not known here",
            hint=f"this server speaks op sets 1 to {OP_SET_VERSION}",
            fields={"opset_max": str(OP_SET_VERSION)},
        )
    total = sum(len(graph.nodes) for graph in bundle.graphs) + len(bundle.graphs)
    if total > limits.graph_nodes:
        raise _limit(f"a graph of {total} nodes", "graph_nodes", limits.graph_nodes)


def _decode_graph(
    message: wire.Graph, reader: _Attributes, asked: Derivatives
) -> tuple[Graph, int]:
    body = reader.body
    path = f"graphs[{body.number}]"
    asked.check(len(message.nodes))
    for position, node in enumerate(message.nodes):
        if position % _NODES_PER_TICK == 0:
            body.tick()
        try:
            body.nodes.append(_decode_node(position, node, reader, asked))
        except ExprdError as error:
            raise _located(error, f"{path}.nodes[{position}]", position, node) from None
    try:
        return _assemble(message, body.nodes, asked), body.depth
    except ExprdError as error:
        raise _located(error, path) from None


def _decode_node(
    position: int, message: wire.Node, reader: _Attributes, asked: Derivatives
) -> Node:
    nodes = reader.body.nodes
    inputs = [_earlier(index, position, nodes) for index in message.inputs]
    if message.op == PLACEHOLDER:
        node = asked.derivative(position, nodes)
    else:
        node = _apply(message, inputs, reader.read(message.attributes), position)
    _check_size(node.type, reader.limits)
    if message.HasField("type"):
        _check_declared(decode_type(message.type, reader.limits), node.type)
    if message.name:
        node.name = reader.name(message.name)
    return node


def _apply(
    message: wire.Node, inputs: Sequence[Node], attributes: dict[str, Any], position: int
) -> Node:
    op = find_op(message.op[:64])
    try:
        node = Node(op, tuple(inputs), tuple(sorted(attributes.items())), position)
        _check_is_type(node.type)
        return node
    except ExprdError:
        raise
    except Exception as error:  # a type rule met attributes of a kind it never expects
        given = ", ".join(str(node.type) for node in inputs) or "no inputs"
        raise GraphError(
            f"cannot take {given} with attributes {sorted(attributes)}",
            op=op.name,
            hint="see the op's page for its attributes",
        ) from error


def _check_is_type(given: object) -> None:
    """Of a leaf, the derived type is whatever its attribute holds."""
    if not isinstance(given, TensorType):
        raise TypeError("the type is no type")


def _earlier(index: int, position: int, nodes: Sequence[Node]) -> Node:
    if index >= position:
        raise GraphError(
            f"input {index} is not an earlier node",
            hint="nodes come in topological order; cycles do not exist",
        )
    return nodes[index]


def _check_declared(declared: TensorType, derived: TensorType) -> None:
    if declared != derived:
        raise GraphError(
            f"declared as {declared}, but the op gives {derived}",
            hint="leave the type out, or derive it as the op does",
        )


def _check_size(type_: TensorType, limits: GraphLimits) -> None:
    nbytes = math.prod(max(e or 1, 1) for e in type_.shape) * ITEMSIZE[type_.dtype]
    if nbytes > limits.tensor_bytes:
        raise _limit(f"{type_} of {nbytes} bytes", "tensor_bytes", limits.tensor_bytes)


def _assemble(message: wire.Graph, nodes: Sequence[Node], asked: Derivatives) -> Graph:
    pick = _picker(nodes)
    inputs = _leaves("inputs", message.inputs, input_, pick)
    slots = _leaves("shared", message.shared, shared, pick)
    _check_leaves(nodes, {*inputs, *slots})
    outputs = tuple(pick("outputs", index) for index in message.outputs)
    updates = tuple((u.shared, pick("updates", u.value)) for u in message.updates)
    _check_updates(slots, updates)
    return Graph(inputs, (*outputs, *asked.appended(nodes)), slots, updates)


def _picker(nodes: Sequence[Node]) -> Callable[[str, int], Node]:
    def pick(where: str, index: int) -> Node:
        if index >= len(nodes):
            raise GraphError(f"{where} names node {index} of {len(nodes)}")
        return nodes[index]

    return pick


def _leaves(
    where: str, indexes: Iterable[int], op: object, pick: Callable[[str, int], Node]
) -> tuple[Node, ...]:
    found = tuple(pick(where, index) for index in indexes)
    if len(set(found)) != len(found):
        raise GraphError(f"{where} names a node twice", hint="pass each leaf once")
    for node in found:
        if node.op is not op:
            raise GraphError(f"{where} names a node of op {node.op.name!r}, which is no such leaf")
    return found


def _check_leaves(nodes: Sequence[Node], listed: set[Node]) -> None:
    for position, node in enumerate(nodes):
        if node.op in (input_, shared) and node not in listed:
            raise MissingInput(
                f"node {position} ({node.name or 'unnamed'}) is a leaf that is not listed",
                hint="list it among inputs or shared",
                nodes=(position,),
            )


def _check_updates(slots: Sequence[Node], updates: Sequence[tuple[int, Node]]) -> None:
    seen: set[int] = set()
    for slot, value in updates:
        if slot >= len(slots):
            raise GraphError(f"an update names shared slot {slot} of {len(slots)}")
        if slot in seen:
            raise GraphError(f"shared slot {slot} is updated twice")
        seen.add(slot)
        old = slots[slot].type
        if (old.dtype, old.ndim) != (value.type.dtype, value.type.ndim):
            raise DTypeError(
                f"the update of {slots[slot].name or f'shared slot {slot}'} changes its type"
                f" from {old} to {value.type}",
                hint="cast or reshape the new value",
            )


class _Attributes:
    """The reader of attribute values of one graph."""

    def __init__(
        self, body: _Body, decoded: Mapping[int, tuple[Graph, int]], limits: GraphLimits
    ) -> None:
        self.body = body
        self._decoded = decoded
        self.limits = limits
        self._plain: Mapping[str, Callable[[Any], Any]] = {
            "bool_value": bool,
            "int_value": int,
            "float_value": float,
            "string_value": self._text,
            "bytes_value": bytes,
            "dtype_value": dtype_from_wire,
            "type_value": lambda v: decode_type(v, limits),
            "array_value": lambda v: Const(array_from_wire(v)),
            "graph_value": self._graph,
            "none_value": lambda _: None,
            "bool_list": self._tuple,
            "int_list": self._tuple,
            "float_list": self._tuple,
            "string_list": self._tuple,
            "dtype_list": lambda v: tuple(map(dtype_from_wire, self._tuple(v))),
        }

    def read(self, attributes: Sequence[wire.Attribute]) -> dict[str, Any]:
        """The attributes of one node by name."""
        if len(attributes) > self.limits.attributes:
            raise _limit(f"{len(attributes)} attributes", "attributes", self.limits.attributes)
        names = [attribute.name for attribute in attributes]
        if any(a >= b for a, b in itertools.pairwise(names)):
            raise GraphError("attribute names must ascend strictly", hint="sort them, each once")
        try:
            return {self.name(a.name): self._value(a.value, 0) for a in attributes}
        except WireError as error:
            raise GraphError(str(error)) from None

    def name(self, text: str) -> str:
        """A name that is safe to print."""
        if len(text) > self.limits.name_length or not text.isprintable():
            raise GraphError(f"a name is up to {self.limits.name_length} printable characters")
        return text

    def _value(self, message: wire.AttributeValue, depth: int) -> Any:
        kind = message.WhichOneof("value")
        if kind is None:
            raise GraphError("an attribute has no value, or one of a kind unknown here")
        if kind != "list":
            return self._plain[kind](getattr(message, kind))
        if depth >= ATTRIBUTE_DEPTH:
            raise LimitExceeded(f"attribute lists nest deeper than {ATTRIBUTE_DEPTH}")
        return tuple(self._value(entry, depth + 1) for entry in self._tuple(message.list))

    def _tuple(self, message: Any) -> tuple[Any, ...]:
        if len(message.values) > ATTRIBUTE_ENTRIES:
            raise LimitExceeded(f"an attribute list holds at most {ATTRIBUTE_ENTRIES} entries")
        return tuple(message.values)

    def _text(self, text: str) -> str:
        if len(text) > ATTRIBUTE_ENTRIES or not text.isprintable():
            raise GraphError(f"an attribute text is up to {ATTRIBUTE_ENTRIES} printable characters")
        return text

    def _graph(self, number: int) -> Graph:
        if number not in self._decoded:
            raise GraphError(
                f"graph {number} does not come after graph {self.body.number}",
                hint="a graph refers only to later graphs of the bundle",
            )
        graph, depth = self._decoded[number]
        self.body.depth = max(self.body.depth, depth + 1)
        if self.body.depth > self.limits.graph_nesting:
            nesting = f"sub-graphs nested {self.body.depth} deep"
            raise _limit(nesting, "graph_nesting", self.limits.graph_nesting)
        return graph


def _located(
    error: ExprdError, path: str, position: int | None = None, node: wire.Node | None = None
) -> ExprdError:
    """The same error with its place."""
    error.fields.setdefault("path", path)
    if position is not None and not error.nodes:
        error.nodes = (position,)
    if node is not None and not error.op:
        error.op = node.op[:64] if node.op.isprintable() else ""
    return error


def _limit(what: str, name: str, value: int) -> LimitExceeded:
    return LimitExceeded(
        f"{what} is above the limit of {value}", fields={"limit": name, "value": str(value)}
    )
