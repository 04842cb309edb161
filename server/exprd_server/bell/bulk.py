"""Arrays that are put or got in pieces through the regions of a connection.

Invariant: what a client writes into its region is copied into memory of this process, piece by
piece, and looked at only there; an array that is got is copied into the region of answers, which
the client can only read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import exprd_proto as wire
from exprd_compiler.errors import CallError, LimitExceeded
from exprd_proto import doorbell
from exprd_proto.arrays import WireError, carried_dtype, checked_nbytes, header_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from exprd_server.values import Array

    Bytes = NDArray[np.uint8]


class Upload:
    """An array on its way here.

    Args:
        asked: its handle and its form.
        most: bytes of an array.

    Attributes:
        handle: which the client has drawn.

    Raises:
        CallError: the form is none.
        LimitExceeded: it is too large.
    """

    __slots__ = ("_dtype", "_memory", "_received", "_shape", "handle")

    def __init__(self, asked: wire.DoorbellArray, most: int) -> None:
        self.handle = asked.handle
        self._shape = tuple(asked.header.shape)
        self._received = 0
        try:
            self._dtype = carried_dtype(asked.header.dtype)
            nbytes = checked_nbytes(self._shape, self._dtype.itemsize)
        except WireError as error:
            raise CallError(str(error)) from None
        if nbytes != asked.header.nbytes:
            raise CallError(f"{asked.header.nbytes} bytes are announced for a shape of {nbytes}")
        if nbytes > most:
            raise LimitExceeded(
                f"an array of {nbytes} bytes is above the limit of {most}",
                fields={"limit": "tensor_bytes"},
            )
        self._memory: Bytes = np.empty(nbytes, np.uint8)  # takes pages as they are written

    def take(self, region: Bytes, half: int, offset: int, nbytes: int) -> None:
        """Copies the next piece out of one half of the region."""
        piece = part_of(region, half, nbytes)
        end = offset + nbytes
        if offset != self._received or end > self._memory.size:
            raise CallError(
                f"a piece of {nbytes} bytes at {offset}, but {self._received} of"
                f" {self._memory.size} are here"
            )
        np.copyto(self._memory[offset:end], piece)
        self._received = end

    def finish(self) -> Array:
        """The whole array.

        Raises:
            CallError: a part is missing, or a bool is neither 0 nor 1.
        """
        if self._received != self._memory.size:
            raise CallError(f"{self._received} of {self._memory.size} bytes are here")
        if self._dtype.kind == "b" and self._memory.size and self._memory.max() > 1:
            raise CallError("a bool is sent as the byte 0 or 1")
        return self._memory.view(self._dtype).reshape(self._shape)


class Download:
    """An array on its way to the client.

    Attributes:
        header: what it is.
    """

    __slots__ = ("_bytes", "header")

    def __init__(self, value: Array) -> None:
        self.header = header_of(value)
        whole: Any = np.ascontiguousarray(value).reshape(-1)
        self._bytes: Bytes = whole.view(np.uint8)

    def give(self, region: Bytes, half: int, offset: int, nbytes: int) -> None:
        """Copies a piece into one half of the region of answers."""
        piece = part_of(region, half, nbytes)
        if offset + nbytes > self._bytes.size:
            raise CallError(f"bytes {offset} to {offset + nbytes} of {self._bytes.size}")
        np.copyto(piece, self._bytes[offset : offset + nbytes])


def part_of(region: Bytes, half: int, nbytes: int) -> Bytes:
    """The first bytes of a half of a region.

    Raises:
        CallError: there is no such part.
    """
    size = doorbell.PIECE_BYTES
    if half not in (0, 1) or not 0 < nbytes <= size or region.size < 2 * size:
        raise CallError(f"no piece of {nbytes} bytes lies in half {half} of the region")
    return region[half * size : half * size + nbytes]
