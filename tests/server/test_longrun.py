"""Runs that compute for long: on threads of their own, which come after all others."""

from __future__ import annotations

import os
import threading
import time

import pytest

from exprd_server.longrun import LongRuns, Pace


@pytest.fixture
def pace():
    runs = LongRuns()
    yield Pace(runs)
    runs.close()


def here() -> tuple[str, int]:
    thread = threading.get_native_id()
    return threading.current_thread().name, os.getpriority(os.PRIO_PROCESS, thread)


def run(pace: Pace, seconds: float) -> tuple[str, int]:
    """Computes for so long; the name and the niceness of the thread that did."""
    found = []

    def native() -> int:
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass
        found.append(here())
        return 7

    assert pace.run(native) == 7
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
        threading.Event().wait(0.02)
        return 0

    pace.run(native)
    pace.run(native)
    assert run(pace, 0.0) == mine


def test_errors_come_back(pace):
    def native() -> int:
        raise ValueError("mine")

    run(pace, 0.01)
    with pytest.raises(ValueError, match="mine"):
        pace.run(native)
