"""SIGTERM while calls of every kind are on their way: answered or refused, and nothing is lost.

2 stops in every run; `make soak` makes 50 (`EXPRD_SOAK` scales them).
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

import exprd
import exprd_proto as wire
from exprd_proto.arrays import array_from_wire, array_to_wire
from tests.client.restarts import RestartableServer, patience
from tests.server import graphs
from tests.server.conftest import Client
from tests.server.wire import bundle

ANSWERS = 30  # of every caller before each end
EXIT_SECONDS = 30
STEPS, FRAME = 5, 8
OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 10),
    ("grpc.min_reconnect_backoff_ms", 10),
    ("grpc.max_reconnect_backoff_ms", 20),
    ("grpc.enable_retries", 0),
)
# The server refuses calls as UNAVAILABLE; gRPC itself those that come when it has stopped already,
# and a session that is idle, as CANCELLED: what it sends is not begun.
REFUSED = {None, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
ONE = wire.ExecuteInput(array=array_to_wire(np.asarray(1.0)))


class Caller:
    """A client with a durable total of its own, which it adds to in one way until the server goes.

    Attributes:
        sent: what the total is if everything that was sent has happened.
        answered: what it is at least.
        code: how the server refused, or None if it did not.
    """

    def __init__(self, target: str, way: str) -> None:
        self._channel = grpc.insecure_channel(target, options=OPTIONS)
        self._client = Client(self._channel)
        self._way = WAYS[way]
        self._total = self._client.variable(0.0, durability=wire.Durability.DURABILITY_DURABLE)
        self.handle = self._client.compile(bundle(graphs.counter()), self._total).handle
        self.sent = self.answered = 0
        self.code: grpc.StatusCode | None = None

    def work(self, enough: threading.Semaphore) -> None:
        """Calls until the server refuses or ends its stream; tells when it has had some answers."""
        before, self.code = self.answered, None
        try:
            for sent, answered in self._way(self):
                self.sent, self.answered = self.sent + sent, self.answered + answered
                if before <= self.answered - ANSWERS:
                    enough.release()
                    before = self.answered + (1 << 60)
        except grpc.RpcError as error:
            self.code = error.code()

    def request(self, number: int = 1) -> wire.ExecuteRequest:
        """A call that adds 1, `number` of which are about to be made."""
        call_id = self._client.next_id()
        self._client.seq += number - 1
        return wire.ExecuteRequest(handle=self.handle, inputs=[ONE], call_id=call_id)

    def total(self) -> float:
        """What the server says, once it serves again."""
        admin, name = self._client.admin, self._client.client_id
        admin.GetInfo(wire.GetInfoRequest(client_id=name), wait_for_ready=True, timeout=60)
        request = wire.StateServiceGetRequest(uuid=self._total)
        return float(array_from_wire(self._client.state.Get(request).value.array))

    def settle(self) -> None:
        """Takes what has happened for what was sent: calls that were open are not repeated."""
        self.sent = self.answered = round(self.total())

    def close(self) -> None:
        self._channel.close()

    @property
    def executor(self) -> wire.ExecutorServiceStub:
        return self._client.executor

    @property
    def name(self) -> str:
        return self._client.client_id


# ---- ways to add; each yields how much was sent and how much was answered
Steps = Iterator[tuple[int, int]]


def one_by_one(caller: Caller) -> Steps:
    while True:
        request = caller.request()
        yield 1, 0
        caller.executor.Execute(request, timeout=60)
        yield 0, 1


def in_batches(caller: Caller) -> Steps:
    while True:
        call_id = caller.request(FRAME).call_id
        items = [wire.InputList(inputs=[ONE])] * FRAME
        request = wire.ExecuteBatchRequest(handle=caller.handle, items=items, call_id=call_id)
        yield FRAME, 0
        yield 0, len(caller.executor.ExecuteBatch(request, timeout=60).outcomes)


def repeated(caller: Caller) -> Steps:
    while True:
        request = wire.RepeatRequest(call=caller.request(), steps=STEPS, every=1)
        yield STEPS, 0
        for reply in caller.executor.Repeat(request, timeout=60):
            yield 0, STEPS * reply.HasField("result")


def by_session(caller: Caller) -> Steps:
    """Frames of several calls, two of them on their way."""
    frames: queue.SimpleQueue[wire.SessionRequest] = queue.SimpleQueue()
    replies = caller.executor.Session(iter(frames.get, END))
    frames.put(wire.SessionRequest(client_id=caller.name))
    try:
        next(replies)
        for _ in range(2):
            yield FRAME, 0
            frames.put(wire.SessionRequest(calls=[caller.request() for _ in range(FRAME)]))
        for reply in replies:
            done = sum(outcome.HasField("response") for outcome in reply.outcomes)
            yield len(reply.outcomes), done
            calls = [caller.request() for _ in reply.outcomes]
            frames.put(wire.SessionRequest(calls=calls))
    finally:
        frames.put(END)


END = wire.SessionRequest(seconds=-1)
WAYS: dict[str, Callable[[Caller], Steps]] = {
    "one by one": one_by_one,
    "one by one, beside it": one_by_one,
    "in batches": in_batches,
    "repeated": repeated,
    "by session": by_session,
}


@pytest.fixture
def server(tmp_path: Path, child_env: dict[str, str]) -> Iterator[RestartableServer]:
    server = RestartableServer(tmp_path, child_env)
    yield server
    server.kill()


def stop_under_load(server: RestartableServer, times: int) -> dict[str, float]:
    """Stops a server in the midst of calls of every kind, several times; what was found."""
    callers = [Caller(server.target, way) for way in WAYS]
    answered, slowest = 0, 0.0
    for _ in range(times):
        before = sum(caller.answered for caller in callers)
        seconds = stop(server, callers)
        slowest = max(slowest, seconds)
        assert {caller.code for caller in callers} <= REFUSED
        server.start()
        for caller in callers:
            assert caller.answered <= caller.total() <= caller.sent
        answered += sum(caller.answered for caller in callers) - before
        for caller in callers:
            caller.settle()
    for caller in callers:
        caller.close()
    return {"stops": times, "answered": answered, "lost": 0, "slowest_exit_s": round(slowest, 2)}


def stop(server: RestartableServer, callers: list[Caller]) -> float:
    """Stops a server once all callers have had answers; the seconds until it was gone."""
    enough = threading.Semaphore(0)
    threads = [threading.Thread(target=caller.work, args=(enough,)) for caller in callers]
    for thread in threads:
        thread.start()
    for _ in callers:
        enough.acquire()
    start = time.perf_counter()
    assert server.stop() == 0
    seconds = time.perf_counter() - start
    assert seconds < EXIT_SECONDS
    for thread in threads:
        thread.join()
    return seconds


@pytest.mark.slow
def test_a_program_does_not_notice_a_stop(server):
    """Calls by doorbell, in a pipeline and submitted ride over SIGTERM, each once and in order."""
    with patience(), exprd.connect(server.target):
        count = exprd.shared(0, "count", durability="durable")
        add = exprd.function([], count, updates=[(count, count + 1)])
        seen = [int(add())]
        for form in (contextlib.nullcontext, exprd.pipeline):
            restart = threading.Thread(target=restart_in_order, args=(server,))
            with form():
                restart.start()
                while restart.is_alive():
                    seen += [int(add()), int(add.submit().result())]
                restart.join()
                seen.append(int(add()))  # and goes on after it, however fast that was
        assert seen == [*range(len(seen))]


def restart_in_order(server: RestartableServer) -> None:
    assert server.stop() == 0
    server.start()


@pytest.mark.slow
def test_a_server_that_is_stopped_loses_nothing(server, figure):
    figure("shutdown", **stop_under_load(server, 2))


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_server_that_is_often_stopped_loses_nothing(server, figure):
    times = max(1, int(50 * float(os.environ.get("EXPRD_SOAK", "1"))))
    figure("shutdown", **stop_under_load(server, times))
