"""The doorbell from outside, frame by frame: who gets in, what is lent, what is refused and how."""

from __future__ import annotations

import socket
import threading

import grpc
import numpy as np
import pytest

import exprd_proto as wire
from exprd_compiler.errors import Cancelled, DeadlineExceeded
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ops.arithmetic import add
from exprd_compiler.ops.leaves import input_, shared
from exprd_proto import doorbell
from exprd_server.bell import connection, listener, turns
from exprd_server.bell.counting import DoorbellMetrics
from exprd_server.bell.turns import Turn, Watch
from exprd_server.deadline import Deadline
from exprd_server.functions import Function
from exprd_server.store import MemoryStore
from exprd_server.values import CompileCall
from exprd_server.variables import NewVariable
from tests.server import graphs
from tests.server.bells import belfry, described, failure


@pytest.fixture
def tower(tmp_path):
    with belfry(tmp_path) as made:
        yield made


def doubled():
    x = graphs.named(input_, "x", graphs.VECTOR)
    return Graph((x,), (add(x, x),))


def compiled(tower, graph, *bindings, client_id="tester"):
    call = CompileCall(client_id=client_id, graph=graph, bindings=bindings)
    return tower.engine.compile(call).handle


def prepared(tower, number=0, size=4):
    """A connection on which x * 2 is prepared."""
    speaker = tower.connected()
    text = described(compiled(tower, doubled()), ("float64", (size,)))
    kind, _, _ = speaker.asked(doorbell.PREPARE, number, text=text)
    assert kind == doorbell.DONE
    return speaker


def in_frame(array):
    """An array behind the head of a frame, where the first one lies."""
    pad = doorbell.aligned(doorbell.ASK.size) - doorbell.ASK.size
    return bytes(pad) + array.tobytes()


# ---- who gets in
def test_a_ticket_opens_one_connection(tower):
    ticket = tower.offer().ticket
    assert len(ticket) == 32
    first, second = tower.speaker(), tower.speaker()
    assert first.asked(doorbell.HELLO, text=ticket)[0] == doorbell.DONE
    assert second.asked(doorbell.HELLO, text=ticket)[0] == 0
    first.close()


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"x",
        doorbell.ASK.pack(doorbell.HELLO, 0, 32, 0, 0, 0.0) + bytes(32),
        doorbell.ASK.pack(doorbell.HELLO, 0, 0, 0, 0, 0.0),
        doorbell.ASK.pack(doorbell.CALL, 0, 0, 1, 0, 1.0),
        bytes(60_000),
    ],
    ids=["nothing", "a letter", "another ticket", "no ticket", "a call", "zeros"],
)
def test_without_a_ticket_there_is_no_answer(tower, frame):
    speaker = tower.speaker()
    speaker.send(frame)
    assert speaker.answer()[0] == 0
    assert not tower.log.failures()


def test_tickets_lapse(tower, monkeypatch):
    monkeypatch.setattr(listener, "_TICKET_SECONDS", 0.0)
    speaker = tower.speaker()
    assert speaker.asked(doorbell.HELLO, text=tower.offer().ticket)[0] == 0


def test_another_user_is_sent_away(tower, monkeypatch):
    monkeypatch.setattr(listener.os, "geteuid", lambda: 4711)
    speaker = tower.speaker()
    speaker.ask(doorbell.HELLO, text=tower.offer().ticket)
    assert speaker.answer()[0] == 0


def test_where_no_thread_starts_a_connection_ends_and_others_follow(tower, monkeypatch):
    start = threading.Thread.start

    def refused(thread):
        if thread.name == "exprd-bell":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refused)
        for _ in range(2):
            speaker = tower.speaker()
            assert speaker.answer()[0] == 0
    assert len(tower.doorbell) == 0
    reasons = [facts["reason"] for event, facts in tower.log.events if event == "refused"]
    assert reasons == ["no thread: can't start new thread"] * 2
    tower.connected().close()


def test_a_server_without_a_socket_has_none(tmp_path):
    with belfry(tmp_path) as made:
        made.doorbell.close(1.0)
        with pytest.raises(grpc.RpcError) as caught:
            made.offer()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_connections_are_counted(tmp_path):
    with belfry(tmp_path, doorbells=2) as tower:
        speakers = [tower.connected(), tower.connected()]
        with pytest.raises(grpc.RpcError) as caught:
            tower.offer()
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        for speaker in speakers:
            speaker.close()
        while len(tower.doorbell):  # each thread ends in its own time
            pass
        tower.connected().close()


