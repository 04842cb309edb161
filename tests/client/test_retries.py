"""Retries: a call whose answer was lost is repeated, and still happens once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np

import exprd
import exprd.tensor as T
from exprd import function, shared
from exprd.statuses import error_of
from tests.client.proxy import Proxy


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


def error_of_bare(
    handle: Callable[[threading.Event, grpc.ServicerContext], None], callers: int
) -> str:
    """What a client makes of a status that gRPC gave and no server of ours.

    Args:
        handle: a call on the server; the event is set once one of the calls is over.
        callers: how many call at once, where there is room for one.
    """
    over = threading.Event()

    def ask(_request: bytes, context: grpc.ServicerContext) -> bytes:
        handle(over, context)
        return b""

    handlers = {"Ask": grpc.unary_unary_rpc_method_handler(ask)}
    server = grpc.server(ThreadPoolExecutor(1), maximum_concurrent_rpcs=1)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Bare", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            method = channel.unary_unary("/Bare/Ask")
            calls = [method.future(b"", timeout=60) for _ in range(callers)]
            for call in calls:
                call.add_done_callback(lambda _: over.set())
            (failure,) = [error for call in calls if (error := call.exception()) is not None]
        error = error_of(failure, "there")
        return f"{type(error).__name__} {error.fields.get('retry_after_ms', '')}"
    finally:
        server.stop(0).wait()


def test_a_call_that_grpc_itself_breaks_off_was_lost() -> None:
    """gRPC ends calls that reach a server while it stops as CANCELLED, without a detail of ours."""

    def ended(_over: threading.Event, context: grpc.ServicerContext) -> None:
        context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")

    assert error_of_bare(ended, callers=1) == "ConnectionLost "


def test_a_call_that_grpc_itself_refuses_is_made_again() -> None:
    """Beyond the threads that could refuse a call, gRPC refuses it without a detail of ours."""

    def lasts(over: threading.Event, _context: grpc.ServicerContext) -> None:
        over.wait(60)

    assert error_of_bare(lasts, callers=2) == "LimitExceeded 50"
