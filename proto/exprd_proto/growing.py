"""Memory that grows as bytes arrive.

To ask for the whole of an announced array at once would charge a receiver for what may never come.
Large pages are not asked for: where they are at hand they take a sixth of the time (256 MiB: 14
against 2.1 GB/s), but a virtual machine that has to find them first takes 0.4 GB/s.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import sys
import weakref
from collections import deque
from functools import cache
from typing import Final

import numpy as np

__all__ = ["Growing", "keep_freed_memory"]

_FIRST: Final = 4 << 20
_HEAP_BLOCK: Final = (32 << 20) - (64 << 10)  # glibc learns from blocks up to 32 MiB
_GROWS: Final = sys.platform == "linux"  # whether a mapping does


# Memory of arrays that are gone, for arrays of the same size: new pages take longer than all else
# that is done to their bytes. The system takes back what it needs of it.
_SPARE: Final = deque[mmap.mmap](maxlen=2)
_SPARE_BYTES: Final = 256 << 20
_SPARE_PART: Final = 16  # each is at most this part of the memory that the process may have


@cache  # a second block would come out of what is kept, and be cleared
def keep_freed_memory() -> None:
    """Has malloc keep up to 64 MiB of what is freed, for the next messages.

    It gives free memory back to the system as soon as there is twice as much as the largest block
    that it has seen freed. Of messages of 1 MiB there are a few at a time; their pages would all be
    new for each, which takes a quarter of the time of a transfer. So a larger block is freed, which
    nobody has touched.
    Source: M_MMAP_THRESHOLD in https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    bytes(_HEAP_BLOCK)


class Growing:
    """Bytes that are appended to, up to a known number.

    Args:
        limit: how many there will be.
    """

    __slots__ = ("_data", "_limit", "_mapped", "_size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()
        self._mapped: mmap.mmap | None = None
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def append(self, data: bytes | memoryview) -> None:
        """Adds bytes to the end.

        Raises:
            MemoryError: there is no room for them.
        """
        end = self._size + len(data)
        if self._limit <= _FIRST or not _GROWS:
            self._data += data
        else:
            # numpy lets other threads run while it copies, and while pages come
            room = np.ndarray(len(data), np.uint8, self._room(end), self._size)
            room[:] = np.frombuffer(data, np.uint8)
        self._size = end

    def view(self) -> memoryview:
        """All that was appended; after that nothing can be."""
        if self._mapped is None:
            return memoryview(self._data)
        lent = (ctypes.c_ubyte * self._size).from_buffer(self._mapped)
        if self._size == len(self._mapped):
            weakref.finalize(lent, _spare, self._mapped).atexit = False
        return memoryview(lent).cast("B")

    def _room(self, end: int) -> mmap.mmap:
        """The mapping, at least so large."""
        mapped = self._mapped
        try:
            if mapped is None and (mapped := _spared(self._limit)) is not None:
                self._mapped = mapped
            elif mapped is None:
                size = min(self._limit, max(_FIRST, end))
                mapped = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
                self._mapped = mapped
            elif len(mapped) < end:
                mapped.resize(min(self._limit, max(end, 2 * len(mapped))))
        except OSError as error:
            raise MemoryError(f"no room for {end} bytes") from error
        return mapped


def _spare(mapped: mmap.mmap) -> None:
    """Keeps memory that nobody refers to any more, unless it is much."""
    import resource  # where there is one; elsewhere nothing is mapped

    bound, _ = resource.getrlimit(resource.RLIMIT_DATA)
    bounded = bound != resource.RLIM_INFINITY and len(mapped) > bound // _SPARE_PART
    if bounded or len(mapped) > _SPARE_BYTES:
        return
    mapped.madvise(mmap.MADV_FREE)
    _SPARE.append(mapped)


def _spared(size: int) -> mmap.mmap | None:
    """Memory of this size that was kept, for one who fills all of it."""
    for mapped in tuple(_SPARE):
        if len(mapped) == size:
            with contextlib.suppress(ValueError):  # somebody else was faster
                _SPARE.remove(mapped)
                return mapped
    return None
