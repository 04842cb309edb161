"""Short runs in order without a branch: the place of an element is the number of those before it.

Every element is compared with every other, sixteen at a time; up to some dozens that is less work
than the mistaken guesses of a branch per comparison. (Knuth, The Art of Computer Programming 3,
5.2, comparison counting.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from exprd_compiler.backends.llvm import memory
from exprd_compiler.backends.llvm.control import repeated
from exprd_compiler.backends.llvm.loops import ZERO, counted, lane_numbers
from exprd_compiler.backends.llvm.scalar import LLVMBuilder
from exprd_compiler.backends.llvm.text import Value, constant
from exprd_compiler.backends.llvm.types import bit_width, memory_type

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.sorting import Items

# The longest run: whole vectors, and a count of those before must fit eight bits.
RUN: Final = 112
_LANES: Final = 16
_ONE: Final = constant(1, "int64")


def ranking_room(k: LLVMBuilder, dtype: str) -> tuple[Value, Value]:
    """Memory of the function for the ranks of a run, and for places; `dtype` is that of ranks."""
    kind = memory_type(dtype, 1)
    ranks, places = (k.function.emit(f"alloca [{RUN} x {kind}], align 64", "ptr") for _ in "rp")
    return ranks, places


def place_run(items: Items, room: tuple[Value, Value], out: Value, span: Sequence[Value]) -> None:
    """The items of the row from one place below another, in order, at those places of `out`."""
    _Run(items, room, out, span).write()


class _Run:
    def __init__(
        self, items: Items, room: tuple[Value, Value], out: Value, span: Sequence[Value]
    ) -> None:
        self.items, self.out = items, out
        self.ranks, self.places = room
        self.low, high = span
        self.one: LLVMBuilder = items.k
        self.function = self.one.function
        self.many = LLVMBuilder(self.function, _LANES)
        self.n = self.one.sub(high, self.low)
        self.dtype = items.signed

    def write(self) -> None:
        counted(self.function, self.n, 1, (), self._prepare)
        counted(self.function, self.n, _LANES, (), self._count_lanes)
        counted(self.function, self.n, 1, (), self._put)

    def _at(self, array: Value, place: Value) -> Value:
        return memory.element_pointer(self.one, array, self.dtype, place)

    def _prepare(self, place: Value, _: Sequence[Value]) -> Sequence[Value]:
        item = self.items.at(self.one.add(self.low, place))
        top = constant(1 << (bit_width(self.dtype) - 1), self.items.raw)
        signed = self.one.cast(self.one.xor(self.items.rank(item), top), self.dtype)
        memory.store_one(self.one, signed, self._at(self.ranks, place))
        return ()

    def _put(self, place: Value, _: Sequence[Value]) -> Sequence[Value]:
        goal = memory.load_one(self.one, self._at(self.places, place), self.dtype)
        item = self.items.at(self.one.add(self.low, place))
        self.items.store(item, self.out, self.one.add(self.low, self.one.cast(goal, "int64")))
        return ()

    # ---- lanes
    def _count_lanes(self, first: Value, _: Sequence[Value]) -> Sequence[Value]:
        """For sixteen elements the number of those before: equal ones on the left, or smaller."""
        kind = memory_type(self.dtype, _LANES)
        source = self._at(self.ranks, first)
        mine = self.function.emit(f"load {kind}, ptr {source.text}, align 1", self.dtype, _LANES)
        end = self.one.minimum(self.one.add(first, constant(_LANES, "int64")), self.n)
        count = self._counted(mine, (ZERO, first), self.many.const(0, self.dtype), "le")
        count = self._beside(mine, first, end, count)
        count = self._counted(mine, (end, self.n), count, "lt")
        self.function.line(f"store {count.typed}, ptr {self._at(self.places, first).text}, align 1")
        return ()

    def _other(self, place: Value) -> Value:
        rank = memory.load_one(self.one, self._at(self.ranks, place), self.dtype)
        return self.many.broadcast(rank)

    def _more(self, count: Value, before: Value) -> Value:
        # a true lane is -1, which a comparison gives without another instruction
        ones = self.many.convert("sext", before, self.dtype)
        return self.many.sub(count, ones)

    def _counted(self, mine: Value, span: Sequence[Value], count: Value, predicate: str) -> Value:
        start, end = span

        def each(state: Sequence[Value]) -> Sequence[Value]:
            before = self.many.compare(predicate, self._other(state[0]), mine)
            return (self.one.add(state[0], _ONE), self._more(state[1], before))

        below = [start, count]
        return repeated(self.function, below, lambda s: self.one.compare("lt", s[0], end), each)[1]

    def _beside(self, mine: Value, first: Value, end: Value, count: Value) -> Value:
        """The count over the sixteen themselves."""
        lanes = lane_numbers(_LANES, bit_width(self.dtype))
        numbers = Value(lanes.text, self.dtype, _LANES)

        def each(state: Sequence[Value]) -> Sequence[Value]:
            place, count = state
            other = self._other(place)
            number = self.many.broadcast(self.one.cast(self.one.sub(place, first), self.dtype))
            left = self.many.compare("lt", number, numbers)
            equal = self.many.and_(self.many.compare("eq", other, mine), left)
            before = self.many.or_(self.many.compare("lt", other, mine), equal)
            return (self.one.add(place, _ONE), self._more(count, before))

        below = [first, count]
        return repeated(self.function, below, lambda s: self.one.compare("lt", s[0], end), each)[1]
