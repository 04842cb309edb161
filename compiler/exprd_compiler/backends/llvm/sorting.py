"""Sorting of rows: insertion for a few elements, merging for some, digits for many; all stable.

What is moved are elements as they lie in memory, or positions; what is compared are their ranks
(see `order`), so that no comparison knows a dtype and equal values keep their order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from exprd_compiler.backends.llvm import memory
from exprd_compiler.backends.llvm.control import Step, branched, either, only_if, repeated
from exprd_compiler.backends.llvm.counting import cancel_point
from exprd_compiler.backends.llvm.loops import ZERO, counted
from exprd_compiler.backends.llvm.networks import Network, network_room
from exprd_compiler.backends.llvm.order import load_raw, rank_of, raw_dtype, store_raw
from exprd_compiler.backends.llvm.radix import counters, sort_by_digits
from exprd_compiler.backends.llvm.ranking import RUN, place_run, ranking_room
from exprd_compiler.backends.llvm.text import Value, constant
from exprd_compiler.backends.llvm.types import item_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exprd_compiler.backends.llvm.call import Call
    from exprd_compiler.backends.llvm.scalar import LLVMBuilder

# Rows from this length on are sorted by digits, by the bytes of an element.
MANY: Final[Mapping[int, int]] = MappingProxyType({1: 64, 2: 192, 4: 384, 8: 768})
# Up to so many of the first elements are kept while passing over the row once.
FEW: Final = 32
# Up to so many, and an eighth of the row, out of a buffer of twice as many.
_SOME: Final = 4096
# In no order, c of n are found in about log(n / c) rounds of that; beyond this it goes badly.
_ROUNDS: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """What is brought into order along one row: its elements, or their positions.

    Attributes:
        k: builder of the function.
        context: the execution context, where a call may be cancelled.
        row: address of the first element.
        dtype: of the elements.
        positions: whether positions are moved.
        descending: whether the largest comes first.
        source: items to be ordered in place of those of the whole row.
    """

    k: LLVMBuilder
    context: Value
    row: Value
    dtype: str
    positions: bool
    descending: bool
    source: Value | None = None

    @property
    def raw(self) -> str:
        """The dtype of ranks."""
        return raw_dtype(self.dtype)

    @property
    def signed(self) -> str:
        """The signed dtype of the width of ranks."""
        return self.raw.removeprefix("u")

    @property
    def item(self) -> str:
        """The dtype of what is moved."""
        return "int64" if self.positions else self.raw

    def at(self, place: Value) -> Value:
        """The item that stands at a place of the row, or of the source."""
        if self.source is not None:
            return self.load(self.source, place)
        return place if self.positions else load_raw(self.k, self.row, self.dtype, place)

    def rank(self, item: Value) -> Value:
        """What an item is compared by."""
        bits = load_raw(self.k, self.row, self.dtype, item) if self.positions else item
        return rank_of(self.k, bits, self.dtype, descending=self.descending)

    def load(self, array: Value, place: Value) -> Value:
        """The item at a place of an array of items."""
        return memory.load_one(
            self.k, memory.element_pointer(self.k, array, self.item, place), self.item
        )

    def store(self, item: Value, array: Value, place: Value) -> None:
        """Write an item to a place of an array of items."""
        store_raw(self.k, item, array, place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The memory of one row.

    Attributes:
        out: where the items end.
        spare: as much again.
        moved: two arrays of elements, where positions are sorted.
        counts: counters of digits.
        ranking: ranks and places of a short run.
    """

    out: Value
    spare: Value
    moved: tuple[Value, ...]
    counts: Value
    ranking: tuple[Value, Value]


def _one() -> Value:
    return constant(1, "int64")


