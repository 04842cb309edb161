"""Levels: what they contain, what can be excluded, what is refused, and what is observed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from exprd_compiler.errors import CompilerBug, GraphError
from exprd_compiler.interpret import evaluate
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.lowering import Expand
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.text import print_graph
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, mul, neg, sqr
from exprd_compiler.ops.index import subtensor
from exprd_compiler.ops.leaves import const, input_, shared
from exprd_compiler.ops.linalg import transpose
from exprd_compiler.ops.nnet import log_softmax, softmax
from exprd_compiler.ops.reduce import mean
from exprd_compiler.ops.transcendental import exp, tanh
from exprd_compiler.passes.levels import LEVELS, names, optimize, passes
from exprd_compiler.passes.pipeline import Pass, Pipeline, Transform
from exprd_compiler.passes.verify import verify_types

# names that Theano's documentation and its users' programs exclude
KNOWN_TO_USERS = (
    "MergeOptimizer",
    "merge",
    "constant_folding",
    "canonicalize",
    "stabilize",
    "specialize",
    "BlasOpt",
    "blas",
    "local_neg_neg",
    "local_mul_zero",
    "local_mul_canonizer",
    "local_add_canonizer",
    "local_pow_specialize",
    "local_mul_to_sqr",
    "local_sum_prod_mul_by_scalar",
    "local_greedy_distributor",
    "local_log1p",
    "local_log_softmax",
    "local_logsoftmax",
    "log1pexp_to_softplus",
    "log1msigm_to_softplus",
    "logsigm_to_softplus",
    "local_1msigmoid",
    "local_inv_1_plus_exp",
    "local_exp_over_1_plus_exp",
    "local_sigm_times_exp",
    "local_useless_switch",
    "local_useless_elemwise",
    "local_cast_cast",
    "local_fill_to_alloc",
    "local_fill_sink",
    "local_useless_alloc",
    "local_shape_to_shape_i",
    "local_reshape_chain",
    "local_useless_reshape",
    "local_dimshuffle_lift",
    "local_useless_dimshuffle",
    "local_subtensor_merge",
    "local_subtensor_make_vector",
    "local_useless_subtensor",
    "local_useless_slice",
    "local_dot_to_dot22",
    "local_dot22_to_dot22scalar",
    "GemmOptimizer",
    "fusion",
    "inplace",
    "local_elemwise_fusion",
    "inplace_elemwise",
)


def matrix() -> Node:
    return input_(type=TensorType("float64", (None, None)))


def op_names(graph: Graph) -> set[str]:
    return {node.op.name for node in graph.nodes()}


@pytest.mark.parametrize("name", KNOWN_TO_USERS)
def test_names_that_users_exclude_are_accepted(name: str) -> None:
    assert name in names()
    assert passes("fast_run", frozenset({name}))


@pytest.mark.parametrize("name", sorted(names()))
def test_whatever_is_excluded_the_value_stays(name: str) -> None:
    x, y = matrix(), matrix()
    graph = Graph((x, y), (mean(mul(softmax(x, axis=1), neg(neg(y))), axes=(0, 1)),))
    given = [np.arange(6.0).reshape(2, 3), np.ones((2, 3))]
    ((want,), _) = evaluate(graph, given)
    ((got,), _) = evaluate(optimize(graph, excluding=[name], observers=(verify_types,)), given)
    np.testing.assert_allclose(got, want)


def test_excluding_a_rule_keeps_it_from_firing() -> None:
    x = matrix()
    graph = Graph((x,), (exp(neg(neg(x))),))
    assert "neg" not in op_names(optimize(graph))
    for name in ("local_neg_neg", "minus minus"):
        assert "neg" in op_names(optimize(graph, excluding=[name]))


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(GraphError, match="local_neg_nge"):
        optimize(Graph((), ()), excluding=["local_neg_nge"])
    with pytest.raises(GraphError, match="unknown level 'fast'"):
        optimize(Graph((), ()), level="fast")
    with pytest.raises(GraphError, match="'expand'"):
        optimize(Graph((), ()), excluding=["expand"])


@pytest.mark.parametrize("level", LEVELS)
def test_nothing_is_left_to_expand(level: str) -> None:
    x = matrix()
    out = mean(log_softmax(softmax(x, axis=0), axis=1), axes=(1,))
    graph = optimize(Graph((x,), (out,)), level=level)
    assert not any(isinstance(node.op.lowering, Expand) for node in graph.nodes())


def test_no_optimization_leaves_the_formula() -> None:
    x = matrix()
    graph = optimize(Graph((x,), (mul(neg(neg(x)), const(1.0)),)), level="none")
    assert op_names(graph) == {"input", "neg", "constant", "mul"}


def test_the_interface_stays() -> None:
    x, y = matrix(), matrix()
    w = shared(type=TensorType("float64", ()))
    graph = Graph((x, y), (x, add(x, x)), (w,), ((0, add(w, const(0.0))),))
    new = optimize(graph)
    assert (new.inputs, new.shared) == (graph.inputs, graph.shared)
    assert new.outputs[0] is x
    assert new.updates == ((0, w),)


# ---- observers
def test_observers_see_every_pass_in_order() -> None:
    seen: list[tuple[str, Graph, Graph, float]] = []
    x = matrix()
    out = optimize(Graph((x,), (exp(x),)), observers=(lambda *what: seen.append(what),))
    assert [name for name, *_ in seen] == [step.name for step in LEVELS["fast_run"]]
    assert all(first[2] is second[1] for first, second in pairwise(seen))
    assert seen[-1][2].outputs == out.outputs
    assert all(seconds >= 0 for *_, seconds in seen)


def test_the_trace_names_the_rules() -> None:
    fired: list[str] = []
    x = matrix()
    optimize(Graph((x,), (neg(neg(x)),)), trace=lambda name, *_: fired.append(name))
    assert fired == ["minus minus"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda g: g.with_roots([mean(g.outputs[0], axes=(0,))]), "made"),
        (lambda g: Graph((), g.outputs), "leaf"),
        (lambda g: Graph((*g.inputs, matrix()), g.outputs), "changed the leaves"),
    ],
)
def test_the_verifier_names_the_pass_that_went_wrong(
    wrong: Callable[[Graph], Graph], message: str
) -> None:
    x = matrix()
    pipeline = Pipeline((Transform("wrong", wrong),), (verify_types,))
    with pytest.raises(CompilerBug, match=message) as error:
        pipeline(Graph((x,), (sqr(x),)))
    assert "'wrong'" in str(error.value)


def test_every_step_is_a_pass() -> None:
    assert all(isinstance(step, Pass) for row in LEVELS.values() for step in row)


# ---- constants
def test_constants_are_folded_up_to_a_size() -> None:
    small, large = const(np.ones(3)), const(np.ones((1, 2000)))
    column = const(np.ones((2000, 1)))
    roots = (
        add(small, small),
        add(large, column),
        exp(large),
        transpose(const(np.ones((400, 400)))),
    )
    graph = optimize(Graph((), roots))
    assert [root.op.name for root in graph.outputs] == ["constant", "add", "constant", "dimshuffle"]


def test_what_fails_fails_at_run_time() -> None:
    bad = subtensor(const([1.0]), const(5, "int64"), index=(("at", "next"),))
    graph = optimize(Graph((), (bad,)))
    assert graph.outputs[0].op is subtensor


@pytest.mark.slow
def test_a_chain_of_a_hundred_thousand_nodes() -> None:
    x = input_(type=TensorType("float64"))
    node = x
    for place in range(50_000):
        node = add(tanh(node), const(float(place % 7)))
    graph = optimize(Graph((x,), (node,)))
    assert len(graph.nodes()) == 1 + 6 + 100_000 - 7143


def test_the_text_of_an_optimized_graph(golden: Callable[..., None]) -> None:
    x = matrix()
    golden(print_graph(optimize(Graph((x,), (mean(softmax(x, axis=1), axes=(0,)),)))))
