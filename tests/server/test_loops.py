"""Session, ExecuteBatch and Repeat of a real server process, over its socket."""

from __future__ import annotations

import queue
import threading
from contextlib import ExitStack

import grpc
import numpy as np
import pytest

import exprd_proto as wire
from exprd_proto.arrays import array_from_wire, array_to_wire
from tests.server import graphs
from tests.server.conftest import Client
from tests.server.wire import bundle

END = object()
LARGE = (("grpc.max_receive_message_length", 64 << 20),)
OWN = (("grpc.use_local_subchannel_pool", 1),)  # a connection of its own


class Stream:
    """A session as a test sees it: frames in, frames out."""

    def __init__(self, client, client_id=None):
        self._frames: queue.Queue = queue.Queue()
        self.call = client.executor.Session(iter(self._frames.get, END), timeout=100)
        self.send(wire.SessionRequest(client_id=client_id or client.client_id))

    def send(self, frame):
        self._frames.put(frame)

    def read(self):
        return next(self.call)

    def outcomes(self, count):
        """So many outcomes, however they are framed."""
        found = []
        while len(found) < count:
            found += self.read().outcomes
        return found

    def close(self):
        self._frames.put(END)
        return list(self.call)


@pytest.fixture
def counter(client):
    total = client.variable(0.0)
    return client.compile(bundle(graphs.counter()), total).handle, total


@pytest.fixture
def stream(client):
    session = Stream(client)
    window = session.read().window
    assert (window.calls, window.bytes) == (512, 16 << 20)
    return session


def executing(handle, value, seq):
    inputs = [wire.ExecuteInput(array=array_to_wire(np.asarray(value)))]
    return wire.ExecuteRequest(handle=handle, inputs=inputs, call_id=wire.CallId(seq=seq))


def totals(outcomes):
    return [float(array_from_wire(x.response.outputs[0].array)) for x in outcomes]


def test_a_session_answers_in_order(client, counter, stream):
    handle, total = counter
    for first in (1, 11):
        calls = [executing(handle, 1.0, seq) for seq in range(first, first + 10)]
        stream.send(wire.SessionRequest(calls=calls, acked_through=first - 1))
    outcomes = stream.outcomes(20)
    assert [x.seq for x in outcomes] == list(range(1, 21))
    assert totals(outcomes) == list(range(20))
    assert stream.close() == []
    assert client.value(total) == 20


def test_a_failure_in_a_session_is_one_calls_own(client, counter, stream):
    handle, total = counter
    calls = [
        executing(handle, 1.0, 1),
        executing(handle, [1.0, 2.0], 2),
        executing("gone", 1.0, 3),
        executing(handle, 1.0, 4),
        executing(handle, 1.0, 0),
    ]
    stream.send(wire.SessionRequest(calls=calls))
    outcomes = stream.outcomes(5)
    kinds = [x.failure.detail.kind for x in outcomes]
    assert kinds == ["", "CallError", "UnknownHandle", "", "CallError"]
    assert [x.failure.code for x in outcomes] == [0, 3, 5, 0, 3]
    assert client.value(total) == 2


def test_what_was_not_answered_is_sent_again(client, counter, stream):
    handle, total = counter
    calls = [executing(handle, 1.0, seq) for seq in (1, 2, 3)]
    stream.send(wire.SessionRequest(calls=calls))
    stream.outcomes(3)
    stream.call.cancel()
    again = Stream(client)
    again.read()
    again.send(wire.SessionRequest(calls=calls, acked_through=0))
    outcomes = again.outcomes(3)
    assert all(x.response.replayed for x in outcomes)
    assert totals(outcomes) == [0, 1, 2]
    assert client.value(total) == 3


def test_an_early_answer_does_not_wait_for_the_rest_of_its_frame(client, stream):
    w = client.variable(np.ones(2))
    quick = client.compile(bundle(graphs.scale()), w).handle
    slow = client.compile(bundle(graphs.chain(2)), name="slow").handle
    calls = [executing(quick, [1.0, 2.0], 1)]
    calls += [executing(slow, np.zeros(300_000), seq) for seq in range(2, 6)]
    stream.send(wire.SessionRequest(calls=calls))
    assert len(stream.read().outcomes) < 5


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (wire.SessionRequest(client_id="bad id"), "client_id must be"),
        (wire.SessionRequest(client_id="a", calls=[wire.ExecuteRequest()]), "begins with a frame"),
    ],
)
def test_a_session_says_first_whose_it_is(client, frame, kind):
    with pytest.raises(grpc.RpcError, match=kind) as caught:
        list(client.executor.Session(iter([frame])))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_frame_above_the_window_is_refused(client, stream):
    calls = [wire.ExecuteRequest(handle="x") for _ in range(513)]
    stream.send(wire.SessionRequest(calls=calls))
    with pytest.raises(grpc.RpcError, match="513 calls in one frame"):
        stream.read()


