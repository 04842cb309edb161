from __future__ import annotations

import contextlib
import threading

import pytest

from exprd_compiler.errors import Cancelled, DeadlineExceeded, GraphError
from exprd_server.deadline import Deadline
from exprd_server.flight import SingleFlight


class Flight:
    """A flight in which the leader works until it is told how that ends."""

    def __init__(self) -> None:
        self.flight: SingleFlight[str] = SingleFlight()
        self.working = threading.Event()
        self.end = threading.Event()
        self.error: Exception | None = None
        self.leader = threading.Thread(target=self._lead)
        self.leader.start()
        self.working.wait()

    def _lead(self) -> None:
        with contextlib.suppress(GraphError, Cancelled, DeadlineExceeded):
            self.flight.get("k", self._work, None)

    def _work(self) -> str:
        self.working.set()
        self.end.wait()
        if self.error is not None:
            raise self.error
        return "leader's"

    def land(self, error: Exception | None = None) -> None:
        self.error = error
        self.end.set()
        self.leader.join()

    def follow(self, seconds: float = 30) -> str:
        return self.flight.get("k", lambda: "own", Deadline(seconds))

    def follow_in_thread(self) -> tuple[threading.Thread, list[object]]:
        results: list[object] = []

        def run() -> None:
            try:
                results.append(self.follow())
            except Exception as error:
                results.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread, results


@pytest.fixture
def flight():
    flight = Flight()
    yield flight
    flight.land()


def test_equal_work_is_done_once(flight):
    thread, results = flight.follow_in_thread()
    with pytest.raises(DeadlineExceeded, match="equal request"):
        flight.follow(seconds=0.05)
    flight.land()
    thread.join()
    assert results in (["leader's"], ["own"])  # the latter when it came after the landing


def test_other_work_does_not_wait(flight):
    assert flight.flight.get("other", lambda: "done", None) == "done"


def test_a_failure_is_everybodys(flight):
    thread, results = flight.follow_in_thread()
    error = GraphError("bad")
    with pytest.raises(DeadlineExceeded):
        flight.follow(seconds=0.05)
    flight.land(error)
    thread.join()
    assert results in ([error], ["own"])


@pytest.mark.parametrize("error", [Cancelled("gone"), DeadlineExceeded("late")])
def test_the_leaders_own_trouble_is_not_inherited(flight, error):
    thread, results = flight.follow_in_thread()
    with pytest.raises(DeadlineExceeded):
        flight.follow(seconds=0.05)
    flight.land(error)
    thread.join()
    assert results == ["own"]


def test_a_landed_flight_is_forgotten(flight):
    flight.land()
    assert flight.follow() == "own"
