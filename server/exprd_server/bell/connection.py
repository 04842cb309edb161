"""One connection to the doorbell: frames in, frames out, one thread.

Invariant: a frame that cannot be read ends the connection; one that can be read and means nothing
is answered with an error of the documented tree. When the connection ends, all that was lent to it
is given back.
"""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

import exprd_proto as wire
from exprd_compiler.errors import CallError, LimitExceeded
from exprd_proto import doorbell
from exprd_server import replies, requests
from exprd_server.answers import execute_answer
from exprd_server.bell.bulk import Download, Upload
from exprd_server.bell.counting import Counts
from exprd_server.bell.lending import Gone, Lending, aligned_memory
from exprd_server.bell.prepared import Prepared
from exprd_server.bell.turns import Turn
from exprd_server.bell.waiting import Waiting
from exprd_server.deadline import Deadline
from exprd_server.outcomes import failure_of
from exprd_server.throttle import MOST
from exprd_server.values import BufferInfo, CallId, Delivery, ExecuteCall, ExecuteReply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exprd_compiler.ir.counts import EventCount
    from exprd_server.bell.turns import Watch
    from exprd_server.direct import DirectCall
    from exprd_server.engine import LocalEngine
    from exprd_server.log import Logger
    from exprd_server.replay import Attempt
    from exprd_server.settings import Settings
    from exprd_server.values import Array, OutputValue

    Found: TypeAlias = ExecuteReply | tuple[Sequence[Array], Sequence[EventCount]]

PREPARED: Final = 1024  # calls of one connection
_SLACK: Final = 1 << 10
_RESULT_BYTES: Final = 16 << 20  # results up to here go through the region of answers
_ALIGN: Final = doorbell.ALIGN
_PADS: Final = tuple([bytes(size) for size in range(_ALIGN)])
_TOUCH_SECONDS: Final = 1.0
_SPEND_SECONDS: Final = 0.001
_TOKEN_SECONDS: Final = 60.0  # then the client has to show its token again


class BrokenFrame(Exception):
    """A frame that cannot be read; what follows it cannot be, either."""


