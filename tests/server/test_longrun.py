"""Runs that compute for long: on threads of their own, which come after all others."""

from __future__ import annotations

import os
import threading

import pytest

from exprd_server import longrun
from exprd_server.longrun import LongRuns, Pace


class Clock:
    """What a run takes, by the test's word: a busy machine must not make a short run a long one."""

    def __init__(self) -> None:
        self.lasted = self.computed = 0.0

    def perf_counter(self) -> float:
        return self.lasted

    def thread_time(self) -> float:
        return self.computed

    def compute(self, seconds: float) -> None:
        self.lasted += seconds
        self.computed += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(longrun, "time", clock)
    return clock


@pytest.fixture
def pace(clock):
    runs = LongRuns()
    pace = Pace(runs)
    yield pace, clock
    runs.close()


def here() -> tuple[str, int]:
    thread = threading.get_native_id()
    return threading.current_thread().name, os.getpriority(os.PRIO_PROCESS, thread)


def run(pace: tuple[Pace, Clock], seconds: float) -> tuple[str, int]:
    """Computes for so long; the name and the niceness of the thread that did."""
    found = []

    def native() -> int:
        pace[1].compute(seconds)
        found.append(here())
        return 7

    assert pace[0].run(native) == 7
    return found[0]


def test_the_run_after_a_long_one_is_elsewhere_and_nice(pace):
    mine = here()
    assert run(pace, 0.001) == mine
    assert run(pace, 0.01) == mine
    name, niceness = run(pace, 0.01)
    assert name.startswith("exprd-long")
    assert niceness == mine[1] + 5
    assert run(pace, 0.0)[0].startswith("exprd-long")
    assert run(pace, 0.0) == mine  # and so we are as nice as before


def test_who_only_waits_is_not_long(pace):
    mine = here()

    def native() -> int:
        pace[1].lasted += 0.02
        return 0

    pace[0].run(native)
    pace[0].run(native)
    assert run(pace, 0.0) == mine


def test_errors_come_back(pace):
    def native() -> int:
        raise ValueError("mine")

    run(pace, 0.01)
    with pytest.raises(ValueError, match="mine"):
        pace[0].run(native)
