"""Requests written straight into bytes, for calls that are made often.

A message of protobuf holds a copy of every array, and writing it out makes another. Here the bytes
of an array are copied once, into the request. What comes out is what protobuf itself would read;
the tests compare the two.

Source of the layout: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from exprd_proto.arrays import Chunk, dtype_to_wire
from exprd_proto.checksums import crc32

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    Part: TypeAlias = bytes | memoryview[int]

_VARINT, _BYTES, _FIXED32 = 0, 2, 5
_OFFSET, _DATA, _CRC = 1 << 3 | _VARINT, 2 << 3 | _BYTES, 3 << 3 | _FIXED32  # of an ArrayChunk
_WALKED = 4096  # below this protobuf is as fast
_COPIED = 512  # up to here a copy costs less than a view
_LITTLE = sys.byteorder == "little"
_SMALL = tuple(bytes((n,)) for n in range(128))


def varint(number: int) -> bytes:
    """A whole number in groups of seven bits, the lowest first."""
    if number < 128:
        return _SMALL[number]
    if number < 1 << 14:  # what most others are, without the loop
        return bytes((number & 127 | 128, number >> 7))
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def key(field: int, kind: int) -> bytes:
    """What stands before a field."""
    return varint(field << 3 | kind)


def field(number: int, data: bytes) -> bytes:
    """A field that is bytes, a string or a message; at most 2 GiB."""
    return key(number, _BYTES) + varint(len(data)) + data


def text_field(number: int, text: str) -> bytes:
    """A string, which is left out when it is empty."""
    return field(number, text.encode()) if text else b""


def number_field(number: int, value: int) -> bytes:
    """A whole number, which is left out when it is 0."""
    return key(number, _VARINT) + varint(value) if value else b""


@lru_cache(maxsize=4096)
def _array_head(dtype: np.dtype[Any], shape: tuple[int, ...], nbytes: int, place: int) -> bytes:
    """An ExecuteInput up to the bytes of its array, as the field `place` of what holds it."""
    head = number_field(1, int(dtype_to_wire(dtype.name)))
    if shape:
        head += field(2, b"".join(map(varint, shape)))
    if nbytes:
        head += key(3, _BYTES) + varint(nbytes)
    array = key(1, _BYTES) + varint(len(head) + nbytes) + head
    return key(place, _BYTES) + varint(len(array) + nbytes) + array


def array_input(place: int, value: NDArray[Any]) -> tuple[Part, ...]:
    """An array as an ExecuteInput in the field `place`: what stands before its bytes, and these.

    An ExecuteOutput has its array in the same place.
    """
    head = _array_head(value.dtype, value.shape, value.nbytes, place)
    if value.nbytes < _COPIED:
        return head, (value if value.dtype.isnative and _LITTLE else _ordered(value)).tobytes()
    return head, _bytes_of(value)


def buffer_input(place: int, handle: str) -> tuple[Part, ...]:
    """A handle as an ExecuteInput in the field `place`."""
    return (field(place, text_field(2, handle)),)


def chunks(place: int, value: NDArray[Any], size: int, start: int = 0) -> Iterable[bytes]:
    """The bytes of an array from `start` on, as messages with an ArrayChunk as field `place`."""
    flat = _bytes_of(value)
    for offset in range(start, len(flat), size):
        data = flat[offset : offset + size]
        head = number_field(1, offset) + key(2, _BYTES) + varint(len(data))
        tail = key(3, _FIXED32) + crc32(data).to_bytes(4, "little")
        length = len(head) + len(data) + len(tail)
        yield b"".join((key(place, _BYTES), varint(length), head, data, tail))


def chunk_of(place: int, data: bytes) -> Chunk | None:
    """The ArrayChunk in the field `place` of a message, in place.

    None when there is none, or it is not written as `chunks` writes it; protobuf reads those.
    """
    size = len(data)
    if size < _WALKED or data[0] != place << 3 | _BYTES:
        return None
    try:
        length, at = _varint_at(data, 1)
        offset, end = 0, at + length
        if data[at] == _OFFSET:
            offset, at = _varint_at(data, at + 1)
        if data[at] != _DATA:
            return None
        length, at = _varint_at(data, at + 1)
    except IndexError:
        return None
    tail = at + length
    if end != size or tail + 5 != size or data[tail] != _CRC:
        return None
    return Chunk(offset, memoryview(data)[at:tail], int.from_bytes(data[tail + 1 :], "little"))


def chunk_or(place: int, parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """A reader of messages that gives chunks in place, and leaves all others to protobuf."""

    def read(data: bytes) -> Any:
        return chunk_of(place, data) or parse(data)

    return read


def _varint_at(data: bytes, at: int) -> tuple[int, int]:
    """A whole number of at most 64 bits, and where the next field begins.

    Raises:
        IndexError: there is none.
    """
    number = shift = 0
    while shift < 64:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            if number >> 64:
                break
            return number, at
        shift += 7
    raise IndexError("the number has no end")


def _ordered(value: NDArray[Any]) -> NDArray[Any]:
    return value.astype(value.dtype.newbyteorder("<"), order="C", copy=False)


def _bytes_of(value: NDArray[Any]) -> memoryview[int]:
    flat = np.ascontiguousarray(_ordered(value)).reshape(-1)
    return flat.view(np.uint8).data if flat.size else memoryview(b"")


def joined(parts: Sequence[Part]) -> bytes:
    """The parts of a message as one piece; the one copy that is made of an array."""
    return b"".join(parts)
