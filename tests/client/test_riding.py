"""Clients ride through the death and the restart of their server; what is lost is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd import function, shared
from exprd.errors import ConnectionLost, DeadlineExceeded, StateRolledBack, UnknownHandle
from tests.client.restarts import KillAt, RestartableServer

Start = Callable[..., RestartableServer]

pytestmark = pytest.mark.timeout(600)  # a busy machine takes long to start a server three times


@pytest.fixture
def start(tmp_path: Path, child_env: dict[str, str]) -> Iterator[Start]:
    """A function that starts a server which can be killed."""
    started: list[RestartableServer] = []

    def begin(*flags: str, durable: bool = True) -> RestartableServer:
        started.append(RestartableServer(tmp_path, child_env, *flags, durable=durable))
        return started[-1]

    yield begin
    for server in started:
        server.kill()


def trained(steps: int, tell: Callable[[int], None]) -> list[np.ndarray]:
    """Weights and losses of a regression after some steps, each a call with updates."""
    rng = np.random.default_rng(7)
    data = rng.standard_normal((64, 5)).astype("float32")
    x, y = T.fmatrix("x"), T.fvector("y")
    w = shared(np.zeros(5, "float32"), "w", durability="durable")
    count = shared(0, "count", durability="durable")
    cost = T.mean((T.tanh(T.dot(x, w)) - y) ** 2)
    rate = np.float32(0.3)
    step = function([x, y], cost, updates=[(w, w - rate * exprd.grad(cost, w)), (count, count + 1)])
    inputs, targets = exprd.put(data), exprd.put(np.tanh(data @ np.arange(5, dtype="float32")))
    losses = []
    for turn in range(steps):
        tell(turn)
        losses.append(step(inputs, targets))
    return [*exprd.read([w, count]), np.array(losses)]


def test_training_over_kills_ends_with_the_same_bits(server: str, start: Start) -> None:
    with exprd.connect(server):
        expected = trained(300, lambda _: None)
    own = start()
    with exprd.connect(own.target), KillAt(own, 40, 120, 200) as tell:
        found = trained(300, tell)
    assert own.starts == 4
    for a, b in zip(found, expected, strict=True):
        assert a.tobytes() == b.tobytes()
    assert found[1] == 300


def test_state_outlives_a_server_that_was_stopped_in_order(start: Start) -> None:
    own = start()
    with exprd.connect(own.target):
        count = shared(0, durability="durable")
        add = function([], count, updates=[(count, count + 1)])
        assert [int(add()) for _ in range(3)] == [0, 1, 2]
        assert own.stop() == 0
        own.start()
        assert [int(add()) for _ in range(3)] == [3, 4, 5]
        assert count.version == 7


def test_what_was_never_assigned_is_given_again(start: Start) -> None:
    """A server without a store forgets everything; no acknowledged value is lost by that."""
    own = start(durable=False)
    with exprd.connect(own.target):
        x = T.vector("x")
        scale = shared(np.full(3, 2.0), "scale")
        table = shared(np.arange(3.0), "table", durability="constant")
        f = function([x], (x * scale + table).sum())
        ones = exprd.put(np.ones(3))
        assert f(ones) == 9
        own.restart()
        assert f(ones) == 9
        own.restart()
        assert scale.get_value().tolist() == [2, 2, 2]
        assert ones.get().tolist() == [1, 1, 1]
        assert function([x], x * scale)(ones).tolist() == [2, 2, 2]


def test_a_large_argument_is_sent_again(start: Start) -> None:
    own = start()
    with exprd.connect(own.target):
        x = T.vector("x")
        total = shared(0.0, durability="durable")
        add = function([x], total, updates=[(total, total + x.sum())])
        value = np.ones(700_000)
        with KillAt(own, 5) as tell:
            for turn in range(25):
                tell(turn)
                assert add(value) == turn * value.size


def test_lost_values_are_told_once_and_by_name(start: Start) -> None:
    own = start(durable=False)
    with exprd.connect(own.target):
        x = T.scalar("x")
        w, b = shared(0.0, "w"), shared(1.0, "b")
        add = function([x], w + b, updates=[(w, w + x)])
        add(1.0)
        own.restart()
        with pytest.raises(StateRolledBack, match="lost acknowledged values of w;") as caught:
            add(1.0)
        assert caught.value.fields["variables"] == "w"
        for use in (w.get_value, lambda: add(1.0)):
            with pytest.raises(UnknownHandle, match=r"'w' was lost.*set_value"):
                use()
        w.set_value(10.0)
        assert add(1.0) == 11
        assert w.get_value() == 11
        own.restart()
        with pytest.raises(StateRolledBack, match="of w;"):
            w.set_value(3.0)
        w.set_value(3.0)
        assert add(1.0) == 4


def test_reads_do_not_pass_a_loss_over(start: Start) -> None:
    own = start("--durability", "off")
    with exprd.connect(own.target):
        w = shared(0, "w", durability="durable")
        add = function([], [], updates=[(w, w + 1)])
        own.stop()  # which writes what there is
        own.start()
        for read in (w.get_value, lambda: w.version):
            for _ in range(3):
                add()
            own.restart()
            with pytest.raises(StateRolledBack, match="of w;"):
                read()
            read()
            assert w.get_value() == 0


def test_updates_that_an_interval_has_not_written_are_told(start: Start) -> None:
    own = start("--durability", "interval=1000")
    with exprd.connect(own.target):
        w = shared(0, "w", durability="durable")
        add = function([], w, updates=[(w, w + 1)])
        for _ in range(5):
            add()
        own.restart()
        with pytest.raises(StateRolledBack, match="of w;"):
            add()


def test_another_client_cannot_hide_a_loss(start: Start) -> None:
    """Versions that were lost are given again by somebody else; the first client is told still."""
    own = start("--durability", "interval=1000")
    with exprd.connect(own.target):
        total = exprd.open_shared("total", 0)
        add = function([], [], updates=[(total, total + 1)])
        own.stop()
        own.start()
        add()
        add()
        own.restart()
        with exprd.connect(own.target):
            other = exprd.open_shared("total")
            again = function([], [], updates=[(other, other + 1)])
            for _ in range(20):
                again()
        own.stop()
        own.start()
        with pytest.raises(StateRolledBack, match="of total;"):
            add()
        add()


def test_every_call_that_was_on_its_way_is_told(start: Start) -> None:
    own = start(durable=False)
    with exprd.connect(own.target):
        w = shared(0, "w")
        add = function([], w, updates=[(w, w + 1)])
        add()
        outcomes: list[type[BaseException]] = []
        own.kill()
        begun = threading.Barrier(5)

        def work() -> None:
            begun.wait()
            try:
                add()
            except exprd.ExprdError as error:
                outcomes.append(type(error))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        begun.wait()
        own.start()
        for thread in threads:
            thread.join()
        # A call that was begun after the first one was told meets the variable that is gone.
        assert len(outcomes) == 4
        assert StateRolledBack in outcomes
        assert set(outcomes) <= {StateRolledBack, UnknownHandle}


def test_a_server_that_stays_away_is_waited_for_no_longer_than_asked(start: Start) -> None:
    own = start()
    with exprd.connect(own.target):
        f = function([], T.constant(1.0) + 1)
        own.kill()
        with exprd.config.change_flags(ride_through=0.2), pytest.raises(ConnectionLost):
            f()
        # The time may be up between two attempts, or in one.
        told = pytest.raises((ConnectionLost, DeadlineExceeded))
        with exprd.config.change_flags(deadline=0.2), told:
            f()


def test_a_server_that_is_full_is_asked_again(start: Start) -> None:
    own = start("--calls", "1")
    with exprd.connect(own.target):
        count, x = shared(0), T.matrix("x")
        long = T.dot(T.dot(x, x), x).sum()  # so that calls meet each other
        add = function(
            [],
            [count, long],
            givens={x: exprd.put(np.ones((400, 400)))},
            updates=[(count, count + 1)],
        )
        seen: list[int] = []

        def call() -> None:
            with exprd.config.change_flags(doorbell="off"):  # the places are those of gRPC
                seen.append(int(add()[0]))

        while '"kind": "LimitExceeded"' not in own.log.read_text():  # until calls have met
            threads = [threading.Thread(target=call) for _ in range(12)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert sorted(seen) == list(range(len(seen)))


def test_what_others_made_and_left_outlives_them(start: Start) -> None:
    own = start()
    with exprd.connect(own.target):
        total = exprd.open_shared("total", np.zeros(2))
        function([], [], updates=[(total, total + 1)])()
    own.restart()
    with exprd.connect(own.target):
        assert exprd.open_shared("total").get_value().tolist() == [1, 1]
