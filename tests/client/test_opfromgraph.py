"""OpFromGraph: expressions as ops, with gradients of their own."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd import OpFromGraph, debugprint, function, shared
from exprd.errors import CallError, GraphError, MissingInput, NullTypeGradError
from exprd.gradient import DisconnectedType, NullType

behaviour = pytest.mark.usefixtures("mode")


def tenfold(inputs: Sequence[Any], output_gradients: Sequence[Any]) -> list[Any]:
    """A gradient ten times too large, by the first input alone."""
    return [10 * output_gradients[0], *[None] * (len(inputs) - 1)]


@behaviour
def test_it_computes_what_its_graph_says() -> None:
    x, y, a, b = T.dvectors("x", "y", "a", "b")
    op = OpFromGraph([x, y], [x + y, x * y], name="both")
    plus, times = op(a * 2, b)
    f = function([a, b], [plus, times])
    assert [v.tolist() for v in f([1.0], [5.0])] == [[7], [10]]
    single = OpFromGraph([x], T.exp(x))
    np.testing.assert_allclose(function([a], single(a))([1.0]), np.exp([1.0]))
    np.testing.assert_allclose(function([a], single(single(a)))([0.5]), np.exp(np.exp([0.5])))


@behaviour
def test_shared_variables_and_updates() -> None:
    x = T.dscalar("x")
    w = shared(3.0, name="w")
    op = OpFromGraph([x], x * w)
    a = T.dscalar("a")
    f = function([a], op(a), updates={w: op(w)})
    assert (f(2.0), f(2.0), w.get_value()) == (6, 18, 81)
    assert function([a], exprd.grad(op(a), w))(5.0) == 5


@behaviour
def test_gradients_are_derived_by_default() -> None:
    x, y, a, b = T.dscalars("x", "y", "a", "b")
    op = OpFromGraph([x, y], x**2 * y)
    f = function([a, b], exprd.grad(op(a, b) + op(b, a), [a, b]))
    assert [float(g) for g in f(2.0, 3.0)] == [2 * 2 * 3 + 9, 4 + 2 * 3 * 2]
    second = exprd.grad(exprd.grad(op(a, b), a), a)
    assert function([a, b], second, on_unused_input="ignore")(2.0, 3.0) == 6


@behaviour
def test_gradients_can_be_given_for_all_inputs() -> None:
    x, y, a, b = T.dscalars("x", "y", "a", "b")
    op = OpFromGraph([x, y], x * y, grad_overrides=tenfold)
    cost = op(a, b) * 2
    assert function([a, b], exprd.grad(cost, a), on_unused_input="ignore")(1.0, 1.0) == 20
    by_b = exprd.grad(cost, b, disconnected_inputs="ignore")
    assert function([a, b], by_b, on_unused_input="ignore")(1.0, 1.0) == 0

    def with_outputs(
        inputs: Sequence[Any], outputs: Sequence[Any], gradients: Sequence[Any]
    ) -> list[Any]:
        return [outputs[0] * gradients[0], inputs[0]]

    other = OpFromGraph([x, y], T.exp(x * y), lop_overrides=with_outputs)
    f = function([a, b], exprd.grad(other(a, b), [a, b]))
    np.testing.assert_allclose(f(1.0, 2.0), [np.exp(2), 1])


@behaviour
def test_gradients_can_be_given_input_by_input() -> None:
    x, y, z, a = T.dscalars("x", "y", "z", "a")
    op = OpFromGraph(
        [x, y, z],
        x * y * z,
        grad_overrides=["default", lambda _, g: g[0] * 100, None],
    )
    f = function([a], exprd.grad(op(a, a * 1, a), a))
    assert f(3.0) == 9 + 100
    by_z = exprd.grad(op(1.0, 1.0, a), a, disconnected_inputs="ignore")
    assert function([a], by_z, on_unused_input="ignore")(2.0) == 0


@behaviour
def test_gradients_of_several_outputs_add_up() -> None:
    x, a = T.dscalars("x", "a")

    def swapped(_: Sequence[Any], gradients: Sequence[Any]) -> list[Any]:
        return [gradients[0] * 2 + gradients[1] * 3]

    op = OpFromGraph([x], [x + 1, x * 5], grad_overrides=swapped)
    first, second = op(a)
    assert function([a], exprd.grad(first * 10 + second, a), on_unused_input="ignore")(0.0) == 23


def test_gradients_that_do_not_exist() -> None:
    x, a = T.dscalars("x", "a")
    null = OpFromGraph([x], x + 1, grad_overrides=[NullType("no way")()])
    with pytest.raises(NullTypeGradError, match="no way"):
        exprd.grad(null(a), a)
    apart = OpFromGraph([x], x + 1, grad_overrides=[DisconnectedType()()])
    with pytest.raises(exprd.errors.DisconnectedInputError):
        exprd.grad(apart(a), a)


@behaviour
def test_jacobians_and_rop_go_through() -> None:
    x, a = T.dvectors("x", "a")
    op = OpFromGraph([x], x**2)
    jacobian = exprd.gradient.jacobian(op(a), a)
    assert function([a], jacobian)([1.0, 2.0]).tolist() == [[2, 0], [0, 4]]
    along: Any = exprd.Rop(op(a), a, T.ones_like(a))
    assert function([a], along)([1.0, 2.0]).tolist() == [2, 4]


def test_wrong_uses_are_refused() -> None:
    x, y = T.dvectors("x", "y")
    op = OpFromGraph([x], x + 1, name="plus")
    with pytest.raises(CallError, match="takes 1 values, got 2"):
        op(x, y)
    with pytest.raises(TypeError, match=r"plus takes float64.*for x, got"):
        op(T.fvector())
    with pytest.raises(ValueError, match="cast or reshape"):
        op(T.dmatrix())
    with pytest.raises(MissingInput, match="depends on y"):
        OpFromGraph([x], x + y)
    with pytest.raises(CallError, match="shared"):
        OpFromGraph([shared(1.0)], x)
    with pytest.raises(GraphError, match="2 overrides for 1 inputs"):
        OpFromGraph([x], x, grad_overrides=["default", "default"])
    with pytest.raises(GraphError, match="not both"):
        OpFromGraph([x], x, grad_overrides=tenfold, lop_overrides=tenfold)
    with pytest.raises(GraphError, match="is a function"):
        OpFromGraph([x], x, grad_overrides=3)
    with pytest.raises(GraphError, match="rop_overrides"):
        OpFromGraph([x], x, rop_overrides=tenfold)
    wrong = OpFromGraph([x], x, grad_overrides=lambda _, g: [g[0], g[0]])
    with pytest.raises(GraphError, match="2 gradients for 1 inputs"):
        exprd.grad(wrong(y).sum(), y)


def test_the_name_is_seen_in_printed_graphs() -> None:
    x = T.dvector("x")
    op = OpFromGraph([x], T.exp(x), name="growth")
    text = debugprint(op(x), file="str")
    assert isinstance(text, str)
    assert text.startswith("OpFromGraph{growth} [id A]")
    assert repr(op) == "OpFromGraph{growth}"


@behaviour
def test_pickles_keep_the_gradient() -> None:
    x, a = T.dscalars("x", "a")
    op = OpFromGraph([x], x * 3, grad_overrides=tenfold)
    a, out, again = pickle.loads(pickle.dumps((a, op(a), op)))
    assert function([a], exprd.grad(out, a), on_unused_input="ignore")(1.0) == 10
    assert function([a], again(a))(2.0) == 6
    clone = exprd.clone(out, {a: a + 1})
    assert function([a], exprd.grad(clone, a), on_unused_input="ignore")(1.0) == 10
    local = OpFromGraph([x], x, grad_overrides=lambda _, g: g)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(local(a))
