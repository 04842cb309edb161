"""Choices out of bytes: what a fuzzer gives, read as decisions.

The same bytes make the same choices, so a corpus is a folder of files, and whatever finds new bytes
(hypothesis, atheris, a person) drives the same targets. When the bytes are used up every choice is
the first one, so that shorter inputs are simpler ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

EDGES = (0, 1, 2, -1, 7, 64, 127, 128, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**32)
EDGES = (*EDGES, 2**53, 2**62, 2**63 - 1, -(2**31), -(2**63), 2**64 - 1)


class Source:
    """The choices of one input."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    @property
    def left(self) -> int:
        """How many bytes have not been used."""
        return len(self._data) - self._place

    def number(self, fewest: int, most: int) -> int:
        """A number of a range, both ends included."""
        width = ((most - fewest).bit_length() + 7) // 8
        found = int.from_bytes(self.take(width), "little")
        return fewest + found % (most - fewest + 1)

    def yes(self, one_in: int = 2) -> bool:
        """True once in so many times; never when the bytes are used up."""
        return self.number(0, one_in - 1) == one_in - 1

    def of(self, choices: Sequence[T]) -> T:
        """One of several."""
        return choices[self.number(0, len(choices) - 1)]

    def edge(self, fewest: int, most: int) -> int:
        """A number of a range, often one at which something changes."""
        near = [n for n in EDGES if fewest <= n <= most]
        return self.of(near) if near and not self.yes(3) else self.number(fewest, most)

    def bytes(self, most: int) -> bytes:
        """Up to so many bytes."""
        return self.take(self.number(0, most))

    def text(self, most: int) -> str:
        """Up to so many bytes, as text of any characters."""
        return self.bytes(most).decode("utf-8", "replace")

    def take(self, count: int) -> bytes:
        """The next bytes; fewer at the end."""
        found = self._data[self._place : self._place + count]
        self._place += len(found)
        return found


def damaged(data: bytes, source: Source) -> bytes:
    """Bytes with a few of them changed, dropped, repeated or cut off."""
    out = bytearray(data)
    for _ in range(source.number(0, 4)):
        if not out:
            break
        at = source.number(0, len(out) - 1)
        match source.number(0, 4):
            case 0:
                out[at] ^= 1 << source.number(0, 7)
            case 1:
                out[at] = source.number(0, 255)
            case 2:
                del out[at : at + source.number(1, 16)]
            case 3:
                out[at:at] = out[at : at + source.number(1, 16)]
            case _:
                del out[at:]
    return bytes(out)
