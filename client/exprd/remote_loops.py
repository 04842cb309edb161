"""Loops over gRPC: submitted calls, batches, repetitions."""

from __future__ import annotations

import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, Final, Protocol, TypeVar

import grpc

import exprd_proto as wire
from exprd.calls import CallIds
from exprd.connection import Connection, are_large, written_inputs
from exprd.futures import Future
from exprd.gathering import Gathering, item_error
from exprd.healing import Healer, Needs
from exprd.looping import Given, RepeatJob, kept_of
from exprd.streaming import CallStream, Request
from exprd.transport import Array, BufferRef, InputValue, OutputValue, RemoteBuffer
from exprd_compiler.errors import DeadlineExceeded, ExprdError, UnknownHandle
from exprd_proto import framing
from exprd_proto.arrays import array_from_wire
from exprd_proto.features import COMMIT_ONCE

__all__ = ["Line", "RemoteLoops"]

_BATCH_ITEMS: Final = 512
_BATCH_BYTES: Final = 16 << 20
_ANSWER_SECONDS: Final = 5.0  # after its deadline, a call has been stopped or the server is gone
_BATCH: Final = "/exprd.v1.ExecutorService/ExecuteBatch"
_REPEAT: Final = "/exprd.v1.ExecutorService/Repeat"

T = TypeVar("T")
R = TypeVar("R", covariant=True)


class Pending(Protocol[R]):
    """An answer that is to come."""

    def result(self) -> R:
        """It, when it is there."""
        ...

    def cancel(self) -> object:
        """Breaks the call off, if it still runs."""
        ...


class Method(Protocol[R]):
    """A unary method whose requests are bytes already."""

    def __call__(self, request: bytes, /, *, timeout: float) -> R:
        """The answer."""
        ...

    def future(self, request: bytes, /, *, timeout: float) -> Pending[R]:
        """The answer that is to come."""
        ...


class Parts(Protocol):
    """The messages of a repetition as they come."""

    def __iter__(self) -> Iterator[wire.RepeatResponse]: ...

    def cancel(self) -> object:
        """Breaks the stream off."""
        ...


class Line(Protocol):
    """What a transport lends to its loops."""

    @property
    def ids(self) -> CallIds:
        """The numbers of this client's calls."""
        ...

    @property
    def healer(self) -> Healer:
        """The memory of what a restarted server is to be given again."""
        ...

    @property
    def loops(self) -> RemoteLoops:
        """The loops themselves."""
        ...

    def healed(self, needs: Needs, attempt: Callable[[], T]) -> T:
        """The answer of a call, over outages and restarts."""
        ...

    def sending(self, values: Sequence[InputValue]) -> AbstractContextManager[Sequence[InputValue]]:
        """The values as they are sent: the large ones are uploaded for the time of the context."""
        ...

    def given(self, response: wire.ExecuteResponse, *, keep: bool) -> Given:
        """What an answer holds."""
        ...

    def count(self, sent: int, received: int) -> None:
        """Notes what has travelled."""
        ...


