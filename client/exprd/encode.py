"""Graphs into their wire form.

Node positions are those of `graph.nodes()`, which the client keeps beside the user's lines; no line
is sent. Trusts its input: the server checks everything anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from exprd_compiler.errors import CompilerBug
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Const, Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.table import OP_SET_VERSION
from exprd_proto import (
    Attribute,
    AttributeList,
    AttributeValue,
    BoolList,
    FloatList,
    GraphBundle,
    IntList,
    NoneValue,
    StringList,
    Update,
)
from exprd_proto import Graph as WireGraph
from exprd_proto import Node as WireNode
from exprd_proto import TensorType as WireType
from exprd_proto.arrays import array_to_wire, dtype_to_wire

__all__ = ["encode_bundle", "encode_type"]


def encode_bundle(graph: Graph) -> GraphBundle:
    """The message of a graph."""
    return GraphBundle(opset_version=OP_SET_VERSION, graphs=[encode_graph(graph)])


def encode_graph(graph: Graph) -> WireGraph:
    """One graph, its nodes in topological order."""
    order = graph.nodes()
    place = {node: position for position, node in enumerate(order)}
    return WireGraph(
        nodes=[_node(node, place) for node in order],
        inputs=[place[node] for node in graph.inputs],
        shared=[place[node] for node in graph.shared],
        outputs=[place[node] for node in graph.outputs],
        updates=[Update(shared=slot, value=place[node]) for slot, node in graph.updates],
    )


def encode_type(type_: TensorType) -> WireType:
    """A tensor type; -1 stands for an unknown extent."""
    shape = [-1 if extent is None else extent for extent in type_.shape]
    return WireType(dtype=dtype_to_wire(type_.dtype), shape=shape)


def _node(node: Node, place: dict[Node, int]) -> WireNode:
    return WireNode(
        op=node.op.name,
        inputs=[place[x] for x in node.inputs],
        attributes=[Attribute(name=name, value=_value(value)) for name, value in node.attrs],
        name=_printable(node.name or ""),
    )


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name[:200])


_SINGLE: Final[dict[type, Callable[[Any], AttributeValue]]] = {
    bool: lambda v: AttributeValue(bool_value=v),
    int: lambda v: AttributeValue(int_value=v),
    float: lambda v: AttributeValue(float_value=v),
    str: lambda v: AttributeValue(string_value=v),
    bytes: lambda v: AttributeValue(bytes_value=v),
    type(None): lambda _: AttributeValue(none_value=NoneValue()),
    TensorType: lambda v: AttributeValue(type_value=encode_type(v)),
    Const: lambda v: AttributeValue(array_value=array_to_wire(v.array)),
}
_LISTS: Final[dict[type, Callable[[Sequence[Any]], AttributeValue]]] = {
    bool: lambda v: AttributeValue(bool_list=BoolList(values=v)),
    int: lambda v: AttributeValue(int_list=IntList(values=v)),
    float: lambda v: AttributeValue(float_list=FloatList(values=v)),
    str: lambda v: AttributeValue(string_list=StringList(values=v)),
}


def _value(value: object) -> AttributeValue:
    if isinstance(value, tuple):
        return _tuple(value)  # pyright: ignore[reportUnknownArgumentType]
    single = _SINGLE.get(type(value))
    if single is None:
        raise CompilerBug(f"an attribute of type {type(value).__name__} has no wire form")
    return single(value)


def _tuple(values: tuple[Any, ...]) -> AttributeValue:
    kinds: set[type] = {type(value) for value in values} or {int}
    build = _LISTS.get(kinds.pop()) if len(kinds) == 1 else None
    if build is not None:
        return build(values)
    return AttributeValue(list=AttributeList(values=[_value(value) for value in values]))