def test_sessions_leave_room_for_single_calls(client, counter, server):
    """Each session has a thread of its own; beyond the limit they are refused at once."""
    handle, _ = counter
    with ExitStack() as channels:
        held = []
        for number in range(16):  # 8 sessions of a client, and of a connection no more than 16
            channel = grpc.insecure_channel(server.target, options=OWN)
            one = Client(channels.enter_context(channel), f"{client.client_id}{number}")
            held += [Stream(one) for _ in range(8)]
        for session in held:
            session.read()
        assert client.call(handle, 1.0, call_id=client.next_id())[0] == 0
        with pytest.raises(grpc.RpcError, match="128 sessions are open") as caught:
            Stream(client).read()
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        for session in held:
            assert session.close() == []


def test_one_client_has_a_share_of_the_sessions(client):
    held = [Stream(client) for _ in range(8)]
    for session in held:
        session.read()
    with pytest.raises(grpc.RpcError, match="8 sessions of this client are open") as caught:
        Stream(client).read()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    other = Stream(Client(client.channel))
    assert other.read().window.calls
    for session in (*held, other):
        assert session.close() == []


def test_an_idle_session_does_not_hold_the_server_up(start_server, tmp_path):
    process = start_server("--listen", f"unix://{tmp_path}/s.sock")
    with grpc.insecure_channel(process.target) as channel:
        frames: queue.Queue = queue.Queue()
        frames.put(wire.SessionRequest(client_id="me"))
        answers = wire.ExecutorServiceStub(channel).Session(iter(frames.get, END))
        assert next(answers).window.calls
        ended = threading.Event()
        answers.add_done_callback(lambda _: ended.set())
        assert process.stop() == 0  # well within the 25 s that running calls get
        assert ended.wait(10)
        frames.put(END)


def batch(client, handle, values, first=1, acked=0):
    items = [
        wire.InputList(inputs=[wire.ExecuteInput(array=array_to_wire(np.asarray(v)))])
        for v in values
    ]
    call_id = wire.CallId(client_id=client.client_id, seq=first, acked_through=acked)
    request = wire.ExecuteBatchRequest(handle=handle, items=items, call_id=call_id)
    return client.executor.ExecuteBatch(request, timeout=30)


def test_a_batch_is_calls_in_order(client, counter):
    handle, total = counter
    reply = batch(client, handle, [1.0, 2.0, 3.0])
    assert totals(reply.outcomes) == [0, 1, 3]
    assert [x.seq for x in reply.outcomes] == [1, 2, 3]
    again = batch(client, handle, [1.0, 2.0, 3.0])
    assert all(x.response.replayed for x in again.outcomes)
    assert client.value(total) == 6


def test_a_batch_stops_at_the_first_item_that_fails(client, counter):
    handle, total = counter
    reply = batch(client, handle, [1.0, [2.0], 3.0])
    assert len(reply.outcomes) == 2
    assert reply.outcomes[1].failure.detail.kind == "CallError"
    assert client.value(total) == 1


def test_a_batch_has_its_limit(client, counter):
    handle, total = counter
    with pytest.raises(grpc.RpcError, match="513 items in one batch"):
        batch(client, handle, np.ones(513))
    assert len(batch(client, handle, np.ones(512)).outcomes) == 512
    assert client.value(total) == 512


def test_an_answer_that_is_full_leaves_items_for_the_next(server):
    with grpc.insecure_channel(server.target, options=LARGE) as channel:
        _fill_an_answer(Client(channel))


def _fill_an_answer(client):
    handle = client.compile(bundle(graphs.chain(1))).handle
    values = [np.full(200_000, float(i)) for i in range(8)]
    reply = batch(client, handle, values)
    done = len(reply.outcomes)
    assert 5 <= done < 8
    rest = batch(client, handle, values[done:], first=done + 1)
    assert len(rest.outcomes) == 8 - done


