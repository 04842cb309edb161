"""The verifier: good graphs pass, and each broken invariant is told."""

from __future__ import annotations

import pytest

from exprd_compiler.errors import CompilerBug, DTypeError, GraphError, MissingInput
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ir.verify import verify
from exprd_compiler.ops.arithmetic import add, cast
from exprd_compiler.ops.leaves import const, input_, shared
from exprd_compiler.ops.movement import dimshuffle
from exprd_compiler.ops.reduce import sum_

VECTOR = TensorType("float32", (None,))


@pytest.fixture
def x() -> Node:
    return input_(type=VECTOR)


@pytest.fixture
def w() -> Node:
    return shared(type=VECTOR)


def test_a_good_graph(x: Node, w: Node) -> None:
    verify(Graph((x,), (add(x, w),), (w,), ((0, add(w, x)),)))


def test_unused_leaves_are_no_fault_here(x: Node, w: Node) -> None:
    verify(Graph((x,), (const(1.0),), (w,)))


def test_a_leaf_that_is_not_listed(x: Node, w: Node) -> None:
    with pytest.raises(MissingInput, match=r"shared.*float32"):
        verify(Graph((x,), (add(x, w),)))


def test_a_leaf_listed_twice(x: Node) -> None:
    with pytest.raises(GraphError, match="listed twice as input"):
        verify(Graph((x, x), (x,)))


def test_something_listed_that_is_no_leaf(x: Node, w: Node) -> None:
    with pytest.raises(GraphError, match="listed as input, but it is computed by 'add'"):
        verify(Graph((x, add(x, x)), (x,)))
    with pytest.raises(GraphError, match="listed as shared, but"):
        verify(Graph((), (x,), (x,)))


def test_a_type_that_does_not_follow(x: Node) -> None:
    y = add(x, x)
    y.type = TensorType("float64", (None,))
    with pytest.raises(CompilerBug, match=r"add: a node of type float64\[\?\] should be float32"):
        verify(Graph((x,), (y,)))


def test_attributes_that_the_op_does_not_know(x: Node) -> None:
    y = sum_(x, axes=(0,))
    y.attrs = (("nonsense", 1),)
    with pytest.raises(CompilerBug, match="sum: the type rule failed"):
        verify(Graph((x,), (y,)))


@pytest.mark.parametrize(("slots", "message"), [((0, 0), "updated twice"), ((1,), "slot 1")])
def test_slots(slots: tuple[int, ...], message: str, w: Node) -> None:
    with pytest.raises(GraphError, match=message):
        verify(Graph((), (), (w,), tuple((slot, w) for slot in slots)))


def test_updates_have_the_type_of_their_variable(w: Node) -> None:
    with pytest.raises(DTypeError, match="cast it to float32"):
        verify(Graph((), (), (w,), ((0, cast(w, dtype="float64")),)))
    with pytest.raises(GraphError, match="rank and broadcast pattern"):
        verify(Graph((), (), (w,), ((0, dimshuffle(w, order=(0, -1))),)))
    known = shared(type=TensorType("float32", (3,)))
    verify(Graph((), (), (w, known), ((0, known),)))
    with pytest.raises(GraphError, match="rank and broadcast pattern"):
        verify(Graph((), (), (w, known), ((1, w),)))
