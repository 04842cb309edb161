"""Idle polling: native threads of the lowest priority, awake for a while after each call."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from exprd_server import idlepoll
from exprd_server.idlepoll import DEFAULT_SECONDS, IdlePoll, polling_seconds

LONG = 3600.0


def pollers() -> list[int]:
    """The threads of this process that have the lowest priority."""
    found: list[int] = []
    for path in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            if os.sched_getscheduler(int(path.name)) == os.SCHED_IDLE:
                found.append(int(path.name))
    return found


def gone() -> None:
    """Returns when there are none: the kernel lists a thread for a moment after it was joined."""
    until(lambda: not pollers())


def until(happened: object) -> None:
    """Returns when a function says so; a deadlock ends with the test's time."""
    while not happened():  # type: ignore[operator]
        threading.Event().wait(0.001)


def state(thread: int) -> str:
    """What the kernel says of a thread: R runs, S sleeps."""
    return Path(f"/proc/self/task/{thread}/stat").read_text().rpartition(") ")[2][0]


@pytest.fixture
def started(request: pytest.FixtureRequest) -> Iterator[IdlePoll]:
    poll = IdlePoll(request.param)
    poll.start()
    until(lambda: len(pollers()) == min(4, len(os.sched_getaffinity(0))))
    yield poll
    poll.close()
    gone()


@pytest.mark.parametrize("started", [0.001], indirect=True)
def test_threads_sleep_until_a_call_comes_and_soon_after(started: IdlePoll) -> None:
    threads = pollers()
    for _ in range(3):
        until(lambda: all(state(thread) == "S" for thread in threads))
        started.touch()


@pytest.mark.parametrize("started", [LONG], indirect=True)
def test_threads_are_awake_after_a_call_and_end_when_told(started: IdlePoll) -> None:
    threads = pollers()
    until(lambda: all(state(thread) == "S" for thread in threads))
    before = threading.active_count()
    started.touch()
    until(lambda: all(state(thread) == "R" for thread in threads))
    assert threading.active_count() <= before  # the interpreter does not know them


def test_without_time_there_are_no_threads() -> None:
    gone()
    poll = IdlePoll(0)
    poll.start()
    poll.touch()
    assert not pollers()
    poll.close()


@pytest.mark.parametrize(
    ("name", "text", "seconds"),
    [
        ("cpu.max", "max 100000\n", DEFAULT_SECONDS),
        ("cpu.max", "150000 100000\n", 0.0),
        ("cpu/cpu.cfs_quota_us", "-1\n", DEFAULT_SECONDS),
        ("cpu/cpu.cfs_quota_us", "50000\n", 0.0),
        ("other", "", DEFAULT_SECONDS),
    ],
)
def test_a_rationed_process_does_not_poll_unless_told(
    name: str, text: str, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idlepoll, "_GROUP", tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    assert polling_seconds(None) == seconds
    assert polling_seconds(0.5) == 0.5
