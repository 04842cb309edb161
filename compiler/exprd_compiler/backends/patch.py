"""Patch: a new value of a shared variable, as the writes that make it of the old one.

What it costs to apply one follows what it writes, not the variable. It has what was there before,
so that whoever applies it in place can put that back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from exprd_compiler.ir.node import Array
from exprd_compiler.kernel.writes import Write
from exprd_compiler.ops.index import numpy_index

# Written ranges that are closer than this many bytes are one.
_GAP: Final = 2**9


class Native(Protocol):
    """Linked native code."""

    def __call__(self, arguments: Sequence[Array]) -> list[Array]:
        """Results for arguments."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """The writes of one update with their operands.

    Attributes:
        writer: native code that makes them in its last argument.
        writes: where they go.
        operands: the arguments of the native code.
        old: per write, what it overwrites in the value that the patch was made for.
    """

    writer: Native
    writes: tuple[Write, ...]
    operands: tuple[Array, ...]
    old: tuple[Array, ...]

    def keys(self) -> list[tuple[Any, ...]]:
        """Where the writes go, as numpy has it."""
        keys: list[tuple[Any, ...]] = []
        for write in self.writes:
            places = tuple([self.operands[place] for place in write.places])
            keys.append(places if write.index is None else (*numpy_index(write.index, places), ...))
        return keys

    def restore(self, value: Array) -> None:
        """Puts back what was there in a value before some of the writes, or all, or none."""
        for key, old in zip(self.keys(), self.old, strict=True):
            value[key] = old

    def write(self, value: Array) -> None:
        """Makes the writes in a value of that shape, which is contiguous and writable.

        Raises:
            ShapeError: what is to be written does not fit; nothing has changed.
            LimitExceeded: there is not enough memory; nothing has changed.
        """
        operands = [np.array(x) if np.may_share_memory(x, value) else x for x in self.operands]
        self.writer([*operands, value])

    def applied(self, old: Array) -> Array:
        """The new value, apart from the old one."""
        new = np.array(old, order="C")
        self.write(new)
        return new

    def dirty(self, value: Array) -> tuple[tuple[int, int], ...]:
        """Ranges of bytes of a value in C order, ascending, outside of which nothing is written."""
        found = [
            _rows(value, key) if write.index is None else _view(value, key)
            for write, key in zip(self.writes, self.keys(), strict=True)
        ]
        starts = np.concatenate([start for start, _ in found])
        stops = np.concatenate([stop for _, stop in found])
        order = np.argsort(starts, kind="stable")
        starts, stops = starts[order], np.maximum.accumulate(stops[order])
        if not starts.size:
            return ()
        fresh = np.flatnonzero(starts[1:] > stops[:-1] + _GAP) + 1
        first = starts[np.concatenate([[0], fresh])]
        last = stops[np.concatenate([fresh - 1, [-1]])]
        return tuple(zip(first.tolist(), last.tolist(), strict=True))


def _rows(value: Array, indexes: tuple[Array, ...]) -> tuple[Array, Array]:
    """Where the rows that index arrays choose start and stop, in bytes."""
    rest = value.shape[len(indexes) :]
    length = value.itemsize * int(np.prod(rest, dtype=np.int64))
    flat: Array = np.zeros((), np.int64)
    for index, extent in zip(indexes, value.shape, strict=False):
        at = index.astype(np.int64)
        flat = flat * extent + np.where(at < 0, at + extent, at)
    starts = np.unique(flat) * length
    return starts, starts + length


def _view(value: Array, key: tuple[Any, ...]) -> tuple[Array, Array]:
    """Where a view starts and stops, in bytes."""
    view = value[key]
    if not view.size:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    reach = [(n - 1) * stride for n, stride in zip(view.shape, view.strides, strict=True)]
    first = view.ctypes.data - value.ctypes.data
    start = first + sum(min(r, 0) for r in reach)
    stop = first + sum(max(r, 0) for r in reach) + value.itemsize
    return np.array([start]), np.array([stop])
