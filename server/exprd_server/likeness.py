"""Likeness: calls of a session or batch that differ from one before in values and number alone.

Most calls do. To see that is a comparison of bytes, while to read a call out of its message takes
several times as long. Invariant: what is read here is what protobuf reads; whatever differs from
what is known by a single byte is left to it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from google.protobuf.message import Message

import exprd_proto as wire
from exprd_compiler.errors import CallError
from exprd_proto import framing
from exprd_server import requests
from exprd_server.decode import malformed
from exprd_server.values import CallId, Delivery, ExecuteCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from exprd_server.settings import Limits
    from exprd_server.values import InputValue

    # the number of a call, and the call or what reads it, which may find that it makes no sense
    Read = tuple[int, ExecuteCall | Callable[[], ExecuteCall]]

_KNOWN: Final = 64  # functions of one session whose calls are known
_LARGE: Final = 1 << 16  # above this the way of the bytes costs more than all else
_CALL_ID, _SEQ = framing.key(4, 2)[0], framing.key(2, 0)[0]
_SESSION: Final = "/exprd.v1.ExecutorService/Session"
_BATCH: Final = "/exprd.v1.ExecutorService/ExecuteBatch"

M = TypeVar("M", bound=Message)


class Forms:
    """Arrays of some dtypes and shapes, as they lie in the bytes of a message.

    Args:
        inputs: such arrays.
        place: the field in which each lies.
        head: what stands before the first.

    Attributes:
        size: of all that, in bytes.
    """

    __slots__ = ("_head", "_parts", "size")

    def __init__(self, inputs: Sequence[NDArray[Any]], place: int, head: bytes = b"") -> None:
        parts: list[tuple[bytes, np.dtype[Any], tuple[int, ...], int]] = []
        for value in inputs:
            head += framing.array_input(place, value)[0]
            parts.append((head, value.dtype, value.shape, value.nbytes))
            head = b""
        self._parts = tuple(parts)
        self._head = head  # when there are no arrays
        self.size = sum(len(head) + nbytes for head, _, _, nbytes in parts) + len(head)

    def read(self, data: bytes) -> tuple[NDArray[Any], ...] | None:
        """The arrays at the beginning of bytes that are long enough; None when others are there."""
        if not data.startswith(self._head):
            return None
        arrays: list[NDArray[Any]] = []
        at = 0
        for head, dtype, shape, nbytes in self._parts:
            if not data.startswith(head, at):
                return None
            start = at + len(head)
            at = start + nbytes
            # a copy, so that it lies where an array may
            arrays.append(np.ndarray(shape, dtype, data[start:at]))
        return tuple(arrays)


class Likeness:
    """How the calls of one function lie in their bytes: arrays of some forms, then the number.

    Args:
        call: one of them, which has no wishes of its own.
        inputs: its inputs, which are arrays.
    """

    __slots__ = ("_call", "_forms", "_tail")

    def __init__(self, call: ExecuteCall, inputs: Sequence[NDArray[Any]]) -> None:
        self._call = call._replace(inputs=(), call_id=None)
        self._forms = Forms(inputs, 2, framing.text_field(1, call.handle))
        self._tail = framing.text_field(32, call.expected_incarnation)

    def read(self, data: bytes, client_id: str, acked: int) -> ExecuteCall | None:
        """The call in these bytes; None when they look different.

        Args:
            data: an ExecuteRequest.
            client_id: whose call it is.
            acked: up to which number its caller has all answers.
        """
        at, tail = self._forms.size, self._tail
        size = len(data) - at - len(tail) - 2
        # what holds the number: its key, its length, and in it the number alone
        if not 2 <= size <= 11 or data[at] != _CALL_ID or data[at + 1] != size:
            return None
        seq = _number(data[at + 2 : at + 2 + size])
        if seq is None or not data.endswith(tail):
            return None
        inputs = self._forms.read(data)
        if inputs is None:
            return None
        return _with(self._call, inputs, CallId(client_id, seq, acked), client_id)


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
                request = _parsed(wire.ExecuteRequest, data, _SESSION)
                out.append((request.call_id.seq, partial(self._call, request, data, acked)))
        return out

    def _call(self, request: wire.ExecuteRequest, data: bytes, acked: int) -> ExecuteCall:
        """The call of a message that came in these bytes, by which others like it are known."""
        call = requests.session_call(request, self._client_id, acked, self._limits)
        inputs = _arrays(call.inputs)
        wishes = call.deliveries or call.expected
        if inputs is not None and not wishes and len(data) <= _LARGE:
            likeness = Likeness(call, inputs)
            if likeness.read(data, self._client_id, acked) is not None:
                if len(self._known) >= _KNOWN:
                    self._known.clear()
                self._known[_handle(data)] = likeness
        return call


def batch_calls(request: wire.BatchFrame, limits: Limits) -> Iterator[ExecuteCall]:
    """The calls of the items of a batch; their numbers follow each other.

    Raises:
        CallError: the bytes of an item are no message.
    """
    first = requests.call_id(request.call_id) if request.HasField("call_id") else None
    me = "" if first is None else first.client_id
    call = ExecuteCall(
        handle=request.handle,
        deliveries=tuple(map(requests.delivery, request.deliveries)),
        delivery=Delivery.AUTO,
        client_id=me,
        reply_bytes=requests.reply_bytes(limits),
        expected_incarnation=request.expected_incarnation,
    )
    for position, inputs in enumerate(_items(request.items)):
        number = None if first is None else CallId(me, first.seq + position, first.acked_through)
        yield _with(call, inputs, number, me)


def _items(items: Sequence[bytes]) -> Iterator[tuple[InputValue, ...]]:
    """The inputs of each item; all are read before the first is asked for, but for their arrays."""
    forms: Forms | None = None
    read: list[tuple[InputValue, ...] | wire.InputList] = []
    for data in items:
        found = forms.read(data) if forms is not None and forms.size == len(data) else None
        if found is not None:
            read.append(found)
            continue
        message = _parsed(wire.InputList, data, _BATCH)
        read.append(message)
        if forms is None:
            forms = _forms_of(message, data)
    for item in read:
        yield item if isinstance(item, tuple) else requests.inputs_of(item.inputs)


def _forms_of(message: wire.InputList, data: bytes) -> Forms | None:
    """The forms of an item, if others like it can be read by them."""
    try:
        inputs = _arrays(requests.inputs_of(message.inputs))
    except CallError:  # which is told when it is its turn
        return None
    if inputs is None or len(data) > _LARGE:
        return None
    forms = Forms(inputs, 1)
    return forms if forms.size == len(data) and forms.read(data) is not None else None


def _arrays(inputs: Sequence[InputValue]) -> tuple[NDArray[Any], ...] | None:
    """The inputs if they are arrays of which any bytes will do."""
    out = tuple([x for x in inputs if isinstance(x, np.ndarray) and x.dtype.kind != "b"])
    return out if len(out) == len(inputs) else None


def _with(
    call: ExecuteCall, inputs: tuple[InputValue, ...], number: CallId | None, client_id: str
) -> ExecuteCall:
    """A call with other inputs; written out, since `_replace` takes three times as long."""
    handle, _, deliveries, delivery, _, _, expected, room, incarnation = call
    return ExecuteCall(
        handle, inputs, deliveries, delivery, number, client_id, expected, room, incarnation
    )


def _parsed(kind: type[M], data: bytes, method: str) -> M:
    try:
        return kind.FromString(data)
    except Exception:  # protobuf's error class differs between its implementations
        raise malformed(method) from None


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
