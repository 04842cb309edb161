"""Interning: equal structure becomes one node, leaves stay themselves, depth costs nothing."""

from __future__ import annotations

from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, mul, sub
from exprd_compiler.ops.leaves import const, input_, shared
from exprd_compiler.ops.reduce import sum_
from exprd_compiler.rewrite.intern import intern


def scalar() -> Node:
    return input_(type=TensorType("float64"))


def test_equal_nodes_become_one() -> None:
    x = scalar()
    graph = intern(Graph((x,), (add(mul(x, const(2.0)), const(1.0)), mul(x, const(2.0)))))
    assert graph.outputs[0].inputs[0] is graph.outputs[1]


def test_operands_of_a_commutative_op_are_a_set() -> None:
    x, y = scalar(), scalar()
    graph = intern(Graph((x, y), (add(x, y), add(y, x), sub(x, y), sub(y, x))))
    assert graph.outputs[0] is graph.outputs[1]
    assert graph.outputs[2] is not graph.outputs[3]


def test_leaves_of_one_type_stay_apart() -> None:
    x, y = scalar(), scalar()
    v, w = shared(type=x.type), shared(type=x.type)
    graph = intern(Graph((x, y), (add(x, y), add(v, w)), (v, w)))
    assert graph.leaves == (x, y, v, w)
    assert graph.outputs[0].inputs == (x, y)


def test_attributes_and_dtypes_tell_nodes_apart() -> None:
    x = input_(type=TensorType("float64", (None, None)))
    roots = (sum_(x, axes=(0,)), sum_(x, axes=(1,)), const(1, "int8"), const(1, "int64"))
    assert len(set(intern(Graph((x,), roots)).outputs)) == 4


def test_zeros_of_either_sign_stay_apart() -> None:
    graph = intern(Graph((), (const(0.0), const(-0.0))))
    assert graph.outputs[0] is not graph.outputs[1]


def test_the_merged_node_knows_a_creation_site() -> None:
    x = scalar()
    first, second = add(x, x), add(x, x)
    second.origin = "line 7"
    (out,) = intern(Graph((x,), (first,)).with_roots((first,))).outputs
    assert out.origin is None
    graph = intern(Graph((x,), (first, second)))
    assert graph.outputs[0].origin == "line 7"


def test_a_deep_chain() -> None:
    x = scalar()
    node = x
    for _ in range(100_000):
        node = add(node, x)
    assert len(intern(Graph((x,), (node,))).nodes()) == 100_001
