"""Classifiers that are sure of themselves: cross-entropies and their gradients stay finite.

Graphs are built as the client builds them, from the formulas that users write.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from exprd_compiler.grad import grad
from exprd_compiler.interpret import evaluate
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Array, Node
from exprd_compiler.ir.text import print_graph
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, mul, neg, sub, true_div
from exprd_compiler.ops.creation import iota
from exprd_compiler.ops.index import gather
from exprd_compiler.ops.leaves import const, input_, shared
from exprd_compiler.ops.linalg import dot
from exprd_compiler.ops.logic import gt
from exprd_compiler.ops.movement import dimshuffle, shape_i
from exprd_compiler.ops.nnet import softmax
from exprd_compiler.ops.reduce import expand_axes, mean, sum_
from exprd_compiler.ops.transcendental import exp, log, pow_, sigmoid
from exprd_compiler.passes.levels import optimize
from exprd_compiler.passes.verify import verify_types

FLOATS = pytest.mark.parametrize("dtype", ["float32", "float64"])
LEVELS = pytest.mark.parametrize("level", ["fast_compile", "fast_run"])
ONE = const(1, "int8")


def tensor(dtype: str, rank: int) -> Node:
    return input_(type=TensorType(dtype, (None,) * rank))


def variable(dtype: str, rank: int) -> Node:
    return shared(type=TensorType(dtype, (None,) * rank))


def by_quotient(z: Node) -> Node:
    return true_div(ONE, add(ONE, exp(neg(z))))


def by_exponentials(z: Node) -> Node:
    return true_div(exp(z), add(exp(z), ONE))


def by_power(z: Node) -> Node:
    return pow_(add(ONE, exp(neg(z))), const(-1, z.dtype))


PROBABILITIES = pytest.mark.parametrize(
    "probability", [by_quotient, by_exponentials, by_power, sigmoid]
)


def cross_entropy(p: Node, y: Node) -> Node:
    return sub(mul(neg(y), log(p)), mul(sub(ONE, y), log(sub(ONE, p))))


def logistic(dtype: str, probability: Callable[[Node], Node]) -> Graph:
    """The regression of Theano's tutorial with one training step."""
    x, y = tensor(dtype, 2), tensor(dtype, 1)
    w, b = variable(dtype, 1), variable(dtype, 0)
    p = probability(sub(dot(x, w), neg(b)))
    xent = cross_entropy(p, y)
    decay = mul(const(0.01, dtype), sum_(pow_(w, const(2, "int8")), axes=(0,)))
    cost = add(mean(xent, axes=(0,)), decay)
    rate = const(0.01, dtype)
    steps = [sub(v, mul(rate, g)) for v, g in zip((w, b), grad(cost, [w, b]), strict=True)]
    outputs = (gt(p, const(0.5, dtype)), xent)
    return Graph((x, y), outputs, (w, b), tuple(enumerate(steps)))


def exact_sigmoid(z: Array) -> Array:
    return np.where(z < 0, np.exp(np.minimum(z, 0)), 1) / (1 + np.exp(-np.abs(z)))


@FLOATS
@LEVELS
@PROBABILITIES
def test_the_tutorial_when_saturated(
    dtype: str, level: str, probability: Callable[[Node], Node]
) -> None:
    graph = optimize(logistic(dtype, probability), level=level, observers=(verify_types,))
    z = np.array([1000, -1000, 1000, -1000, 3, -3, 0, 90, -90])
    y = np.array([0, 0, 1, 1, 1, 1, 0, 0, 1])
    x, w, b = z[:, None].astype(dtype), np.ones(1, dtype), np.zeros((), dtype)
    (decided, xent), (new_w, new_b) = evaluate(graph, [x, y.astype(dtype)], [w, b])

    np.testing.assert_array_equal(decided, z > 0)
    want = np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))
    np.testing.assert_allclose(xent, want, rtol=1e-6)
    slope = exact_sigmoid(z) - y
    np.testing.assert_allclose(new_w[0], 1 - 0.01 * (np.mean(slope * z) + 0.02), rtol=1e-5)
    np.testing.assert_allclose(new_b, -0.01 * np.mean(slope), rtol=1e-5)


