"""Loops over the death and the restart of their server: no step is lost, none is done twice."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd import function, shared
from exprd.errors import ResultExpired, StateRolledBack, UnknownHandle
from tests.client.restarts import KillAt, RestartableServer

pytestmark = pytest.mark.timeout(600)  # a busy machine takes long to start a server several times


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
            # so many that the kill comes before the last of them, however late
            add.repeat(1_000_000, 1.0, stack=True, on_progress=lambda p: tell(p.step))
        assert 50 <= count.get_value() < 1_000_000


def test_a_function_without_state_is_given_again(start) -> None:
    own = start(durable=False)
    with exprd.connect(own.target):
        x = T.dvector("x")
        double = function([x], x * 2)
        assert double.submit(np.ones(2)).result().tolist() == [2, 2]
        own.restart()
        futures = [double.submit(np.full(2, float(i))) for i in range(20)]
        assert [f.result().tolist() for f in futures] == [[2.0 * i] * 2 for i in range(20)]


def test_a_call_is_stopped_although_the_server_was_restarted(start) -> None:
    own = start()
    with exprd.connect(own.target):
        count, x = shared(0.0, "count", durability="durable"), T.dvector("x")
        pairs = T.exp(x.dimshuffle(0, "x") * x.dimshuffle("x", 0))
        work = function([x], count, updates=[(count, count + pairs.sum())])
        future = work.submit(np.full(400_000, 1e-3))  # minutes
        while not future.running():
            threading.Event().wait(0.001)
        own.kill()
        future.cancel()  # nobody hears it
        own.start()
        with pytest.raises(concurrent.futures.CancelledError):
            future.result(60)
        assert count.get_value() == 0


def test_functions_that_were_looked_up_go_on_after_kills(start) -> None:
    own = start()
    with exprd.connect(own.target):
        add, count = counter()
        exprd.publish("add", add)
        with exprd.connect(own.target):
            found = exprd.lookup("add")
            assert found(1.0) == 0
            own.restart()
            assert found.submit(1.0).result(60) == 1
            assert found.batch([(1.0,)] * 2) == [2, 3]
            with KillAt(own, 50) as tell:
                last = found.repeat(200, 1.0, on_progress=lambda made: tell(made.step))
            assert last == 203
        assert count.get_value() == 204


def test_what_is_no_longer_published_is_said(start) -> None:
    own = start(durable=False)
    with exprd.connect(own.target):
        x = T.dvector("x")
        exprd.publish("double", function([x], x * 2))
        with exprd.connect(own.target):
            found = exprd.lookup("double")
            own.restart()  # which takes the name along
            for call in (lambda: found([1.0]), lambda: found.submit([1.0]).result(60)):
                with pytest.raises(UnknownHandle, match="double"):
                    call()
            exprd.publish("double", function([x], x * 3))
            with pytest.raises(UnknownHandle, match="is another function"):
                found([1.0])
            exprd.publish("again", function([x], x * 2))  # equal graphs are one function
            assert found.submit([1.0]).result(60).tolist() == [2]
