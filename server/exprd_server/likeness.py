"""Likeness: calls of a session that differ from one before in their values and number alone.

Most calls do. To see that is a comparison of bytes, while to read a call out of its message takes
several times as long. Invariant: what is read here is what protobuf reads; whatever differs from
what is known by a single byte is left to it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

import exprd_proto as wire
from exprd_proto import framing
from exprd_server import requests
from exprd_server.decode import malformed
from exprd_server.values import CallId, ExecuteCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from exprd_server.settings import Limits

    # the number of a call, and the call or what reads it, which may find that it makes no sense
    Read = tuple[int, ExecuteCall | Callable[[], ExecuteCall]]

_KNOWN: Final = 64  # functions of one session whose calls are known
_LARGE: Final = 1 << 16  # above this the way of the bytes costs more than all else
_CALL_ID, _SEQ = framing.key(4, 2)[0], framing.key(2, 0)[0]
_METHOD: Final = "/exprd.v1.ExecutorService/Session"


class Likeness:
    """How the calls of one function lie in their bytes: arrays of some forms, then the number.

    Args:
        call: one of them, which has no wishes of its own.
        inputs: its inputs, which are arrays.
    """

    __slots__ = ("_call", "_fixed", "_inputs", "_room", "_tail")

    def __init__(self, call: ExecuteCall, inputs: tuple[NDArray[Any], ...]) -> None:
        self._call = call._replace(inputs=(), call_id=None)
        head = framing.text_field(1, call.handle)
        parts: list[tuple[bytes, np.dtype[Any], tuple[int, ...], int]] = []
        for value in inputs:
            head += framing.array_input(2, value)[0]
            parts.append((head, value.dtype, value.shape, value.nbytes))
            head = b""
        self._inputs = tuple(parts)
        self._fixed = head  # of a call without inputs
        self._tail = framing.text_field(32, call.expected_incarnation)
        self._room = sum(len(head) + nbytes for head, _, _, nbytes in parts) + len(head)

    def read(self, data: bytes, client_id: str, acked: int) -> ExecuteCall | None:
        """The call in these bytes; None when they look different.

        Args:
            data: an ExecuteRequest.
            client_id: whose call it is.
            acked: up to which number its caller has all answers.
        """
        at, tail = self._room, self._tail
        size = len(data) - at - len(tail) - 2
        # what holds the number: its key, its length, and in it the number alone
        if not 2 <= size <= 11 or data[at] != _CALL_ID or data[at + 1] != size:
            return None
        seq = _number(data[at + 2 : at + 2 + size])
        if seq is None or not data.endswith(tail) or not data.startswith(self._fixed):
            return None
        inputs: list[NDArray[Any]] = []
        at = 0
        for head, dtype, shape, nbytes in self._inputs:
            if not data.startswith(head, at):
                return None
            start = at + len(head)
            at = start + nbytes
            # a copy, so that it lies where an array may
            inputs.append(np.ndarray(shape, dtype, data[start:at]))
        handle, _, deliveries, delivery, _, _, expected, room, incarnation = self._call
        number = CallId(client_id, seq, acked)
        return ExecuteCall(
            handle,
            tuple(inputs),
            deliveries,
            delivery,
            number,
            client_id,
            expected,
            room,
            incarnation,
        )


class Reader:
    """Reads the calls of one session.

    Args:
        client_id: whose calls they are.
        limits: of the server.
    """

    __slots__ = ("_client_id", "_known", "_limits")

    def __init__(self, client_id: str, limits: Limits) -> None:
        self._client_id = client_id
        self._limits = limits
        self._known: dict[bytes, Likeness] = {}

    def read(self, calls: Iterable[bytes], acked: int) -> list[Read]:
        """The calls of a frame, and their numbers.

        Args:
            calls: an ExecuteRequest each.
            acked: up to which number their caller has all answers.

        Raises:
            CallError: the bytes are no such message.
        """
        me, known = self._client_id, self._known
        out: list[Read] = []
        for data in calls:
            likeness = known.get(_handle(data))
            call = None if likeness is None else likeness.read(data, me, acked)
            if call is not None and call.call_id is not None:
                out.append((call.call_id.seq, call))
            else:
                request = _parsed(data)
                out.append((request.call_id.seq, partial(self._call, request, data, acked)))
        return out

    def _call(self, request: wire.ExecuteRequest, data: bytes, acked: int) -> ExecuteCall:
        """The call of a message that came in these bytes, by which others like it are known."""
        call = requests.session_call(request, self._client_id, acked, self._limits)
        inputs = tuple([x for x in call.inputs if type(x) is np.ndarray and x.dtype.kind != "b"])
        plain = not (call.deliveries or call.expected) and len(inputs) == len(call.inputs)
        if plain and len(data) <= _LARGE:
            likeness = Likeness(call, inputs)
            if likeness.read(data, self._client_id, acked) is not None:
                if len(self._known) >= _KNOWN:
                    self._known.clear()
                self._known[_handle(data)] = likeness
        return call


def _parsed(data: bytes) -> wire.ExecuteRequest:
    try:
        return wire.ExecuteRequest.FromString(data)
    except Exception:  # protobuf's error class differs between its implementations
        raise malformed(_METHOD) from None


def _handle(data: bytes) -> bytes:
    """The first field of a call, which is the name of its function."""
    return data[: data[1] + 2] if len(data) > 1 else b""


def _number(data: bytes) -> int | None:
    """The number in a CallId that has nothing else; None when it has."""
    if data[0] != _SEQ or data[-1] > 127:
        return None
    number = shift = 0
    last = len(data) - 1
    for place in range(1, len(data)):
        byte = data[place]
        if byte < 128 and place != last:
            return None
        number |= (byte & 127) << shift
        shift += 7
    return number if number < 1 << 64 else None
