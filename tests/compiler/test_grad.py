"""Gradients of whole expressions: what is connected, what is zero, what is refused."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from exprd_compiler.errors import DisconnectedInput, NotDifferentiable, ShapeError
from exprd_compiler.grad import Null, grad, gradients, zeros_like
from exprd_compiler.interpret import evaluate_nodes
from exprd_compiler.ir.graph import toposort
from exprd_compiler.ir.node import Node, Op, Undefined
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, cast, mul, neg, sign, sqr, sub
from exprd_compiler.ops.index import gather, scatter, subtensor
from exprd_compiler.ops.leaves import const, constant, input_, shared
from exprd_compiler.ops.linalg import dot, gemm
from exprd_compiler.ops.logic import gt, switch
from exprd_compiler.ops.movement import dimshuffle, shape_i
from exprd_compiler.ops.nnet import log_softmax, softmax
from exprd_compiler.ops.reduce import argmax, mean, sum_
from exprd_compiler.ops.table import OPS
from exprd_compiler.ops.transcendental import exp, log, pow_, tanh
from tests.ops.samples import samples

IGNORED: Any = {"disconnected": "ignore"}
KINDS: dict[str, type] = {"NO_GRAD": Null, "ZERO_GRAD": Node, "NO_PATH": type(None)}


def leaf(*shape: int | None, dtype: str = "float64") -> Node:
    return input_(type=TensorType(dtype, shape))


def total(x: Node) -> Node:
    return sum_(x, axes=tuple(range(x.ndim)))


def value(node: Node, given: dict[Node, Any] | None = None) -> Any:
    return evaluate_nodes([node], {k: np.asarray(v) for k, v in (given or {}).items()})[0]


# ---- what is connected
def test_a_list_of_wrt_gives_a_list() -> None:
    x, y = leaf(), shared(type=TensorType("float64"))
    gx, gy, again = grad(mul(x, sqr(y)), [x, y, x])
    given = {x: 3.0, y: 5.0}
    assert (value(gx, given), value(gy, given)) == (25.0, 30.0)
    assert again is gx
    assert grad(x, []) == []


def test_the_derivative_of_a_cost_by_itself_is_one() -> None:
    x = leaf()
    (g,) = grad(x, [x])
    assert value(g) == 1.0


def test_by_an_intermediate_value_and_through_it() -> None:
    x = leaf()
    y = sqr(x)
    gy, gx = grad(exp(y), [y, x])
    given = {x: 0.5}
    np.testing.assert_allclose(value(gy, given), np.exp(0.25))
    np.testing.assert_allclose(value(gx, given), np.exp(0.25))


def test_equal_expressions_are_told_apart() -> None:
    x = leaf()
    a, b = mul(x, const(2.0)), mul(x, const(2.0))
    assert grad(mul(a, b), [a]) == [b]


def test_every_use_counts() -> None:
    x = leaf(None)
    (g,) = grad(total(add(mul(x, x), add(x, x))), [x])
    np.testing.assert_allclose(value(g, {x: [1.0, 2.0]}), [4.0, 6.0])


def test_what_the_cost_does_not_depend_on() -> None:
    x, y = leaf(), leaf(None)
    y.name = "forgotten"
    with pytest.raises(DisconnectedInput, match="does not depend on forgotten"):
        grad(x, [x, y])
    with pytest.warns(UserWarning, match="does not depend on forgotten"):
        (warned,) = grad(x, [y], disconnected="warn")
    (ignored,) = grad(x, [y], disconnected="ignore")
    for g in (warned, ignored):
        assert g.type == y.type
        np.testing.assert_array_equal(value(g, {y: [1.0, 2.0]}), [0.0, 0.0])
    with pytest.raises(ValueError, match="not one of raise, warn, ignore"):
        grad(x, [y], disconnected="explode")  # type: ignore[arg-type]


def test_a_shape_is_no_connection() -> None:
    x = leaf(None)
    with pytest.raises(DisconnectedInput):
        grad(cast(shape_i(x, axis=0), dtype="float64"), [x])


@pytest.mark.parametrize(
    "step",
    [
        lambda x: gt(x, const(0.0)),
        lambda x: cast(x, dtype="int32"),
        lambda x: argmax(x, axes=(0,)),
        lambda x: subtensor(cast(x, dtype="int8"), index=(("at", 0),)),
        lambda x: gather(cast(x, dtype="int8"), const([0, 1])),
        lambda x: sign(x),
    ],
)
def test_discrete_values_are_connected_with_zero(step: Callable[[Node], Node]) -> None:
    x = leaf(None)
    (g,) = grad(total(mul(cast(step(x), dtype="float64"), const(3.0))), [x])
    np.testing.assert_array_equal(value(g, {x: [1.0, 2.0]}), [0.0, 0.0])


def test_zeros_add_no_nodes_to_what_flows() -> None:
    x = leaf(None)
    smooth = total(mul(x, const(3.0)))
    stepped = add(smooth, total(cast(gt(x, const(0.0)), dtype="float64")))
    (with_step,), (without,) = grad(stepped, [x]), grad(smooth, [x])
    assert len(toposort([with_step])) == len(toposort([without]))


def test_a_discrete_value_has_its_gradient_as_a_float() -> None:
    x = leaf(None, dtype="int32")
    (g,) = grad(total(mul(x, const(2.5))), [x])
    assert g.type == TensorType("float64", (None,))
    np.testing.assert_array_equal(value(g, {x: np.array([1, 2], "int32")}), [2.5, 2.5])


# ---- types
@pytest.mark.parametrize("wide", [(None, None, None), (2, 3, 4)])
@pytest.mark.parametrize("small", [(), (4,), (None,), (1,), (3, 1), (1, 3, 1), (2, 1, 4)])
def test_what_was_broadcast_is_summed(
    wide: tuple[int | None, ...], small: tuple[int | None, ...], rng: np.random.Generator
) -> None:
    x, w = leaf(*wide), leaf(*small, dtype="float32")
    gx, gw = grad(total(mul(x, w)), [x, w])
    assert (gw.dtype, gw.type.broadcastable) == ("float32", w.type.broadcastable)
    big = rng.standard_normal((2, 3, 4))
    little = rng.standard_normal([n or 4 for n in small]).astype("float32")
    given = {x: big, w: little}
    np.testing.assert_allclose(value(gx, given), np.broadcast_to(little, big.shape))
    lead = tuple(range(3 - little.ndim))
    ones = tuple(len(lead) + axis for axis, extent in enumerate(small) if extent == 1)
    want = big.sum(axis=lead + ones, keepdims=True).reshape(little.shape)
    np.testing.assert_allclose(value(gw, given), want, rtol=1e-5)


def test_mixed_floats_give_each_its_own() -> None:
    x, y = leaf(None, dtype="float32"), leaf(None)
    gx, gy = grad(total(mul(x, y)), [x, y])
    assert (gx.dtype, gy.dtype) == ("float32", "float64")


# ---- what stops a gradient
def test_consider_constant() -> None:
    x = leaf()
    y = sqr(x)
    (g,) = grad(mul(x, y), [x], consider_constant=[y])
    assert value(g, {x: 3.0}) == 9.0
    with pytest.raises(DisconnectedInput):
        grad(y, [x], consider_constant=[y])
    (by_itself,) = grad(sqr(y), [y], consider_constant=[y])
    assert value(by_itself, {x: 3.0}) == 18.0


def test_known_gradients_take_the_place_of_a_cost() -> None:
    x = leaf(None)
    y = sqr(x)
    (g,) = grad(None, [x], known_grads={y: const([10.0, 100.0])})
    np.testing.assert_array_equal(value(g, {x: [1.0, 2.0]}), [20.0, 400.0])
    (of_y,) = grad(total(exp(y)), [y], known_grads={y: const([1.0, 2.0])})
    np.testing.assert_array_equal(value(of_y, {x: [1.0, 2.0]}), [1.0, 2.0])
    with pytest.raises(ShapeError, match="the known gradient of float64"):
        grad(None, [x], known_grads={y: const(1.0)})


def test_an_op_without_a_gradient() -> None:
    a, b = leaf(None, None), leaf(None, None)
    product = gemm(a, b, alpha=1.0, beta=0.0)
    product.origin = 7
    with pytest.raises(NotDifferentiable, match="gemm: has no gradient") as error:
        grad(total(product), [a])
    assert error.value.nodes == (7,)
    (g,) = grad(total(add(product, a)), [a], consider_constant=[product])
    assert g.type == a.type


def test_only_the_way_to_what_is_asked_counts() -> None:
    a, x = leaf(None, None), leaf()
    product = total(gemm(a, a, alpha=1.0, beta=0.0))
    assert grad(mul(product, x), [x]) == [product]


@pytest.mark.parametrize(
    ("cost", "error", "message"),
    [
        (leaf(None), TypeError, "the cost must be a scalar"),
        (leaf(1), ValueError, r"got float64\[1\]; take a sum"),
    ],
)
def test_what_is_no_cost(cost: Node, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        grad(cost, [cost])


# ---- whole models
def test_logistic_regression(rng: np.random.Generator) -> None:
    x, y = leaf(None, 3), leaf(None)
    w, b = leaf(3), leaf()
    p = dot(x, w)
    loss = sub(log(add(const(1.0), exp(neg(add(p, b))))), mul(sub(y, const(1.0)), add(p, b)))
    gw, gb = grad(mean(loss, axes=(0,)), [w, b])
    xs, ys, ws = rng.standard_normal((7, 3)), rng.integers(0, 2, 7).astype(float), np.ones(3)
    given = {x: xs, y: ys, w: ws, b: 0.5}
    error = (1 / (1 + np.exp(-(xs @ ws + 0.5))) - ys) / 7
    np.testing.assert_allclose(value(gw, given), xs.T @ error)
    np.testing.assert_allclose(value(gb, given), error.sum())


def test_cross_entropy_by_labels(rng: np.random.Generator) -> None:
    logits, labels = leaf(None, 4), leaf(None, dtype="int64")
    rows = const(np.arange(5))
    (g,) = grad(neg(mean(gather(log_softmax(logits, axis=1), rows, labels), axes=(0,))), [logits])
    scores, truth = rng.standard_normal((5, 4)), np.array([0, 3, 3, 1, 2])
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    p[np.arange(5), truth] -= 1
    np.testing.assert_allclose(value(g, {logits: scores, labels: truth}), p / 5, atol=1e-15)


def test_the_last_of_two_writes_has_the_gradient() -> None:
    x, y = leaf(4), leaf(3)
    out = scatter(x, y, const([1, 2, 1]), mode="set")
    gx, gy = grad(total(mul(out, const([1.0, 10.0, 100.0, 1000.0]))), [x, y])
    given = {x: np.zeros(4), y: np.zeros(3)}
    np.testing.assert_array_equal(value(gx, given), [1, 0, 0, 1000])
    np.testing.assert_array_equal(value(gy, given), [0, 100, 10])


def second_derivatives() -> list[Any]:
    x = leaf(None)
    return [
        (x, total(pow_(x, const(3.0))), lambda v: 6 * v),
        (x, total(tanh(x)), lambda v: -2 * np.tanh(v) * (1 - np.tanh(v) ** 2)),
        (x, mean(exp(x), axes=(0,)), lambda v: np.exp(v) / v.size),
        (x, total(switch(gt(x, const(0.0)), sqr(x), x)), lambda v: np.where(v > 0, 2.0, 0.0)),
    ]


@pytest.mark.parametrize(("x", "cost", "want"), second_derivatives())
def test_gradients_of_gradients(x: Node, cost: Node, want: Callable[[Any], Any]) -> None:
    at = np.array([0.5, 1.5, -0.5])
    (first,) = grad(cost, [x])
    (second,) = grad(total(first), [x])
    np.testing.assert_allclose(value(second, {x: at}), want(at))


def test_softmax_of_a_row_and_of_a_column_agree(rng: np.random.Generator) -> None:
    x = leaf(None, None)
    weights = rng.standard_normal((3, 4))
    turned = dimshuffle(softmax(dimshuffle(x, order=(1, 0)), axis=0), order=(1, 0))
    at = {x: rng.standard_normal((3, 4))}
    a, b = (
        value(grad(total(mul(y, const(weights))), [x])[0], at) for y in (softmax(x, axis=1), turned)
    )
    np.testing.assert_allclose(a, b, atol=1e-15)


def test_the_seed_leaves_no_factor_of_one() -> None:
    x, y = leaf(), leaf()
    (g,) = grad(mul(mul(x, y), const(3.0)), [x])
    ones = [n for n in toposort([g]) if n.op is constant and n["value"].array == 1]
    assert ones == []


def test_a_hundred_thousand_nodes() -> None:
    x = leaf()
    y = x
    for _ in range(100_000):
        y = add(y, x)
    start = time.perf_counter()
    (g,) = grad(y, [x])
    assert value(g, {x: 1.0}) == 100_001
    assert time.perf_counter() - start < 60


# ---- what is told apart
def halting(which: int) -> Op:
    """The sum of two values, by one of which it cannot be differentiated."""

    def rule(g: Node, _y: Node, _a: Node, _b: Node) -> list[Node | Undefined]:
        return [Undefined("depends on it in secret") if place == which else g for place in (0, 1)]

    return replace(add, name="halting", grad=rule)


def test_a_rule_may_miss_for_one_input() -> None:
    a, b = leaf(), leaf()
    cost = halting(1)(a, b)
    assert value(grad(cost, [a])[0]) == 1.0
    with pytest.raises(NotDifferentiable, match="halting: depends on it in secret"):
        grad(cost, [a, b])
    by_a, by_b = gradients(cost, [a, b])
    assert isinstance(by_a, Node)
    assert by_b == Null(cost, "depends on it in secret")


def test_what_does_not_exist_stays_so_on_the_way() -> None:
    a, b = leaf(), leaf()
    (missing,) = gradients(halting(0)(sqr(a), b), [a])
    assert isinstance(missing, Null)
    (apart,) = gradients(add(b, cast(shape_i(leaf(None), axis=0), dtype="float64")), [a], **IGNORED)
    assert apart is None


@pytest.mark.parametrize("op", [o for o in OPS.values() if o.examples], ids=lambda op: op.name)
def test_every_op_tells_of_every_input(op: Op, rng: np.random.Generator) -> None:
    for one in samples(op, op.dtypes[-1], rng, known=False)[:2]:
        inputs = list(one.node.inputs)
        start = {one.node: zeros_like(one.node)}
        found = gradients(None, inputs, known_grads=start, **IGNORED)
        kind = KINDS.get(repr(op.grad))
        for x, part in zip(inputs, found, strict=True):
            assert part is None or isinstance(part, Null) or part.ndim == x.ndim
            assert kind is None or isinstance(part, kind)