class RemoteLoops:
    """The loops of one client of a server. Thread safe."""

    def __init__(self, line: Line, connection: Connection) -> None:
        self._line = line
        self._connection = connection
        channel = connection.channel
        self._batch: Method[wire.ExecuteBatchResponse] = channel.unary_unary(
            _BATCH, None, response_deserializer=wire.ExecuteBatchResponse.FromString
        )
        self._repeat: Callable[..., Any] = channel.unary_stream(
            _REPEAT, None, response_deserializer=wire.RepeatResponse.FromString
        )
        self._stream = CallStream(
            connection, line.ids, line.count, self._noted, self._noted_now, self._again
        )
        self._gives = (self._give, self._give_kept)  # one of each for all futures
        self._lock = threading.Lock()
        self.entered = 0

    def enter(self) -> None:
        """From now on, single calls go over the session."""
        with self._lock:
            self.entered += 1
        self._stream.keep(1)

    def leave(self) -> None:
        """Waits until everything submitted is answered, and ends what `enter` began."""
        with self._lock:
            self.entered -= 1
        self._stream.drain()
        self._stream.keep(-1)

    def close(self) -> None:
        """Ends the session; what was not answered fails."""
        self._stream.close()

    # ---- submitted calls
    def submit(
        self,
        handle: str,
        inputs: Sequence[InputValue],
        outputs: int,
        future: Future[Any],
        *,
        keep: bool = False,
    ) -> None:
        """Sends a call after those submitted before; the future gets its outputs and events."""
        self._submit(handle, inputs, _kept(outputs) if keep else (), future)

    def call(self, handle: str, inputs: Sequence[InputValue], deliveries: Sequence[int]) -> Given:
        """The outputs and events of a call that goes the way of those submitted."""
        future: Future[Given] = Future()
        seq = self._submit(handle, inputs, deliveries, future)
        try:
            return future.result(self._connection.rider.seconds() + _ANSWER_SECONDS)
        except KeyboardInterrupt:
            self._connection.stop(seq)
            raise
        except concurrent.futures.TimeoutError:
            self._connection.stop(seq)
            raise DeadlineExceeded("no answer came within the time of the call") from None

    def _submit(
        self,
        handle: str,
        inputs: Sequence[InputValue],
        deliveries: Sequence[int],
        future: Future[Any],
    ) -> int:
        sent = self._uploaded(inputs, future) if are_large(inputs) else inputs
        parts = [_head(handle), *written_inputs(2, sent)]
        if deliveries:
            parts.append(framing.field(3, bytes(deliveries)))
        future.before(self._gives[bool(deliveries)])
        healer = self._line.healer
        request = Request(
            data=framing.joined(parts),
            handle=handle,
            inputs=sent,
            epoch=healer.epoch,
            incarnation=healer.incarnation,
        )
        return self._stream.submit(request, future)

    def _uploaded(self, inputs: Sequence[InputValue], future: Future[Any]) -> Sequence[InputValue]:
        """The inputs with the large ones uploaded, which are kept until there is an answer."""
        closing = contextlib.ExitStack()
        sent = closing.enter_context(self._line.sending(inputs))
        future.add_done_callback(lambda _: closing.close())
        return sent

    def _give(self, reply: wire.ExecuteResponse) -> Given:
        return self._line.given(reply, keep=False)

    def _give_kept(self, reply: wire.ExecuteResponse) -> Given:
        return self._line.given(reply, keep=True)

    def _noted(self, reply: wire.ExecuteResponse) -> None:
        if reply.versions:
            seen = [(v.uuid, v.version) for v in reply.versions]
            self._line.healer.saw_aside(seen, reply.incarnation)

    def _noted_now(self, reply: wire.ExecuteResponse) -> bool:
        seen = [(v.uuid, v.version) for v in reply.versions]
        return self._line.healer.saw_now(seen, reply.incarnation)

    def _again(self, request: Request, seq: int) -> wire.ExecuteResponse:
        """The answer of a call that a restarted server has refused, made again on its own."""
        healer, connection = self._line.healer, self._connection
        number = framing.text_field(1, connection.client_id) + framing.number_field(2, seq)

        def attempt() -> wire.ExecuteResponse:
            named = framing.text_field(32, healer.incarnation)
            data = framing.joined((request.data, framing.field(4, number), named))
            return connection.rider.call(lambda left: connection.execute(data, left))

        reply = healer.call(_needs(request.handle, request.inputs), attempt, request.epoch)
        self._noted(reply)
        return reply

    # ---- batches
    def batch(
        self,
        handle: str,
        items: Sequence[Sequence[InputValue]],
        outputs: int,
        *,
        keep: bool = False,
    ) -> Sequence[Given]:
        """Runs a function over several lists of inputs, with as few messages as they fit into."""
        gathering = Gathering(self._line.given, self._noted, keep=keep)
        deliveries = _kept(outputs) if keep else ()
        done = 0
        try:
            while done < len(items):
                part = items[done : done + max(1, _fitting(items, done))]
                outcomes = self._part(handle, part, deliveries, done, gathering)
                done += len(outcomes)
                gathering.add(outcomes)
                if outcomes[-1].HasField("failure"):
                    break
            return gathering.finish()
        except ExprdError:
            if kept := kept_of(gathering.found):
                self._connection.free(kept)
            raise

    def _part(
        self,
        handle: str,
        items: Sequence[Sequence[InputValue]],
        deliveries: Sequence[int],
        start: int,
        gathering: Gathering,
    ) -> Sequence[wire.CallOutcome]:
        """What some items give, as many as one answer has; meanwhile those before are read."""
        line, connection = self._line, self._connection
        with contextlib.ExitStack() as stack:
            if any(map(are_large, items)):
                items = [stack.enter_context(line.sending(item)) for item in items]
            parts: list[framing.Part] = [_head(handle)]
            if deliveries:
                parts.append(framing.field(3, bytes(deliveries)))
            parts += [framing.field(2, framing.joined(written_inputs(1, item))) for item in items]
            call_id = stack.enter_context(line.ids.calls(len(items)))
            number = framing.field(4, call_id.SerializeToString())

            def attempt() -> wire.ExecuteBatchResponse:
                named = framing.text_field(16, line.healer.incarnation)
                data = framing.joined((*parts, number, named))
                reply = connection.rider.call(lambda left: self._asked(data, left, gathering))
                line.count(len(data), reply.ByteSize())
                last = reply.outcomes[-1]
                if last.failure.detail.kind == UnknownHandle.__name__:
                    raise item_error(last, start + len(reply.outcomes) - 1)
                return reply

            needs = _needs(handle, [value for item in items for value in item])
            try:
                return line.healed(needs, attempt).outcomes
            except KeyboardInterrupt:
                connection.stop(*range(call_id.seq, call_id.seq + len(items)))
                raise

    def _asked(
        self, data: bytes, timeout: float, gathering: Gathering
    ) -> wire.ExecuteBatchResponse:
        """The answer to a batch; while it is made, what was answered before is gathered."""
        if not gathering.waits:
            return self._batch(data, timeout=timeout)
        asked = self._batch.future(data, timeout=timeout)
        try:
            gathering.gather()
            return asked.result()
        except BaseException:
            asked.cancel()
            raise

    # ---- repetitions
    def repeat(
        self, handle: str, inputs: Sequence[InputValue], outputs: int, job: RepeatJob
    ) -> Given:
        """Runs a function several times there; a lost connection does not undo or double a step."""
        line = self._line
        if job.once:
            self._connection.need(COMMIT_ONCE, 'repeat(commit="once")')
        with line.sending(inputs) as sent, line.ids.call() as call_id:
            facts, told = _facts(job, outputs), _Told(job)
            number = framing.field(4, call_id.SerializeToString())
            call = [framing.text_field(1, handle), *written_inputs(2, sent), number]
            if job.kept:
                call.append(framing.field(3, bytes(_kept(outputs))))

            def attempt() -> wire.ExecuteResponse:
                named = framing.text_field(32, line.healer.incarnation)
                data = facts + framing.field(1, framing.joined((*call, named)))
                return self._connection.rider.call(lambda left: self._followed(data, told, left))

            try:
                reply = line.healed(_needs(handle, sent), attempt)
            except KeyboardInterrupt:
                self._connection.stop(call_id.seq)
                raise
            except _ToldBadlyError as error:
                raise error.error from None
        self._noted(reply)
        given = line.given(reply, keep=job.kept)
        try:
            told.end(given[0], self._connection.download)
        except BaseException:
            self._connection.free(kept_of([given]))
            raise
        return given

    def _followed(self, data: bytes, told: _Told, timeout: float) -> wire.ExecuteResponse:
        """The answer at the end of a repetition; progress is told on the way."""
        self._line.count(len(data), 0)
        parts: Parts = self._repeat(data, timeout=timeout)
        try:
            for part in parts:
                self._line.count(0, part.ByteSize())
                if part.HasField("result"):
                    told.done = part.result.steps
                    return part.result.response
                told.progress(part.progress)
        finally:
            parts.cancel()  # says nothing when it has ended
        raise _Unfinished


