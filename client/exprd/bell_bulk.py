"""Large arrays through the memory that a server on the same host shares.

One half of a region is filled while the other is emptied, on both sides at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

import exprd_proto as wire
from exprd.bell import Bell
from exprd.transport import Array
from exprd_compiler.errors import ExprdError
from exprd_proto import doorbell
from exprd_proto.arrays import carried_dtype, checked_nbytes, header_of
from exprd_proto.growing import Growing

__all__ = ["getting", "putting"]

_PIECE: Final = doorbell.PIECE_BYTES


class _Answers:
    """The answers that are still to come, in order; after an error the others are read past."""

    def __init__(self, bell: Bell, seconds: float) -> None:
        self._bell, self._seconds = bell, seconds
        self._expected: deque[int] = deque()
        self._error: ExprdError | None = None

    def __len__(self) -> int:
        return len(self._expected)

    def ask(self, kind: int, half: int = 0, seq: int = 0, nbytes: int = 0) -> None:
        """Sends a frame whose answer is to come."""
        self._bell.ask(kind, half, seq=seq, acked=nbytes)
        self._expected.append(seq)

    def begin(self, kind: int, asked: wire.DoorbellArray) -> None:
        """Sends the first frame."""
        self._bell.ask(kind, text=asked.SerializeToString())
        self._expected.append(0)

    def next(self) -> bytes:
        """The message of the next answer.

        Raises:
            ExprdError: it is an error, or one before it was.
        """
        text = b""
        try:
            text = self._bell.told(self._expected.popleft(), self._seconds)
        except ExprdError as error:
            self._error = self._error or error
        if self._error is not None:
            self.drain()
            raise self._error
        return text

    def drain(self) -> None:
        """Reads past all that is to come."""
        while self._expected and not self._bell.closed:
            try:
                self._bell.told(self._expected.popleft(), self._seconds)
            except ExprdError as error:
                self._error = self._error or error


def putting(bell: Bell, handle: str, value: Array, seconds: float) -> wire.BufferInfo:
    """Puts an array under a handle; the buffer that it is."""
    region = bell.room(2 * _PIECE, seconds)
    whole: Any = np.ascontiguousarray(value).reshape(-1)
    flat = whole.view(np.uint8)
    answers = _Answers(bell, seconds)
    answers.begin(doorbell.PUT, wire.DoorbellArray(handle=handle, header=header_of(value)))
    for half, start, nbytes in _pieces(flat.size):
        if len(answers) > 1:  # what lies in this half has not been taken out of it yet
            answers.next()
        np.copyto(region[half * _PIECE : half * _PIECE + nbytes], flat[start : start + nbytes])
        bell.sent += nbytes
        answers.ask(doorbell.PUT_PIECE, half, start, nbytes)
    answers.ask(doorbell.PUT_END)
    text = b""
    while len(answers):
        text = answers.next()
    return wire.BufferInfo.FromString(text)


def getting(bell: Bell, handle: str, seconds: float) -> Array:
    """The array of a handle, in memory of the caller's own."""
    answers = _Answers(bell, seconds)
    answers.begin(doorbell.GET, wire.DoorbellArray(handle=handle))
    header = wire.ArrayHeader.FromString(answers.next())
    shape, dtype = tuple(header.shape), carried_dtype(header.dtype)
    total = checked_nbytes(shape, dtype.itemsize)
    memory, pieces = Growing(total), _pieces(total)
    for half, start, nbytes in pieces[:2]:
        answers.ask(doorbell.GET_PIECE, half, start, nbytes)
    for place, (half, _, nbytes) in enumerate(pieces):
        answers.next()
        first = half * _PIECE
        memory.append(bell.answers[first : first + nbytes].data)
        bell.received += nbytes
        if place + 2 < len(pieces):
            answers.ask(doorbell.GET_PIECE, *pieces[place + 2])
    answers.ask(doorbell.GET_END)
    answers.next()
    flat: Array = np.frombuffer(memory.view(), np.uint8)
    return flat.view(dtype).reshape(shape)


def _pieces(nbytes: int) -> Sequence[tuple[int, int, int]]:
    """Half, start and size of each piece."""
    starts = range(0, nbytes, _PIECE)
    return [(i & 1, start, min(_PIECE, nbytes - start)) for i, start in enumerate(starts)]