def test_one_client_has_a_share_of_the_connections(tmp_path):
    with belfry(tmp_path, client_doorbells=2) as tower:
        speakers = [tower.connected(), tower.connected()]
        with pytest.raises(grpc.RpcError, match="2 of this client are open") as caught:
            tower.offer()
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        for speaker in (*speakers, tower.connected("another")):
            speaker.close()


# ---- calls
def test_a_prepared_call_is_made_by_its_number(tower):
    speaker = prepared(tower, 7)
    for value in (np.arange(4.0), np.full(4, 0.5)):
        kind, _, text = speaker.asked(doorbell.CALL, 7, seq=1, text=in_frame(value))
        assert kind == doorbell.RESULT
        assert np.frombuffer(text[-32:]).tolist() == (2 * value).tolist()
    speaker.close()


def test_a_call_is_prepared_in_the_time_of_its_caller(tower, monkeypatch):
    speaker, given = tower.connected(), []
    text = described(compiled(tower, doubled()), ("float64", (1,)))
    function = tower.engine.function

    def noted(handle: str, client_id: str = "", deadline: Deadline | None = None) -> Function:
        given.append(None if deadline is None else deadline.remaining())
        return function(handle, client_id, deadline)

    monkeypatch.setattr(tower.engine, "function", noted)
    for seconds in (0.5, 0.0, -1.0, float("nan"), 1e9):
        assert speaker.asked(doorbell.PREPARE, text=text, seconds=seconds)[0] == doorbell.DONE
    bounds = [left for left in given if left is not None]
    assert [left <= 0.5 for left in bounds] == [True, False, False, False, False]
    assert max(bounds) <= tower.settings.execute_seconds
    speaker.close()


def test_what_lies_in_the_region_is_read_once(tower):
    """The client goes on writing while calls run; each result is of whole, consistent values."""
    size = 100_000
    speaker = tower.connected()
    handle = compiled(tower, doubled())
    text = described(handle, ("float64", (size,)))
    assert failure(speaker.asked(doorbell.PREPARE, text=text)) == "LimitExceeded"
    speaker.asked(doorbell.REGION, seq=8 * size)
    assert speaker.asked(doorbell.PREPARE, text=text)[0] == doorbell.DONE
    values = speaker.region[: 8 * size].view(np.float64)
    over = threading.Event()

    def disturb():
        number = 0.0
        while not over.is_set():
            values[:] = number = number + 1

    thread = threading.Thread(target=disturb)
    thread.start()
    for seq in range(1, 100):
        kind, flags, _ = speaker.asked(doorbell.CALL, seq=seq)
        assert kind == doorbell.RESULT
        assert flags & doorbell.OUTSIDE
    over.set()
    thread.join()
    speaker.close()


def test_a_call_id_counts_here_and_over_grpc(tower):
    speaker = tower.connected()
    name = tower.engine.create_variable("tester", NewVariable(value=np.array(0.0)))
    handle = compiled(tower, graphs.counter(), name.uuid)
    speaker.asked(doorbell.PREPARE, text=described(handle, ("float64", ())))
    one = in_frame(np.array(1.0))
    assert speaker.asked(doorbell.CALL, seq=1, text=one)[:2] == (doorbell.RESULT, 0)
    again = speaker.asked(doorbell.CALL, seq=1, text=one)
    assert again[:2] == (doorbell.RESULT, doorbell.REPLAYED)
    request = wire.ExecuteRequest(handle=handle, call_id=wire.CallId(client_id="tester", seq=1))
    given = request.inputs.add().array
    given.dtype, given.data = wire.DataType.DATA_TYPE_FLOAT64, np.array(1.0).tobytes()
    reply = tower.executor.Execute(request)
    assert reply.replayed
    assert reply.versions[0].version == 2
    two = in_frame(np.array(2.0))
    assert failure(speaker.asked(doorbell.CALL, seq=1, text=two)) == "CallError"
    assert tower.engine.get_variable("tester", name.uuid)[0].version == 2
    speaker.close()


