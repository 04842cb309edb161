"""What one connection has of shared memory, and what stands for it on its client's account.

Invariant: memory is charged before it is made, and given back when the connection ends.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

import numpy as np

from exprd_compiler.errors import LimitExceeded
from exprd_proto import doorbell
from exprd_server.bell.regions import Region

if TYPE_CHECKING:
    from exprd_server.engine import LocalEngine
    from exprd_server.values import Array

_LEAST: Final = 1 << 20


class Gone(Exception):
    """The client reads nothing more."""


class Lending:
    """The regions of one connection.

    Args:
        end: its socket, over which descriptors are handed out.
        client_id: who is charged.
        engine: keeps the accounts.
        most: bytes of a region.

    Attributes:
        region: what the client writes into, if it has asked for it.
        private: memory of this process, as large as that.
        answers: what the client reads, if there was an answer for it.
    """

    def __init__(self, end: socket.socket, client_id: str, engine: LocalEngine, most: int) -> None:
        self._end = end
        self._client_id = client_id
        self._engine = engine
        self._most = most
        self._lent = 0
        self.region: Array | None = None
        self.private: Array | None = None
        self.answers: Array | None = None

    def grow(self, nbytes: int) -> None:
        """Makes another region that the client writes into.

        Raises:
            LimitExceeded: it is too large, for a region or for this client.
        """
        size = self._size(nbytes)
        # Twice: what lies in the region is copied into memory that is as large.
        region = self._made(size, 2 * (size - _size_of(self.region)), readable_only=False)
        self.region, self.private = region.memory, aligned_memory(size)
        self._hand_over(region, 0)

    def room(self, nbytes: int) -> Array:
        """The region of answers with room for so many bytes; the client is sent a new one.

        Raises:
            LimitExceeded: as above.
        """
        if self.answers is not None and self.answers.size >= nbytes:
            return self.answers
        size = self._size(nbytes)
        region = self._made(size, size - _size_of(self.answers), readable_only=True)
        self.answers = region.memory
        self._hand_over(region, doorbell.OUTSIDE)
        return self.answers

    def close(self) -> None:
        """Gives all of it back."""
        self._lend(-self._lent)
        self.region = self.private = self.answers = None

    def _size(self, wanted: int) -> int:
        """The size of a region: the next power of two."""
        if wanted > self._most:
            raise LimitExceeded(
                f"a region of {wanted} bytes, at most {self._most}",
                hint="put the arrays, or get the results, in pieces",
                fields={"limit": "region_bytes"},
            )
        return max(_LEAST, 1 << max(wanted - 1, 0).bit_length())

    def _made(self, nbytes: int, more: int, *, readable_only: bool) -> Region:
        self._lend(more)
        try:
            return Region(nbytes, readable_only=readable_only)
        except OSError as error:
            self._lend(-more)
            raise LimitExceeded(
                f"there is no room for a region of {nbytes} bytes: {error.strerror}",
                fields={"limit": "region_bytes"},
            ) from None

    def _hand_over(self, region: Region, flags: int) -> None:
        # Only who expects a descriptor receives it, so its frame is announced by another.
        try:
            self._end.send(doorbell.ANSWER.pack(doorbell.GROWN, flags, 0, region.nbytes))
            socket.send_fds(self._end, [b"\0"], [region.descriptor])
        except OSError as error:
            raise Gone from error
        finally:
            region.close()

    def _lend(self, nbytes: int) -> None:
        self._engine.lend(self._client_id, nbytes)
        self._lent += nbytes


def aligned_memory(nbytes: int) -> Array:
    """Fresh memory that begins where arrays of every dtype may."""
    memory = np.zeros(nbytes + doorbell.ALIGN, np.uint8)
    start = -memory.ctypes.data % doorbell.ALIGN
    return memory[start : start + nbytes]


def _size_of(region: Array | None) -> int:
    return 0 if region is None else region.size
