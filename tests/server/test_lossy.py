"""Exactly once over a network that loses requests and answers.

500 calls in every run; `make soak` makes 20,000 (`EXPRD_SOAK` below 0.2 makes fewer).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from exprd_proto.arrays import array_from_wire
from tests.client.restarts import LossyWire
from tests.server import graphs
from tests.server.conftest import Client
from tests.server.wire import bundle

CALLS = 500
SOAKED = 20_000


@pytest.fixture
def proxy(server, tmp_path) -> Iterator[LossyWire]:
    upstream = Path(server.target.removeprefix("unix://"))
    wire = LossyWire(tmp_path / "proxy", upstream, seed=1, fewest=600, most=4_000)
    yield wire
    wire.close()


def test_every_call_counts_once(client, proxy, figure):
    figure("exactly once", **count_each_once(client, proxy, CALLS))


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_every_one_of_many_calls_counts_once(client, proxy, figure):
    scale = float(os.environ.get("EXPRD_SOAK", "1"))
    calls = min(SOAKED, max(1, int(5 * SOAKED * scale)))  # a fourth in a soak of 0.05
    figure("exactly once", **count_each_once(client, proxy, calls))


def count_each_once(client: Client, lossy: LossyWire, calls: int) -> dict[str, float]:
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
    with grpc.insecure_channel(lossy.target, options=options) as channel:
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
