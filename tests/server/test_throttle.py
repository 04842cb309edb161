"""Who rests while others call, and for how long; then every way of calling, on a real server."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd_server.throttle import BESIDE, MOST, Lap, Throttle
from tests.server.bells import belfry

CALLS = 3_000  # far more than it takes


class Time:
    """A clock that moves when told, and by resting."""

    def __init__(self) -> None:
        self.now = 100.0
        self.rests: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.rests.append(round(seconds, 6))
        self.now += seconds

    def throttle(self, least: float = 0.25) -> Throttle:
        return Throttle(least, self, self.sleep)


@pytest.fixture
def time():
    return Time()


def used(time: Time, throttle: Throttle, client: str, seconds: float, times: int = 1) -> None:
    """So many calls of one client, each of which takes so long."""
    for _ in range(times):
        throttle.rest(client)
        time.now += seconds
        throttle.spend(client, seconds)


def test_who_is_alone_never_rests(time):
    throttle = time.throttle()
    used(time, throttle, "busy", 0.01, times=100)
    assert (time.rests, throttle.rested) == ([], 0.0)


@pytest.mark.parametrize(("others", "share"), [(1, 1 / 2), (2, 1 / 3), (3, 1 / 4), (9, 1 / 4)])
def test_the_share_of_a_busy_client(time, others, share):
    throttle = time.throttle()
    for number in range(others):
        throttle.spend(f"other {number}", 0.0)
    start = time.now
    used(time, throttle, "busy", 0.0002, times=200)  # in less than the time others count for
    assert 0.04 / (time.now - start) == pytest.approx(share, rel=0.05)
    assert throttle.rested == pytest.approx(sum(time.rests), abs=1e-3)
    assert min(time.rests) > 0.001


def test_others_who_pause_do_not_rest(time):
    throttle = time.throttle()
    for _ in range(100):
        used(time, throttle, "busy", 0.0005)
        used(time, throttle, "seldom", 0.0002)
        time.now += 0.0005
    throttle.rest("seldom")
    before = len(time.rests)
    throttle.rest("seldom")
    assert len(time.rests) == before


def test_nobody_rests_for_those_who_call_no_more(time):
    throttle = time.throttle()
    throttle.spend("other", 0.001)
    time.now += 0.25
    used(time, throttle, "busy", 0.001, times=100)
    assert time.rests == []


def test_with_the_whole_share_nobody_rests(time):
    throttle = time.throttle(least=1.0)
    throttle.spend("other", 0.001)
    used(time, throttle, "busy", 0.001, times=50)
    assert time.rests == []


def test_a_rest_is_bounded(time):
    throttle = time.throttle()
    throttle.spend("other", 0.0)
    throttle.spend("busy", 10.0)
    throttle.rest("busy")
    assert time.rests == [0.05]


def test_clients_that_have_gone_are_forgotten(time):
    throttle = time.throttle()
    for number in range(1_000):
        throttle.spend(f"client {number}", 0.001)
    assert len(throttle._used) > 900
    time.now += 1
    throttle.spend("another", 0.001)
    assert len(throttle._used) + len(throttle._calling) + len(throttle._called) <= 2


class Noted(Throttle):
    """A throttle that keeps what is spent."""

    def __init__(self) -> None:
        super().__init__()
        self.spent: list[float] = []

    def spend(self, client_id: str, seconds: float) -> None:
        assert client_id == "me"
        self.spent.append(seconds)


def test_of_a_part_only_so_much_counts(monkeypatch):
    clock = iter([1.0, 1.0 + 5 * MOST, 2.0, 2.0 + MOST / 2, 3.0, 2.0])
    monkeypatch.setattr("exprd_server.throttle.time.thread_time", lambda: next(clock))
    throttle = Noted()
    for parts in (2, 2, 1):  # more than counts, less, and a clock of another thread
        Lap(throttle, "me").end(parts)
    assert throttle.spent == [2 * MOST, pytest.approx(MOST / 2), 0.0]


def test_a_lap_tells_what_it_used_now_and_then():
    throttle = Noted()
    lap = Lap(throttle, "me")
    parts = 0
    while len(throttle.spent) < 3:
        lap.rest()
        parts += 1
    lap.end()
    assert len(throttle.spent) == 4 < parts


def test_a_short_repetition_counts(tmp_path, monkeypatch):
    with belfry(tmp_path) as tower, exprd.connect(tower.target):
        x = T.dvector()
        function = exprd.function([x], x + 1)
        spent: list[float] = []

        def note(_: str, seconds: float) -> None:
            spent.append(seconds)

        monkeypatch.setattr(tower.engine.throttle, "spend", note)
        function.repeat(2, np.ones(4))
        assert spent[0] == BESIDE
        assert 0 < spent[1] <= 2 * MOST


# ---- every way of calling
def calls(function):
    return lambda: function(np.ones(4))


def batches(function):
    return lambda: function.batch([(np.ones(4),)] * 50)


def repeats(function):
    return lambda: function.repeat(50, np.ones(4))


def submits(function):
    return lambda: [future.result() for future in [function.submit(np.ones(4)) for _ in range(50)]]


@pytest.mark.parametrize("bell", ["off", "auto"])
@pytest.mark.parametrize("way", [calls, batches, repeats, submits])
def test_a_client_that_never_pauses_rests_for_another(tmp_path, way, bell):
    with belfry(tmp_path) as tower:
        throttle = tower.engine.throttle
        throttle._most = 20.0  # calls one by one are on their way for most of the time
        over = threading.Event()

        def others() -> None:
            while not over.is_set():
                for number in range(20):
                    throttle.spend(f"other {number}", 0.0)
                over.wait(0.02)

        thread = threading.Thread(target=others)
        thread.start()
        try:
            with exprd.connect(tower.target), exprd.config.change_flags(doorbell=bell):
                x = T.dvector()
                call = way(exprd.function([x], x + 1))
                assert any(call() is not None and throttle.rested > 0 for _ in range(CALLS))
        finally:
            over.set()
            thread.join()