# ---- insertion
def _insert(items: Items, item: Value, target: Value, low: Value, place: Value) -> None:
    """Put an item where it belongs among the sorted ones from `low` below `place`."""
    k, rank = items.k, items.rank(item)

    def smaller(state: Sequence[Value]) -> Value:
        def compared() -> Sequence[Value]:
            before = items.load(target, k.sub(state[0], _one()))
            return (k.compare("gt", items.rank(before), rank),)

        inside = k.compare("gt", state[0], low)
        (found,) = branched(k.function, inside, compared, lambda: (constant(0, "bool"),))
        return found

    def shift(state: Sequence[Value]) -> Sequence[Value]:
        before = k.sub(state[0], _one())
        items.store(items.load(target, before), target, state[0])
        return (before,)

    (free,) = repeated(k.function, [place], smaller, shift)
    items.store(item, target, free)


def _insert_all(items: Items, target: Value, low: Value, high: Value) -> None:
    """The items of the row from `low` below `high`, in order, at those places of the target."""
    k = items.k

    def each(state: Sequence[Value]) -> Sequence[Value]:
        _insert(items, items.at(state[0]), target, low, state[0])
        return (k.add(state[0], _one()),)

    repeated(k.function, [low], lambda state: k.compare("lt", state[0], high), each)


# ---- merging
def _copy(items: Items, source: Value, target: Value, span: Sequence[Value]) -> None:
    """Items from a place of the source below another, to the target from a place on."""
    k = items.k
    start, end, onto = span

    def each(state: Sequence[Value]) -> Sequence[Value]:
        items.store(items.load(source, state[0]), target, state[1])
        return [k.add(place, _one()) for place in state]

    repeated(k.function, [start, onto], lambda state: k.compare("lt", state[0], end), each)


def _merge(items: Items, source: Value, target: Value, span: Sequence[Value]) -> None:
    """Two sorted neighbours, from low, middle and below high, as one."""
    k = items.k
    low, middle, high = span

    def both(state: Sequence[Value]) -> Value:
        return k.and_(k.compare("lt", state[0], middle), k.compare("lt", state[1], high))

    def smaller(state: Sequence[Value]) -> Sequence[Value]:
        left, right = (items.load(source, place) for place in state[:2])
        later = k.compare("lt", items.rank(right), items.rank(left))
        items.store(k.select(later, right, left), target, state[2])
        step = k.cast(later, "int64")
        first = k.add(state[0], k.sub(_one(), step))
        return (first, k.add(state[1], step), k.add(state[2], _one()))

    left, right, place = repeated(k.function, [low, middle, low], both, smaller)
    _copy(items, source, target, (left, middle, place))
    _copy(items, source, target, (right, high, k.add(place, k.sub(middle, left))))


def _merge_runs(items: Items, room: Room, n: Value) -> None:
    """Runs by counting, then ever longer ones from one array into the other."""
    k, run, out = items.k, constant(RUN, "int64"), room.out

    def sort_run(state: Sequence[Value]) -> Sequence[Value]:
        high = k.add(state[0], run)
        place_run(items, room.ranking, out, (state[0], k.minimum(high, n)))
        return (high,)

    def pairs(state: Sequence[Value]) -> Sequence[Value]:
        width, source, target = state

        def pair(at: Sequence[Value]) -> Sequence[Value]:
            middle = k.add(at[0], width)
            high = k.add(middle, width)
            _merge(items, source, target, (at[0], k.minimum(middle, n), k.minimum(high, n)))
            return (high,)

        repeated(k.function, [ZERO], lambda at: k.compare("lt", at[0], n), pair)
        return (k.add(width, width), target, source)

    repeated(k.function, [ZERO], lambda state: k.compare("lt", state[0], n), sort_run)
    shorter = [run, out, room.spare]
    _, last, _ = repeated(k.function, shorter, lambda s: k.compare("lt", s[0], n), pairs)
    elsewhere = k.function.emit(f"icmp ne ptr {last.text}, {out.text}", "bool")
    only_if(k.function, elsewhere, lambda: _copy(items, last, out, (ZERO, n, ZERO)))


