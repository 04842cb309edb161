"""The frames of the doorbell, and where arrays lie in frames and in shared memory.

Both sides derive every offset from what was agreed when a call was prepared, so none travels. A
frame is one message of a Unix socket that keeps boundaries; numbers in it are little-endian.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

SUFFIX: Final = ".bell"  # of the socket, after the path of the one that the server listens on
FRAME_BYTES: Final = 1 << 16
# Up to here, the arrays of a call travel in its frame: that costs less than another memory.
INLINE_BYTES: Final = 1 << 15
TEXT_BYTES: Final = FRAME_BYTES - 64  # of a message, or a part of one, in a frame
PIECE_BYTES: Final = 2 << 20  # of an array that is put or got: half of what a region has for it
ALIGN: Final = 64
BUFFER_BYTES: Final = 16  # of the handle of a buffer, which is buf- and 32 hexadecimal digits

# Kind, number of a prepared call or half of a region, bytes that follow; then, for a call, its
# number, what is acknowledged, and the seconds it may take. Others use the words as they say.
ASK: Final = struct.Struct("<HHIQQd")
# Kind, flags, bytes that follow, number of the call.
ANSWER: Final = struct.Struct("<HHIQ")

# ---- kinds of frames that ask
HELLO: Final = 1  # the ticket
PREPARE: Final = 2  # a DoorbellCall, under a number
CALL: Final = 3  # handles of buffers, then arrays unless they lie in the region
REGION: Final = 4  # a region for what the client writes, of so many bytes
PUT: Final = 5  # a DoorbellArray, which is going to be written into the region
PUT_PIECE: Final = 6  # number: half; seq: offset; acked: bytes
PUT_END: Final = 7
GET: Final = 8  # a DoorbellArray
GET_PIECE: Final = 9  # number: half; seq: offset; acked: bytes
GET_END: Final = 10

# ---- kinds of frames that answer
DONE: Final = 1  # possibly with a message
RESULT: Final = 2  # versions and extents, then arrays
RESPONSE: Final = 3  # an ExecuteResponse
FAILURE: Final = 4  # a CallFailure
GROWN: Final = 5  # a region, whose descriptor comes with the frame; seq is its size

# ---- flags of answers
MORE: Final = 1  # the next frame continues this one
OUTSIDE: Final = 2  # the arrays lie in the region of answers
REPLAYED: Final = 4


def aligned(nbytes: int) -> int:
    """A size, rounded up so that whatever follows lies well."""
    return -(-nbytes // ALIGN) * ALIGN


def placed(sizes: Sequence[int], start: int = 0) -> tuple[tuple[int, ...], int]:
    """Where arrays of some sizes lie one after another, and the end of the last one."""
    places: list[int] = []
    end = start
    for size in sizes:
        end = aligned(end)
        places.append(end)
        end += size
    return tuple(places), end


def nbytes_of(shape: Sequence[int], itemsize: int) -> int:
    """The bytes of an array."""
    return math.prod(shape) * itemsize


def handle_bytes(handle: str) -> bytes:
    """The handle of a buffer as it stands in a frame.

    Raises:
        ValueError: it is none.
    """
    data = bytes.fromhex(handle.removeprefix("buf-"))
    if len(data) != BUFFER_BYTES:
        raise ValueError(f"{handle!r} is no handle of a buffer")
    return data


def facts_of(versions: int, ranks: Sequence[int]) -> struct.Struct:
    """What stands before the arrays of a result: versions, then the extents of each output."""
    return struct.Struct(f"<{versions + sum(ranks)}q")
