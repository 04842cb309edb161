"""Matrix products: when they become one BLAS call with its factor and its summand."""

from __future__ import annotations

import numpy as np
import pytest

from exprd_compiler.interpret import evaluate
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, mul, neg, sub
from exprd_compiler.ops.leaves import const, input_
from exprd_compiler.ops.linalg import dot, transpose
from exprd_compiler.ops.movement import dimshuffle
from exprd_compiler.ops.transcendental import tanh
from exprd_compiler.passes.levels import optimize


def leaf(rank: int, dtype: str = "float64") -> Node:
    return input_(type=TensorType(dtype, (None,) * rank))


A, B, C, V, W, R = leaf(2), leaf(2), leaf(2), leaf(1), leaf(1), leaf(1)
LEAVES = (A, B, C, V, W, R)
GIVEN = [np.random.default_rng(3).normal(size=shape) for shape in ((3, 4), (4, 5), (3, 5), 4, 3, 5)]


def optimized(*roots: Node) -> list[Node]:
    graph = Graph(LEAVES, roots)
    new = optimize(graph)
    for got, want in zip(evaluate(new, GIVEN)[0], evaluate(graph, GIVEN)[0], strict=True):
        np.testing.assert_allclose(got, want)
    return [node for node in new.nodes() if node.op.name != "input"]


def scaled(value: float, node: Node) -> Node:
    return mul(const(value), node)


@pytest.mark.parametrize(
    ("root", "alpha", "beta"),
    [
        (dot(A, B), 1, 0),
        (scaled(2.5, dot(A, B)), 2.5, 0),
        (neg(scaled(2.5, dot(A, B))), -2.5, 0),
        (add(C, dot(A, B)), 1, 1),
        (sub(C, scaled(0.5, dot(A, B))), -0.5, 1),
        (sub(scaled(0.5, dot(A, B)), scaled(3.0, C)), 0.5, -3),
        (scaled(2.0, add(dot(A, B), scaled(3.0, C))), 2, 6),
        (add(W, dot(A, V)), 1, 1),
        (sub(W, scaled(0.1, dot(A, V))), -0.1, 1),
    ],
)
def test_one_call_does_it(root: Node, alpha: float, beta: float) -> None:
    (call,) = optimized(root)
    assert call.op.name == ("gemm" if call.ndim == 2 else "gemv")
    assert (call["alpha"], call["beta"]) == pytest.approx((alpha, beta))
    assert len(call.inputs) == (3 if beta else 2)


def test_sums_of_products_are_chained_calls() -> None:
    first, second = optimized(add(dot(A, B), dot(tanh(A), B)))[-2:]
    assert (first.op.name, second.op.name) == ("gemm", "gemm")
    assert first in second.inputs


def test_transposes_are_views_of_the_operands() -> None:
    names = [node.op.name for node in optimized(transpose(dot(A, B)))]
    assert names == ["dimshuffle", "dimshuffle", "gemm"]


def test_a_vector_on_the_left() -> None:
    names = [node.op.name for node in optimized(dot(W, A))]
    assert names == ["dimshuffle", "gemv"]


def test_a_bias_is_added_by_the_kernel() -> None:
    *_, call, total = optimized(add(dot(A, B), dimshuffle(R, order=(-1, 0))))
    assert (call.op.name, call["beta"], total.op.name) == ("gemm", 0, "add")


def test_a_shared_product_is_computed_once() -> None:
    product = dot(A, B)
    nodes = optimized(product, scaled(2.0, product), add(product, C))
    assert [node.op.name for node in nodes].count("gemm") == 1


def test_what_blas_would_not_read_stays_outside() -> None:
    nodes = optimized(add(dot(A, B), scaled(0.0, C)), scaled(0.0, dot(tanh(A), B)))
    assert [n.op.name for n in nodes].count("mul") == 2


def test_integers_and_inner_products_are_sums() -> None:
    k = leaf(2, "int32")
    graph = optimize(Graph((*LEAVES, k), (dot(k, transpose(k)), dot(V, V))))
    assert {root.op.name for root in graph.outputs} <= {"sum", "cast"}
