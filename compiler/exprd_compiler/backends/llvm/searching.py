"""Passes over one vector whose result depends on values: search, tally, compaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from exprd_compiler.backends.llvm import memory
from exprd_compiler.backends.llvm.control import branched, repeated
from exprd_compiler.backends.llvm.counting import cancel_point
from exprd_compiler.backends.llvm.kernels import fail_with
from exprd_compiler.backends.llvm.loops import ZERO, counted
from exprd_compiler.backends.llvm.order import load_raw, rank_of
from exprd_compiler.backends.llvm.text import Value, constant
from exprd_compiler.ops.arithmetic import sum_of

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.call import Call

_ONE: Final = constant(1, "int64")
_BLOCK: Final = 8  # bytes of a mask that one load looks at


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
    """The first so many positions of what is true; fails if there are fewer.

    Positions are written whether true or not, and the next goes to the same place if not; so the
    loop has no branch on values. While eight more surely fit, eight flags are looked at together.
    """
    k, (number, count) = call.k, call.sizes
    after = repeated(k.function, (ZERO, ZERO), lambda s: _room_for_block(call, s), _block(call))

    def more(state: Sequence[Value]) -> Value:
        return k.and_(k.compare("lt", state[0], number), k.compare("lt", state[1], count))

    _, found = repeated(k.function, after, more, lambda state: _advance(call, *state))
    _fail_unless(call, k.compare("eq", found, count), (found, count))


def _room_for_block(call: Call, state: Sequence[Value]) -> Value:
    k, block = call.k, constant(_BLOCK, "int64")
    ends = [k.add(place, block) for place in state]
    return k.and_(*[k.compare("le", end, size) for end, size in zip(ends, call.sizes, strict=True)])


def _advance(call: Call, place: Value, found: Value) -> Sequence[Value]:
    k = call.k
    flag = memory.load_one(k, memory.element_pointer(k, call.operands[0], "bool", place), "bool")
    memory.store_one(k, place, memory.element_pointer(k, call.out, "int64", found))
    return (k.add(place, _ONE), k.add(found, k.cast(flag, "int64")))


def _block(call: Call) -> Callable[[Sequence[Value]], Sequence[Value]]:
    """The body of the loop over blocks."""
    k = call.k

    def body(state: Sequence[Value]) -> Sequence[Value]:
        place, found = state
        flags = memory.element_pointer(k, call.operands[0], "bool", place)
        together = k.function.emit(f"load i64, ptr {flags.text}, align 1", "int64")
        some = k.compare("ne", together, ZERO)

        def written() -> Sequence[Value]:
            at: Sequence[Value] = (place, found)
            for _ in range(_BLOCK):
                at = _advance(call, *at)
            return (at[1],)

        (behind,) = branched(k.function, some, written, lambda: (found,))
        return (k.add(place, constant(_BLOCK, "int64")), behind)

    return body
