"""Streaming: the calls of one client over one session with its server.

Invariant: calls are sent in the order of their numbers and answered in it; what was sent and not
answered when the stream broke is sent again under the same numbers, so nothing happens twice.
"""

from __future__ import annotations

import struct
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

import grpc

import exprd_proto as wire
from exprd.calls import CallIds
from exprd.connection import Connection
from exprd.futures import Future
from exprd.statuses import error_of, error_of_detail
from exprd.transport import InputValue
from exprd_compiler.errors import ConnectionLost, ExprdError, UnknownHandle
from exprd_proto import framing

__all__ = ["CallStream", "Request"]

_QUEUED: Final = 4096  # calls beyond this wait in `submit`
_IDLE_SECONDS: Final = 5.0
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_CALLS: Final = framing.key(2, 2)
_SECONDS: Final = framing.key(4, 1)
_DOUBLE: Final = struct.Struct("<d")
_NUMBER: Final = framing.key(4, 2)  # call_id of a call
_SEQ: Final = framing.key(2, 0)  # of a call_id
_PART: Final = 4  # of the window that is free when a frame is sent before all others are answered
_FIRST_WINDOW: Final = (1, 1 << 20)
_METHOD: Final = "/exprd.v1.ExecutorService/Session"


class Request(NamedTuple):
    """A call as it is asked for.

    Attributes:
        data: its ExecuteRequest, without call_id and incarnation.
        handle: of the function.
        inputs: as they are sent; references to buffers among them.
        epoch: how many restarts the client knew of.
        incarnation: the server that it is meant for.
    """

    data: bytes
    handle: str
    inputs: Sequence[InputValue]
    epoch: int
    incarnation: str


@dataclass(slots=True, eq=False)
class _Call:
    """One call: its request, ready to be framed, what it may take, where the answer goes."""

    seq: int
    asked: Request
    data: bytes
    seconds: float
    future: Future[Any]
    begun: bool = False


class _Answers(NamedTuple):
    """What has come in one frame.

    Attributes:
        rest: calls that are still to be settled, and their outcomes, the last first.
        seqs: the numbers of all that were answered.
    """

    rest: list[tuple[_Call, wire.CallOutcome]]
    seqs: Sequence[int]


