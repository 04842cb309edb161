"""Calling: one function of a server, over gRPC.

What a call consists of is written once for a function; each call adds its arrays and its number.
An attempt that succeeds is a straight line. One that fails is repeated as `Rider` and `Healer` say,
the failure being their first.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

import grpc

import exprd_proto as wire
from exprd.connection import Connection, are_large, written_inputs
from exprd.healing import Needs
from exprd.looping import Given
from exprd.remote_loops import Line
from exprd.transport import BufferRef, Expected, InputValue
from exprd_compiler.errors import ConnectionLost, UnknownHandle
from exprd_proto import framing

__all__ = ["Caller"]

_CALL_ID: Final = framing.key(4, 2)  # of a request
_SEQ: Final = framing.key(2, 0)  # of a call id
_ACKED: Final = framing.key(3, 0)

_Failure: TypeAlias = "grpc.RpcError | ValueError"  # the latter is that of a closed channel


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ask:
    """A call that was begun.

    Attributes:
        head: its request without inputs and incarnation.
        inputs: in order.
        keep: whether the outputs stay on the server.
        seq: its number.
        epoch: how many restarts the client knew of at its beginning.
        begun: when that was, by `time.monotonic`.
    """

    head: bytes
    inputs: Sequence[InputValue]
    keep: bool
    seq: int
    epoch: int
    begun: float


class Caller:
    """A function to be called. Thread safe.

    Args:
        line: the client's transport.
        connection: its gRPC connection.
        handle: of the function.
        outputs: how many it has.
    """

    __slots__ = ("_connection", "_handle", "_heads", "_kept", "_line", "_me")

    def __init__(self, line: Line, connection: Connection, handle: str, outputs: int) -> None:
        self._line = line
        self._connection = connection
        self._handle = handle
        self._kept = (wire.Delivery.DELIVERY_KEEP,) * outputs
        plain = framing.text_field(1, handle)
        self._heads = (plain, plain + framing.field(3, bytes(self._kept)))
        self._me = framing.text_field(1, connection.client_id)

    def __call__(self, inputs: Sequence[InputValue], keep: bool, expected: Expected = ()) -> Given:
        """The outputs, which with `keep` stay where they are, and the events that were met."""
        line = self._line
        if line.loops.entered and not expected:
            return line.loops.call(self._handle, inputs, self._kept if keep else ())
        seq, acked = line.ids.take()
        try:
            number = self._me + _SEQ + framing.varint(seq) + _ACKED + framing.varint(acked)
            head = self._heads[keep] + _CALL_ID + framing.varint(len(number)) + number
            if expected:
                head += _expectations(expected)
            return self._first(head, inputs, seq, keep=keep)
        finally:
            line.ids.close((seq,))

    def _first(self, head: bytes, inputs: Sequence[InputValue], seq: int, *, keep: bool) -> Given:
        """The outcome of the first attempt, if it has one; else of those after it."""
        line, connection = self._line, self._connection
        healer = line.healer
        epoch, begun = healer.begin(), time.monotonic()

        def again(failure: _Failure | None) -> Given:
            ask = _Ask(head=head, inputs=inputs, keep=keep, seq=seq, epoch=epoch, begun=begun)
            return self._repeated(ask, failure)

        if are_large(inputs):
            return again(None)
        data = framing.joined((head, *written_inputs(2, inputs), _tail(healer.incarnation)))
        try:
            reply = connection.execute(data, connection.rider.left())
        except KeyboardInterrupt:
            connection.stop(seq)
            raise
        except (grpc.RpcError, ValueError) as failure:
            return again(failure)
        line.count(len(data), reply.ByteSize())
        healer.saw_reply(reply)
        try:
            return line.given(reply, keep=keep)
        except UnknownHandle:  # of a result that was lost before it was fetched
            return again(None)

    def _repeated(self, ask: _Ask, failure: _Failure | None) -> Given:
        """The outcome over outages and restarts, the first attempt having failed or not begun."""
        rider, healer = self._connection.rider, self._line.healer
        names = tuple([x.handle for x in ask.inputs if isinstance(x, BufferRef)])
        needs = Needs(functions=(self._handle,), buffers=names)
        failures = [] if failure is None else [failure]
        # one for all attempts, so that what is uploaded again has its handle again
        sending = self._line.sending(ask.inputs)

        def attempt() -> Given:
            return self._attempt(ask, sending, failures)

        try:
            return rider.bounded(lambda: healer.call(needs, attempt, ask.epoch), ask.begun)
        except KeyboardInterrupt:
            self._connection.stop(ask.seq)
            raise
        except ConnectionLost as error:
            error.add_note("the server may have done this call before the connection was lost")
            raise

    def _attempt(
        self,
        ask: _Ask,
        sending: AbstractContextManager[Sequence[InputValue]],
        failures: list[_Failure],
    ) -> Given:
        """One attempt: what is too large for the message goes first, what is for an answer last."""
        line, connection = self._line, self._connection

        def execute(left: float) -> wire.ExecuteResponse:
            if failures:
                raise failures.pop()
            return connection.execute(data, left)

        with sending as sources:
            tail = _tail(line.healer.incarnation)
            data = framing.joined((ask.head, *written_inputs(2, sources), tail))
            reply = connection.rider.call(execute)
        line.count(len(data), reply.ByteSize())
        line.healer.saw_reply(reply)
        return line.given(reply, keep=ask.keep)


def _expectations(expected: Expected) -> bytes:
    return b"".join(
        framing.field(5, framing.text_field(1, uuid) + framing.number_field(2, version))
        for uuid, version in expected
    )


@lru_cache(maxsize=16)
def _tail(incarnation: str) -> bytes:
    return framing.text_field(32, incarnation)
