"""Lanes: what is meant for one call of a stream, and what for the next."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from exprd_compiler.errors import Cancelled, DeadlineExceeded
from exprd_server.alarm import Alarm
from exprd_server.lane import Lane
from exprd_server.running import RunningCalls
from exprd_server.values import CallId


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    alarm = Alarm()
    yield alarm
    alarm.close()


class Native:
    """Native code that goes on until it is stopped, for ten seconds at most."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.began = threading.Event()

    def __call__(self) -> int:
        self.began.set()
        return int(self.stopped.wait(10))

    def stop(self) -> None:
        self.stopped.set()


def guarded(lane: Lane, alarm: Alarm) -> int:
    native = Native()
    return lane.guard(alarm, native, native.stop)


def test_each_call_is_stopped_at_the_end_of_its_own_time(alarm: Alarm) -> None:
    lane = Lane("c")
    for seq, seconds in enumerate((0.01, 60.0, 0.02, 0.01), start=1):
        lane.begin(seq, seconds)
        if seconds > 1:
            assert lane.guard(alarm, lambda: 7, pytest.fail) == 7
            assert not lane.is_over()
            lane.check("anything")
        else:
            assert guarded(lane, alarm)
            with pytest.raises(DeadlineExceeded):
                lane.check("anything")
    lane.close()


def test_an_alarm_of_an_earlier_call_leaves_the_next_alone(alarm: Alarm) -> None:
    lane, native = Lane("c"), Native()
    over: list[bool] = []

    def stop() -> None:
        over.append(lane.is_over())
        native.stop()

    lane.begin(1, 0.01)
    lane.guard(alarm, lambda: 0, lambda: None)
    lane.begin(2, 0.1)
    assert lane.guard(alarm, native, stop)
    assert over == [True]


def test_a_wish_meets_the_call_that_it_names(alarm: Alarm) -> None:
    calls, lane = RunningCalls(), Lane("c")
    calls.join(lane)
    native = Native()
    lane.begin(4, 60)
    thread = threading.Thread(target=lane.guard, args=(alarm, native, native.stop))
    thread.start()
    assert native.began.wait(10)
    assert calls.cancel("other", [4]) == 0
    assert calls.cancel("c", [3, 5]) == 0
    assert not native.stopped.is_set()
    assert calls.cancel("c", [4]) == 1
    thread.join(10)
    assert native.stopped.is_set()
    with pytest.raises(Cancelled):
        lane.check("anything")
    lane.begin(5, 60)
    lane.check("anything")
    with calls.running("c", CallId("c", 5), lane):  # which was named before it began
        with pytest.raises(Cancelled):
            lane.check("anything")
        assert guarded(lane, alarm)
    lane.begin(6, 60)
    with calls.running("c", CallId("c", 6), lane):
        lane.check("anything")
        assert calls.cancel_all() == 1
    lane.over()
    assert calls.cancel_all() == 0
    calls.part(lane)
    lane.begin(7, 60)
    assert calls.cancel_client("c") == 0


def test_a_caller_that_leaves_stops_what_is_not_kept_for_a_retry() -> None:
    lane = Lane("c", 60)
    lane.begin(1, 60)
    lane.outlive_caller()
    lane.leave()
    lane.check("anything")
    lane.begin(2, 60)
    lane.leave()
    with pytest.raises(Cancelled):
        lane.check("anything")


def test_calls_that_share_their_time_share_their_end() -> None:
    lane = Lane("c", 60)
    lane.go_on(1)
    lane.leave()
    lane.go_on(2)
    with pytest.raises(Cancelled):
        lane.check("anything")
