"""The checksum of arrays under way: CRC-32 as in IEEE 802.3 and zlib.

Whoever has a quicker way to the same number says so, once for its process: clients need no native
code of ours.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["compute_by", "crc32", "take_long"]

_compute: Callable[[Any], int] = zlib.crc32


def crc32(data: Any) -> int:
    """The checksum of the bytes of a buffer, which lie one after the other."""
    return _compute(data)


def take_long() -> bool:
    """Whether checksums take about as long as bytes take to come, as zlib's do."""
    return _compute is zlib.crc32


def compute_by(way: Callable[[Any], int]) -> None:
    """Has checksums of this process computed another way from now on."""
    global _compute
    _compute = way
