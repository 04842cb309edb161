"""Journals: small writes into large values, kept beside the chunks until those are written anew.

Invariant: a value is its chunks with its patches written over them, oldest first. A patch holds
bytes as they are afterwards, not differences, so it may be written over what has it already. That
is why a chunk may be written at any time, and why the oldest patch may go once every chunk that it
touches was written after it. At any moment a chunk lacks a patch only if it is `stale`, or in the
`queue` of the pass that is under way.

A patch costs what it holds; the chunks it touches, up to a thousand times as much, are written in
passes, a few with every commit, so that the journal stays below half of its value
and no commit waits for a whole pass.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from exprd_server.stores.chunks import CHUNK_BYTES, checksum, chunks_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exprd_server.stores.chunks import Bytes, Ranges

_HEAD: Final = struct.Struct("<q")  # how many ranges; then their starts, stops and bytes
# A chunk that holds less than a fourth of what is written is not worth writing.
_NARROW: Final = 4
# A patch is one row, and those end at 1e9 bytes; what is larger is written as chunks.
_WIDEST: Final = 64 << 20
# A pass begins when the patches have a fourth of the value's size, or this many bytes.
_SHARE: Final = 4
_LEAST: Final = 4 << 20
# During a pass a commit writes chunks for this many times its own bytes; so a pass is over before
# the journal has grown by another fourth of the value.
_FOLDED: Final = 4
_DROPPED: Final = 16  # patches that a commit removes at most


def pack_patch(value: Bytes, ranges: Ranges) -> bytes:
    """Ranges of a value with their bytes."""
    bounds = np.array(ranges, "<i8").reshape(-1, 2).T.tobytes()
    return b"".join((_HEAD.pack(len(ranges)), bounds, *(value[a:b].data for a, b in ranges)))


def patch_crc(uuid: str, number: int, packed: bytes) -> bytes:
    """The checksum of a patch of a variable, 4 bytes; like a chunk's it begins with the place."""
    return checksum(f"{uuid}/patch", number, packed)


def apply_patches(value: Bytes, packed: bytes) -> set[int]:
    """Writes packed patches over a value, first to last; the chunks they touch.

    Raises:
        ValueError: these are no patches of such a value.
    """
    touched: set[int] = set()
    data = np.frombuffer(packed, np.uint8)
    at = 0
    while at < len(packed):
        ranges, at = _ranges(packed, at, value.nbytes)
        for start, stop in ranges:
            value[start:stop] = data[at : at + stop - start]
            at += stop - start
        touched |= chunks_of(ranges)
    return touched


def _ranges(packed: bytes, at: int, nbytes: int) -> tuple[list[tuple[int, int]], int]:
    """The ranges that begin at a place, and where their bytes begin."""
    if at + _HEAD.size > len(packed):
        raise ValueError("a patch that is cut short")
    (count,) = _HEAD.unpack_from(packed, at)
    if not 0 <= count <= (len(packed) - at) // 16:
        raise ValueError("a patch of impossible length")
    bounds = np.frombuffer(packed, "<i8", 2 * count, at + _HEAD.size).reshape(2, count)
    starts, stops = bounds
    at += _HEAD.size + bounds.nbytes
    sizes = stops - starts
    fits = (starts >= 0).all() and (sizes >= 0).all() and (stops <= nbytes).all()
    if not fits or at + int(sizes.sum()) > len(packed):
        raise ValueError("a patch that fits no value of this size")
    return list(zip(starts.tolist(), stops.tolist(), strict=True)), at


def is_narrow(ranges: Ranges, nbytes: int) -> bool:
    """Whether a patch of these ranges costs less than the chunks of a value that it touches."""
    written = sum(stop - start for start, stop in ranges)
    whole = min(len(chunks_of(ranges)) * CHUNK_BYTES, nbytes)
    return written * _NARROW <= whole and written <= _WIDEST


class Due(NamedTuple):
    """Chunks to be written; `last` when the pass is over with them."""

    chunks: tuple[int, ...]
    last: bool


@dataclass(slots=True, eq=False)
class Journal:
    """What is known of the patches of one variable.

    Attributes:
        rows: numbers and sizes of those in the file, oldest first.
        nbytes: of these.
        stale: chunks that lack a patch.
        queue: chunks that the pass under way has yet to write.
        through: the last patch that may go when the queue is empty.
        done: the last patch that may go now.
    """

    rows: deque[tuple[int, int]] = field(default_factory=deque[tuple[int, int]])
    nbytes: int = 0
    stale: set[int] = field(default_factory=set[int])
    queue: list[int] = field(default_factory=list[int])
    through: int = -1
    done: int = -1
    _credit: int = 0

    @property
    def next_number(self) -> int:
        """The number of the next patch; none is given out twice."""
        return self.rows[-1][0] + 1 if self.rows else self.done + 1

    @property
    def behind(self) -> frozenset[int]:
        """All chunks that lack a patch."""
        return frozenset(self.stale).union(self.queue)

    def add(self, number: int, nbytes: int) -> None:
        """Notes a patch in the file."""
        self.rows.append((number, nbytes))
        self.nbytes += nbytes

    def droppable(self) -> tuple[int, int]:
        """The numbers of patches that are to go next: from the first up to but not the second."""
        gone = [number for number, _ in self._oldest() if number <= self.done]
        return (gone[0], gone[-1] + 1) if gone else (0, 0)

    def drop(self, before: int) -> None:
        """Notes that older patches are gone."""
        while self.rows and self.rows[0][0] < before:
            self.nbytes -= self.rows.popleft()[1]

    def due(self, nbytes: int, written: int) -> Due:
        """The chunks of a value of `nbytes` to be written with a patch of `written` bytes."""
        if not self.queue and self.done >= self.through:
            if self.nbytes < max(nbytes // _SHARE, _LEAST):
                return Due((), last=False)
            self.queue, self.stale = sorted(self.stale, reverse=True), set()
            self.through = self.rows[-1][0]
        if not self.queue:  # the last ones are on their way
            return Due((), last=False)
        self._credit += written * _FOLDED
        taken: list[int] = []
        while self.queue and self._credit >= 0:
            taken.append(self.queue.pop())
            self._credit -= CHUNK_BYTES
        return Due(tuple(taken), last=not self.queue)

    def put_back(self, due: Due) -> None:
        """Notes that chunks were not written after all."""
        self.queue.extend(due.chunks)

    def end_pass(self) -> None:
        """Notes that all that the pass has taken is in the file."""
        self.done = self.through

    def _oldest(self) -> Sequence[tuple[int, int]]:
        return [self.rows[k] for k in range(min(_DROPPED, len(self.rows)))]
