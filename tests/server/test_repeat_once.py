"""Repetitions that commit once, step by step: what others see, and what is left of a broken one."""

from __future__ import annotations

import numpy as np
import pytest

from exprd_compiler.errors import Cancelled, LimitExceeded
from exprd_server.deadline import Deadline
from exprd_server.repeat import RepeatCall
from exprd_server.values import ExecuteCall, ExecuteReply
from tests.server.test_patches import Bench, Watched


@pytest.fixture
def bench():
    made = Bench(Watched())
    yield made
    made.engine.close()


def repetition(bench, steps, deadline=None):
    call = ExecuteCall(handle=bench.adds, inputs=(np.array([1, 3]),))
    return bench.engine.repeat(RepeatCall(call=call, steps=steps, every=1, once=True), deadline)


def test_nothing_is_seen_before_the_end(bench) -> None:
    address = bench.address()
    messages = repetition(bench, 6)
    for step in range(1, 6):
        assert next(messages).step == step
        assert not bench.value().any()
    assert next(messages).step == 6  # told after the commit
    assert (bench.value()[1] == 6).all()
    assert isinstance(next(messages), ExecuteReply)
    assert bench.version() == 2
    assert len(bench.store.changes) == 1
    assert bench.address() != address  # what readers had is theirs


def test_a_repetition_that_is_left_changes_nothing_and_lets_others_go_on(bench) -> None:
    messages = repetition(bench, 6)
    next(messages)
    messages.close()
    bench.call(bench.adds, [1])
    assert (bench.value()[1] == 1).all()
    assert bench.version() == 2


def test_a_repetition_that_is_cancelled_or_refused_changes_nothing(bench) -> None:
    deadline = Deadline(60.0)
    messages = repetition(bench, 6, deadline)
    next(messages)
    deadline.cancel()
    with pytest.raises(Cancelled, match="nothing has changed") as caught:
        next(messages)
    assert caught.value.fields["steps"] == "0"
    bench.store.refuses = LimitExceeded("full")
    with pytest.raises(LimitExceeded):
        list(repetition(bench, 3))
    assert not bench.value().any()
    assert bench.version() == 1