# ---- a row
def sort_row(items: Items, room: Room, n: Value) -> None:
    """The items of a row of n elements in order."""
    k = items.k
    limit = constant(MANY[item_size(items.dtype)], "int64")
    either(
        k.function,
        k.compare("lt", n, limit),
        lambda: _merge_runs(items, room, n),
        lambda: sort_by_digits(items, room, n),
    )


# ---- the first of a row
def _select(items: Items, out: Value, n: Value, count: Value) -> None:
    """The first `count` items, those seen so far always in order in `out`."""
    k = items.k
    last = k.sub(count, _one())
    _insert_all(items, out, ZERO, count)
    worst = items.rank(items.load(out, last))

    def each(state: Sequence[Value]) -> Sequence[Value]:
        place, bound = state
        item = items.at(place)

        def better() -> Sequence[Value]:
            _insert(items, item, out, ZERO, last)
            return (items.rank(items.load(out, last)),)

        beats = k.compare("lt", items.rank(item), bound)
        (bound,) = branched(k.function, beats, better, lambda: (bound,))
        return (k.add(place, _one()), bound)

    repeated(k.function, [count, worst], lambda state: k.compare("lt", state[0], n), each)


def _select_some(items: Items, whole: Room, n: Value, count: Value) -> Value:
    """The first `count` items in `whole.out`, by a buffer of twice as many, sorted when it is full.

    What is not before the last of the first `count` so far does not come into it; an item is
    written in any case, and the next to the same place if it was not wanted.

    Returns:
        Whether it was done; it is given up where almost every item comes before those so far.
    """
    k = items.k
    buffer, target, size = whole.out, whole.spare, k.add(count, count)
    rest = memory.element_pointer(k, buffer, items.item, size)
    room = replace(whole, out=target, spare=rest)

    def take(state: Sequence[Value], bound: Value) -> Sequence[Value]:
        place, filled = state
        item = items.at(place)
        items.store(item, buffer, filled)
        early = k.compare("lt", place, size)
        wanted = k.or_(k.compare("lt", items.rank(item), bound), early)
        return (k.add(place, _one()), k.add(filled, k.cast(wanted, "int64")))

    def fill(state: Sequence[Value]) -> Sequence[Value]:
        cancel_point(k.function, items.context)
        place, filled = repeated(
            k.function,
            state[:2],
            lambda s: k.and_(k.compare("lt", s[0], n), k.compare("lt", s[1], size)),
            lambda s: take(s, state[2]),
        )
        _merge_runs(replace(items, source=buffer), room, filled)
        _copy(items, target, buffer, (ZERO, count, ZERO))
        bound = items.rank(items.load(target, k.sub(count, _one())))
        return (place, count, bound, k.add(state[3], _one()))

    def going(state: Sequence[Value]) -> Value:
        well = k.compare("lt", state[3], constant(_ROUNDS, "int64"))
        return k.and_(well, k.compare("lt", state[0], n))

    start = (ZERO, ZERO, constant(0, items.raw), ZERO)
    reached = repeated(k.function, start, going, fill)[0]
    return k.compare("eq", reached, n)


def select_row(items: Items, out: Value, whole: Room, n: Value, count: Value) -> None:
    """The first `count` items of a row in order: kept in passing, or out of all of them sorted."""
    k = items.k

    def kept() -> None:
        only_if(k.function, k.compare("lt", ZERO, count), lambda: _select(items, out, n, count))

    def more() -> None:
        small = k.compare("le", k.mul(count, constant(8, "int64")), n)
        some = k.and_(small, k.compare("le", count, constant(_SOME, "int64")))
        (done,) = branched(
            k.function,
            some,
            lambda: (_select_some(items, whole, n, count),),
            lambda: (constant(0, "bool"),),
        )
        only_if(k.function, k.not_(done), lambda: sort_row(items, whole, n))
        _copy(items, whole.out, out, (ZERO, count, ZERO))

    few = k.compare("le", count, constant(FEW, "int64"))
    either(k.function, few, kept, more)


