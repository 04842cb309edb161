"""Exactly once over a network that loses requests and answers.

500 calls in every run; `make soak` makes 20,000 (`EXPRD_SOAK` below 0.2 makes fewer).
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
from collections.abc import Iterator

import grpc
import pytest

from exprd_proto.arrays import array_from_wire
from tests.server import graphs
from tests.server.conftest import Client
from tests.server.wire import bundle

CALLS = 500
SOAKED = 20_000


class LossyProxy:
    """Forwards connections to a Unix socket and breaks each off after a random amount of bytes."""

    def __init__(self, path: str, upstream: str, seed: int) -> None:
        self._upstream = upstream
        self._random = random.Random(seed)
        self.broken = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self._ends: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def close(self) -> None:
        for end in self._ends:
            shut(end)
        for thread in self._threads:
            thread.join()
        for end in self._ends:
            end.close()

    def _start(self, work, *args) -> None:
        thread = threading.Thread(target=work, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                self._ends += (client, server)
                server.connect(self._upstream)
                self._start(self._pump, client, server, self._random.randrange(600, 4_000))
                self._start(self._pump, server, client, self._random.randrange(600, 4_000))

    def _pump(self, source: socket.socket, target: socket.socket, budget: int) -> None:
        """Copies bytes until the budget is spent; what was read then is lost on the way."""
        with contextlib.suppress(OSError):
            while data := source.recv(512):
                budget -= len(data)
                if budget < 0:
                    self.broken += 1
                    break
                target.sendall(data)
        shut(source)
        shut(target)


def shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(server, tmp_path) -> Iterator[tuple[LossyProxy, str]]:
    path = str(tmp_path / "proxy")
    proxy = LossyProxy(path, server.target.removeprefix("unix://"), seed=1)
    yield proxy, f"unix://{path}"
    proxy.close()


def test_every_call_counts_once(client, proxy, figure):
    figure("exactly once", **count_each_once(client, *proxy, CALLS))


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_every_one_of_many_calls_counts_once(client, proxy, figure):
    scale = float(os.environ.get("EXPRD_SOAK", "1"))
    calls = min(SOAKED, max(1, int(5 * SOAKED * scale)))  # a fourth in a soak of 0.05
    figure("exactly once", **count_each_once(client, *proxy, calls))


def count_each_once(client: Client, lossy: LossyProxy, target: str, calls: int) -> dict[str, float]:
    """Makes calls until each is answered, and asserts that each was applied once."""
    total = client.variable(0.0)
    handle = client.compile(bundle(graphs.counter()), total).handle
    options = [
        ("grpc.initial_reconnect_backoff_ms", 1),
        ("grpc.min_reconnect_backoff_ms", 1),
        ("grpc.max_reconnect_backoff_ms", 5),
        ("grpc.enable_retries", 0),
    ]
    replays = retries = 0
    with grpc.insecure_channel(target, options=options) as channel:
        shaky = Client(channel, client_id=client.client_id)
        for count in range(calls):
            identity = shaky.next_id(acked=count)
            while True:
                try:
                    reply = shaky.execute(handle, 1.0, call_id=identity)
                    break
                except grpc.RpcError as error:
                    assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017
                    retries += 1
            replays += reply.replayed
            assert array_from_wire(reply.outputs[0].array) == count
    assert client.value(total) == calls
    assert lossy.broken > calls / 20
    assert replays > 0
    return {
        "calls": calls,
        "broken_connections": lossy.broken,
        "retries": retries,
        "replays": replays,
        "double_applies": 0,
    }
