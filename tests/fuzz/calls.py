"""Targets: streams of messages that an engine works on."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import numpy as np

import exprd_proto as wire
from exprd_compiler.errors import Cancelled, ExprdError
from exprd_proto.arrays import array_to_wire, chunks_of, header_of
from exprd_server.answers import Answer
from exprd_server.buffers import BufferTable
from exprd_server.leases import LeaseTable
from exprd_server.log import make_logger
from exprd_server.session import SessionTable
from exprd_server.settings import Settings
from exprd_server.transfer import UploadTable
from tests.fuzz.messages import edit
from tests.fuzz.source import Source
from tests.fuzz.wires import sent
from tests.fuzz.world import CLIENT, LIMITS, world

HANDLE = "buf-" + "0" * 32


def put(source: Source) -> None:
    """Uploads in chunks, edited, broken off, gone on with; nothing stays charged in the end."""
    leases = LeaseTable(60.0, LIMITS)
    buffers = BufferTable(leases, LIMITS)
    uploads = UploadTable(leases, buffers, LIMITS)
    value = np.arange(source.number(0, 300), dtype="float64")
    for _ in range(source.number(1, 3)):
        start = uploads.received(CLIENT, HANDLE) if source.yes() else 0
        try:
            info = uploads.receive(_upload(value, start, source))
        except Cancelled:
            continue
        except ExprdError:
            if not source.left:
                raise
            continue
        assert info.nbytes <= LIMITS.tensor_bytes
    for client in [*leases._leases]:  # an edit may have named another
        uploads.release_client(client)
        buffers.release_client(client)
        assert leases.held_bytes(client) == 0
        leases.end(client)
    assert not leases._leases  # nothing counts as arriving


def _upload(value: np.ndarray, start: int, source: Source) -> Iterator[wire.DataServicePutRequest]:
    header = wire.PutHeader(client_id=CLIENT, array=header_of(value), handle=HANDLE, offset=start)
    yield _edited(wire.DataServicePutRequest(header=header), source)
    size = 8 * source.number(1, 64)
    for chunk in chunks_of(value, size):
        if chunk.offset >= start:
            if source.yes(8):
                raise Cancelled("the sender has gone")
            yield _edited(wire.DataServicePutRequest(chunk=chunk), source)


def _edited(message: wire.DataServicePutRequest, source: Source) -> wire.DataServicePutRequest:
    if source.yes(5):
        edit(message, source, (CLIENT, HANDLE))
        message = sent(message, source)
    return message


class _Stream:
    """An RPC that its caller does not leave."""

    def cancel(self) -> None:
        raise AssertionError("nobody ends sessions here")

    def add_callback(self, callback: Callable[[], None], /) -> None:
        del callback


def session(source: Source) -> None:
    """Frames of a session, edited; every call of an accepted frame has one outcome."""
    here = world()
    client = here.client()
    table = SessionTable(here.engine, Settings(limits=LIMITS), make_logger(io.StringIO()))
    counts: list[int] = []

    def frames() -> Iterator[wire.SessionFrame]:
        yield _read(_frame(wire.SessionRequest(client_id=client), source))
        for number in range(source.number(0, 3)):
            frame = wire.SessionRequest(acked_through=4 * number)
            for turn in range(source.number(0, 3)):
                frame.calls.append(_call(4 * number + turn + 1, source))
            frame = _frame(frame, source)
            counts.append(len(frame.calls))
            yield _read(frame)

    before = here.engine.get_variable(CLIENT, here.total)[0].version
    try:
        answered = sum(_count(response) for response in table.serve(frames(), _Stream()))
    finally:
        here.engine.end_lease(client)
    assert answered == sum(counts)
    after = here.engine.get_variable(CLIENT, here.total)[0].version
    assert before <= after <= before + answered


def _count(answer: wire.SessionResponse | Answer) -> int:
    written = answer.data if isinstance(answer, Answer) else answer.SerializeToString()
    response = wire.SessionResponse.FromString(written)
    for outcome in response.outcomes:
        assert not outcome.failure.detail.incident, "an error outside the tree"
    return len(response.outcomes)


def _call(number: int, source: Source) -> wire.ExecuteRequest:
    here = world()
    handle, value = (here.counter, 1.0) if source.yes() else (here.scale, np.ones(2))
    inputs = [wire.ExecuteInput(array=array_to_wire(np.asarray(value)))]
    return wire.ExecuteRequest(handle=handle, inputs=inputs, call_id=wire.CallId(seq=number))


def _read(frame: wire.SessionRequest) -> wire.SessionFrame:
    return wire.SessionFrame.FromString(frame.SerializeToString())


def _frame(frame: wire.SessionRequest, source: Source) -> wire.SessionRequest:
    if source.yes(3):
        edit(frame, source, world().words)
        frame = sent(frame, source)
    return frame
