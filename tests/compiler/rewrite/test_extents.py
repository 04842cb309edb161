"""Extents: every length as a number or as the length of a leaf."""

from __future__ import annotations

import numpy as np
import pytest

from exprd_compiler.interpret import evaluate
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, mul, neg
from exprd_compiler.ops.creation import alloc, iota
from exprd_compiler.ops.diagonals import tril
from exprd_compiler.ops.index import gather, scatter, subtensor
from exprd_compiler.ops.joining import join, roll
from exprd_compiler.ops.leaves import const, input_
from exprd_compiler.ops.linalg import dot, transpose
from exprd_compiler.ops.movement import dimshuffle, reshape, shape_i
from exprd_compiler.ops.nnet import log_softmax, softmax
from exprd_compiler.ops.reduce import argmax, expand_axes, max_, mean, sum_
from exprd_compiler.ops.scans import cumsum
from exprd_compiler.ops.statistics import logsumexp, var
from exprd_compiler.ops.transcendental import exp
from exprd_compiler.passes.levels import optimize
from exprd_compiler.rewrite.extents import Extents
from exprd_compiler.rewrite.intern import Interner

X = input_(type=TensorType("float64", (None, None)))
V = input_(type=TensorType("float64", (None,)))
K = input_(type=TensorType("int64", (None,)))
ROWS, COLUMNS = shape_i(X, axis=0), shape_i(X, axis=1)

# the value, and the leaves from which its extents come
CASES: dict[str, tuple[Node, str]] = {
    "elementwise": (exp(add(X, V)), "X0 X1"),
    "broadcast": (mul(expand_axes(V, (1,)), const([[2.0]])), "V0 1"),
    "sum": (sum_(neg(X), axes=(0,)), "X1"),
    "max": (max_(neg(X), axes=(1,)), "X0"),
    "argmax": (argmax(neg(X), axes=(1,)), "X0"),
    "mean": (mean(neg(X), axes=(0,)), "X1"),
    "var": (var(neg(X), axes=(0,), ddof=1), "X1"),
    "logsumexp": (logsumexp(neg(X), axes=(1,)), "X0"),
    "cumsum": (cumsum(neg(X), axis=1), "X0 X1"),
    "tril": (tril(neg(X), offset=0), "X0 X1"),
    "roll": (roll(neg(X), shift=1, axis=0), "X0 X1"),
    "stack": (join(expand_axes(V, (0,)), expand_axes(exp(V), (0,)), axis=0), "2 V0"),
    "dimshuffle": (dimshuffle(neg(X), order=(1, -1, 0)), "X1 1 X0"),
    "reshape": (reshape(neg(X), COLUMNS, ROWS, shape=(None, None)), "X1 X0"),
    "alloc": (alloc(const(2.0), COLUMNS, shape=(None, 5)), "X1 5"),
    "iota": (iota(shape_i(V, axis=0)), "V0"),
    "dot": (dot(X, transpose(X)), "X0 X0"),
    "matrix vector": (dot(X, V), "X0"),
    "gather": (gather(exp(X), K), "K0 X1"),
    "scatter": (scatter(exp(X), const(1.0), K, mode="inc"), "X0 X1"),
    "rows": (subtensor(exp(X), index=(("slice", 0, None, None),)), "X0 X1"),
    "row": (subtensor(exp(X), index=(("at", -1),)), "X1"),
    "softmax": (softmax(exp(X), axis=1), "X0 X1"),
    "log_softmax": (log_softmax(exp(X), axis=1), "X0 X1"),
}


def described(node: Node) -> str:
    names = {X: "X", V: "V", K: "K"}
    found = Extents(Interner()).of(node)
    return " ".join(
        str(e) if isinstance(e, int) else f"{names[e.inputs[0]]}{e['axis']}" for e in found
    )


@pytest.mark.parametrize("case", CASES)
def test_extents_come_from_the_leaves(case: str) -> None:
    node, want = CASES[case]
    assert described(node) == want


@pytest.mark.parametrize("case", CASES)
def test_asking_for_a_shape_computes_nothing_else(case: str) -> None:
    node, _ = CASES[case]
    asked = tuple(shape_i(node, axis=axis) for axis in range(node.ndim))
    new = optimize(Graph((X, V, K), asked))
    assert {n.op.name for n in new.nodes()} <= {"input", "constant", "shape_i"}
    given = [np.ones((3, 3)), np.ones(3), np.array([0, 1, 2, 0])]
    got, want = (evaluate(graph, given)[0] for graph in (new, Graph((X, V, K), asked)))
    assert got == want


def test_lengths_that_must_agree_are_equal() -> None:
    extents = Extents(Interner())
    w = input_(type=TensorType("float64", (None,)))
    assert not extents.equal(V, w)
    extents.of(add(V, w))
    assert extents.equal(V, w)


def test_a_known_length_stands_for_an_unknown_one() -> None:
    extents = Extents(Interner())
    w = input_(type=TensorType("float64", (7,)))
    extents.of(add(V, w))
    assert extents.of(V) == (7,)


def test_a_length_that_does_not_follow_is_asked_of_the_value() -> None:
    part = subtensor(V, index=(("slice", 1, None, None),))
    (extent,) = Extents(Interner()).of(part)
    assert isinstance(extent, Node)
    assert (extent.op, extent.inputs) == (shape_i, (part,))
