"""Graphs into their wire form.

Node positions are those of `graph.nodes()`, which the client keeps beside the user's lines; no line
is sent. Everything is written in place, never copied from message to message. Trusts its input: the
server checks everything anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import exprd_proto as wire
from exprd_compiler.errors import CompilerBug
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.half import bfloat16_bits
from exprd_compiler.ir.node import Const, Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.table import OP_SET_VERSION
from exprd_proto.arrays import dtype_to_wire, write_array

__all__ = ["encode_bundle", "encode_type", "write_bundle"]

_NAME_LENGTH: Final = 200


def encode_bundle(graph: Graph) -> wire.GraphBundle:
    """The message of a graph."""
    bundle = wire.GraphBundle()
    write_bundle(bundle, graph)
    return bundle


def write_bundle(bundle: wire.GraphBundle, graph: Graph) -> None:
    """Writes a graph into a fresh message."""
    bundle.opset_version = OP_SET_VERSION
    _write_graph(bundle.graphs.add(), graph)


def encode_type(type_: TensorType) -> wire.TensorType:
    """A tensor type; -1 stands for an unknown extent."""
    message = wire.TensorType()
    _write_type(message, type_)
    return message


def _write_graph(message: wire.Graph, graph: Graph) -> None:
    place: dict[Node, int] = {}
    for node in graph.nodes():
        _write_node(message.nodes.add(), node, place)
        place[node] = len(place)
    message.inputs.extend(place[node] for node in graph.inputs)
    message.shared.extend(place[node] for node in graph.shared)
    message.outputs.extend(place[node] for node in graph.outputs)
    for slot, node in graph.updates:
        message.updates.add(shared=slot, value=place[node])


def _write_node(message: wire.Node, node: Node, place: Mapping[Node, int]) -> None:
    message.op = node.op.name
    message.inputs.extend([place[x] for x in node.inputs])
    if node.name:
        message.name = "".join(c if c.isprintable() else "?" for c in node.name[:_NAME_LENGTH])
    for name, value in node.attrs:
        attribute = message.attributes.add()
        attribute.name = name
        _write_value(attribute.value, value)


def _write_type(message: wire.TensorType, type_: TensorType) -> None:
    message.dtype = dtype_to_wire(type_.dtype)
    message.shape.extend(-1 if extent is None else extent for extent in type_.shape)


# ---- attribute values, by their Python type
def _write_bool(message: wire.AttributeValue, value: bool) -> None:
    message.bool_value = value


def _write_int(message: wire.AttributeValue, value: int) -> None:
    message.int_value = value


def _write_float(message: wire.AttributeValue, value: float) -> None:
    message.float_value = value


def _write_text(message: wire.AttributeValue, value: str) -> None:
    message.string_value = value


def _write_bytes(message: wire.AttributeValue, value: bytes) -> None:
    message.bytes_value = value


def _write_none(message: wire.AttributeValue, _: None) -> None:
    message.none_value.SetInParent()


def _write_tensor_type(message: wire.AttributeValue, value: TensorType) -> None:
    _write_type(message.type_value, value)


def _write_const(message: wire.AttributeValue, value: Const) -> None:
    if value.dtype == "bfloat16":  # numpy may not have it here
        write_array(message.array_value, bfloat16_bits(value.array), value.dtype)
    else:
        write_array(message.array_value, value.array)


# Tuples of one kind have a short form; the field that holds it, by the kind.
_LISTS: Final[Mapping[type, str]] = {
    bool: "bool_list",
    int: "int_list",
    float: "float_list",
    str: "string_list",
}


def _write_tuple(message: wire.AttributeValue, values: tuple[Any, ...]) -> None:
    kinds: set[type] = {type(value) for value in values} or {int}
    field = _LISTS.get(kinds.pop()) if len(kinds) == 1 else None
    if field is not None:
        short = getattr(message, field)
        short.SetInParent()  # also when there is nothing in it
        short.values.extend(values)
        return
    message.list.SetInParent()
    for value in values:
        _write_value(message.list.values.add(), value)


_WRITE: Final[Mapping[type, Callable[[wire.AttributeValue, Any], None]]] = {
    bool: _write_bool,
    int: _write_int,
    float: _write_float,
    str: _write_text,
    bytes: _write_bytes,
    type(None): _write_none,
    TensorType: _write_tensor_type,
    Const: _write_const,
    tuple: _write_tuple,
}


def _write_value(message: wire.AttributeValue, value: object) -> None:
    write = _WRITE.get(type(value))
    if write is None:
        raise CompilerBug(f"an attribute of type {type(value).__name__} has no wire form")
    given: Any = value  # of the type that the writer was found by
    write(message, given)
