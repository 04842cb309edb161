"""Target: frames of the doorbell, and the descriptors of shared memory that they ask for."""

from __future__ import annotations

import io
import os
import socket
import threading
from dataclasses import dataclass, field

import numpy as np

import exprd_proto as wire
from exprd_compiler.errors import CallError
from exprd_proto import DataType, doorbell
from exprd_proto.arrays import header_of
from exprd_server.bell.connection import BellConnection, BrokenFrame
from exprd_server.bell.turns import Watch
from exprd_server.log import make_logger
from exprd_server.settings import Settings
from tests.fuzz.messages import edit
from tests.fuzz.source import Source, damaged
from tests.fuzz.world import LIMITS, world

SECONDS = 10.0
HANDLE = "buf-" + "0" * 32
PIECE = doorbell.PIECE_BYTES
_KINDS = (
    *(doorbell.PREPARE, doorbell.CALL, doorbell.CALL, doorbell.REGION),
    *(doorbell.PUT, doorbell.PUT_PIECE, doorbell.PUT_END),
    *(doorbell.GET, doorbell.GET_PIECE, doorbell.GET_END),
)


@dataclass
class _Line:
    """A connection, the thread that serves its far end, and what that ended with."""

    client: str
    near: socket.socket
    far: socket.socket
    watch: Watch = field(default_factory=Watch)
    ended: list[BaseException] = field(default_factory=list)

    def serve(self) -> None:
        here = world()
        settings, log = Settings(limits=LIMITS), make_logger(io.StringIO())
        try:
            BellConnection(self.far, self.client, here.engine, settings, self.watch, log).serve()
        except (BrokenFrame, OSError, AssertionError) as error:
            self.ended.append(error)
        except BaseException as error:
            self.ended.append(AssertionError(f"the connection ended with {error!r}"))
        finally:
            self.far.close()

    def answer(self) -> bool:
        """Reads one answer; False when the connection has ended."""
        while True:
            data, descriptors, _, _ = socket.recv_fds(self.near, doorbell.FRAME_BYTES, 4)
            for descriptor in descriptors:
                os.close(descriptor)
            if not data:
                return False
            if len(data) < doorbell.ANSWER.size:  # it comes with a descriptor
                continue
            kind, flags, _, _ = doorbell.ANSWER.unpack_from(data)
            if kind == doorbell.FAILURE and not flags & doorbell.MORE:
                failure = wire.CallFailure.FromString(data[doorbell.ANSWER.size :])
                assert not failure.detail.incident, "an error outside the tree"
            if kind != doorbell.GROWN and not flags & doorbell.MORE:
                return True


def frames(source: Source) -> None:
    """Frames in any order, edited; each has an answer or ends the connection, and nothing stays."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    near.settimeout(SECONDS)
    line = _Line(world().client(), near, far)
    thread = threading.Thread(target=line.serve)
    thread.start()
    try:
        for _ in range(source.number(1, 7)):
            near.send(_frame(source))
            if not line.answer():
                break
    except (BrokenPipeError, ConnectionResetError):
        pass
    finally:
        near.close()
        thread.join(SECONDS)
        line.watch.close()
        world().engine.end_lease(line.client)
    assert not thread.is_alive(), "the connection did not end"
    for error in line.ended:
        if isinstance(error, AssertionError):
            raise error
        raise CallError(str(error)) from error


def _frame(source: Source) -> bytes:
    kind = source.of(_KINDS)
    number = source.number(0, 2) if not source.yes(6) else source.edge(0, 2**16 - 1)
    text = _text(kind, source)
    if source.yes(6):
        text = damaged(text, source)
    seq, acked = _words(kind, source)
    nbytes = len(text) if not source.yes(12) else source.edge(0, 2**32 - 1)
    seconds = source.of((1.0, 0.0, -1.0, float("nan"), float("inf")))
    head = doorbell.ASK.pack(
        kind if not source.yes(12) else 99, number, nbytes, seq, acked, seconds
    )
    return head + text


def _words(kind: int, source: Source) -> tuple[int, int]:
    """The two numbers of a frame: of a call, of a region, or where a piece lies."""
    if source.yes(5):
        return source.edge(0, 2**64 - 1), source.edge(0, 2**64 - 1)
    if kind == doorbell.REGION:
        return 2 * PIECE, 0
    if kind in (doorbell.PUT_PIECE, doorbell.GET_PIECE):
        return source.of((0, 8, 64)), source.of((8, 64, PIECE))
    return source.number(1, 5), 0


def _text(kind: int, source: Source) -> bytes:
    here = world()
    if kind == doorbell.PREPARE:
        call = wire.DoorbellCall(handle=source.of((here.counter, here.scale)))
        shape = [] if call.handle == here.counter else [2]
        given = call.inputs.add()
        if source.yes(4):
            given.buffer.SetInParent()
        else:
            given.array.dtype = DataType.DATA_TYPE_FLOAT64
            given.array.shape.extend(shape if not source.yes(4) else [source.edge(0, 2**40)])
        if source.yes(3):
            edit(call, source, here.words)
        return call.SerializeToString()
    if kind in (doorbell.PUT, doorbell.GET):
        asked = wire.DoorbellArray(handle=HANDLE)
        if kind == doorbell.PUT:
            asked.header.CopyFrom(header_of(np.zeros(source.number(0, 8))))
        if source.yes(3):
            edit(asked, source, here.words)
        return asked.SerializeToString()
    if kind == doorbell.CALL:
        return bytes(source.of((8, 24, 32, 16, 0)))
    return b""
