"""A real server that is killed or told to end under load: what was answered is there afterwards.

3 kills and 2 stops in every run; `make soak` makes 500 and 50 (`EXPRD_SOAK` scales them).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

import exprd_proto as wire
from tests.client.restarts import RestartableServer
from tests.server import graphs
from tests.server.conftest import Client
from tests.server.wire import bundle

THREADS = 4
ANSWERS = 40  # before each end
OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 10),
    ("grpc.min_reconnect_backoff_ms", 10),
    ("grpc.max_reconnect_backoff_ms", 20),
    ("grpc.enable_retries", 0),
)
GONE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


class Caller:
    """A client that adds 1, and knows of each call whether it was answered."""

    def __init__(self, target: str, total: str = "") -> None:
        self._channel = grpc.insecure_channel(target, options=OPTIONS)
        self.client = Client(self._channel)
        durable = wire.Durability.DURABILITY_DURABLE
        self.total = total or self.client.variable(0.0, durability=durable)
        self.handle = self.client.compile(bundle(graphs.counter()), self.total).handle
        self._open: wire.CallId | None = None
        self.answered = 0

    def work(self, tell: Callable[[], None]) -> None:
        """Calls until the server goes away; the last call may be open then."""
        while True:
            self._open = self._open or self.client.next_id(acked=self.answered)
            try:
                self.client.execute(self.handle, 1.0, call_id=self._open)
            except grpc.RpcError as error:
                assert error.code() in GONE  # noqa: PT017
                return
            self._open = None
            self.answered += 1
            tell()

    def wait(self) -> None:
        """Returns once the server answers this client."""
        self.client.admin.GetInfo(
            wire.GetInfoRequest(client_id=self.client.client_id), wait_for_ready=True, timeout=60
        )

    def close(self) -> None:
        self._channel.close()


@pytest.fixture
def server(tmp_path: Path, child_env: dict[str, str]) -> Iterator[RestartableServer]:
    server = RestartableServer(tmp_path, child_env)
    yield server
    server.kill()


def end_under_load(server: RestartableServer, times: int, *, in_order: bool) -> None:
    """Ends a server in the middle of calls, several times, and counts what is there in the end."""
    first = Caller(server.target)
    callers = [first, *(Caller(server.target, first.total) for _ in range(THREADS - 1))]
    for _ in range(times):
        before = sum(caller.answered for caller in callers)
        enough = threading.Semaphore(0)
        threads = [
            threading.Thread(target=caller.work, args=(enough.release,)) for caller in callers
        ]
        for thread in threads:
            thread.start()
        for _ in range(ANSWERS):
            enough.acquire()
        if in_order:
            assert server.stop() == 0
        else:
            server.kill()
        for thread in threads:
            thread.join()
        answered = sum(caller.answered for caller in callers)
        assert answered >= before + ANSWERS
        server.start()
        for caller in callers:
            caller.wait()
        # What was answered is there; of each caller, one call more may be.
        assert answered <= first.client.value(first.total) <= answered + THREADS
    finish(callers)


def finish(callers: list[Caller]) -> None:
    """Repeats what is open: then every call has happened once, and none twice."""
    for caller in callers:
        if caller._open is not None:
            caller.client.execute(caller.handle, 1.0, call_id=caller._open)
            caller.answered += 1
    total = callers[0].client.value(callers[0].total)
    assert total == sum(caller.answered for caller in callers)
    assert total == sum(caller.client.seq for caller in callers)
    for caller in callers:
        caller.close()


def times(whole: int) -> int:
    """How often a soak does something."""
    return max(1, int(whole * float(os.environ.get("EXPRD_SOAK", "1"))))


@pytest.mark.slow
@pytest.mark.parametrize(("ends", "in_order"), [(3, False), (2, True)])
def test_what_was_answered_is_there(server: RestartableServer, ends: int, in_order: bool) -> None:
    end_under_load(server, ends, in_order=in_order)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("ends", "in_order"), [(500, False), (50, True)])
def test_what_was_answered_is_always_there(
    server: RestartableServer, ends: int, in_order: bool
) -> None:
    end_under_load(server, times(ends), in_order=in_order)
