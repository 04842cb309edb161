"""Arrays that are put or got in pieces through the regions of a connection.

Invariant: what a client writes into its region is copied into memory of this process, piece by
piece, each charged before it is taken, and looked at only there; an array that is got is copied
into the region of answers, which the client can only read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import exprd_proto as wire
from exprd_compiler.errors import CallError, LimitExceeded
from exprd_proto import doorbell
from exprd_proto.arrays import WireError, carried_dtype, checked_nbytes, header_of
from exprd_proto.growing import Growing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from exprd_server.leases import Account
    from exprd_server.transfer import UploadTable
    from exprd_server.values import Array, BufferInfo

    Bytes = NDArray[np.uint8]


class Upload:
    """An array on its way here.

    Args:
        asked: its handle and its form.
        client_id: who sends it, and is charged as it arrives.
        uploads: keeps it in the end.
        most: bytes of an array.

    Raises:
        CallError: the form is none.
        LimitExceeded: it is too large.
    """

    __slots__ = ("_account", "_dtype", "_handle", "_memory", "_nbytes", "_shape", "_uploads")

    def __init__(
        self, asked: wire.DoorbellArray, client_id: str, uploads: UploadTable, most: int
    ) -> None:
        self._handle = asked.handle
        self._shape = tuple(asked.header.shape)
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
        self._nbytes = nbytes
        self._memory = Growing(nbytes)
        self._uploads = uploads
        self._account: Account = uploads.account(client_id, nbytes)

    def take(self, region: Bytes, half: int, offset: int, nbytes: int) -> None:
        """Copies the next piece out of one half of the region.

        Raises:
            CallError: it is not the next piece.
            LimitExceeded: there is no room for it on the client's account.
        """
        piece = part_of(region, half, nbytes)
        received = len(self._memory)
        if offset != received or offset + nbytes > self._nbytes:
            raise CallError(
                f"a piece of {nbytes} bytes at {offset}, but {received} of {self._nbytes} are here"
            )
        self._account.cover(offset + nbytes)
        self._memory.append(piece.data)

    def keep(self) -> BufferInfo:
        """Makes the whole array a buffer, to which its charge goes.

        Raises:
            CallError: a part is missing, or a bool is neither 0 nor 1.
        """
        return self._uploads.keep(self._account, self._finished(), self._handle)

    def close(self) -> None:
        """Takes the charge back, unless a buffer has it by now."""
        self._account.free()

    def _finished(self) -> Array:
        if len(self._memory) != self._nbytes:
            raise CallError(f"{len(self._memory)} of {self._nbytes} bytes are here")
        flat: Bytes = np.frombuffer(self._memory.view(), np.uint8)
        if self._dtype.kind == "b" and flat.size and flat.max() > 1:
            raise CallError("a bool is sent as the byte 0 or 1")
        return flat.view(self._dtype).reshape(self._shape)


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