def test_an_answer_does_not_wait_until_its_record_is_filed(tower, monkeypatch):
    """Whoever asks for it a second time does, and gets it again."""
    filed, forget = threading.Event(), MemoryStore.forget

    def late(store, client_id, through_seq):
        assert filed.wait(10)
        forget(store, client_id, through_seq)

    monkeypatch.setattr(MemoryStore, "forget", late)
    speaker = tower.connected()
    name = tower.engine.create_variable("tester", NewVariable(value=np.array(0.0)))
    handle = compiled(tower, graphs.counter(), name.uuid)
    speaker.asked(doorbell.PREPARE, text=described(handle, ("float64", ())))
    one = in_frame(np.array(1.0))
    speaker.asked(doorbell.CALL, seq=1, text=one)
    assert speaker.asked(doorbell.CALL, seq=2, acked=1, text=one)[:2] == (doorbell.RESULT, 0)
    number = wire.CallId(client_id="tester", seq=2, acked_through=1)
    request = wire.ExecuteRequest(handle=handle, call_id=number)
    given = request.inputs.add().array
    given.dtype, given.data = wire.DataType.DATA_TYPE_FLOAT64, np.array(1.0).tobytes()
    again = tower.executor.Execute.future(request)
    filed.set()
    assert again.result(10).replayed
    assert tower.engine.get_variable("tester", name.uuid)[0].version == 3
    speaker.close()


def test_a_released_function_is_unknown(tower):
    speaker = prepared(tower)
    handle = compiled(tower, doubled())
    tower.engine.release_functions("tester", [handle])
    call = speaker.asked(doorbell.CALL, seq=1, text=in_frame(np.zeros(4)))
    assert failure(call) == "UnknownHandle"
    speaker.close()


def test_memory_that_is_lent_is_charged_and_given_back(tmp_path):
    with belfry(tmp_path, client_bytes=5 << 20) as tower:
        speaker = tower.connected()
        leases = tower.engine._leases
        assert speaker.asked(doorbell.REGION, seq=1 << 20)[0] == doorbell.DONE
        assert leases.held_bytes("tester") == 2 << 20
        assert failure(speaker.asked(doorbell.REGION, seq=4 << 20)) == "LimitExceeded"
        assert speaker.asked(doorbell.REGION, seq=2 << 20)[0] == doorbell.DONE
        assert leases.held_bytes("tester") == 4 << 20
        speaker.close()
        while leases.held_bytes("tester"):
            pass


@pytest.mark.parametrize("seq", [(64 << 20) + 1, 1 << 63, (1 << 64) - 1])
def test_regions_have_a_limit(tower, seq):
    speaker = tower.connected()
    assert failure(speaker.asked(doorbell.REGION, seq=seq)) == "LimitExceeded"
    assert speaker.asked(doorbell.REGION, seq=1)[0] == doorbell.DONE
    speaker.close()


def test_a_stop_answers_what_it_has_begun(tmp_path):
    with belfry(tmp_path) as tower:
        speaker = prepared(tower)
        for seq in range(1, 6):
            speaker.ask(doorbell.CALL, seq=seq, text=in_frame(np.ones(4)))
        tower.doorbell.close(5.0)
        kinds = [speaker.answer()[0] for _ in range(6)]
        assert kinds == [doorbell.RESULT] * 5 + [0]
        with pytest.raises(OSError, match="No such file"):
            tower.speaker()


def test_calls_are_counted(tower):
    def samples():
        found = DoorbellMetrics(tower.doorbell).collect()
        return {sample.name: sample.value for family in found for sample in family.samples}

    speaker = prepared(tower)
    name = tower.engine.create_variable("tester", NewVariable(value=np.array(0.0)))
    handle = compiled(tower, graphs.counter(), name.uuid)
    speaker.asked(doorbell.PREPARE, 1, text=described(handle, ("float64", ())))
    speaker.asked(doorbell.CALL, seq=1, text=in_frame(np.ones(4)))
    for _ in range(2):  # the second is a repetition of the answer
        speaker.asked(doorbell.CALL, 1, seq=2, text=in_frame(np.array(1.0)))
    speaker.asked(doorbell.CALL, 9, seq=3)
    speaker.asked(doorbell.PREPARE, text=b"")  # once this is answered, the calls have been counted
    found = samples()
    assert found["exprd_doorbell_calls_total"] == 4
    assert found["exprd_doorbell_commits_total"] == 1
    assert 0 < found["exprd_doorbell_seconds_total"] < 10
    assert found["exprd_doorbell_connections"] == 1
    speaker.close()
    while len(tower.doorbell):
        pass
    assert samples() == {**found, "exprd_doorbell_connections": 0}


