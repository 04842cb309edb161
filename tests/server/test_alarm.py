"""The alarm: what is set rings in order of time, what is dropped does not."""

from __future__ import annotations

import threading
import time

import pytest

from exprd_server.alarm import Alarm


@pytest.fixture
def alarm():
    alarm = Alarm()
    yield alarm
    alarm.close()


def test_what_is_set_rings_in_order(alarm) -> None:
    rung: list[str] = []
    held, go, done = threading.Event(), threading.Event(), threading.Event()
    alarm.set("first", 0.0, lambda: (held.set(), go.wait(30)))
    assert held.wait(30)  # from here on until `go`, nothing else can ring
    now = time.monotonic()
    alarm.set_at("late", now + 0.002, lambda: (rung.append("late"), done.set()))
    alarm.set_at("dropped", now + 0.001, lambda: rung.append("dropped"))
    alarm.set_at("early", now, lambda: rung.append("early"))
    alarm.drop("dropped")
    alarm.drop("never set")
    go.set()
    assert done.wait(30)
    assert rung == ["early", "late"]


def test_an_earlier_end_wakes_a_sleeping_thread(alarm) -> None:
    done = threading.Event()
    alarm.set("far", 3600, lambda: None)
    alarm.set("now", 0.0, done.set)
    assert done.wait(10)


def test_a_closed_alarm_is_silent(alarm) -> None:
    rung = threading.Event()
    alarm.set("far", 3600, rung.set)
    alarm.close()
    alarm.set("now", 0.0, rung.set)
    assert not rung.wait(0.05)