class BellConnection:
    """A client's connection, once its ticket was taken.

    Args:
        end: its socket, which blocks.
        client_id: whose calls these are.
        engine: of the client's namespace.
        settings: of that namespace.
        watch: looks at its calls.
        log: where errors go.

    Attributes:
        client_id: whose calls these are.
        counts: what it has done.
    """

    def __init__(
        self,
        end: socket.socket,
        client_id: str,
        engine: LocalEngine,
        settings: Settings,
        watch: Watch,
        log: Logger,
    ) -> None:
        self._end = end
        self._turn = Turn(client_id, end)
        self._watch = watch
        self._throttle = engine.throttle
        self._seconds = self._longest = settings.execute_seconds
        self._unspent = self._spent = self._touched = 0.0  # used, since when; lease renewed when
        self._ends = time.monotonic() + _TOKEN_SECONDS if settings.tokens is not None else 0.0
        self.counts = Counts()
        self.client_id = client_id
        self._engine = engine
        self._settings = settings
        self._limits = settings.limits
        self._log = log
        self._memory = aligned_memory(doorbell.FRAME_BYTES + _SLACK)
        self._frame = self._memory.data
        self._prepared: dict[int, Prepared] = {}
        self._lending = Lending(end, client_id, engine, settings.limits.region_bytes)
        self._attempt: Attempt | None = None
        self._upload: Upload | None = None
        self._download: Download | None = None
        self._room = requests.reply_bytes(settings.limits)
        self._handlers: dict[int, Callable[[int, bytes, int, int], bytes]] = {
            doorbell.PREPARE: self._prepare,
            doorbell.REGION: self._grow,
            doorbell.PUT: self._put,
            doorbell.PUT_PIECE: self._put_piece,
            doorbell.PUT_END: self._put_end,
            doorbell.GET: self._get,
            doorbell.GET_PIECE: self._get_piece,
            doorbell.GET_END: self._get_end,
        }

    def serve(self) -> None:
        """Answers frames until the client or the server has enough."""
        frame, unpack = self._frame, doorbell.ASK.unpack_from
        receive = Waiting(self._end, self._memory, self._settings.doorbell_spin)
        self._watch.add(self._turn)
        self._engine.running.join(self._turn)
        try:
            while (length := receive()) > 0:
                if length < doorbell.ASK.size:
                    raise BrokenFrame(f"a frame of {length} bytes")
                kind, number, nbytes, seq, acked, seconds = unpack(frame)
                if length != doorbell.ASK.size + nbytes:
                    raise BrokenFrame(
                        f"{length} bytes came of a frame with {nbytes} after its head"
                    )
                if self._ends and time.monotonic() > self._ends:
                    return
                if not 0 < seconds < self._longest:
                    seconds = self._longest
                if kind == doorbell.CALL:
                    self._call(number, nbytes, seq, acked, seconds)
                else:
                    self._seconds = seconds
                    self._other(kind, number, nbytes, seq, acked)
        finally:
            self._engine.running.part(self._turn)
            self._watch.drop(self._turn)
            self._prepared.clear()  # whose inputs are views of what was lent
            self._end_upload()
            self._download = None
            self._lending.close()

    # ---- calls
    def _call(self, number: int, nbytes: int, seq: int, acked: int, seconds: float) -> None:
        start = time.monotonic()
        try:
            self._send(self._answered(number, nbytes, seq, acked, seconds))
        finally:
            # Not before, since the client need not wait for it; who asks again meanwhile does.
            if self._attempt is not None:
                self._attempt.settle()
                self._attempt = None
        now = time.monotonic()
        self.counts.calls += 1
        self.counts.seconds += now - start
        self._unspent += min(now - start, MOST)
        if now - self._spent > _SPEND_SECONDS:
            self._rest(now)

    def _answered(self, number: int, nbytes: int, seq: int, acked: int, seconds: float) -> bytes:
        """The last frame of the answer to a call."""
        try:
            prepared = self._prepared.get(number)
            if prepared is None or prepared.nbytes != nbytes:
                raise _misfit(number, prepared)
            if prepared.direct is not None:
                found = self._directly(prepared, prepared.direct, seq, acked, seconds)
            else:
                found = self._at_length(prepared, seq, acked, seconds)
            return self._answer(prepared, found, seq)
        except Gone:
            raise
        except Exception as error:
            return self._failure(error, seq)

    def _rest(self, now: float) -> None:
        """Tells what the last calls used, and rests when that is due."""
        self._throttle.spend(self.client_id, self._unspent)
        self._throttle.rest(self.client_id)
        self._unspent, self._spent = 0.0, now

    def _directly(
        self, prepared: Prepared, direct: DirectCall, seq: int, acked: int, seconds: float
    ) -> Found:
        """Runs a call the short way; one that changes nothing is answered with what it gave.

        An attempt that it makes is to be settled.
        """
        turn = self._turn
        now = turn.begin(seq, seconds)
        if self._watch.sleeps:
            self._watch.wake()
        try:
            self._engine.function(prepared.handle)  # or it was released
            if now - self._touched > _TOUCH_SECONDS:
                self._touched = now
                self._engine.renew(self.client_id)
            inputs = prepared.inputs()
            arrays = prepared.arrays(inputs)
            if not prepared.recorded:
                return direct(arrays, turn)
            turn.outlive_caller()
            call_id = CallId(self.client_id, seq, acked)
            attempt = self._engine.attempt(call_id, prepared.digest(inputs), turn)
            self._attempt = attempt
            if isinstance(attempt.replay, ExecuteReply):
                return replace(attempt.replay, replayed=True)
            return direct.recorded(arrays, turn, attempt, self)
        finally:
            turn.over()

    def deliver(self, outputs: Sequence[Array]) -> tuple[OutputValue, ...]:
        """The outputs; when they are large together, those that are not small stay here."""
        if sum([x.nbytes for x in outputs]) <= _RESULT_BYTES:
            return tuple(outputs)
        small = self._limits.inline_bytes // len(outputs)
        return tuple(
            [x if x.nbytes <= small else self._engine.put(self.client_id, x) for x in outputs]
        )

    def withdraw(self, outputs: Sequence[OutputValue]) -> None:
        """Frees those that stayed, for a call that came to nothing."""
        kept = [x.handle for x in outputs if isinstance(x, BufferInfo)]
        self._engine.release_buffers(self.client_id, kept)

    def _at_length(self, prepared: Prepared, seq: int, acked: int, seconds: float) -> ExecuteReply:
        """Runs a call as Execute does."""
        call = ExecuteCall(
            handle=prepared.handle,
            inputs=prepared.inputs(),
            deliveries=prepared.deliveries,
            delivery=Delivery.AUTO,
            call_id=CallId(client_id=self.client_id, seq=seq, acked_through=acked),
            client_id=self.client_id,
            reply_bytes=self._room,
        )
        return self._engine.execute(call, Deadline(seconds))

    def _answer(self, prepared: Prepared, found: Found, seq: int) -> bytes:
        """The last frame of an answer; those before it are on their way."""
        if isinstance(found, tuple):
            outputs, met = found
            packed = None if met else self._packed(prepared, outputs, (), seq, 0)
            if packed is not None:
                return packed
            found = ExecuteReply(outputs=self.deliver(outputs), warnings=tuple(met))
        self.counts.commits += bool(found.versions) and not found.replayed
        arrays = [x for x in found.outputs if isinstance(x, np.ndarray)]
        others = len(arrays) < len(found.outputs)  # which may be discarded
        kept = others and any(isinstance(x, BufferInfo) for x in found.outputs)
        if not (kept or found.warnings or found.printed):
            flags = doorbell.REPLAYED if found.replayed else 0
            versions = [version for _, version in found.versions]
            packed = self._packed(prepared, arrays, versions, seq, flags)
            if packed is not None:
                return packed
        text = execute_answer(found, self._engine.incarnation).data
        return self._told(doorbell.RESPONSE, text, seq)

    def _packed(
        self,
        prepared: Prepared,
        arrays: Sequence[Array],
        versions: Sequence[int],
        seq: int,
        flags: int,
    ) -> bytes | None:
        """The frame of a result; None when there is no room for its arrays."""
        facts = [*versions]
        total = 0
        for array in arrays:
            facts += array.shape
            total += array.nbytes + _ALIGN
        head = prepared.facts.pack(*facts)
        if total > doorbell.INLINE_BYTES:
            if not self._written(arrays, total):
                return None
            flags |= doorbell.OUTSIDE
            return doorbell.ANSWER.pack(doorbell.RESULT, flags, len(head), seq) + head
        parts = [b"", head]
        pad = prepared.pad
        for array in arrays:
            data = array.tobytes()
            parts += (pad, data)
            pad = _PADS[-len(data) % _ALIGN]
        nbytes = sum([len(part) for part in parts])
        parts[0] = doorbell.ANSWER.pack(doorbell.RESULT, flags, nbytes, seq)
        return b"".join(parts)

    def _written(self, arrays: Sequence[Array], nbytes: int) -> bool:
        """Whether arrays could be copied into the region of answers.

        A call that has changed something is not to fail because there is none.
        """
        if nbytes > _RESULT_BYTES:
            return False
        try:
            memory = self._lending.room(nbytes)
        except LimitExceeded:
            return False
        places, _ = doorbell.placed([x.nbytes for x in arrays])
        for array, place in zip(arrays, places, strict=True):
            if array.size:
                np.copyto(np.ndarray(array.shape, array.dtype, memory, place), array)
        return True

    def _failure(self, error: Exception, seq: int) -> bytes:
        failure = failure_of(error, seq, self._log)
        return self._told(doorbell.FAILURE, failure.SerializeToString(), seq)

    def _told(self, kind: int, text: bytes, seq: int) -> bytes:
        """The last frame of a message; sends those before it, if it takes several."""
        size, start = doorbell.TEXT_BYTES, 0
        while len(text) - start > size:
            head = doorbell.ANSWER.pack(kind, doorbell.MORE, size, seq)
            self._send(head + text[start : start + size])
            start += size
        return doorbell.ANSWER.pack(kind, 0, len(text) - start, seq) + text[start:]

    def _send(self, frame: bytes) -> None:
        try:
            self._end.send(frame)
        except OSError as error:
            raise Gone from error

    # ---- everything else
    def _other(self, kind: int, number: int, nbytes: int, seq: int, acked: int) -> None:
        handle = self._handlers.get(kind)
        if handle is None:
            raise BrokenFrame(f"a frame of kind {kind}")
        start = doorbell.ASK.size
        text = bytes(self._frame[start : start + nbytes])
        try:
            answer = handle(number, text, seq, acked)
        except Gone:
            raise
        except Exception as error:
            answer = self._failure(error, seq)
        self._send(answer)

    def _prepare(self, number: int, text: bytes, seq: int, acked: int) -> bytes:
        del acked
        if number >= PREPARED:
            raise CallError(f"call {number} is prepared, numbers go up to {PREPARED - 1}")
        request = _parsed(wire.DoorbellCall(), text)
        deadline = Deadline(self._seconds)
        self._engine.function(request.handle, self.client_id, deadline)  # made again if need be
        lent = self._lending
        self._prepared.pop(number, None)
        self._prepared[number] = Prepared(
            request, self._engine, self._memory, lent.region, lent.private, self._limits
        )
        function = self._engine.function(request.handle)
        signature = function.info.signature
        ready = wire.DoorbellReady(
            outputs=[replies.tensor_type(x.type) for x in signature.outputs],
            updated=[variable.uuid for variable in function.written],
        )
        return self._told(doorbell.DONE, ready.SerializeToString(), seq)

    def _grow(self, number: int, text: bytes, seq: int, acked: int) -> bytes:
        """Makes the region that the client writes into, at least as large as it asks for."""
        del number, text, acked
        self._lending.grow(seq)
        # What was prepared for the region before it is gone with that.
        self._prepared = {k: v for k, v in self._prepared.items() if not v.outside}
        return self._told(doorbell.DONE, b"", seq)

    # ---- arrays in pieces
    def _put(self, number: int, text: bytes, seq: int, acked: int) -> bytes:
        del number, acked
        self._end_upload()
        asked = _parsed(wire.DoorbellArray(), text)
        uploads, most = self._engine.uploads, self._limits.tensor_bytes
        self._upload = Upload(asked, self.client_id, uploads, most)
        return self._told(doorbell.DONE, b"", seq)

    def _put_piece(self, number: int, text: bytes, seq: int, acked: int) -> bytes:
        del text
        region = self._lending.region
        if self._upload is None or region is None:
            raise CallError("no array is on its way here, or there is no region")
        try:
            self._upload.take(region, number, seq, acked)
        except LimitExceeded:
            self._end_upload()
            raise
        return self._told(doorbell.DONE, b"", seq)

    def _put_end(self, number: int, text: bytes, seq: int, acked: int) -> bytes:
        del number, text, acked
        if self._upload is None:
            raise CallError("no array is on its way here")
        try:
            text = replies.buffer_info(self._upload.keep()).SerializeToString()
        finally:
            self._end_upload()
        return self._told(doorbell.DONE, text, seq)

    def _end_upload(self) -> None:
        """Gives back what has arrived of an array, if there is one on its way here."""
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.close()

    def _get(self, number: int, text: bytes, seq: int, acked: int) -> bytes:
        del number, acked
        self._download = None
        handle = _parsed(wire.DoorbellArray(), text).handle
        self._download = Download(self._engine.get(self.client_id, handle))
        self._lending.room(2 * doorbell.PIECE_BYTES)
        return self._told(doorbell.DONE, self._download.header.SerializeToString(), seq)

    def _get_piece(self, number: int, text: bytes, seq: int, acked: int) -> bytes:
        del text
        region = self._lending.answers
        if self._download is None or region is None:
            raise CallError("no array is on its way to the client")
        self._download.give(region, number, seq, acked)
        return self._told(doorbell.DONE, b"", seq)

    def _get_end(self, number: int, text: bytes, seq: int, acked: int) -> bytes:
        del number, text, acked
        self._download = None
        return self._told(doorbell.DONE, b"", seq)


def _misfit(number: int, prepared: Prepared | None) -> CallError:
    if prepared is None:
        return CallError(f"call {number} is not prepared", hint="prepare it on this connection")
    return CallError(f"call {number} takes {prepared.nbytes} bytes after the head of its frame")


def _parsed(message: Any, text: bytes) -> Any:
    try:
        message.ParseFromString(text)
    except Exception:  # protobuf's error class differs between its implementations
        raise CallError("the frame holds no valid message") from None
    return message
