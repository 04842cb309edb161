"""put(): arrays that stay where the graphs run."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd import function, put
from exprd.errors import CallError, DTypeError, GraphError

pytestmark = pytest.mark.usefixtures("mode")


def test_a_buffer_has_the_facts_and_the_value_of_its_array() -> None:
    value = np.arange(6.0, dtype="float32").reshape(2, 3)
    buffer = put(value)
    assert (buffer.dtype, buffer.shape, buffer.ndim, len(buffer)) == ("float32", (2, 3), 2, 2)
    value += 1
    assert buffer.get().tolist() == [[0, 1, 2], [3, 4, 5]]
    assert np.asarray(buffer).sum() == 15
    assert np.asarray(buffer, dtype="int64").dtype == np.int64
    assert "float32[2, 3]" in repr(buffer)


def test_a_buffer_is_taken_wherever_an_input_is() -> None:
    x, y = T.matrix("x"), T.scalar("y")
    f = function([x, exprd.In(y, value=1.0)], (x * y).sum())
    buffer = put(np.ones((3, 4)))
    assert f(buffer) == 12
    assert f(buffer, 2.0) == 24
    assert f(x=buffer) == 12


def test_a_buffer_in_givens_is_bound_once_and_for_all() -> None:
    x = T.matrix("x")
    i = T.lscalar("i")
    buffer = put(np.arange(8.0).reshape(4, 2))
    f = function([i], x[i] * 2, givens={x: buffer})
    g = function([], x.sum(), givens={x: buffer})
    del buffer
    gc.collect()
    assert f(3).tolist() == [12, 14]
    assert g() == 28


def test_a_buffer_as_an_update() -> None:
    state = exprd.shared(np.zeros(2))
    reset = function([], state, updates=[(state, put(np.array([5.0, 6.0])))])
    assert reset().tolist() == [0, 0]
    assert reset().tolist() == [5, 6]
    with pytest.raises(TypeError, match="same type"):
        function([], state, updates=[(state, put(np.zeros(2, "float32")))])


def test_outputs_may_stay() -> None:
    x = T.vector("x")
    f = function([x], [x + 1, x * 2])
    plus, twice = f.keep([1.0, 2.0])
    assert isinstance(plus, exprd.Buffer)
    assert plus.get().tolist() == [2, 3]
    assert f(twice)[0].tolist() == [3, 5]


def test_buffers_of_the_wrong_type_are_refused() -> None:
    f = function([x := T.matrix("x")], x)
    assert f(put(np.ones((1, 2)))).tolist() == [[1, 1]]  # then others have to fit all the same
    with pytest.raises(CallError, match="no float64"):
        f(put(np.ones(3)))
    with pytest.raises(CallError, match="no float64"):
        f(put(np.ones((3, 3), "float32")))
    with pytest.raises(TypeError, match="cast"):
        function([], x, givens={x: put(np.ones((2, 2), "int32"))})
    with pytest.raises(GraphError, match="rank"):
        function([], x, givens={x: put(np.ones(2))})
    with pytest.raises(GraphError, match="no output"):
        function([], put(np.ones(2)))
    with pytest.raises(DTypeError, match="cast it"):
        put(np.array(["a"]))


def test_large_arrays_travel_in_chunks(rng: np.random.Generator) -> None:
    value = rng.standard_normal((1200, 1024))  # 9.4 MiB
    x = T.matrix("x")
    f = function([x], x * 2)
    np.testing.assert_array_equal(f(value), value * 2)
    buffer = put(value)
    np.testing.assert_array_equal(buffer.get(), value)
    shared = exprd.shared(value)
    function([], [], updates=[(shared, shared + 1)])()
    np.testing.assert_array_equal(shared.get_value(), value + 1)
    shared.set_value(value)
    np.testing.assert_array_equal(shared.get_value(), value)


def test_what_is_forgotten_is_given_back() -> None:
    session = exprd.connect(exprd.session.current_session().target)
    with session:
        put(np.ones(1))
        before = int(session.info()["buffers"])
        kept = [put(np.ones(4)) for _ in range(10)]
        assert int(session.info()["buffers"]) >= before + 9
        del kept
        gc.collect()
        session.sweep()
        assert int(session.info()["buffers"]) <= before
