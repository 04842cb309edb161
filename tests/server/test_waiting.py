"""A connection of the doorbell waits for its next frame, awake at first."""

from __future__ import annotations

import socket
import sys
import threading
from collections import deque
from collections.abc import Iterator

import numpy as np
import pytest

from exprd_proto import patience
from exprd_server.bell import waiting
from exprd_server.bell.waiting import Waiting

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ends]:
    monkeypatch.setattr(patience, "_PLACES", deque([None] * 64))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("seconds", [0.0, 1e-6, 60.0])
def test_frames_come_whole_and_in_order(ends: Ends, seconds: float) -> None:
    frame = np.zeros(64, np.uint8)
    receive = Waiting(ends[0], frame, seconds)
    for text in (b"one", b"three", b"x" * 64):
        ends[1].send(text)
        assert receive() == len(text)
        assert frame[: len(text)].tobytes() == text
    ends[1].close()
    assert receive() == 0


def test_what_comes_late_is_slept_for(ends: Ends) -> None:
    receive = Waiting(ends[0], np.zeros(64, np.uint8), 1e-4)
    asleep, sleeping = receive._asleep, threading.Event()

    def told() -> int:
        sleeping.set()
        return asleep()

    receive._asleep = told  # type: ignore[assignment]

    def send() -> None:
        sleeping.wait()
        ends[1].send(b"late")

    thread = threading.Thread(target=send)
    thread.start()
    assert receive() == 4
    thread.join()


def test_others_run_while_one_waits_awake(ends: Ends) -> None:
    """The interpreter lock is free: this thread can end a wait of a minute."""
    receive = Waiting(ends[0], np.zeros(64, np.uint8), 60.0)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(60.0)  # nobody is asked to give the lock up
    found: list[int] = []
    try:
        thread = threading.Thread(target=lambda: found.append(receive()))
        thread.start()
        ends[1].shutdown(socket.SHUT_RDWR)
        thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert found == [0]


def test_connections_that_begin_together_have_code_that_stays(ends: Ends) -> None:
    waiting._linked.cache_clear()
    gate = threading.Barrier(8)
    made: list[Waiting] = []

    def begin() -> None:
        gate.wait()
        made.append(Waiting(ends[0], np.zeros(64, np.uint8), 60.0))

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for receive in made:
        ends[1].send(b"frame")
        assert receive() == 5
