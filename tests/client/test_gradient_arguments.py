"""grad(): what Theano lets one ask for, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd import function, grad, shared, subgraph_grad
from exprd.errors import ArgumentError, DisconnectedInputError, ExprdError, NullTypeGradError
from exprd.gradient import (
    DisconnectedType,
    NullType,
    disconnected_type,
    grad_not_implemented,
    grad_undefined,
    undefined_grad,
)

behaviour = pytest.mark.usefixtures("mode")


# ---- what is refused
@pytest.mark.parametrize("kind", [TypeError, ValueError, ArgumentError])
def test_a_cost_is_a_scalar(kind: type[Exception]) -> None:
    x = T.vector("x")
    with pytest.raises(kind, match="must be a scalar"):
        grad(x, x)


def test_arguments_that_mean_nothing() -> None:
    x = T.scalar("x")
    with pytest.raises(ValueError, match="needs a cost or known gradients"):
        grad(None, x)
    with pytest.raises(TypeError, match="a set has no order"):
        grad(x, {x})  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="expected a variable, got 3"):
        grad(x, 3)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="consider_constant is a list"):
        grad(x, x, consider_constant=x)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="known_grads is a dict"):
        grad(x, x, known_grads=[x])  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="is no float"):
        grad(None, x, known_grads={x: T.iscalar()})
    with pytest.raises(ValueError, match="not one of raise, warn, ignore"):
        grad(x, x, disconnected_inputs="maybe")
    with pytest.raises(ValueError, match="return_disconnected"):
        grad(x, x, return_disconnected="perhaps")
    with pytest.raises(ValueError, match="null_gradients"):
        grad(x, x, null_gradients="perhaps")


# ---- whole numbers
@behaviour
def test_a_whole_number_has_a_gradient_in_floats() -> None:
    n = T.iscalar("n")
    slope = grad(n * 2.5, n)
    assert slope.dtype == "float64"
    assert function([n], slope, on_unused_input="ignore")(3) == 2.5


@behaviour
@pytest.mark.usefixtures("float32")
def test_zeros_for_whole_numbers_are_of_the_configured_float() -> None:
    n, x = T.ivector("n"), T.vector("x")
    by_n, by_x = grad(T.cast(x, "int32").sum(), [n, x], disconnected_inputs="ignore")
    assert (by_n.dtype, by_x.dtype) == ("float32", "float32")
    got = function([n, x], [by_n, by_x])([1, 2], np.ones(3, "float32"))
    assert [list(g) for g in got] == [[0, 0], [0, 0, 0]]


@behaviour
def test_a_cost_of_whole_numbers_has_slopes_of_zero() -> None:
    x, n = T.vector("x"), T.lscalar("n")
    slope = grad(T.argmax(x), x)
    assert list(function([x], slope)([1.0, 3.0])) == [0, 0]
    assert function([n], grad(n, n), on_unused_input="ignore")(4) == 1


# ---- what is disconnected, and what is null
def test_indexes_and_shapes_are_disconnected_and_steps_are_not() -> None:
    x, i = T.vector("x"), T.lvector("i")
    with pytest.raises(DisconnectedInputError):
        grad(x[i].sum(), i)
    with pytest.raises(DisconnectedInputError):
        grad((x.shape[0] * 2.0).sum(), x)
    steps: list[Any] = [T.floor, T.sgn, T.round, lambda v: T.gt(v, 0) * 1.0, lambda v: v // 2]
    for step in steps:
        assert grad(step(x).sum(), x).type == x.type


@behaviour
def test_the_condition_of_a_switch_is_connected_with_zero() -> None:
    c, a = T.vector("c"), T.vector("a")
    slope = grad(T.switch(c, a, 2 * a).sum(), c)
    assert list(function([c, a], slope, on_unused_input="ignore")([0.0, 1.0], [5.0, 5.0])) == [0, 0]


def test_what_stands_for_a_disconnected_gradient() -> None:
    x, y = T.scalars("x", "y")
    options = {"disconnected_inputs": "ignore"}
    assert grad(x * 2, y, **options).dtype == "float64"  # type: ignore[call-overload]
    assert grad(x * 2, y, return_disconnected="None", **options) is None  # type: ignore[call-overload]
    both = grad(x * 2, [x, y], return_disconnected="Disconnected", **options)  # type: ignore[call-overload]
    assert isinstance(both[1].type, DisconnectedType)
    assert both[0].type == x.type
    with pytest.raises(TypeError, match="takes no value"):
        both[1].type.filter(3)
    with pytest.warns(UserWarning, match="does not depend on y") as told:
        grad(x * 2, y, disconnected_inputs="warn")
    assert told[0].filename == __file__


def test_a_null_gradient_names_op_and_line() -> None:
    x = T.vector("x")
    cost = undefined_grad(x * 2).sum()
    with pytest.raises(NullTypeGradError, match="undefined_grad: has no gradient") as error:
        grad(cost, x)
    assert isinstance(error.value, TypeError)
    assert "undefined_grad(x * 2)" in "".join(error.value.__notes__)
    null = grad(cost, x, null_gradients="return")
    assert isinstance(null.type, NullType)
    assert "undefined_grad" in null.type.why_null
    with pytest.raises(ValueError, match="does not exist"):
        grad(null, x)


def test_one_null_part_makes_the_whole_null() -> None:
    x, y = T.scalars("x", "y")
    cost = undefined_grad(x * y) + x
    with pytest.raises(NullTypeGradError):
        grad(cost, x)
    assert grad(cost, x, consider_constant=[cost.owner.inputs[0]]).type == x.type  # type: ignore[union-attr]


def test_no_gradient_passes_what_has_none_not_even_zero() -> None:
    x = T.vector("x")
    with pytest.raises(NullTypeGradError, match="nonzero: has no gradient"):
        grad((x.nonzero()[0] * 1.0).sum(), x)
    with pytest.raises(NullTypeGradError):
        grad(T.floor(undefined_grad(x)).sum(), x)
    assert grad(x[T.gt(x, 0).nonzero()].sum(), x).type == x.type


def test_known_gradients_may_be_missing() -> None:
    x = T.scalar("x")
    y, z = x * 2, x * 3
    start = T.scalar("start")
    with pytest.raises(DisconnectedInputError):
        grad(None, x, known_grads={y: disconnected_type()})
    with pytest.raises(NullTypeGradError, match="by input 0"):
        grad(None, x, known_grads={y: start, z: grad_undefined("op", 0, x)})
    null = grad(None, x, known_grads={z: grad_not_implemented("op", 0, x)}, null_gradients="return")
    assert "is not implemented" in null.type.why_null  # type: ignore[attr-defined]


# ---- names
def test_names_need_both_names_and_are_optional() -> None:
    x, y = T.scalar("x"), T.scalar()
    cost = x**3 * y
    assert grad(cost, x).name is None
    cost.name = "cost"
    by_x, by_y = grad(cost, [x, y])
    assert (by_x.name, by_y.name) == ("(dcost/dx)", None)
    assert grad(T.exp(cost), x, add_names=False).name is None


# ---- state, givens, intermediates
@behaviour
def test_by_a_shared_variable_within_an_update() -> None:
    w = shared(2.0, "w")
    x = T.scalar("x")
    step = function([x], (w * x) ** 2, updates=[(w, w - 0.1 * grad((w * x) ** 2, w))])
    assert step(1.0) == 4.0
    assert w.get_value() == pytest.approx(1.6)


@behaviour
def test_givens_come_after_the_gradient() -> None:
    w, x = shared(3.0, "w"), T.scalar("x")
    slope = grad(w**2, w)
    assert function([x], slope, givens=[(w, x)])(5.0) == 10.0
    y = T.scalar("y")
    of_given = grad(y**3, y)
    assert function([x], of_given, givens={y: x + 1})(1.0) == 12.0


@behaviour
def test_by_a_variable_that_took_the_place_of_another() -> None:
    x, y = T.vector("x"), T.vector("y")
    cost = (x**3).sum()
    slope = grad(cost, x)
    moved = exprd.clone(cost, replace={x: 2 * y})
    got = function([y], [grad(moved, y), exprd.clone(slope, replace={x: 2 * y})])([1.0, 2.0])
    np.testing.assert_allclose(got[0], [24, 96])
    np.testing.assert_allclose(got[1], [12, 48])


@behaviour
def test_an_input_that_keeps_its_value() -> None:
    x, y = T.scalar("x"), T.scalar("y")
    state = exprd.In(y, value=1.0, update=y - 0.5 * grad((x - y) ** 2, y))
    f = function([x, state], (x - y) ** 2)
    assert [float(f(3.0)) for _ in range(2)] == [4.0, 0.0]


@behaviour
def test_by_an_intermediate_value() -> None:
    x = T.vector("x")
    h = T.tanh(x)
    cost = (h**2).sum()
    by_h, by_x = grad(cost, [h, x])
    a, b = function([x], [by_h, by_x])([0.3, -0.2])
    t = np.tanh([0.3, -0.2])
    np.testing.assert_allclose(a, 2 * t)
    np.testing.assert_allclose(b, 2 * t * (1 - t**2))


@behaviour
def test_a_part_of_a_graph() -> None:
    x, t = T.fvector("x"), T.fvector("t")
    w1, w2 = shared(np.float32(0.5), "w1"), shared(np.float32(2.0), "w2")
    a1 = T.tanh(w1 * x)
    a2 = T.tanh(w2 * a1)
    cost = ((a2 - t) ** 2).sum() + (w2**2).sum()
    (top,), ends = subgraph_grad([w2], [a1], cost=cost)
    (bottom,), _ = subgraph_grad([w1], [x], start={a1: ends[0]})
    whole = grad(cost, [w2, w1])
    values = [np.array([1.0, 2.0], "float32"), np.array([0.0, 1.0], "float32")]
    got = function([x, t], [top, bottom, *whole])(*values)
    np.testing.assert_allclose(got[:2], got[2:], rtol=1e-6)
    assert len(subgraph_grad([w2], [a1], cost=cost, details=True)) == 4
    both, _ = subgraph_grad([a1], [x], start={a2: a2}, cost=a1.sum())
    by_start = grad(None, a1, known_grads={a2: a2})
    added, alone = function([x], [both[0], by_start])(values[0])
    np.testing.assert_allclose(added, alone + 1, rtol=1e-6)
    with pytest.raises(ExprdError, match="needs start or cost"):
        subgraph_grad([w2], [a1])
    with pytest.raises(TypeError, match="lists"):
        subgraph_grad(w2, [a1], cost=cost)  # type: ignore[arg-type]


# ---- where Theano's formulas have no value
@behaviour
def test_slopes_at_the_ends_are_those_of_theano() -> None:
    x = T.dscalar("x")
    zero: list[tuple[Any, float]] = [
        (abs(x), 0.0),
        (T.sqrt(x), np.inf),
        (x**2, 0.0),
        (x**1, 1.0),
        (x**0, 0.0),
        (x**0.5, np.inf),
        (T.switch(T.gt(x, 0), x, 0.0), 0.0),
        (T.maximum(x, 0.0), 1.0),
        (T.sqrt(x**2), np.nan),
        (T.switch(T.gt(x, 0), T.log(x), 0.0), np.nan),
        (T.switch(T.gt(x, 0), T.log(T.switch(T.gt(x, 0), x, 1.0)), 0.0), 0.0),
    ]
    got = function([x], [grad(cost, x) for cost, _ in zero], mode="FAST_COMPILE")(0.0)
    np.testing.assert_array_equal(got, [want for _, want in zero])


@behaviour
def test_second_derivatives_of_powers_at_zero() -> None:
    x = T.dscalar("x")
    twice = [grad(grad(x**n, x), x, disconnected_inputs="ignore") for n in range(4)]
    assert function([x], twice)(0.0) == [0, 0, 2, 0]