def test_a_result_without_room_in_memory_comes_in_frames(tmp_path):
    """A call that has changed something is answered, whatever the client may not have."""
    with belfry(tmp_path, client_bytes=3 << 20) as tower:
        speaker = tower.connected()
        size = 100_000
        name = tower.engine.create_variable("tester", NewVariable(value=np.zeros(size)))
        x = graphs.named(input_, "x", graphs.SCALAR)
        w = graphs.named(shared, "w", graphs.VECTOR)
        handle = compiled(tower, Graph((x,), (w,), (w,), ((0, add(w, x)),)), name.uuid)
        speaker.asked(doorbell.PREPARE, text=described(handle, ("float64", ())))
        speaker.asked(doorbell.REGION, seq=1 << 20)  # which takes what there is
        kind, _, text = speaker.asked(doorbell.CALL, seq=1, text=in_frame(np.array(2.0)))
        assert kind == doorbell.RESPONSE
        response = wire.ExecuteResponse.FromString(text)
        assert response.versions[0].version == 2
        assert response.outputs[0].array.data == bytes(8 * size)


def test_where_tokens_are_asked_for_they_are_asked_again(tmp_path, monkeypatch):
    token = "tester-may-do-everything"
    (tmp_path / "tokens").write_text(f'[[token]]\ntoken = "{token}"\n')
    with belfry(tmp_path, tokens=tmp_path / "tokens", token=token) as tower:
        assert prepared(tower).asked(doorbell.PREPARE)[0] == doorbell.FAILURE
        monkeypatch.setattr(connection, "_TOKEN_SECONDS", 1e-9)
        speaker = tower.connected()
        assert speaker.asked(doorbell.PREPARE)[0] == 0


# ---- turns
def _guarded(turn, seconds=30.0, watch=None):
    """What a guarded call gives that lasts until it is told to stop."""
    turn.begin(5, seconds)
    if watch is not None and watch.sleeps:  # as a connection does, after the begin of its call
        watch.wake()
    try:
        return _until_stopped(turn)
    finally:
        turn.over()


def _until_stopped(turn):
    stopped = threading.Event()
    return turn.guard(None, lambda: int(stopped.wait(20)), stopped.set)


def test_a_turn_ends_with_its_time_and_with_its_caller():
    for leave in (False, True):
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        turn, watch = Turn("tester", here), Watch()
        watch.add(turn)
        if leave:
            there.close()
        turn.begin(5, 30.0 if leave else 0.05)
        assert _until_stopped(turn) == 1
        with pytest.raises(Cancelled if leave else DeadlineExceeded):
            turn.check("anything")
        watch.close()
        here.close()
        there.close()


def test_a_wish_meets_its_own_call_alone():
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with here, there:
        turn = Turn("tester", here)
        turn.begin(5, 10.0)
        assert not turn.cancel_if(lambda _, seq: seq == 4)
        assert turn.cancel_if(lambda _, seq: seq == 5)
        with pytest.raises(Cancelled):
            turn.check("anything")
        turn.over()
        assert not turn.cancel_if(lambda *_: True)
        turn.begin(6, 10.0)
        turn.check("anything")


def test_a_wish_does_not_meet_a_call_that_begins_meanwhile():
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with here, there:
        turn = Turn("tester", here)
        turn.begin(5, 10.0)

        def judged(_: str, seq: int) -> bool:
            turn.over()
            turn.begin(6, 10.0)
            return seq == 5

        assert turn.cancel_if(judged)
        turn.check("anything")


def test_the_watch_sleeps_and_wakes(monkeypatch):
    monkeypatch.setattr(turns, "_IDLE_LOOKS", 1)
    monkeypatch.setattr(turns, "_LOOK_SECONDS", 0.001)
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with here, there:
        turn, watch = Turn("tester", here), Watch()
        watch.add(turn)
        for _ in range(3):
            while not watch.sleeps:
                pass
            assert _guarded(turn, 0.02, watch) == 1
        watch.close()
