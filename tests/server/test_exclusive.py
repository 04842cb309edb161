"""Locks: one holder at a time; what a process leaves that was killed while it started another."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from exprd_server import exclusive
from exprd_server.exclusive import Occupied, take


def ended() -> str:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return str(process.pid)


def test_one_process_has_it_and_says_so(tmp_path: Path) -> None:
    lock = take(tmp_path / "lock")
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    with pytest.raises(Occupied) as caught:
        take(tmp_path / "lock")
    assert caught.value.holder == str(os.getpid())
    os.close(lock)
    os.close(take(tmp_path / "lock"))


@pytest.mark.parametrize("holder", ["", "nobody", "this process"])
def test_whoever_may_still_run_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holder: str
) -> None:
    monkeypatch.setattr(exclusive, "_PAUSE", 1000.0)
    with (tmp_path / "lock").open("w") as file:
        file.write(str(os.getpid()) if holder == "this process" else holder)
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Occupied):
            take(tmp_path / "lock")


def test_what_a_killed_process_has_left_to_a_child_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = threading.Event()

    def rest(_: float) -> None:
        waited.set()
        other.join()

    monkeypatch.setattr(exclusive, "sleep", rest)
    file = (tmp_path / "lock").open("w")
    file.write(ended())
    file.flush()
    fcntl.flock(file, fcntl.LOCK_EX)

    def close() -> None:
        waited.wait(60)
        file.close()

    other = threading.Thread(target=close)
    other.start()
    os.close(take(tmp_path / "lock"))
    assert waited.is_set()


def test_it_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exclusive, "_SECONDS", 0.01)
    number = ended()
    with (tmp_path / "lock").open("w") as file:
        file.write(number)
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Occupied) as caught:
            take(tmp_path / "lock")
    assert caught.value.holder == number


def test_a_process_that_nobody_has_waited_for_has_ended() -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        process.stdout.read()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not exclusive._runs(str(process.pid))
    process.wait()
