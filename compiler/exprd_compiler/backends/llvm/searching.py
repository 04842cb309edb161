"""Passes over one vector whose result depends on values: search, tally, compaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from exprd_compiler.backends.llvm import memory
from exprd_compiler.backends.llvm.control import branched, repeated
from exprd_compiler.backends.llvm.counting import cancel_point
from exprd_compiler.backends.llvm.kernels import fail_with
from exprd_compiler.backends.llvm.loops import ZERO, counted
from exprd_compiler.backends.llvm.order import load_raw, rank_of, raw_dtype
from exprd_compiler.backends.llvm.scalar import LLVMBuilder
from exprd_compiler.backends.llvm.text import Value, constant
from exprd_compiler.backends.llvm.types import item_size, register_type
from exprd_compiler.ops.arithmetic import sum_of

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.call import Call

_ONE: Final = constant(1, "int64")
_BLOCK: Final = 8  # bytes of a mask that one load looks at
_WORD: Final = 8  # bytes of the largest integer
_ALL_TRUE: Final = constant(int.from_bytes(b"\1" * _BLOCK), "int64")

# Writes what belongs to a place of the mask, or to a block from there on, to a place of the result.
Put: TypeAlias = Callable[[Value, Value], None]


def _fail_unless(call: Call, condition: Value, values: Sequence[Value]) -> None:
    function = call.k.function
    fine, fail = function.label("fine"), function.label("fail")
    function.branch(condition, fine, fail)
    function.begin(fail)
    fail_with(function, call.context, call.site.text, values)
    function.begin(fine)


# ---- search
def write_search(call: Call) -> None:
    """For each value, the number of elements of a sorted vector that are before it."""
    k, (_, values) = call.k, call.operands
    dtype = call.dtypes[0]
    _, number = call.sizes

    def each(place: Value, _: Sequence[Value]) -> Sequence[Value]:
        cancel_point(k.function, call.context)
        rank = rank_of(k, load_raw(k, values, dtype, place), dtype)
        found = _before(call, rank)
        memory.store_one(k, found, memory.element_pointer(k, call.out, "int64", place))
        return ()

    counted(k.function, number, 1, (), each)


def _before(call: Call, rank: Value) -> Value:
    """Bisection: elements below the first place are before, those from it on by `left` are not."""
    k, dtype, array = call.k, call.dtypes[0], call.operands[0]
    predicate = "le" if call.attrs["right"] else "lt"

    def halved(state: Sequence[Value]) -> Sequence[Value]:
        first, left = state
        half = k.function.emit(f"lshr i64 {left.text}, 1", "int64")
        middle = k.add(first, half)
        here = rank_of(k, load_raw(k, array, dtype, middle), dtype)
        before = k.compare(predicate, here, rank)
        rest = k.sub(k.sub(left, half), _ONE)
        return (k.select(before, k.add(middle, _ONE), first), k.select(before, rest, half))

    start = (ZERO, call.sizes[0])
    return repeated(k.function, start, lambda s: k.compare("lt", ZERO, s[1]), halved)[0]


# ---- tally
def write_tally(call: Call) -> None:
    """How often each number occurs, or the sum of the weights where it does."""
    k, (number, length) = call.k, call.sizes
    zero, one = (constant(x, call.out_dtype) for x in (0, 1))

    def clear(place: Value, _: Sequence[Value]) -> Sequence[Value]:
        memory.store_one(k, zero, _at(call, place))
        return ()

    def each(place: Value, _: Sequence[Value]) -> Sequence[Value]:
        goal = _at(call, _counted_at(call, place, length))
        old = memory.load_one(k, goal, call.out_dtype)
        memory.store_one(k, sum_of(k, old, _weight(call, place) or one), goal)
        return ()

    counted(k.function, length, 1, (), clear)
    counted(k.function, number, 1, (), each)


def _at(call: Call, place: Value) -> Value:
    return memory.element_pointer(call.k, call.out, call.out_dtype, place)


def _weight(call: Call, place: Value) -> Value | None:
    if len(call.operands) == 1:
        return None
    dtype = call.dtypes[1]
    raw = memory.element_pointer(call.k, call.operands[1], dtype, place)
    return call.k.cast(memory.load_one(call.k, raw, dtype), call.out_dtype)


# ---- bounds
def write_bound(call: Call) -> None:
    """The numbers themselves, once each is known to be below a length."""
    k, (number,) = call.k, call.sizes
    given = memory.load_one(k, call.operands[1], "int64")
    length = k.select(k.compare("lt", given, ZERO), ZERO, given)  # nothing is below a negative one

    def each(place: Value, _: Sequence[Value]) -> Sequence[Value]:
        value = _counted_at(call, place, length)
        memory.store_one(k, value, memory.element_pointer(k, call.out, "int64", place))
        return ()

    counted(k.function, number, 1, (), each)


def _counted_at(call: Call, place: Value, length: Value) -> Value:
    """The number at a place of the first operand as int64, refused unless it is below a length."""
    k, dtype = call.k, call.dtypes[0]
    raw = memory.element_pointer(k, call.operands[0], dtype, place)
    value = k.cast(memory.load_one(k, raw, dtype), "int64")
    inside = k.function.emit(f"icmp ult i64 {value.text}, {length.text}", "bool")
    _fail_unless(call, inside, (value, length))
    return value


# ---- compaction
def write_compact(call: Call) -> None:
    """The first so many positions of what is true; fails if there are fewer."""
    k = call.k

    def one(place: Value, onto: Value) -> None:
        memory.store_one(k, place, memory.element_pointer(k, call.out, "int64", onto))

    def all_(place: Value, onto: Value) -> None:
        steps = ", ".join(f"i64 {lane}" for lane in range(_BLOCK))
        many = LLVMBuilder(k.function, _BLOCK)
        lanes = Value(f"<{steps}>", "int64", _BLOCK)
        _store_block(call, many.add(many.broadcast(place), lanes), onto)

    _compact(call, call.operands[0], one, all_)


def write_pack(call: Call) -> None:
    """The first so many elements at what is true; fails if there are fewer."""
    k, source, dtype = call.k, call.operands[0], call.dtypes[0]
    wide = item_size(dtype) > _WORD
    raw = dtype if wide else raw_dtype(dtype)

    def one(place: Value, onto: Value) -> None:
        item = memory.load_one(k, memory.element_pointer(k, source, raw, place), raw)
        memory.store_one(k, item, memory.element_pointer(k, call.out, raw, onto))

    def all_(place: Value, onto: Value) -> None:
        if wide:
            for lane in range(_BLOCK):
                one(*[k.add(start, constant(lane, "int64")) for start in (place, onto)])
            return
        at = memory.element_pointer(k, source, raw, place)
        kind = register_type(raw, _BLOCK)
        _store_block(call, k.function.emit(f"load {kind}, {at.typed}, align 1", raw, _BLOCK), onto)

    _compact(call, call.operands[1], one, all_)


def _store_block(call: Call, items: Value, onto: Value) -> None:
    at = memory.element_pointer(call.k, call.out, items.dtype, onto)
    call.k.function.line(f"store {items.typed}, {at.typed}, align 1")


def _compact(call: Call, flags: Value, one: Put, all_: Put) -> None:
    """What belongs to true flags, one after the other.

    Single ones are put whether true or not, and the next goes to the same place if not; so there is
    no branch on single values. While a block more surely fits, its flags are looked at together.
    """
    k, (number, count) = call.k, call.sizes

    def advance(place: Value, found: Value) -> Sequence[Value]:
        flag = memory.load_one(k, memory.element_pointer(k, flags, "bool", place), "bool")
        one(place, found)
        return (k.add(place, _ONE), k.add(found, k.cast(flag, "int64")))

    def block(state: Sequence[Value]) -> Sequence[Value]:
        place, found = state
        at = memory.element_pointer(k, flags, "bool", place)
        together = k.function.emit(f"load i64, ptr {at.text}, align 1", "int64")

        def full() -> Sequence[Value]:
            all_(place, found)
            return (k.add(found, constant(_BLOCK, "int64")),)

        def mixed() -> Sequence[Value]:
            reached: Sequence[Value] = (place, found)
            for _ in range(_BLOCK):
                reached = advance(*reached)
            return (reached[1],)

        def some() -> Sequence[Value]:
            return branched(k.function, k.compare("eq", together, _ALL_TRUE), full, mixed)

        (behind,) = branched(k.function, k.compare("ne", together, ZERO), some, lambda: (found,))
        return (k.add(place, constant(_BLOCK, "int64")), behind)

    def more(state: Sequence[Value]) -> Value:
        return k.and_(k.compare("lt", state[0], number), k.compare("lt", state[1], count))

    after = repeated(k.function, (ZERO, ZERO), lambda s: _room_for_block(call, s), block)
    _, found = repeated(k.function, after, more, lambda state: advance(*state))
    _fail_unless(call, k.compare("eq", found, count), (found, count))


def _room_for_block(call: Call, state: Sequence[Value]) -> Value:
    k, block = call.k, constant(_BLOCK, "int64")
    ends = [k.add(place, block) for place in state]
    return k.and_(*[k.compare("le", end, size) for end, size in zip(ends, call.sizes, strict=True)])
