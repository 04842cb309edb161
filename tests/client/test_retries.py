"""Retries: a call whose answer was lost is repeated, and still happens once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd import function, shared
from exprd.errors import ConnectionLost
from exprd.statuses import error_of
from tests.client.proxy import Proxy


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    between = Proxy(server.removeprefix("unix://"))
    try:
        with exprd.connect(between.target):
            yield between
    finally:
        between.close()


def test_lost_answers_apply_updates_once(proxy: Proxy) -> None:
    count = shared(0, "count")
    by = T.lscalar("by")
    add = function([by], count, updates=[(count, count + by)])
    seen = []
    for turn in range(12):
        if turn % 3 == 1:
            proxy.cut_next_reply()
        seen.append(int(add(1)))
    assert seen == list(range(12))
    assert count.get_value() == 12
    assert proxy.cuts >= 3


def test_lost_answers_of_assignments_and_uploads(proxy: Proxy) -> None:
    state = shared(np.zeros(3), "state")
    double = function([], state * 2)
    proxy.cut_next_reply()
    state.set_value(np.ones(3))
    proxy.cut_next_reply()
    assert double().tolist() == [2, 2, 2]
    proxy.cut_next_reply()
    buffer = exprd.put(np.arange(4.0))
    proxy.cut_next_reply()
    assert buffer.get().tolist() == [0, 1, 2, 3]


def test_a_lost_answer_of_compile_finds_the_same_function(proxy: Proxy) -> None:
    x = T.scalar("x")
    proxy.cut_next_reply()
    f = function([x], x * 7 + 1)
    assert f(2) == 15


def test_a_call_that_grpc_itself_breaks_off_was_lost() -> None:
    """gRPC ends calls that reach a server while it stops as CANCELLED, without a detail of ours."""

    def ended(_request: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")
        raise AssertionError

    handlers = {"Ask": grpc.unary_unary_rpc_method_handler(ended)}
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Stops", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        target = f"127.0.0.1:{port}"
        with grpc.insecure_channel(target) as channel, pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/Stops/Ask")(b"", timeout=10)
        assert type(error_of(caught.value, "there")) is ConnectionLost
    finally:
        server.stop(0).wait()
