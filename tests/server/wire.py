"""Graphs into wire messages, as a client would send them; for tests of the server alone."""

from __future__ import annotations

from typing import Any

import exprd_proto as wire
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Const, Node
from exprd_compiler.ir.type import TensorType
from exprd_proto.arrays import array_to_wire, dtype_to_wire


def type_message(type_: TensorType) -> wire.TensorType:
    shape = [-1 if extent is None else extent for extent in type_.shape]
    return wire.TensorType(dtype=dtype_to_wire(type_.dtype), shape=shape)


def value_message(value: Any) -> wire.AttributeValue:
    match value:
        case None:
            return wire.AttributeValue(none_value=wire.NoneValue())
        case bool():
            return wire.AttributeValue(bool_value=value)
        case int():
            return wire.AttributeValue(int_value=value)
        case float():
            return wire.AttributeValue(float_value=value)
        case str():
            return wire.AttributeValue(string_value=value)
        case TensorType():
            return wire.AttributeValue(type_value=type_message(value))
        case Const():
            return wire.AttributeValue(array_value=array_to_wire(value.array))
        case tuple() if all(type(entry) is int for entry in value):
            return wire.AttributeValue(int_list=wire.IntList(values=value))
        case tuple():
            entries = wire.AttributeList(values=map(value_message, value))
            return wire.AttributeValue(list=entries)
    raise TypeError(f"no wire form for {value!r}")


def graph_message(graph: Graph) -> wire.Graph:
    nodes = graph.nodes()
    place = {node: position for position, node in enumerate(nodes)}

    def message(node: Node) -> wire.Node:
        attributes = [wire.Attribute(name=k, value=value_message(v)) for k, v in node.attrs]
        return wire.Node(
            op=node.op.name,
            inputs=[place[x] for x in node.inputs],
            attributes=attributes,
            name=node.name or "",
        )

    return wire.Graph(
        nodes=map(message, nodes),
        inputs=[place[x] for x in graph.inputs],
        shared=[place[x] for x in graph.shared],
        outputs=[place[x] for x in graph.outputs],
        updates=[wire.Update(shared=slot, value=place[x]) for slot, x in graph.updates],
    )


def bundle(graph: Graph) -> wire.GraphBundle:
    return wire.GraphBundle(opset_version=1, graphs=[graph_message(graph)])
