"""Shared variables: values, updates, their order and their atomicity."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
import pytest

import exprd.tensor as T
from exprd import function, shared
from exprd.errors import CallError, DTypeError, GraphError, ShapeError

behaviour = pytest.mark.usefixtures("mode")


def test_first_values() -> None:
    assert shared(0).dtype == "int64"
    assert shared(0.5).dtype == "float64"
    assert shared(np.ones((1, 3), "float32")).broadcastable == (False, False)
    assert shared(np.ones((1, 3)), broadcastable=(True, False)).broadcastable == (True, False)
    named = shared(name="A", value=np.eye(2))
    assert (named.name, named.ndim) == ("A", 2)
    with pytest.raises(DTypeError):
        shared(np.array(["a"]))
    with pytest.raises(DTypeError):
        shared(T.scalar())
    with pytest.raises(TypeError, match="length 2"):
        shared(np.ones((2, 3)), broadcastable=(True, False))


@behaviour
def test_values_are_copied_unless_borrowed() -> None:
    source = np.zeros(2)
    copied, borrowed = shared(source), shared(source, borrow=True)
    source += 1
    assert copied.get_value().tolist() == [0, 0]
    assert borrowed.get_value(borrow=True).tolist() == [1, 1]
    for bound in (False, True):
        if bound:
            function([], copied)()
        value = copied.get_value()
        value += 5
        assert copied.get_value().tolist() == [0, 0]
    given = np.ones(2)
    copied.set_value(given)
    given += 1
    assert copied.get_value().tolist() == [1, 1]


@behaviour
def test_the_tutorials_accumulator() -> None:
    state = shared(0)
    inc = T.iscalar("inc")
    accumulator = function([inc], state, updates=[(state, state + inc)])
    decrementor = function([inc], state, updates=[(state, state - inc)])
    assert accumulator(1) == 0
    assert state.get_value() == 1
    assert accumulator(300) == 1
    assert state.get_value() == 301
    state.set_value(-1)
    assert accumulator(3) == -1
    assert state.get_value() == 2
    assert decrementor(2) == 2
    assert state.get_value() == 0


@behaviour
def test_updates_are_simultaneous() -> None:
    a, b = shared(1.0, "a"), shared(2.0, "b")
    swap = function([], [a, b], updates=OrderedDict([(a, b), (b, a)]))
    assert [float(v) for v in swap()] == [1, 2]
    assert (a.get_value(), b.get_value()) == (2, 1)


@behaviour
def test_an_update_may_be_an_input_or_a_number_and_stays_apart_from_it() -> None:
    s = shared(np.zeros(3))
    x = T.vector("x")
    store = function([x], [], updates={s: x})
    value = np.arange(3.0)
    store(value)
    value += 10
    assert s.get_value().tolist() == [0, 1, 2]
    function([], [], updates=[(s, np.ones(2))])()
    assert s.get_value().tolist() == [1, 1]


@behaviour
def test_outputs_do_not_change_with_the_variable() -> None:
    s = shared(np.zeros(2))
    step = function([], s, updates=[(s, s + 1)])
    first = step()
    step()
    assert first.tolist() == [0, 0]
    held = s.get_value(borrow=True)
    step()
    assert held.tolist() == [2, 2]


@behaviour
def test_set_value_checks_the_type_but_not_the_shape() -> None:
    s = shared(np.zeros((2, 2), "float32"), "s")
    function([], s.sum())()
    s.set_value(np.ones((3, 1), "float32"))
    assert s.get_value().shape == (3, 1)
    with pytest.raises(TypeError, match="precision"):
        s.set_value(np.ones((3, 1)))
    with pytest.raises(TypeError, match="number of dimensions"):
        s.set_value(np.ones(3, "float32"))
    assert s.get_value().shape == (3, 1)
    s.zero()
    assert s.get_value().sum() == 0


def test_value_points_to_the_methods() -> None:
    s = shared(1)
    with pytest.raises(AttributeError, match="get_value"):
        _ = s.value
    with pytest.raises(AttributeError, match="set_value"):
        s.value = 3


def test_updates_are_checked() -> None:
    s = shared(0, "s")
    inc = T.scalar("inc")
    with pytest.raises(TypeError, match="must have the same type") as caught:
        function([inc], s, updates=[(s, s + inc)])
    assert "float64 comes in with inc of type float64[]" in str(caught.value)
    assert "T.cast(expression, 'int64')" in str(caught.value)
    with pytest.raises(ShapeError, match="same type"):
        function([], s, updates=[(s, T.zeros((2,), "int64"))])
    with pytest.raises(TypeError, match="SharedVariable"):
        function([inc], inc, updates=[(inc, inc + 1)])
    with pytest.raises(GraphError, match="already has an update"):
        function([], s, updates=[(s, s + 1), (s, s + 2)])
    with pytest.raises(CallError, match="pairs"):
        function([], s, updates=[s])


@behaviour
def test_a_failed_call_changes_nothing() -> None:
    s, t = shared(np.zeros(2)), shared(0)
    x = T.vector("x")
    step = function([x], [], updates=[(t, t + 1), (s, s + x)])
    step([1, 1])
    with pytest.raises(ValueError, match="add"):
        step([1, 2, 3])
    assert (t.get_value(), s.get_value().tolist()) == (1, [1, 1])


@behaviour
def test_default_updates() -> None:
    s = shared(0)
    s.default_update = s + 1
    f = function([], s)
    f()
    assert s.get_value() == 1
    function([], s, no_default_updates=True)()
    assert s.get_value() == 1
    function([], s, no_default_updates=[s])()
    assert s.get_value() == 1
    function([], s, updates=[(s, s + 10)])()
    assert s.get_value() == 11


@behaviour
def test_a_variable_lives_in_the_graph() -> None:
    def build() -> object:
        return shared(np.array([1.0, 2.0])) * 2

    assert function([], build())().tolist() == [2, 4]


@behaviour
def test_constants_are_never_assigned() -> None:
    c = shared(np.arange(4.0), durability="constant")
    assert function([], c.sum())() == 6
    with pytest.raises(CallError, match="constant"):
        c.set_value(np.zeros(4))
    with pytest.raises(GraphError, match="constant"):
        function([], [], updates=[(c, c + 1)])


@behaviour
def test_clones_are_independent() -> None:
    s = shared(1.0, "s")
    other = s.clone()
    function([], [], updates=[(s, s + 1)])()
    assert (s.get_value(), other.get_value(), other.name) == (2, 1, "s")


@behaviour
def test_calls_from_many_threads_lose_no_update() -> None:
    s = shared(0)
    x = T.lscalar("x")
    f = function([x], s + x, updates=[(s, s + 1)])
    seen: list[int] = []

    def work() -> None:
        for _ in range(25):
            seen.append(int(f(0)))  # noqa: PERF401 - one by one, as they come

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert s.get_value() == 200
    assert sorted(seen) == list(range(200))


@behaviour
def test_minibatches_from_resident_data() -> None:
    data = shared(np.arange(20.0).reshape(10, 2), durability="constant")
    x = T.matrix("x")
    i = T.lscalar("i")
    f = function([i], x.sum(axis=0), givens={x: data[i * 4 : (i + 1) * 4]})
    assert [f(k).tolist() for k in range(3)] == [[12, 16], [44, 48], [34, 36]]
