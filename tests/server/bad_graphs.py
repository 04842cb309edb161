"""The named bad graphs, and the good graph that they spoil, as data.

Each is the edit of a Compile request; `bad_inputs.py` says how they are run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import exprd_proto as wire
from exprd_proto import DataType

F64, F32, I64, BOOL, C64 = (
    DataType.DATA_TYPE_FLOAT64,
    DataType.DATA_TYPE_FLOAT32,
    DataType.DATA_TYPE_INT64,
    DataType.DATA_TYPE_BOOL,
    DataType.DATA_TYPE_COMPLEX64,
)


@dataclass(frozen=True)
class World:
    """What a request can refer to: total = sum(x * w), and the update w = x * w."""

    client_id: str
    handle: str
    uuid: str
    constant: str
    integer: str


def attribute(name: str, **value: Any) -> wire.Attribute:
    return wire.Attribute(name=name, value=wire.AttributeValue(**value))


def leaf(op: str, name: str, dtype: int = F64, shape: tuple[int, ...] = (-1,)) -> wire.Node:
    type_ = wire.TensorType(dtype=dtype, shape=shape)
    return wire.Node(op=op, name=name, attributes=[attribute("type", type_value=type_)])


def node(op: str, *inputs: int, **attributes: dict[str, Any]) -> wire.Node:
    listed = [attribute(name, **value) for name, value in sorted(attributes.items())]
    return wire.Node(op=op, inputs=inputs, attributes=listed)


def ints(*values: int) -> dict[str, Any]:
    return {"int_list": wire.IntList(values=values)}


def constant(data: bytes, shape: tuple[int, ...] = (), dtype: int = F64) -> wire.Node:
    array = wire.Array(dtype=dtype, shape=shape, data=data)
    return wire.Node(op="constant", attributes=[attribute("value", array_value=array)])


def good_nodes() -> list[wire.Node]:
    return [
        leaf("input", "x"),
        leaf("shared", "w"),
        node("mul", 0, 1),
        node("sum", 2, axes=ints(0)),
    ]


def good_graph(**changes: Any) -> wire.Graph:
    facts: dict[str, Any] = {
        "nodes": good_nodes(),
        "inputs": [0],
        "shared": [1],
        "outputs": [3],
        "updates": [wire.Update(shared=0, value=2)],
    }
    return wire.Graph(**{**facts, **changes})


def compile_request(world: World, *graphs: wire.Graph, **changes: Any) -> wire.CompileRequest:
    facts: dict[str, Any] = {
        "client_id": world.client_id,
        "graph": wire.GraphBundle(opset_version=1, graphs=graphs or [good_graph()]),
        "bindings": [wire.VariableBinding(slot=0, uuid=world.uuid)],
    }
    return wire.CompileRequest(**{**facts, **changes})


def with_nodes(*extra: wire.Node, **changes: Any) -> Callable[[World], Any]:
    """The good graph with further nodes, numbered from 4."""
    return lambda world: compile_request(
        world, good_graph(nodes=[*good_nodes(), *extra], **changes)
    )


def with_graph(**changes: Any) -> Callable[[World], Any]:
    return lambda world: compile_request(world, good_graph(**changes))


def with_request(**changes: Any) -> Callable[[World], Any]:
    return lambda world: compile_request(world, **changes)


def with_gradient(*extra: wire.Node, **facts: Any) -> Callable[[World], Any]:
    def build(world: World) -> Any:
        graph = good_graph(nodes=[*good_nodes(), *extra])
        return compile_request(world, graph, gradients=[wire.GradientRequest(**facts)])

    return build


def nested(depth: int) -> wire.AttributeValue:
    value = wire.AttributeValue(int_value=1)
    for _ in range(depth):
        value = wire.AttributeValue(list=wire.AttributeList(values=[value]))
    return value


def chain_of_graphs(count: int) -> Callable[[World], Any]:
    """Graphs each of which refers to the next by an attribute."""

    def build(world: World) -> Any:
        inner = [
            wire.Graph(nodes=[wire.Node(op="neg", attributes=[attribute("g", graph_value=i + 1)])])
            for i in range(count - 1)
        ]
        return compile_request(world, *inner, good_graph())

    return build


# Innermost graphs are decoded first and their ops refuse the attribute; so the limit on
# nesting is tested on the decoder itself, and here only that nothing breaks.
GRAPHS = (
    ("self edge", with_nodes(node("neg", 4)), "GraphError", "not an earlier node"),
    ("cycle", with_nodes(node("neg", 5), node("neg", 4)), "GraphError", "not an earlier node"),
    ("dangling input", with_nodes(node("neg", 99)), "GraphError", "not an earlier node"),
    ("huge input index", with_nodes(node("neg", 2**32 - 1)), "GraphError", "not an earlier"),
    ("unknown op", with_nodes(node("system", 0)), "UnsupportedVersion", "system"),
    ("path as op", with_nodes(node("../../bin/sh", 0)), "UnsupportedVersion", ""),
    ("empty op", with_nodes(node("", 0)), "UnsupportedVersion", ""),
    ("megabyte op", with_nodes(node("x" * 2**20, 0)), "UnsupportedVersion", ""),
    ("dangling output", with_graph(outputs=[4]), "GraphError", "outputs names node 4 of 4"),
    ("dangling call input", with_graph(inputs=[9]), "GraphError", "inputs names node 9"),
    ("input is no leaf", with_graph(inputs=[0, 2]), "GraphError", "no such leaf"),
    ("input listed twice", with_graph(inputs=[0, 0]), "GraphError", "twice"),
    ("input not listed", with_graph(inputs=[]), "MissingInput", "not listed"),
    ("shared listed as input", with_graph(inputs=[0, 1]), "GraphError", "no such leaf"),
    ("input listed as shared", with_graph(shared=[0]), "GraphError", "no such leaf"),
    (
        "update of no slot",
        with_graph(updates=[wire.Update(shared=1, value=2)]),
        "GraphError",
        "slot 1 of 1",
    ),
    (
        "update to no node",
        with_graph(updates=[wire.Update(shared=0, value=77)]),
        "GraphError",
        "node 77",
    ),
    (
        "two updates of a slot",
        with_graph(updates=[wire.Update(shared=0, value=2)] * 2),
        "GraphError",
        "twice",
    ),
    (
        "update changes rank",
        with_graph(updates=[wire.Update(shared=0, value=3)]),
        "DTypeError",
        "changes its type",
    ),
    (
        "update changes dtype",
        with_nodes(
            node("cast", 2, dtype={"string_value": "float32"}),
            updates=[wire.Update(shared=0, value=4)],
        ),
        "DTypeError",
        "changes its type",
    ),
    (
        "declared type is wrong",
        with_nodes(wire.Node(op="neg", inputs=[0], type=wire.TensorType(dtype=F32, shape=[-1]))),
        "GraphError",
        "but the op gives",
    ),
    (
        "type of a leaf is no type",
        with_nodes(node("input", type={"bool_value": True})),
        "GraphError",
        "",
    ),
    ("unknown dtype", with_nodes(leaf("input", "y", 77)), "DTypeError", "number 77"),
    ("no dtype", with_nodes(leaf("input", "y", 0)), "DTypeError", "number 0"),
    (
        "dtype of a later version",
        with_nodes(leaf("input", "y", DataType.DATA_TYPE_FLOAT8_E5M2)),
        "DTypeError",
        "float8_e5m2",
    ),
    ("extent below -1", with_nodes(leaf("input", "y", F64, (-2,))), "GraphError", "below -1"),
    ("extent 2^63-1", with_nodes(leaf("input", "y", F64, (2**63 - 1,))), "ShapeError", "2**62"),
    (
        "product of extents overflows",
        with_nodes(leaf("input", "y", F64, (2**40, 2**40))),
        "ShapeError",
        "2**62",
    ),
    (
        "a tensor of 8 TiB",
        with_nodes(leaf("input", "y", F64, (2**20, 2**20))),
        "LimitExceeded",
        "limit of",
    ),
    (
        "absurd extent beside a zero",
        with_nodes(leaf("input", "y", F64, (0, 2**60))),
        "LimitExceeded",
        "limit",
    ),
    ("rank 33", with_nodes(leaf("input", "y", F64, (1,) * 33)), "LimitExceeded", "rank 33"),
    ("constant too short", with_nodes(constant(b"\0" * 7)), "GraphError", "takes 8 bytes"),
    ("constant too long", with_nodes(constant(b"\0" * 9)), "GraphError", "takes 8 bytes"),
    (
        "constant claims 4 GiB and more",
        with_nodes(constant(b"", (2**33,))),
        "GraphError",
        "above the limit",
    ),
    ("negative constant extent", with_nodes(constant(b"", (-1,))), "GraphError", "negative"),
    ("bool of value 2", with_nodes(constant(b"\2", (), BOOL)), "GraphError", "0 or 1"),
    ("attribute without value", with_nodes(node("sum", 0, axes={})), "GraphError", "no value"),
    ("attribute missing", with_nodes(node("sum", 0)), "GraphError", "cannot take"),
    (
        "attribute too many",
        with_nodes(node("neg", 0, extra={"int_value": 1})),
        "GraphError",
        "cannot take",
    ),
    (
        "attribute of another kind",
        with_nodes(node("sum", 0, axes={"string_value": "all"})),
        "GraphError",
        "",
    ),
    (
        "attributes unsorted",
        with_nodes(
            wire.Node(
                op="neg",
                inputs=[0],
                attributes=[attribute("b", int_value=1), attribute("a", int_value=1)],
            )
        ),
        "GraphError",
        "ascend",
    ),
    (
        "attribute twice",
        with_nodes(wire.Node(op="neg", inputs=[0], attributes=[attribute("a", int_value=1)] * 2)),
        "GraphError",
        "ascend",
    ),
    (
        "65 attributes",
        with_nodes(node("neg", 0, **{f"a{i:02}": {"int_value": 1} for i in range(65)})),
        "LimitExceeded",
        "attributes",
    ),
    (
        "lists nested too deep",
        with_nodes(
            wire.Node(op="neg", inputs=[0], attributes=[wire.Attribute(name="a", value=nested(9))])
        ),
        "LimitExceeded",
        "deeper",
    ),
    (
        "attribute list of 100000",
        with_nodes(node("sum", 0, axes=ints(*range(100_000)))),
        "LimitExceeded",
        "entries",
    ),
    ("axis out of range", with_nodes(node("sum", 0, axes=ints(5))), "ShapeError", "axes (5,)"),
    (
        "axis twice",
        with_nodes(node("sum", 0, axes=ints(0, 0))),
        "ShapeError",
        "",
    ),
    ("graph refers to itself", with_nodes(node("neg", 0, g={"graph_value": 0})), "GraphError", ""),
    ("graph refers to none", with_nodes(node("neg", 0, g={"graph_value": 7})), "GraphError", ""),
    ("chain of 66 sub-graphs", chain_of_graphs(66), "GraphError", ""),
    ("wrong arity", with_nodes(node("add", 0)), "GraphError", "takes 2"),
    ("wrong dtype", with_nodes(node("invert", 0)), "DTypeError", ""),
    (
        "complex numbers in order",
        with_nodes(leaf("input", "z", C64), node("lt", 4, 4), inputs=[0, 4]),
        "DTypeError",
        "complex64",
    ),
    (
        "imaginary part dropped",
        with_nodes(
            leaf("input", "z", C64), node("cast", 4, dtype={"dtype_value": F64}), inputs=[0, 4]
        ),
        "DTypeError",
        "imaginary part",
    ),
    (
        "half a complex number",
        with_nodes(constant(bytes(12), (), C64)),
        "GraphError",
        "12 were sent",
    ),
    (
        "extents that differ",
        with_nodes(
            leaf("input", "a", F64, (3,)),
            leaf("input", "b", F64, (4,)),
            node("add", 4, 5),
            inputs=[0, 4, 5],
        ),
        "ShapeError",
        "broadcast",
    ),
    ("name with a line break", with_nodes(leaf("input", "a\nERROR forged")), "GraphError", "name"),
    ("name of 2000", with_nodes(leaf("input", "n" * 2000)), "GraphError", "1024"),
    ("gradient without wrt", with_gradient(cost=3), "GraphError", "without wrt"),
    ("gradient of no node", with_gradient(cost=44, wrt=[1]), "GraphError", "node 44"),
    ("gradient of a vector", with_gradient(cost=2, wrt=[1]), "ArgumentError", "scalar"),
    ("gradient by a later node", with_gradient(cost=3, wrt=[9]), "GraphError", "node 9"),
    (
        "gradient of a disconnected node",
        with_gradient(node("neg", 3), cost=3, wrt=[4]),
        "DisconnectedInput",
        "",
    ),
    ("placeholder of nothing", with_nodes(node("placeholder")), "GraphError", "placeholder"),
    (
        "placeholder before its cost",
        with_gradient(node("placeholder"), cost=3, wrt=[1], placeholders=[2]),
        "GraphError",
        "before",
    ),
    (
        "too few placeholders",
        with_gradient(node("placeholder"), cost=3, wrt=[0, 1], placeholders=[4]),
        "GraphError",
        "1 placeholders for 2",
    ),
)
