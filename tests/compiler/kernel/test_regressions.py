"""Graphs that once gave wrong values, kept small."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from exprd_compiler.driver import compile_graph
from exprd_compiler.interpret import evaluate
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Array, Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import cast, sub
from exprd_compiler.ops.index import scatter, subtensor
from exprd_compiler.ops.leaves import const, input_
from exprd_compiler.ops.linalg import dot
from exprd_compiler.ops.movement import dimshuffle, reshape, shape_i
from exprd_compiler.ops.nnet import log_softmax, softmax
from exprd_compiler.options import CompileOptions


def leaf(*shape: int | None) -> Node:
    return input_(type=TensorType("float64", shape))


def assert_native(graph: Graph, values: list[Array]) -> None:
    for level in ("none", "fast_run"):
        want, _ = evaluate(graph, values)
        got = compile_graph(graph, CompileOptions(level=level)).executable(values)
        for a, b in zip(got, want, strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            np.testing.assert_allclose(a, b, rtol=1e-12)


VIEWS: dict[str, Callable[[Node], Node]] = {
    "axes": lambda n: dimshuffle(n, order=(-1, -1)),
    "position": lambda n: subtensor(dimshuffle(n, order=(-1,)), index=(("at", 0),)),
    "slice": lambda n: subtensor(dimshuffle(n, order=(-1, -1)), index=(("slice", -1, None, None),)),
    "reshape": lambda n: reshape(n, shape=(1, 1)),
}


@pytest.mark.parametrize("view", VIEWS)
def test_an_extent_can_be_viewed(view: str) -> None:
    x = leaf(None)
    assert_native(Graph((x,), (VIEWS[view](shape_i(x, axis=0)),)), [np.zeros(4)])


def test_what_waits_in_an_output_is_not_overwritten_too_early() -> None:
    x = leaf(None, None)
    first = softmax(x, axis=1)
    second = softmax(cast(first, dtype="float64"), axis=1)
    outputs = (first, second, sub(log_softmax(second, axis=1), second))
    assert_native(Graph((x,), outputs), [np.random.default_rng(0).normal(size=(5, 40))])


def test_an_increment_at_a_constant_place_counts_every_time() -> None:
    x = leaf(1)
    out = scatter(x, const(2.0), const([-1, -1, -1], "int64"), mode="inc")
    assert_native(Graph((x,), (out,)), [np.ones(1)])


def test_a_product_of_reversed_rows() -> None:
    x = leaf(None, None)
    reversed_rows = subtensor(x, index=(("slice", None, None, -1),))
    assert_native(
        Graph((x,), (dot(reversed_rows, reversed_rows),)),
        [np.random.default_rng(0).normal(size=(6, 6))],
    )
