"""grad(): values against differences, and Theano's rules about its arguments."""

from __future__ import annotations

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd import function, grad, shared
from exprd.errors import DisconnectedInputError, GraphError
from exprd.gradient import NullTypeGradError

behaviour = pytest.mark.usefixtures("mode")


@behaviour
def test_one_variable_gives_one_gradient_and_a_list_a_list() -> None:
    x, y = T.scalars("x", "y")
    cost = x**2 + 3 * x * y
    single = T.grad(cost, x)
    several = T.grad(cost, [x, y])
    assert isinstance(several, list)
    assert isinstance(T.grad(cost, (x, y)), tuple)
    f = function([x, y], [single, *several])
    assert [float(v) for v in f(2, 5)] == [19, 19, 6]


@behaviour
def test_gradients_agree_with_differences(rng: np.random.Generator) -> None:
    x, w = T.matrix("x"), T.vector("w")
    b = shared(0.3, "b")
    p = T.nnet.sigmoid(T.dot(x, w) + b)
    cost = T.nnet.binary_crossentropy(p, 1.0).mean() + 0.1 * (w**2).sum()
    f = function([x, w], cost)
    g = function([x, w], T.grad(cost, [w, b]))
    data, weights = rng.standard_normal((5, 3)), rng.standard_normal(3)
    by_w, by_b = g(data, weights)
    for place in range(3):
        step = np.zeros(3)
        step[place] = 1e-6
        difference = (f(data, weights + step) - f(data, weights - step)) / 2e-6
        np.testing.assert_allclose(by_w[place], difference, rtol=1e-6, atol=1e-8)
    assert by_b.shape == ()


@behaviour
def test_labels_pick_the_rows_of_a_softmax(rng: np.random.Generator) -> None:
    x, labels = T.matrix("x"), T.lvector("labels")
    cost = T.nnet.categorical_crossentropy(T.nnet.softmax(x), labels).sum()
    value = rng.standard_normal((4, 3))
    truth = np.array([0, 2, 1, 2])
    e = np.exp(value - value.max(1, keepdims=True))
    wanted = e / e.sum(1, keepdims=True)
    wanted[np.arange(4), truth] -= 1
    got = function([x, labels], T.grad(cost, x))(value, truth)
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)


def test_the_gradient_has_the_type_of_its_variable() -> None:
    x = T.fmatrix("x")
    b = T.row("b", dtype="float32")
    gx, gb = T.grad((x * b * 2.0).sum(), [x, b])
    assert gx.type == x.type
    assert gb.type == b.type


def test_identity_of_equal_expressions_is_kept() -> None:
    x = T.scalar("x")
    a, b = x * 2, x * 2
    assert T.grad(a * b, a) == b


def test_disconnected_inputs() -> None:
    x, y = T.scalars("x", "y")
    with pytest.raises(DisconnectedInputError):
        grad(x * 2, y)
    assert grad(x * 2, y, disconnected_inputs="ignore").dtype == "float64"
    with pytest.raises(GraphError, match="one of"):
        grad(x, x, disconnected_inputs="maybe")


def test_wrong_costs() -> None:
    x = T.vector("x")
    with pytest.raises(GraphError, match="0-d"):
        grad(x, x)
    with pytest.raises(GraphError):
        grad(x.sum(), 3)  # type: ignore[call-overload]
    assert issubclass(NullTypeGradError, exprd.errors.ExprdError)


@behaviour
def test_consider_constant_and_known_grads() -> None:
    x = T.scalar("x")
    y = x**2
    z = y * x
    held = grad(z, x, consider_constant=[y])
    assert function([x], held)(3) == 9
    start = T.scalar("start")
    through = grad(None, x, known_grads={y: start})
    assert function([x, start], through)(3, 10) == 60


def test_names_and_lines_of_gradients() -> None:
    x = T.scalar("x")
    cost = T.exp(x * 3)
    cost.name = "cost"
    g = grad(cost, x)
    assert g.name == "(dcost/dx)"
    assert "grad(cost, x)" in str(g.node.origin)


def test_a_long_chain_is_differentiated_without_recursion() -> None:
    x = T.scalar("x")
    y = x
    for _ in range(5_000):
        y = y + 1.0
    assert grad(y, x).dtype == "float64"
