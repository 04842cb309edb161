"""Loops over the death and the restart of their server: no step is lost, none is done twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd import function, shared
from exprd.errors import ResultExpired, StateRolledBack
from tests.client.restarts import KillAt, RestartableServer


@pytest.fixture
def start(tmp_path: Path, child_env: dict[str, str]) -> Iterator[Callable[..., RestartableServer]]:
    started: list[RestartableServer] = []

    def begin(*flags: str, durable: bool = True) -> RestartableServer:
        started.append(RestartableServer(tmp_path, child_env, *flags, durable=durable))
        return started[-1]

    yield begin
    for server in started:
        server.kill()


def counter():
    count, by = shared(0.0, "count", durability="durable"), T.dscalar("by")
    return function([by], count, updates=[(count, count + by)]), count


def test_a_repetition_goes_on_after_kills(start) -> None:
    own = start()
    told: list[int] = []
    with exprd.connect(own.target):
        add, count = counter()
        with KillAt(own, 50, 150) as tell:

            def progress(made: exprd.Progress) -> None:
                told.append(made.step)
                tell(made.step)

            last = add.repeat(300, 1.0, on_progress=progress)
        assert last == 299
        assert count.get_value() == 300
    assert own.starts >= 2
    assert told[-1] == 300


def test_submitted_calls_go_on_after_kills(start) -> None:
    own = start()
    with exprd.connect(own.target):
        add, count = counter()
        with KillAt(own, 120) as tell:
            futures = []
            for turn in range(300):
                futures.append(add.submit(1.0))
                tell(turn)
                if turn % 50 == 0:
                    futures[-1].result()
            seen = [float(f.result(60)) for f in futures]
        assert seen == list(range(300))
        assert count.get_value() == 300
    assert own.starts >= 2


def test_batches_go_on_after_kills(start) -> None:
    own = start()
    with exprd.connect(own.target):
        add, count = counter()
        found: list[float] = []
        with KillAt(own, 3) as tell:
            for turn in range(6):
                tell(turn)
                found += [float(x) for x in add.batch([(1.0,)] * 40)]
        assert found == list(range(240))
        assert count.get_value() == 240


def test_lost_state_is_told_to_those_who_submitted(start) -> None:
    own = start(durable=False)
    with exprd.connect(own.target):
        add, count = counter()
        assert add.submit(1.0).result() == 0
        own.restart()
        with pytest.raises(StateRolledBack, match="count"):
            add.submit(1.0).result()
        count.set_value(5.0)
        assert add.submit(1.0).result() == 5


def test_stacked_outputs_that_are_gone_are_not_made_up(start) -> None:
    own = start()
    with exprd.connect(own.target):
        add, count = counter()
        with KillAt(own, 50) as tell, pytest.raises(ResultExpired, match="steps are done"):
            add.repeat(1_000, 1.0, stack=True, on_progress=lambda p: tell(p.step))
        assert 50 <= count.get_value() < 1_000


def test_a_function_without_state_is_given_again(start) -> None:
    own = start(durable=False)
    with exprd.connect(own.target):
        x = T.dvector("x")
        double = function([x], x * 2)
        assert double.submit(np.ones(2)).result().tolist() == [2, 2]
        own.restart()
        futures = [double.submit(np.full(2, float(i))) for i in range(20)]
        assert [f.result().tolist() for f in futures] == [[2.0 * i] * 2 for i in range(20)]
