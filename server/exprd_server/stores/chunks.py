"""Chunks: a value as pieces of 1 MiB, each with a checksum.

The checksum is CRC-32. What it guards against is decay of the medium, not forgery: it finds every
burst of up to 32 flipped bits, and one in 4e9 of the other errors escapes it. It begins with the
place of the chunk, so that a chunk in the place of another is damage too.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from exprd_server.checksums import crc32

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Bytes: TypeAlias = NDArray[np.uint8]
    Ranges: TypeAlias = Sequence[tuple[int, int]]

CHUNK_BYTES: Final = 1 << 20
_FIRST: Final = 1024


def bytes_of(value: NDArray[Any]) -> Bytes:
    """The bytes of a value in C order; a copy only if it lies otherwise."""
    return np.ascontiguousarray(value).reshape(-1).view(np.uint8)


def chunk_count(nbytes: int) -> int:
    """How many chunks so many bytes make."""
    return -(-nbytes // CHUNK_BYTES)


def chunk(data: Bytes, index: int) -> Bytes:
    """One chunk; the last one may be short."""
    return data[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]


def checksum(uuid: str, index: int, data: Bytes | bytes) -> bytes:
    """The checksum of a chunk of a variable, 4 bytes."""
    place = zlib.crc32(f"{uuid}/{index}".encode())
    content: Any = data  # an array is a buffer, which its stubs do not say
    return crc32(content, place).to_bytes(4, "little")


def changed_chunks(old: Bytes | None, new: Bytes, dirty: Ranges | None = None) -> list[int]:
    """The chunks that differ between two values.

    Args:
        old: the value that is stored; None when there is none.
        new: the value that is to be stored.
        dirty: ranges of bytes outside of which nothing differs; None looks at everything.
    """
    count = chunk_count(new.nbytes)
    if old is None:
        return list(range(count))
    if count == 1 and dirty is None:  # most variables, in one go
        return [] if _same(old[:CHUNK_BYTES], new) else [0]
    known = dirty is not None and old.nbytes == new.nbytes
    candidates = sorted(chunks_of(dirty or ())) if known else range(count)
    return [index for index in candidates if not _same(chunk(old, index), chunk(new, index))]


def chunks_of(ranges: Ranges) -> set[int]:
    """The chunks that ranges of bytes lie in."""
    found: set[int] = set()
    for start, stop in ranges:
        if stop > start:
            first, last = start // CHUNK_BYTES, (stop - 1) // CHUNK_BYTES
            found.update((first,) if first == last else range(first, last + 1))
    return found


def _same(a: Bytes, b: Bytes) -> bool:
    if a.nbytes != b.nbytes:
        return False
    if a[:_FIRST].tobytes() != b[:_FIRST].tobytes():  # as a rule all of it differs, or nothing
        return False
    if a.nbytes % 8 == 0:  # words of 8 bytes compare four times as fast as bytes
        return bool(np.array_equal(a.view(np.uint64), b.view(np.uint64)))
    return bool(np.array_equal(a, b))