# ---- rows
def _items(call: Call, row: Value, *, positions: bool) -> Items:
    return Items(
        k=call.k,
        context=call.context,
        row=row,
        dtype=call.dtypes[0],
        positions=positions,
        descending=call.attrs["descending"],
    )


def _rows(call: Call, body: Callable[[Value, Value], None], *, positions: bool) -> None:
    """For each row, the address of its elements and that of its result."""
    k, (rows, n, count) = call.k, call.sizes
    item = "int64" if positions else call.dtypes[0]

    def each(number: Value, _: Sequence[Value]) -> Sequence[Value]:
        cancel_point(k.function, call.context)
        row = memory.element_pointer(k, call.operands[0], call.dtypes[0], k.mul(number, n))
        body(row, memory.element_pointer(k, call.out, item, k.mul(number, count)))
        return ()

    counted(k.function, rows, 1, (), each)


def _room(call: Call, out: Value, spare: Value, moved: Sequence[Value]) -> Room:
    """The memory of rows, counters and short runs on the stack: to be made outside all loops."""
    dtype = call.dtypes[0]
    return Room(
        out=out,
        spare=spare,
        moved=tuple(moved),
        counts=counters(call.k, dtype),
        ranking=ranking_room(call.k, raw_dtype(dtype)),
    )


def _write_sorted(call: Call, *, positions: bool) -> None:
    spare, *moved = call.scratch
    room = _room(call, call.out, spare, moved)

    def one(row: Value, out: Value) -> None:
        items = _items(call, row, positions=positions)
        sort_row(items, replace(room, out=out), call.sizes[1])

    together = None if positions else network_room(call.k, call.dtypes[0])
    if together is None:
        _rows(call, one, positions=positions)
    else:
        _rows_together(call, together, one)


def _rows_together(call: Call, room: Value, one: Callable[[Value, Value], None]) -> None:
    """Rows by a network as long as there are enough of them, the others one by one."""
    k, dtype, (rows, n, _) = call.k, call.dtypes[0], call.sizes
    network = Network(k, dtype, room, n, descending=call.attrs["descending"])
    lanes = constant(network.lanes, "int64")

    def at(number: Value) -> tuple[Value, Value]:
        offset = k.mul(number, n)
        source, out = (
            memory.element_pointer(k, base, dtype, offset) for base in (call.operands[0], call.out)
        )
        return source, out

    def each(last: Value) -> Step:
        def row(state: Sequence[Value]) -> Sequence[Value]:
            cancel_point(k.function, call.context)
            one(*at(state[0]))
            return (k.add(state[0], _one()),)

        return lambda state: repeated(k.function, state, lambda s: k.compare("lt", s[0], last), row)

    def block(state: Sequence[Value]) -> Sequence[Value]:
        after = k.add(state[0], lanes)
        network.sort(*at(state[0]), lambda: each(after)(state))
        return (after,)

    fits = network.fits(rows)
    start = repeated(
        k.function,
        (ZERO,),
        lambda s: k.and_(fits, k.compare("le", k.add(s[0], lanes), rows)),
        block,
    )
    each(rows)(start)


def _write_first(call: Call, *, positions: bool) -> None:
    whole, spare, *moved = call.scratch
    room = _room(call, whole, spare, moved)

    def one(row: Value, out: Value) -> None:
        items = _items(call, row, positions=positions)
        select_row(items, out, room, call.sizes[1], call.sizes[2])

    _rows(call, one, positions=positions)


def write_sort(call: Call) -> None:
    """The rows in order."""
    _write_sorted(call, positions=False)


def write_argsort(call: Call) -> None:
    """Where the elements of the rows in order stand."""
    _write_sorted(call, positions=True)


def write_top(call: Call) -> None:
    """The first so many elements of the rows in order."""
    _write_first(call, positions=False)


def write_argtop(call: Call) -> None:
    """Where the first so many elements of the rows in order stand."""
    _write_first(call, positions=True)