class CallStream:
    """The session of one client. Opened by the first call, ended after a time without any.

    Thread safe.
    """

    def __init__(
        self,
        connection: Connection,
        ids: CallIds,
        count: Callable[[int, int], None],
        noted: Callable[[wire.ExecuteResponse], None],
        noted_now: Callable[[wire.ExecuteResponse], bool],
        again: Callable[[Request, int], wire.ExecuteResponse],
    ) -> None:
        self._connection = connection
        self._ids = ids
        self._count = count
        self._noted = noted
        self._noted_now = noted_now
        self._again = again
        self._lock = threading.Lock()  # entered faster than a condition
        self._changed = threading.Condition(self._lock)
        self._queued: deque[_Call] = deque()
        self._sent: OrderedDict[int, _Call] = OrderedDict()
        self._sent_bytes = 0
        self._window = _FIRST_WINDOW  # until the server tells
        self._settling = False  # answers have come that their futures do not have yet
        self._healing = False  # what was sent is made again; until that is done nothing is sent
        self._unwanted: set[int] = set()  # numbers of calls that were sent and are to be stopped
        self._turn = 0  # of the stream that is open; older ones have no say
        self._progress = False  # whether this stream has answered anything
        self._runs = False
        self._kept = 0
        self._draining = 0  # threads in `drain`
        self._closed = False
        self._stops = self.stop  # one for all futures

    # ---- for callers
    def submit(self, request: Request, future: Future[Any]) -> int:
        """Queues a call; its number. The future gets the ExecuteResponse, or the error.

        Raises:
            ConnectionLost: the client is closed.
        """
        seconds = self._connection.rider.seconds()  # those of the caller's block, not of our thread
        with self._lock:
            while len(self._queued) >= _QUEUED and not self._closed:
                self._changed.wait()
            if self._closed:
                raise self._is_closed()
            seq = self._ids.open()
            number = _SEQ + framing.varint(seq)
            tail = _NUMBER + framing.varint(len(number)) + number + _named(request.incarnation)
            future.stopped_by(self._stops, seq)
            self._queued.append(_Call(seq, request, request.data + tail, seconds, future))
            if len(self._queued) == 1:
                self._changed.notify_all()
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._run, name="exprd-session", daemon=True).start()
            return seq

    def stop(self, seq: int) -> None:
        """Has the server asked to stop a call that was sent; its answer tells what came of it."""
        with self._changed:
            if seq not in self._ids:
                return
            self._unwanted.add(seq)
        self._connection.ask_to_stop((seq,))

    def keep(self, change: int) -> None:
        """Counts those who want the stream to stay open although it is idle."""
        with self._changed:
            self._kept += change
            self._changed.notify_all()

    def drain(self) -> None:
        """Returns when everything submitted so far is answered."""
        with self._changed:
            self._draining += 1
            self._changed.wait_for(lambda: not (self._queued or self._sent or self._settling))
            self._draining -= 1

    def close(self) -> None:
        """Ends the stream; what was not answered fails."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._fail(self._is_closed())

    def _is_closed(self) -> ConnectionLost:
        return ConnectionLost(f"the connection to {self._connection.target} is closed")

    # ---- the thread of the stream
    def _run(self) -> None:
        pause, since = _FIRST_PAUSE, None
        while self._goes_on():
            error = self._stream()
            if error is None:
                pause, since = _FIRST_PAUSE, None
                continue
            now = time.monotonic()
            since = now if since is None or self._progress else since
            patience = min(self._connection.rider.patience(), self._connection.rider.seconds())
            if not _may_pass(error) or now + pause - since > patience:
                self._fail(error)
                pause, since = _FIRST_PAUSE, None
                continue
            with self._changed:
                self._changed.wait_for(lambda: self._closed, pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _goes_on(self) -> bool:
        """Whether there is something to send; else this thread is done."""
        with self._changed:
            if not self._closed and (self._queued or self._sent):
                return True
            self._runs = False
            return False

    def _stream(self) -> ExprdError | None:
        """Serves one stream to its end; the error that ended it, if one did."""
        with self._changed:
            self._turn += 1
            turn = self._turn
            self._queued.extendleft(reversed(self._sent.values()))
            self._sent.clear()
            self._sent_bytes, self._window = 0, _FIRST_WINDOW
            self._healing = False
        self._progress = False
        try:
            for answers in self._opened(turn):
                self._take(answers)
        except grpc.RpcError as failure:
            return error_of(failure, self._connection.target)
        except ValueError:  # what grpc raises on a closed channel
            return self._is_closed()
        finally:
            with self._changed:
                self._turn += 1
                self._changed.notify_all()
        with self._changed:
            if not self._sent:
                return None
        return ConnectionLost(f"{self._connection.target} has ended the session")

    def _opened(self, turn: int) -> Iterator[_Answers]:
        """What comes on a new stream."""
        channel: Any = self._connection.channel  # whose stubs leave messages open
        read = partial(self._read, turn)
        opened = channel.stream_stream(_METHOD, None, response_deserializer=read)
        answers: Iterator[_Answers] = opened(self._frames(turn))
        return answers

    def _frames(self, turn: int) -> Iterator[bytes]:
        """The messages of one stream; asked for by gRPC as fast as it can send."""
        yield framing.text_field(1, self._connection.client_id)
        while True:
            with self._changed:
                while turn == self._turn and not self._can_send():
                    if not self._changed.wait(_IDLE_SECONDS) and self._is_idle():
                        return
                if turn != self._turn or self._closed:
                    return
                calls = self._next_calls()
            if calls:
                yield self._frame(calls)
                self._stop_again(calls)
            del calls  # with the results that come: this waits for the next while they are used

    def _can_send(self) -> bool:
        if self._closed:
            return True
        if self._healing:
            return False
        if not self._sent:
            return bool(self._queued)
        calls, nbytes = self._window
        # All that waits, or a good part of the window: else each answer would make room for a
        # frame of its size, and the frames became smaller and smaller (RFC 1122, 4.2.3.4).
        wanted = min(len(self._queued), max(1, calls // _PART))
        return wanted > 0 and calls - len(self._sent) >= wanted and self._sent_bytes < nbytes

    def _is_idle(self) -> bool:
        return not (self._queued or self._sent or self._kept)

    def _next_calls(self) -> list[_Call]:
        """What goes into the next frame: as much as the window admits, of one deadline."""
        calls: list[_Call] = []
        queued, sent = self._queued, self._sent
        full = len(queued) >= _QUEUED
        gone: list[int] = []
        most, nbytes = self._window
        while queued and len(sent) < most and (self._sent_bytes < nbytes or not sent):
            if calls and queued[0].seconds != calls[0].seconds:
                break
            call = queued.popleft()
            if not call.begun and not call.future.set_running_or_notify_cancel():
                gone.append(call.seq)
                continue
            call.begun = True
            sent[call.seq] = call
            self._sent_bytes += len(call.data)
            calls.append(call)
        if gone:
            self._ids.close(gone)
        if full or gone:
            self._changed.notify_all()
        return calls

    def _stop_again(self, calls: Sequence[_Call]) -> None:
        """Repeats the wish to stop calls that were sent again: another server has not heard it."""
        if not self._unwanted:
            return
        if again := [call.seq for call in calls if call.seq in self._unwanted]:
            self._connection.ask_to_stop(again)

    def _frame(self, calls: Sequence[_Call]) -> bytes:
        parts: list[framing.Part] = []
        for call in calls:
            parts += (_CALLS, framing.varint(len(call.data)), call.data)
        parts.append(framing.number_field(3, self._ids.acked()))
        parts.append(_SECONDS + _DOUBLE.pack(calls[0].seconds))
        frame = framing.joined(parts)
        self._count(len(frame), 0)
        return frame

    def _read(self, turn: int, data: bytes) -> _Answers:
        """A frame of answers, whose calls are settled as far as that needs nobody else.

        gRPC asks for this on the thread that reads from the server, so whoever waits for a result
        is woken by that thread, and not by ours after it.
        """
        response = wire.SessionResponse.FromString(data)
        self._count(0, len(data))
        rest = self._claimed(turn, response)
        if rest is None:
            return _Answers([], ())
        seqs = [call.seq for call, _ in rest]
        # taken off, so that nothing of them is left here when others are told
        while rest and self._settled(rest):
            pass
        if not rest:
            self._ended(seqs)
        return _Answers(rest, seqs)

    def _claimed(
        self, turn: int, response: wire.SessionResponse
    ) -> list[tuple[_Call, wire.CallOutcome]] | None:
        """The calls of a frame of answers, the last first; nobody else settles them now.

        None when another stream is open by now, which brings these answers again.
        """
        found: list[tuple[_Call, wire.CallOutcome]] = []
        with self._changed:
            if turn != self._turn:
                return None
            self._progress = True
            if response.HasField("window"):
                self._window = (response.window.calls, response.window.bytes)
            for outcome in response.outcomes[:]:
                call = self._sent.pop(outcome.seq, None)
                if call is not None:
                    self._sent_bytes -= len(call.data)
                    found.append((call, outcome))
            self._settling = bool(found)
        found.reverse()
        return found

    def _settled(self, rest: list[tuple[_Call, wire.CallOutcome]]) -> bool:
        """Whether the next call was settled, which is taken off then: nothing had to wait."""
        call, outcome = rest.pop()
        if not outcome.HasField("failure"):
            response = outcome.response
            noted = not response.versions or self._noted_now(response)
            if noted and call.future.settle(response):
                return True
        rest.append((call, outcome))
        return False

    def _take(self, answers: _Answers) -> None:
        """Hands over what is left of the answers of a frame."""
        rest = answers.rest
        if rest:
            while rest:
                self._settle(*rest.pop())
            self._ended(answers.seqs)

    def _ended(self, seqs: Sequence[int]) -> None:
        """Notes that all answers of a frame have been handed over."""
        self._ids.close(seqs)
        with self._changed:
            if self._unwanted:
                self._unwanted.difference_update(seqs)
            self._settling = False
            self._healing = self._healing and bool(self._sent)
            if self._draining or self._can_send():  # else nobody waits for this
                self._changed.notify_all()

    def _settle(self, call: _Call, outcome: wire.CallOutcome) -> None:
        if not outcome.HasField("failure"):
            response = outcome.response
            if response.versions:
                self._noted(response)
            call.future.set_result(response)
            return
        error = error_of_detail(outcome.failure.detail)
        if not isinstance(error, UnknownHandle):
            call.future.fail(error)
            return
        # All that is on its way meets the same; made again one by one, it keeps its order.
        with self._changed:
            self._healing = True
        self._stop_again((call,))
        try:
            call.future.set_result(self._again(call.asked, call.seq))
        except ExprdError as last:
            call.future.fail(last)

    def _fail(self, error: ExprdError) -> None:
        """Ends everything that waits with an error."""
        with self._changed:
            calls = [*self._sent.values(), *self._queued]
            self._sent.clear()
            self._queued.clear()
            self._sent_bytes = 0
            self._unwanted.clear()
            self._changed.notify_all()
        self._ids.close([call.seq for call in calls])
        for call in calls:
            if call.begun or call.future.set_running_or_notify_cancel():
                call.future.fail(_copy_of(error))


@lru_cache(maxsize=16)
def _named(incarnation: str) -> bytes:
    return framing.text_field(32, incarnation)


def _may_pass(error: ExprdError) -> bool:
    return isinstance(error, ConnectionLost) or "retry_after_ms" in error.fields


def _copy_of(error: ExprdError) -> ExprdError:
    """An error of its own for each call, since what a client adds to it differs."""
    return type(error)(
        error.message, op=error.op, nodes=error.nodes, hint=error.hint, fields=error.fields
    )