class _ToldBadlyError(Exception):
    """What a function raised that was told of progress: no error of the call."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class _Told:
    """What was told of the progress of a repetition, over all attempts.

    Attributes:
        done: how many steps it had; known at its end.
    """

    __slots__ = ("_job", "_last", "done")

    def __init__(self, job: RepeatJob) -> None:
        self._job = job
        self._last = 0
        self.done = 0

    def progress(self, progress: wire.RepeatProgress) -> None:
        """Tells what has come; an error of whoever is told is none of the call."""
        tell = self._job.tell
        if tell is None:
            return
        self._last = progress.step
        values = [array_from_wire(value) for value in progress.values]
        try:
            tell(progress.step, values)
        except Exception as error:
            raise _ToldBadlyError(error) from error

    def end(self, outputs: Sequence[OutputValue], fetch: Callable[[str], Array]) -> None:
        """Tells of the last step, if that was lost with the connection that had its result."""
        job = self._job
        if job.tell is None or not job.every or self._last >= self.done:
            return
        values = [fetch(x.handle) if isinstance(x, RemoteBuffer) else x for x in outputs]
        job.tell(self.done, [x[-1, ...] for x in values] if job.stacked else values)


class _Unfinished(grpc.RpcError):
    """A stream that ended well and without its last message; to be asked again."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return "the stream ended before the repetition did"

    def trailing_metadata(self) -> tuple[()]:
        return ()


@lru_cache(maxsize=1024)
def _head(handle: str) -> bytes:
    return framing.text_field(1, handle)


def _facts(job: RepeatJob, outputs: int) -> bytes:
    """A request to repeat, without the call that is to be."""
    request = wire.RepeatRequest(
        steps=job.steps,
        until=job.until,
        every=job.every,
        watched=range(outputs) if job.every else (),
        stacked=job.stacked,
        commit_once=job.once,
    )
    return request.SerializeToString()


def _kept(outputs: int) -> list[int]:
    return [wire.Delivery.DELIVERY_KEEP] * outputs


def _needs(handle: str, values: Sequence[InputValue]) -> Needs:
    names = tuple([x.handle for x in values if isinstance(x, BufferRef)])
    return Needs(functions=(handle,), buffers=names)


def _fitting(items: Sequence[Sequence[InputValue]], start: int) -> int:
    """How many items from `start` on fit into one message."""
    total = count = 0
    for item in items[start : start + _BATCH_ITEMS]:
        total += sum(0 if isinstance(x, BufferRef) else x.nbytes for x in item)
        if total > _BATCH_BYTES:
            break
        count += 1
    return count
