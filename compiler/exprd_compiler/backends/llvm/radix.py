"""Sorting by digits: a stable counting sort by each byte of the ranks, the last byte first.

All bytes are counted in one pass; a byte that all elements share is passed over. (Knuth, The Art of
Computer Programming 3, 5.2.5.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from exprd_compiler.backends.llvm import memory
from exprd_compiler.backends.llvm.control import branched, only_if, repeated
from exprd_compiler.backends.llvm.counting import cancel_point
from exprd_compiler.backends.llvm.loops import ZERO, counted
from exprd_compiler.backends.llvm.order import load_raw, rank_of, store_raw
from exprd_compiler.backends.llvm.text import Value, constant
from exprd_compiler.backends.llvm.types import item_size

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.scalar import LLVMBuilder
    from exprd_compiler.backends.llvm.sorting import Items, Room

_BITS: Final = 8
_BINS: Final = 1 << _BITS


def _digits(dtype: str) -> int:
    return -(-8 * item_size(dtype) // _BITS)


def sort_by_digits(items: Items, room: Room, n: Value) -> None:
    """The items of a row of n elements in order, in `room.out`; n is not 0."""
    _Digits(items, room, n).write()


class _Digits:
    def __init__(self, items: Items, room: Room, n: Value) -> None:
        self.items, self.room, self.n = items, room, n
        self.k: LLVMBuilder = items.k
        self.function = items.k.function
        self.digits = _digits(items.dtype)
        self.counts = room.counts

    def write(self) -> None:
        self._count()
        start = [ZERO, *self._arrays()]
        limit = constant(self.digits, "int64")
        last = repeated(
            self.function, start, lambda s: self.k.compare("lt", s[0], limit), self._pass
        )
        found, out = last[1 + 3 * self.items.positions], self.room.out
        elsewhere = self.function.emit(f"icmp ne ptr {found.text}, {out.text}", "bool")
        only_if(self.function, elsewhere, lambda: self._copy_to_out(found))

    def _arrays(self) -> list[Value]:
        """Source, target and the one after, of elements, and of positions if those are moved.

        An even number of passes ends in the one after, an odd one in the target.
        """
        out, spare, row = self.room.out, self.room.spare, self.items.row
        even = self.digits % 2 == 0
        if not self.items.positions:
            return [row, spare, out] if even else [row, out, spare]
        first, second = self.room.moved
        source, target = (out, spare) if even else (spare, out)
        counted(self.function, self.n, 1, (), lambda place, _: self._number(source, place))
        return [row, first, second, source, target, source]

    def _number(self, array: Value, place: Value) -> Sequence[Value]:
        self.items.store(place, array, place)
        return ()

    def _copy_to_out(self, found: Value) -> None:
        def each(place: Value, _: Sequence[Value]) -> Sequence[Value]:
            self.items.store(self.items.load(found, place), self.room.out, place)
            return ()

        counted(self.function, self.n, 1, (), each)

    # ---- counting
    def _rank(self, bits: Value) -> Value:
        return rank_of(self.k, bits, self.items.dtype, descending=self.items.descending)

    def _bin(self, rank: Value, shift: Value) -> Value:
        """The number of the bin of a rank: its digit at a shift, which is a multiple of 8."""
        wide = self.k.cast(rank, "uint64")
        moved = self.function.emit(f"lshr {wide.typed}, {shift.text}", "uint64")
        return self.k.and_(moved, constant(_BINS - 1, "uint64"))

    def _place(self, table: Value, number: Value) -> Value:
        return memory.element_pointer(self.k, table, "int64", number)

    def _increase(self, place: Value) -> Value:
        """Add one to a counter, and give what it was."""
        old = memory.load_one(self.k, place, "int64")
        memory.store_one(self.k, self.k.add(old, constant(1, "int64")), place)
        return old

    def _table(self, digit: Value) -> Value:
        return self._place(self.counts, self.k.mul(digit, constant(_BINS, "int64")))

    def _count(self) -> None:
        """How often each digit has each value."""
        zero, size = constant(0, "int64"), constant(self.digits * _BINS, "int64")

        def clear(place: Value, _: Sequence[Value]) -> Sequence[Value]:
            memory.store_one(self.k, zero, self._place(self.counts, place))
            return ()

        def each(place: Value, _: Sequence[Value]) -> Sequence[Value]:
            rank = self._rank(load_raw(self.k, self.items.row, self.items.dtype, place))
            for digit in range(self.digits):
                number = self._bin(rank, constant(digit * _BITS, "int64"))
                table = self._table(constant(digit, "int64"))
                self._increase(self._place(table, number))
            return ()

        counted(self.function, size, 1, (), clear)
        counted(self.function, self.n, 1, (), each)

    # ---- a pass
    def _pass(self, state: Sequence[Value]) -> Sequence[Value]:
        digit, *arrays = state
        cancel_point(self.function, self.items.context)
        shift = self.k.mul(digit, constant(_BITS, "int64"))
        table = self._table(digit)
        first = self._rank(load_raw(self.k, self.items.row, self.items.dtype, ZERO))
        shared = memory.load_one(self.k, self._place(table, self._bin(first, shift)), "int64")
        after = branched(
            self.function,
            self.k.compare("eq", shared, self.n),
            lambda: arrays,
            lambda: self._moved(arrays, table, shift),
        )
        return [self.k.add(digit, constant(1, "int64")), *after]

    def _moved(self, arrays: Sequence[Value], table: Value, shift: Value) -> list[Value]:
        """Every element to its bin, in order; the arrays of the next pass."""
        self._starts(table)
        source, target, *_ = arrays
        numbers = arrays[3:]

        def each(place: Value, _: Sequence[Value]) -> Sequence[Value]:
            bits = load_raw(self.k, source, self.items.dtype, place)
            goal = self._increase(self._place(table, self._bin(self._rank(bits), shift)))
            if self.digits > 1 or not numbers:  # nobody reads elements after the last pass
                store_raw(self.k, bits, target, goal)
            if numbers:
                self.items.store(self.items.load(numbers[0], place), numbers[1], goal)
            return ()

        counted(self.function, self.n, 1, (), each)
        return [x for at in range(0, len(arrays), 3) for x in _turned(arrays[at : at + 3])]

    def _starts(self, table: Value) -> None:
        """Counts to the place where each bin begins."""

        def each(number: Value, state: Sequence[Value]) -> Sequence[Value]:
            place = self._place(table, number)
            count = memory.load_one(self.k, place, "int64")
            memory.store_one(self.k, state[0], place)
            return (self.k.add(state[0], count),)

        counted(self.function, constant(_BINS, "int64"), 1, (ZERO,), each)


def _turned(arrays: Sequence[Value]) -> list[Value]:
    """Source, target and the one after, for the pass that follows."""
    _, target, after = arrays
    return [target, after, target]


def counters(k: LLVMBuilder, dtype: str) -> Value:
    """Memory of the function for the counters of all digits of a dtype."""
    return k.function.emit(f"alloca [{_digits(dtype) * _BINS} x i64], align 64", "ptr")