@FLOATS
@PROBABILITIES
def test_the_gradient_by_the_score_is_exact(
    dtype: str, probability: Callable[[Node], Node]
) -> None:
    z, y = tensor(dtype, 1), tensor(dtype, 1)
    (g,) = grad(sum_(cross_entropy(probability(z), y), axes=(0,)), [z])
    at = np.array([1000, -1000, 1000, -1000, 40, -40, 0.1], dtype)
    label = np.array([0, 0, 1, 1, 1, 0, 1], dtype)
    ((got,), _) = evaluate(optimize(Graph((z, y), (g,))), [at, label])
    wide = at.astype("float64")
    want = (1 - label) * exact_sigmoid(wide) - label * exact_sigmoid(-wide)
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_no_exponential_is_left_in_the_tutorial(golden: Callable[..., None]) -> None:
    graph = optimize(logistic("float32", by_quotient))
    assert "exp" not in {node.op.name for node in graph.nodes()}
    golden(print_graph(graph))


def test_excluding_leaves_it_as_written() -> None:
    z = tensor("float64", 1)
    graph = Graph((z,), (log(by_quotient(z)),))
    ((got,), _) = evaluate(optimize(graph, excluding=["stabilize"]), [np.array([-1000.0])])
    assert got == -np.inf
    ((got,), _) = evaluate(optimize(graph, excluding=["logsigm_to_softplus"]), [np.array([-1e3])])
    assert got == -np.inf


# ---- softmax
def written_softmax(z: Node) -> Node:
    return true_div(exp(z), expand_axes(sum_(exp(z), axes=(1,)), (1,)))


def rows_softmax(z: Node) -> Node:
    return softmax(z, axis=1)


def softmax_regression(dtype: str, probabilities: Callable[[Node], Node]) -> Graph:
    x, labels = tensor(dtype, 2), tensor("int64", 1)
    w, b = variable(dtype, 2), variable(dtype, 1)
    scores = add(dot(x, w), dimshuffle(b, order=(-1, 0)))
    logs = log(probabilities(scores))
    cost = neg(mean(gather(logs, iota(shape_i(labels, axis=0)), labels), axes=(0,)))
    return Graph((x, labels), (cost, *grad(cost, [w, b])), (w, b))


@FLOATS
@LEVELS
def test_softmax_regression_when_saturated(dtype: str, level: str) -> None:
    graph = softmax_regression(dtype, rows_softmax)
    new = optimize(graph, level=level, observers=(verify_types,))
    w = np.array([[1000, 0, -1000]], dtype)
    x, labels = np.array([[1], [1], [-1], [0.001]], dtype), np.array([0, 2, 0, 1])
    (cost, gw, gb), _ = evaluate(new, [x, labels], [w, np.zeros(3, dtype)])

    scores = x.astype("float64") @ w.astype("float64")
    shifted = scores - scores.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    slope = (np.exp(logs) - np.eye(3)[labels]) / len(labels)
    np.testing.assert_allclose(cost, -logs[range(4), labels].mean(), rtol=1e-5)
    np.testing.assert_allclose(gw, x.T @ slope, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(gb, slope.sum(axis=0), rtol=1e-5, atol=1e-7)


def test_the_text_of_softmax_regression(golden: Callable[..., None]) -> None:
    graph = optimize(softmax_regression("float32", rows_softmax))
    golden(print_graph(graph))


@FLOATS
def test_a_softmax_written_out_is_recognized(dtype: str) -> None:
    z = tensor(dtype, 2)
    p = written_softmax(z)
    got, _ = evaluate(optimize(Graph((z,), (p, log(p)))), [np.array([[1000, 0], [3, 3]], dtype)])
    np.testing.assert_allclose(got[0], [[1, 0], [0.5, 0.5]])
    np.testing.assert_allclose(got[1], [[0, -1000], np.log([0.5, 0.5])], rtol=1e-6)
