"""Places for calls: how many there are in all and for one client, and who goes first."""

from __future__ import annotations

import io
import json
import threading
import time
from contextlib import ExitStack

import grpc
import pytest

import exprd_proto as wire
from exprd_compiler.errors import DeadlineExceeded, LimitExceeded
from exprd_server.deadline import Deadline
from exprd_server.fairness import AT_A_TIME as WIDTH
from exprd_server.fairness import CompilerTurns, FairShare, client_of
from exprd_server.log import Shed, make_logger
from exprd_server.values import CompileCall
from tests.server import graphs
from tests.server.bells import belfry


def refused(share: FairShare, client_id: str) -> dict[str, str]:
    with pytest.raises(LimitExceeded) as caught:
        share.begin(client_id)
    return caught.value.fields


def test_places_in_all_and_of_one_client():
    share = FairShare(calls=4, client_calls=3, client_queue=9)
    begun = [share.begin("a") for _ in range(2)]
    with share.place("a"):
        assert refused(share, "a") == {"limit": "client_calls", "retry_after_ms": "50"}
        other = share.begin("b")
        assert refused(share, "c") == {"limit": "calls", "retry_after_ms": "50"}
    share.end("c", share.begin("c"))
    share.end("b", other)
    for start in begun:
        share.end("a", start)
    assert (share._free, share._clients) == (4, {})


@pytest.fixture
def busy(monkeypatch):
    """Places of which one client has as many calls in their first moments as may be."""
    monkeypatch.setattr("exprd_server.fairness._PATIENCE", 30)
    monkeypatch.setattr("exprd_server.fairness._LASTS", 30)
    share = FairShare(calls=99, client_calls=99, client_queue=3)
    return share, [share.begin("a") for _ in range(WIDTH)]


def waiting(share: FairShare, count: int, begun: list[float]) -> list[threading.Thread]:
    """So many further calls, which wait; they note when they were begun."""
    threads = [
        threading.Thread(target=lambda: begun.append(share.begin("a"))) for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    while len(share._clients["a"].waiting) < count:
        threading.Event().wait(0.001)
    return threads


def test_the_next_call_begins_when_one_ends(busy):
    share, first = busy
    later: list[float] = []
    threads = waiting(share, 2, later)
    share.end("b", share.begin("b"))  # whom this does not concern
    assert later == []
    for start in first[:2]:
        share.end("a", start)
    for thread in threads:
        thread.join(20)
    assert len(later) == 2
    for start in (*first[2:], *later):
        share.end("a", start)
    assert (share._free, share._clients) == (99, {})


def test_so_many_wait_and_no_more(busy):
    share, first = busy
    later: list[float] = []
    threads = waiting(share, 3, later)
    assert refused(share, "a")["limit"] == "client_queue"
    for start in first:
        share.end("a", start)
    while any(thread.is_alive() for thread in threads):  # each that ends lets one begin
        if later:
            share.end("a", later.pop())
        threading.Event().wait(0.001)
    for start in later:
        share.end("a", start)
    assert (share._free, share._clients) == (99, {})


def test_calls_that_last_do_not_hold_the_next_ones_up(monkeypatch):
    monkeypatch.setattr("exprd_server.fairness._PATIENCE", 30)
    monkeypatch.setattr("exprd_server.fairness._LASTS", 0.02)
    share = FairShare(calls=99, client_calls=99, client_queue=9)
    begun = [share.begin("a") for _ in range(WIDTH)]
    while time.monotonic() < begun[-1] + 0.02:
        threading.Event().wait(0.001)
    begun.append(share.begin("a"))
    assert begun[-1] - begun[0] < 20
    for start in begun:
        share.end("a", start)
    assert not share._clients


def test_a_call_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr("exprd_server.fairness._PATIENCE", 0.02)
    monkeypatch.setattr("exprd_server.fairness._LASTS", 30)
    share = FairShare(calls=99, client_calls=99, client_queue=9)
    begun = [share.begin("a") for _ in range(WIDTH + 2)]
    assert 0.04 <= begun[-1] - begun[0] < 20
    for start in begun:
        share.end("a", start)
    assert not share._clients


def test_many_threads_leave_nothing_behind():
    share = FairShare(calls=40, client_calls=30, client_queue=8)
    refusals: list[str] = []

    def work(client_id: str) -> None:
        for _ in range(300):
            try:
                begun = share.begin(client_id)
            except LimitExceeded as error:
                refusals.append(error.fields["limit"])
            else:
                share.end(client_id, begun)

    threads = [threading.Thread(target=work, args=("ab"[n % 2],)) for n in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (share._free, share._clients) == (40, {})
    assert set(refusals) <= {"client_queue", "client_calls", "calls"}


def test_a_request_says_whose_it_is():
    call_id = wire.CallId(client_id="me", seq=1)
    call = wire.ExecuteRequest(call_id=call_id)
    assert client_of(call) == client_of(wire.RepeatRequest(call=call)) == "me"
    assert client_of(wire.CompileRequest(client_id="me")) == "me"
    assert client_of(wire.ExecuteRequest()) == client_of(wire.StateServiceListRequest()) == ""


def test_compilations_of_one_client_take_turns():
    turns = CompilerTurns(at_a_time=2)
    with ExitStack() as held:
        held.enter_context(turns.turn("a", None))
        held.enter_context(turns.turn("a", None))
        with turns.turn("b", None), pytest.raises(DeadlineExceeded, match="earlier compilations"):
            held.enter_context(turns.turn("a", Deadline(0.01)))
        done = threading.Event()

        def third() -> None:
            with turns.turn("a", Deadline(20)):
                done.set()

        thread = threading.Thread(target=third)
        thread.start()
        assert not done.is_set()
    thread.join(10)
    assert done.is_set()
    assert not turns._running


def test_texts_of_functions_take_turns_with_compilations(tmp_path):
    with belfry(tmp_path) as tower, ExitStack() as held:
        call = CompileCall(client_id="a", graph=graphs.chain(1))
        handle = tower.engine.compile(call).handle
        describe = wire.CompilerServiceStub(tower.channel).Describe
        for _ in range(4):
            held.enter_context(tower.engine._compiling.turn("a", None))
        asked = wire.DescribeRequest(client_id="a", handle=handle, texts=["graph"])
        with pytest.raises(grpc.RpcError) as caught:
            describe(asked, timeout=0.3)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        with pytest.raises(DeadlineExceeded, match="earlier compilations"):
            tower.engine.describe(handle, "a", deadline=Deadline(0.01))
        assert tower.engine.describe(handle, "a", texts=False).texts == {}
        other = wire.DescribeRequest(client_id="b", handle=handle, texts=["graph"])
        assert describe(other, timeout=30).texts[0].name == "graph"


def test_a_flood_of_refusals_is_a_line_a_second():
    now = [0.0]
    out = io.StringIO()
    shed = Shed(make_logger(out), clock=lambda: now[0])
    for number in range(1000):
        now[0] = number / 400
        shed.note("calls" if number % 2 else "client_calls")
    lines = [json.loads(line)["calls"] for line in out.getvalue().splitlines()]
    each = {"calls": 200, "client_calls": 200}
    assert lines == [{"client_calls": 1}, each, each]
