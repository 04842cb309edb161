"""One connection to the doorbell of a server on the same host.

A call is one frame there and one frame back; arrays that are too large for frames lie in memory
that the server has made and both have mapped. Used by one thread at a time. When anything is not
as expected, the connection ends, and its caller goes another way.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np

import exprd_proto as wire
from exprd.statuses import error_of_detail
from exprd.transport import Array, BufferRef, InputValue
from exprd_compiler.errors import DeadlineExceeded, ExprdError, LimitExceeded
from exprd_proto import doorbell
from exprd_proto.arrays import WireError, carried_dtype, dtype_to_wire
from exprd_proto.patience import NOTHING, Patience

__all__ = ["Bell", "BellLost", "Rung", "Unfit"]

_TICK: Final = struct.pack("ll", 1, 0)  # waits are looked at every second
_ANSWER_SECONDS: Final = 5.0  # after its deadline, a call has been stopped or the server is gone
_CREDENTIALS: Final = struct.Struct("3i")
_KEEP: Final = wire.Delivery.DELIVERY_KEEP
_HEAD: Final = doorbell.ANSWER.size
_ALIGN: Final = doorbell.ALIGN


class BellLost(Exception):
    """The connection is gone; what became of a call that was made over it is not known."""


class Unfit(Exception):
    """A call that cannot be made this way; nothing has happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A call that the server has prepared.

    Attributes:
        number: its name on the connection.
        nbytes: what follows the head of its frame.
        buffers: the inputs that are buffers.
        arrays: the others, and what stands before each in the frame.
        places: where they lie in the region instead; empty when they do not.
        facts: versions and extents of a result.
        updated: uuids of the variables that it assigns.
        outputs: dtypes and ranks.
    """

    number: int
    nbytes: int
    buffers: tuple[int, ...]
    arrays: tuple[tuple[int, bytes], ...]
    places: tuple[int, ...]
    facts: struct.Struct
    updated: tuple[str, ...]
    outputs: tuple[tuple[np.dtype[Any], int], ...]


class Rung(NamedTuple):
    """The answer of a call: arrays and versions, or the message that says it all."""

    outputs: Sequence[Array]
    versions: Sequence[tuple[str, int]] = ()
    message: wire.ExecuteResponse | None = None


class Bell:
    """One open connection.

    Args:
        path: of the server's own socket.
        offer: what the server has answered to OpenDoorbell.
        seconds: for the greeting.
        spin: seconds to wait awake for an answer, where that pays; 0 for not at all.

    Attributes:
        offer: the same.
        closed: whether the connection has ended.
        sent, received: bytes of calls and answers, arrays included.

    Raises:
        BellLost: nobody listens there, or another user, or the ticket was refused.
    """

    def __init__(
        self, path: str, offer: wire.OpenDoorbellResponse, seconds: float, spin: float
    ) -> None:
        self.offer = offer
        self.closed = False
        self.sent = self.received = 0
        self._calls: dict[tuple[object, ...], _Ready] = {}
        self._frame = bytearray(doorbell.FRAME_BYTES)
        self._region: Array | None = None
        self._answers: Array | None = None
        self._spin, self._patience = spin, Patience(spin)
        self._end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._greet(path, offer.ticket, seconds)
        except (OSError, ExprdError) as error:
            raise self._lost(str(error)) from error

    def break_off(self) -> None:
        """Ends the connection from another thread: whoever waits for an answer gets none."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Ends the connection. Idempotent."""
        self.closed = True
        self._end.close()
        self._calls.clear()
        self._region = self._answers = None

    def _greet(self, path: str, ticket: bytes, seconds: float) -> None:
        end = self._end
        end.settimeout(seconds)
        end.connect(path + doorbell.SUFFIX)
        if _peer_uid(end) != os.geteuid():
            raise self._lost("another user listens there")
        # The kernel ends a wait now and then; a timeout of Python's costs a call of poll each time.
        end.settimeout(None)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            end.setsockopt(socket.SOL_SOCKET, option, _TICK)
        self.ask(doorbell.HELLO, text=ticket)
        self.told(0, seconds)

    # ---- calls
    def call(
        self,
        handle: str,
        inputs: Sequence[InputValue],
        kept: int,
        seq: int,
        acked: int,
        seconds: float,
    ) -> Rung:
        """Runs a function once; with `kept`, the count of its outputs, these stay there.

        Raises:
            BellLost: the connection ended; whether the call ran is not known.
            Unfit: the call cannot be made this way.
            DeadlineExceeded: no answer came in time; the connection has ended.
            ExprdError: whatever the call raises.
        """
        facts: list[object] = [handle, kept]
        for value in inputs:
            if isinstance(value, BufferRef):
                facts.append(None)
            else:
                facts += (value.dtype, value.shape)
        key = tuple(facts)
        ready = self._calls.get(key) or self._prepared(key, inputs, seconds)
        head = doorbell.ASK.pack(doorbell.CALL, ready.number, ready.nbytes, seq, acked, seconds)
        named: Sequence[Any] = inputs
        parts = [head, *[_handle_bytes(named[i].handle) for i in ready.buffers]]
        if ready.places:
            self._write(ready, inputs)
        else:
            for place, pad in ready.arrays:
                parts += (pad, inputs[place].tobytes())  # type: ignore[union-attr]
        self.send(b"".join(parts))
        return self._answer(ready, seq, seconds)

    def _write(self, ready: _Ready, inputs: Sequence[InputValue]) -> None:
        """Copies the arrays of a call into the region."""
        for (which, _), place in zip(ready.arrays, ready.places, strict=True):
            value = inputs[which]
            assert not isinstance(value, BufferRef)
            if value.size:
                target: Array = np.ndarray(value.shape, value.dtype, self._region, place)
                np.copyto(target, value)
                self.sent += value.nbytes

    def _answer(self, ready: _Ready, seq: int, seconds: float) -> Rung:
        kind, flags, text = self._next(seq, seconds)
        if kind == doorbell.RESULT:
            return self._result(ready, flags)
        if kind == doorbell.RESPONSE:
            response = wire.ExecuteResponse.FromString(self._whole(flags, text, seq, seconds))
            return Rung((), [(v.uuid, v.version) for v in response.versions], response)
        raise self._failure(kind, flags, text, seq, seconds)

    def _result(self, ready: _Ready, flags: int) -> Rung:
        """Arrays of the caller's own, out of the frame or the region of answers."""
        facts = ready.facts.unpack_from(self._frame, _HEAD)
        outside = flags & doorbell.OUTSIDE
        memory: Any = self._answers if outside else self._frame
        end = 0 if outside else _HEAD + ready.facts.size
        at = len(ready.updated)
        outputs: list[Array] = []
        for dtype, rank in ready.outputs:
            shape = facts[at : at + rank]
            at += rank
            end = -(-end // _ALIGN) * _ALIGN  # doorbell.aligned, for the sake of short calls
            found: Array = np.ndarray(shape, dtype, memory, end).copy()
            outputs.append(found)
            end += found.nbytes
        if outside:
            self.received += end
        if not ready.updated:
            return Rung(outputs)
        return Rung(outputs, list(zip(ready.updated, facts, strict=False)))

    # ---- preparing
    def _prepared(
        self, key: tuple[object, ...], inputs: Sequence[InputValue], seconds: float
    ) -> _Ready:
        """Has a call prepared; the oldest makes room."""
        kept: Any = key[1]
        request = wire.DoorbellCall(handle=str(key[0]), deliveries=[_KEEP] * kept)
        for value in inputs:
            _describe(request.inputs.add(), value)
        buffers = tuple(i for i, x in enumerate(inputs) if isinstance(x, BufferRef))
        others = [(i, x) for i, x in enumerate(inputs) if not isinstance(x, BufferRef)]
        sizes = [x.nbytes for _, x in others]
        start = doorbell.ASK.size + doorbell.BUFFER_BYTES * len(buffers)
        places, end = doorbell.placed(sizes, start)
        outside: tuple[int, ...] = ()
        if end > doorbell.INLINE_BYTES:
            outside, total = doorbell.placed(sizes)
            self.room(total, seconds)
            places, end = (start,) * len(sizes), start
        number = self._number()
        self.ask(doorbell.PREPARE, number, text=request.SerializeToString(), seconds=seconds)
        answer = wire.DoorbellReady.FromString(self.told(0, seconds))
        dtypes = [carried_dtype(x.dtype) for x in answer.outputs]
        ranks = [len(x.shape) for x in answer.outputs]
        self._calls[key] = ready = _Ready(
            number=number,
            nbytes=end - doorbell.ASK.size,
            buffers=buffers,
            arrays=tuple(zip([i for i, _ in others], _pads(places, sizes, start), strict=True)),
            places=outside,
            facts=doorbell.facts_of(len(answer.updated), ranks),
            updated=tuple(answer.updated),
            outputs=tuple(zip(dtypes, ranks, strict=True)),
        )
        return ready

    def _number(self) -> int:
        """A number that is free; the call that has waited longest gives its own up."""
        if len(self._calls) < self.offer.calls:
            taken = {ready.number for ready in self._calls.values()}
            return next(n for n in range(self.offer.calls) if n not in taken)
        return self._calls.pop(next(iter(self._calls))).number

    def room(self, nbytes: int, seconds: float) -> Array:
        """Memory of at least so many bytes that the server reads.

        Raises:
            Unfit: the server makes no region of this size.
        """
        if self._region is None or self._region.size < nbytes:
            if nbytes > self.offer.region_bytes:
                raise Unfit(f"a region of {nbytes} bytes")
            self.ask(doorbell.REGION, seq=nbytes)
            try:
                self.told(nbytes, seconds)
            except LimitExceeded as error:
                raise Unfit(error.message) from None
        assert self._region is not None
        return self._region

    @property
    def answers(self) -> Array:
        """The memory into which the server writes."""
        if self._answers is None:
            raise self._lost("a region is missing")
        return self._answers

    # ---- frames
    def ask(
        self,
        kind: int,
        number: int = 0,
        *,
        seq: int = 0,
        acked: int = 0,
        text: bytes = b"",
        seconds: float = 0.0,
    ) -> None:
        """Sends a frame that is no call; without seconds the server takes its own time."""
        self.send(doorbell.ASK.pack(kind, number, len(text), seq, acked, seconds) + text)

    def told(self, seq: int, seconds: float) -> bytes:
        """The message that answers a frame which is no call."""
        kind, flags, text = self._next(seq, seconds)
        if kind == doorbell.DONE:
            return self._whole(flags, text, seq, seconds)
        raise self._failure(kind, flags, text, seq, seconds)

    def send(self, frame: bytes) -> None:
        """Sends a frame."""
        self.sent += len(frame)
        try:
            self._end.send(frame)
        except OSError as error:
            raise self._lost(f"the frame was not taken: {error}") from error

    def _next(self, seq: int, seconds: float) -> tuple[int, int, bytes]:
        """Kind, flags and text of the next frame; the text of a result stays in the frame."""
        while True:
            length = self._receive(seconds)
            if length < _HEAD:
                raise self._lost("the server has ended the connection")
            kind, flags, nbytes, number = doorbell.ANSWER.unpack_from(self._frame)
            if length != _HEAD + nbytes:
                raise self._lost(f"a frame of {length} bytes")
            if kind == doorbell.GROWN:
                self._map(number, flags)
                continue
            if number != seq:
                raise self._lost(f"an answer to {number} instead of {seq}")
            whole = kind == doorbell.RESULT
            return kind, flags, b"" if whole else bytes(self._frame[_HEAD:length])

    def _receive(self, seconds: float) -> int:
        waited = 0
        while True:
            try:
                length = self._patience.wait(self._look)
                if length == NOTHING:
                    length = self._end.recv_into(self._frame)
            except BlockingIOError:
                waited += 1
                if waited < seconds + _ANSWER_SECONDS:
                    continue
                self.close()
                raise DeadlineExceeded("no answer came within the time of the call") from None
            except OSError as error:
                raise self._lost(f"no answer: {error}") from error
            self.received += length
            return length

    def _look(self) -> int:
        """The length of the next frame, waited for awake; `NOTHING` when it does not come soon."""
        receive, frame = self._end.recv_into, self._frame
        last = time.perf_counter() + self._spin
        while True:
            try:
                return receive(frame, 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if time.perf_counter() > last:
                    return NOTHING

    def _whole(self, flags: int, text: bytes, seq: int, seconds: float) -> bytes:
        """The text of a message that may take several frames."""
        parts = [text]
        while flags & doorbell.MORE:
            _, flags, text = self._next(seq, seconds)
            parts.append(text)
        return b"".join(parts)

    def _map(self, nbytes: int, flags: int) -> None:
        """Maps the region whose descriptor comes in the next frame."""
        answers = bool(flags & doorbell.OUTSIDE)
        access = mmap.PROT_READ if answers else mmap.PROT_READ | mmap.PROT_WRITE
        try:
            _, descriptors, _, _ = socket.recv_fds(self._end, 1, 1, socket.MSG_CMSG_CLOEXEC)
            memory = mmap.mmap(descriptors[0], nbytes, prot=access)
            os.close(descriptors[0])
        except (OSError, IndexError, ValueError) as error:
            raise self._lost(f"a region cannot be mapped: {error}") from error
        region = np.frombuffer(memory, np.uint8)
        if answers:
            self._answers = region
            return
        self._region = region
        # What was prepared for the region before it is gone with that.
        self._calls = {key: ready for key, ready in self._calls.items() if not ready.places}

    def _failure(self, kind: int, flags: int, text: bytes, seq: int, seconds: float) -> Exception:
        if kind != doorbell.FAILURE:
            return self._lost(f"an answer of kind {kind}")
        failure = wire.CallFailure.FromString(self._whole(flags, text, seq, seconds))
        return error_of_detail(failure.detail)

    def _lost(self, why: str) -> BellLost:
        self.close()
        return BellLost(why)


def _describe(message: wire.DoorbellInput, value: InputValue) -> None:
    """Writes the form of an input into a fresh message."""
    if isinstance(value, BufferRef):
        message.buffer.SetInParent()
        return
    if not value.dtype.isnative:
        raise Unfit(f"an array of {value.dtype.str}")
    try:
        message.array.dtype = dtype_to_wire(value.dtype.name)
    except WireError as error:
        raise Unfit(str(error)) from None
    message.array.shape.extend(value.shape)


def _pads(places: Sequence[int], sizes: Sequence[int], start: int) -> list[bytes]:
    """What fills the frame up to each array."""
    ends = [start, *(place + size for place, size in zip(places, sizes, strict=True))]
    return [bytes(max(0, place - end)) for place, end in zip(places, ends, strict=False)]


@lru_cache(maxsize=1024)
def _handle_bytes(handle: str) -> bytes:
    try:
        return doorbell.handle_bytes(handle)
    except ValueError as error:
        raise Unfit(str(error)) from None


def _peer_uid(end: socket.socket) -> int:
    """The user at the other end of a Unix socket."""
    data = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(data)[1]
    return uid
