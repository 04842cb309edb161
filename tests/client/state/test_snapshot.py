"""Snapshots: reads of one moment and assignments in one commit, while other threads are at work."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

import exprd
from exprd import shared
from exprd.errors import ConnectionLost
from exprd.state.snapshot import assign_all, shapes_of, values_of

pytestmark = pytest.mark.usefixtures("mode")


def while_running(work: Callable[[], object], check: Callable[[], float]) -> None:
    """Checks until there were twenty checks, and the other thread worked twenty times.

    And until it was seen to work in between: what the checks find is not always the same.
    """
    done = threading.Event()
    seen: set[float] = set()
    turns = [0]

    def run() -> None:
        while not done.is_set():
            work()
            turns[0] += 1

    thread = threading.Thread(target=run)
    thread.start()
    checks = 0
    try:
        while (checks < 20 or turns[0] < 20 or len(seen) < 2) and thread.is_alive():
            seen.add(check())
            checks += 1
    finally:
        done.set()
        thread.join()
    assert turns[0] >= 20
    assert len(seen) > 1


def test_a_read_lies_between_two_calls() -> None:
    model = [shared(np.zeros(1000)) for _ in range(4)]
    step = exprd.function([], updates=[(v, v + 1) for v in model])
    step()

    def check() -> float:
        (found,) = {float(x) for value in exprd.state_dict(model).values() for x in value[[0, -1]]}
        return found

    while_running(step, check)


def test_a_call_sees_all_of_a_loaded_state_or_none() -> None:
    model = [shared(np.zeros(1000)) for _ in range(4)]
    read = exprd.function([], [v.min() for v in model] + [v.max() for v in model])
    states = [{str(i): np.full(1000, float(k)) for i in range(4)} for k in range(5)]
    turn = iter(range(10**9))

    def load() -> None:
        exprd.load_state_dict(model, states[next(turn) % 5])

    def check() -> float:
        (found,) = {float(x) for x in read()}
        return found

    while_running(load, check)


def test_shapes_are_those_of_the_values() -> None:
    model = [shared(np.zeros((2, 3))), shared(1.0), shared(np.zeros((0, 4, 1)))]
    expected = [(2, 3), (), (0, 4, 1)]
    assert shapes_of(model) == expected
    exprd.function([], model)
    assert shapes_of(model) == expected
    model[0].set_value(np.zeros((7, 1)))
    assert shapes_of(model) == [(7, 1), *expected[1:]]
    assert shapes_of(model[1:2]) == [()]
    assert shapes_of([]) == []


def test_the_same_variable_twice() -> None:
    x, y = shared(1.0), shared(2.0)
    exprd.function([], [x, y])
    first, second, third = values_of([x, y, x])
    assert (float(first), float(second), third is first) == (1.0, 2.0, True)


def test_values_of_a_closed_session_are_gone() -> None:
    model = [shared(np.zeros(2)), shared(np.zeros(2))]
    with exprd.connect(""):
        exprd.function([], model)
    for use in (lambda: values_of(model), lambda: assign_all([(v, np.ones(2)) for v in model])):
        with pytest.raises(ConnectionLost):
            use()


def test_variables_of_two_sessions_and_of_none() -> None:
    here, first, second = (shared(np.full(2, float(k))) for k in range(3))
    exprd.function([], first)
    with exprd.connect(""):
        exprd.function([], second)
        model = [here, first, second]
        assert [x.tolist() for x in values_of(model)] == [[0, 0], [1, 1], [2, 2]]
        assign_all([(v, np.full(2, 5.0)) for v in model])
        assert [x.tolist() for x in values_of(model)] == [[5, 5]] * 3
