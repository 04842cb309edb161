"""Loops of a kernel function: counted ones with carried values, and the state of the vector one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exprd_compiler.backends.llvm.text import Value, constant

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.scalar import LLVMBuilder
    from exprd_compiler.backends.llvm.text import FunctionText

ZERO = constant(0, "int64")


@dataclass(frozen=True, slots=True)
class Lanes:
    """The vector loop at the current iteration: whether all lanes are inside, and which are."""

    full: Value
    mask: Value


def counted(
    function: FunctionText,
    extent: Value,
    step: int,
    carried: Sequence[Value],
    body: Callable[[Value, Sequence[Value]], Sequence[Value]],
) -> list[Value]:
    """A loop from 0 below `extent`; `body(index, carried)` gives the next carried values.

    Returns:
        The carried values after the loop.
    """
    before = function.block
    head, inside, after = (function.label(hint) for hint in ("loop", "body", "after"))
    function.jump(head)
    function.begin(head)
    index = function.phi("int64")
    state = [function.phi(value.dtype, value.lanes) for value in carried]
    more = function.emit(f"icmp slt i64 {index.text}, {extent.text}", "bool")
    function.branch(more, inside, after)
    function.begin(inside)
    results = body(index, state)
    following = function.emit(f"add nuw nsw i64 {index.text}, {step}", "int64")
    latch = function.block
    function.jump(head)
    for phi, start, result in zip(
        [index, *state], [ZERO, *carried], [following, *results], strict=True
    ):
        function.incoming(phi, start, before)
        function.incoming(phi, result, latch)
    function.begin(after)
    return state


def lane_numbers(lanes: int, bits: int = 32) -> Value:
    """The constant vector 0, 1, 2, ..."""
    items = ", ".join(f"i{bits} {lane}" for lane in range(lanes))
    return Value(f"<{items}>", f"int{bits}", lanes)


def lanes_at(k: LLVMBuilder, index: Value, extent: Value) -> Lanes:
    """Which lanes of the vector iteration that starts at `index` are below `extent`."""
    function, lanes = k.function, k.lanes
    rest = function.emit(f"sub nsw i64 {extent.text}, {index.text}", "int64")
    full = function.emit(f"icmp sge i64 {rest.text}, {lanes}", "bool")
    some = function.emit(f"select i1 {full.text}, i64 {lanes}, i64 {rest.text}", "int64")
    short = function.emit(f"trunc i64 {some.text} to i32", "int32")
    bound = k.broadcast(short)
    mask = function.emit(
        f"icmp ult {bound.type} {lane_numbers(lanes).text}, {bound.text}", "bool", lanes
    )
    return Lanes(full, mask)
