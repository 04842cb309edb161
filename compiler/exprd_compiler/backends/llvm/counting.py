"""Counting of events in a kernel, and the points at which running code can be stopped.

A test gives a flag per lane; if any is set, those inside are counted and added to a counter of the
context. A kernel without events has no trace of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Final

from exprd_compiler.backends.llvm.layout import CANCEL_OFFSET, CANCELLED, COUNTER_BYTES, OK
from exprd_compiler.backends.llvm.scalar import LLVMBuilder
from exprd_compiler.backends.llvm.text import Value, constant
from exprd_compiler.kernel.counting import events_of

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.text import FunctionText
    from exprd_compiler.kernel.form import Apply

# Elements of the innermost loop between two looks at the cancel flag; a power of 2.
POLL_ELEMENTS: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the loops a value is computed, as far as counting goes.

    Attributes:
        once: indexes of the loops around it that are not its own: only their first round counts.
        extents: extents of its own loops that are not around it: each test stands for as many.
        mask: which lanes are inside, for values of several lanes.
        lanes: the mask of a vector loop of its own, for a value that is the same in all its lanes.
    """

    once: tuple[Value, ...]
    extents: tuple[Value, ...]
    mask: Value | None
    lanes: Value | None


def count_events(
    k: LLVMBuilder,
    context: Value,
    first: int,
    value: Apply,
    operands: Sequence[Value],
    place: Place,
) -> None:
    """Count the elements on which the operands of a value meet its events, if any does.

    Args:
        k: builder of as many lanes as the value has.
        context: the context record.
        first: offset of counter 0 in the context.
        value: what is computed.
        operands: its operands, cast.
        place: where it is computed.
    """
    events = events_of(value.op, value.attrs, value.operands)
    attrs = dict(value.attrs)
    suspicions = [(event.suspicion or event.test)(k, *operands, **attrs) for event in events]
    some, none = k.function.label("met"), k.function.label("unmet")
    _branch_seldom(k.function, any_lane(k.function, reduce(k.or_, suspicions)), some, none)
    k.function.begin(some)
    for number, event in zip(value.counters, events, strict=True):
        found = _found(k, event.test(k, *operands, **attrs), place)
        _increase(k.function, context, first + COUNTER_BYTES * number, found)
    k.function.jump(none)
    k.function.begin(none)


def _branch_seldom(function: FunctionText, condition: Value, then: str, otherwise: str) -> None:
    """A branch whose condition hardly ever holds, so that the other way is laid out for speed."""
    seldom = "!0"
    weights = f'{seldom} = !{{!"branch_weights", i32 1, i32 100000}}'
    function.module.define_once(seldom, lambda: function.module.add_global(weights))
    targets = f"label %{then}, label %{otherwise}"
    function.line(f"br {condition.typed}, {targets}, !prof {seldom}")


def any_lane(function: FunctionText, flags: Value) -> Value:
    """Whether a flag is set in any lane."""
    if flags.lanes == 1:
        return flags
    return function.call(f"llvm.vector.reduce.or.v{flags.lanes}i1", "bool", flags)


def _found(k: LLVMBuilder, flags: Value, place: Place) -> Value:
    """How many elements the set flags stand for, as int64."""
    one = LLVMBuilder(k.function, 1)
    inside = flags if place.mask is None else k.and_(flags, place.mask)
    found = _set_lanes(k.function, inside)
    if place.lanes is not None:
        found = one.mul(found, _set_lanes(k.function, place.lanes))
    for extent in place.extents:
        found = one.mul(found, extent)
    for index in place.once:
        first = one.compare("eq", index, constant(0, "int64"))
        found = one.select(first, found, constant(0, "int64"))
    return found


def _set_lanes(function: FunctionText, flags: Value) -> Value:
    if flags.lanes == 1:
        return function.emit(f"zext {flags.typed} to i64", "int64")
    bits = function.emit(f"bitcast {flags.typed} to i{flags.lanes}", f"int{flags.lanes}")
    number = function.call(f"llvm.ctpop.i{flags.lanes}", bits.dtype, bits)
    return function.emit(f"zext {number.typed} to i64", "int64")


def _increase(function: FunctionText, context: Value, offset: int, by: Value) -> None:
    slot = function.emit(f"getelementptr i8, ptr {context.text}, i64 {offset}", "ptr")
    old = function.emit(f"load i64, ptr {slot.text}, align 8", "int64")
    new = function.emit(f"add i64 {old.text}, {by.text}", "int64")
    function.line(f"store i64 {new.text}, ptr {slot.text}, align 8")


# ---- stopping
def cancel_point(function: FunctionText, context: Value) -> None:
    """Leave the function with CANCELLED if the call was asked to stop."""
    place = function.emit(f"getelementptr i8, ptr {context.text}, i64 {CANCEL_OFFSET}", "ptr")
    flag = function.emit(f"load atomic i32, ptr {place.text} monotonic, align 4", "int32")
    wanted = function.emit(f"icmp ne i32 {flag.text}, 0", "bool")
    leave, stay = function.label("leave"), function.label("stay")
    function.branch(wanted, leave, stay)
    function.begin(leave)
    function.line(f"ret i32 {CANCELLED}")
    function.begin(stay)


def leave_unless_ok(function: FunctionText, status: Value) -> None:
    """Leave the function with the status of another one that did not succeed."""
    failed = function.emit(f"icmp ne i32 {status.text}, {OK}", "bool")
    leave, stay = function.label("leave"), function.label("stay")
    function.branch(failed, leave, stay)
    function.begin(leave)
    function.line(f"ret i32 {status.text}")
    function.begin(stay)


def cancel_point_each(function: FunctionText, context: Value, index: Value, step: int) -> None:
    """A cancel point in the last round of every `POLL_ELEMENTS` of a loop that goes in steps."""
    low = function.emit(f"and i64 {index.text}, {POLL_ELEMENTS - 1}", "int64")
    due = function.emit(f"icmp eq i64 {low.text}, {POLL_ELEMENTS - step}", "bool")
    look, go = function.label("look"), function.label("go")
    function.branch(due, look, go)
    function.begin(look)
    cancel_point(function, context)
    function.jump(go)
    function.begin(go)