def repeating(handle, value, steps, call_id=None, **facts):
    inputs = [wire.ExecuteInput(array=array_to_wire(np.asarray(value)))]
    call = wire.ExecuteRequest(handle=handle, inputs=inputs, call_id=call_id)
    return wire.RepeatRequest(call=call, steps=steps, **facts)


def last(parts):
    *told, end = parts
    assert all(part.WhichOneof("part") == "progress" for part in told)
    return end.result, [part.progress for part in told]


def test_a_repetition_commits_every_step(client, counter):
    handle, total = counter
    request = repeating(handle, 2.0, 10, client.next_id(), every=4, watched=[0])
    result, told = last(client.executor.Repeat(request))
    assert result.steps == 10
    assert array_from_wire(result.response.outputs[0].array) == 18
    assert [(p.step, float(array_from_wire(p.values[0]))) for p in told] == [
        (4, 6),
        (8, 14),
        (10, 18),
    ]
    assert client.version(total) == 11
    assert result.response.versions[0].version == 11


def test_a_repetition_stops_when_its_output_says_so(client, counter):
    handle, total = counter
    result, _ = last(client.executor.Repeat(repeating(handle, 1.0, 10, client.next_id(), until=0)))
    assert result.steps == 2
    assert client.value(total) == 2


def test_a_repetition_stacks_its_outputs(client, counter):
    handle, _ = counter
    request = repeating(handle, 1.0, 5, client.next_id(), stacked=True)
    result, _ = last(client.executor.Repeat(request))
    assert array_from_wire(result.response.outputs[0].array).tolist() == [0, 1, 2, 3, 4]


def test_a_repeated_repetition_has_its_answer(client, counter):
    handle, total = counter
    request = repeating(handle, 1.0, 10, client.next_id())
    first, _ = last(client.executor.Repeat(request))
    again, _ = last(client.executor.Repeat(request))
    assert again.response.replayed
    assert again.steps == first.steps == 10
    assert client.value(total) == 10


def test_a_repetition_that_was_broken_off_goes_on(client, counter):
    """The reader leaves in the midst of it: the steps done stay done, and the rest are not lost."""
    handle, total = counter
    request = repeating(handle, 1.0, 20_000, client.next_id(), every=1, watched=[0])
    call = client.executor.Repeat(request)
    for part in call:
        if part.progress.step == 50:
            break
    call.cancel()
    seen = []
    for part in client.executor.Repeat(request):
        if part.WhichOneof("part") == "progress":
            seen.append(part.progress.step)
        else:
            assert part.result.steps == 20_000
    assert seen[0] > 50
    assert seen == list(range(seen[0], 20_001))
    assert client.value(total) == 20_000


def test_a_cancelled_repetition_keeps_its_steps(client, counter):
    handle, total = counter
    identity = client.next_id()
    call = client.executor.Repeat(repeating(handle, 1.0, 10_000_000, identity, every=100))
    next(call)
    stop = wire.GetInfoRequest(client_id=client.client_id, cancel=[identity.seq])
    client.admin.GetInfo(stop)
    with pytest.raises(grpc.RpcError, match="the repetition was cancelled in step") as caught:
        list(call)
    assert caught.value.code() is grpc.StatusCode.CANCELLED
    done = client.value(total)
    assert 100 <= done < 10_000_000
    assert client.version(total) == done + 1
    assert f"the {done:g} steps before it are done" in caught.value.details()
    trailers = dict(caught.value.trailing_metadata())
    detail = wire.ErrorDetail.FromString(trailers["exprd-error-bin"])
    assert detail.fields["steps"] == f"{done:g}"


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"steps": 0}, "0 steps"),
        ({"steps": 2, "until": 1}, "outputs \\[1\\] are asked for"),
        ({"steps": 2, "watched": [0, 7]}, "outputs \\[7\\]"),
        ({"steps": 1 << 26, "stacked": True}, "above the limit"),
    ],
)
def test_what_cannot_be_repeated(client, counter, facts, message):
    handle, total = counter
    with pytest.raises(grpc.RpcError, match=message):
        list(client.executor.Repeat(repeating(handle, 1.0, call_id=client.next_id(), **facts)))
    assert client.value(total) == 0
