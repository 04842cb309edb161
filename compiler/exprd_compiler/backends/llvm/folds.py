"""Folds: accumulators carried through row loops, and their combination in a fixed tree.

An accumulator has the lanes of the kernel whatever the machine, and lanes meet pairwise, so the
result does not depend on the width of registers or on the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from exprd_compiler.backends.llvm import complex as complex_
from exprd_compiler.backends.llvm.loops import Lanes
from exprd_compiler.backends.llvm.scalar import LLVMBuilder
from exprd_compiler.backends.llvm.text import Value, constant
from exprd_compiler.backends.llvm.types import is_complex, register_type
from exprd_compiler.ir.lowering import Reduce

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.text import FunctionText
    from exprd_compiler.kernel.form import Fold

State: TypeAlias = "list[Value]"


def start(fold: Fold, lanes: int) -> State:
    """The accumulator before any element: one value, or value and position for ArgReduce."""
    if isinstance(fold.rule, Reduce):
        return [constant(fold.rule.identity(fold.source), fold.source, lanes)]
    return [constant(0, fold.source, lanes), constant(-1, "int64", lanes)]


def step(
    k: LLVMBuilder,
    fold: Fold,
    state: Sequence[Value],
    x: Value,
    position: Value,
    inside: Lanes | None,
) -> State:
    """The accumulator after one more element per lane.

    Args:
        k: builder of as many lanes as the accumulator.
        fold: what is folded.
        state: the accumulator.
        x: the elements.
        position: their place on the folded axis (ArgReduce).
        inside: which lanes hold elements; None if all do.
    """
    rule = fold.rule
    if isinstance(rule, Reduce):
        if inside is not None:
            x = k.select(inside.mask, x, k.const(rule.identity(fold.source), fold.source))
        return [rule.combine(k, state[0], x)]
    best, where = state
    none = k.compare("lt", where, k.const(0, "int64"))
    take = k.or_(none, rule.better(k, x, best))
    if inside is not None:
        take = k.and_(take, inside.mask)
    return [k.select(take, x, best), k.select(take, position, where)]


def finish(function: FunctionText, fold: Fold, state: Sequence[Value], *, across: bool) -> Value:
    """The result: for ArgReduce the position; `across` combines the lanes into one."""
    while across and state[0].lanes > 1:
        half = state[0].lanes // 2
        low, high = ([_half(function, v, half * part, half) for v in state] for part in (0, 1))
        state = _combine(LLVMBuilder(function, half), fold, low, high)
    return state[-1]


def _half(function: FunctionText, value: Value, first: int, count: int) -> Value:
    if is_complex(value.dtype):
        halved = partial(_half, function, first=first, count=count)
        return complex_.each(function, halved, value)
    if count == 1:
        return function.emit(f"extractelement {value.typed}, i64 {first}", value.dtype)
    lanes = ", ".join(f"i32 {first + lane}" for lane in range(count))
    mask = f"{register_type('int32', count)} <{lanes}>"
    text = f"shufflevector {value.typed}, {value.type} poison, {mask}"
    return function.emit(text, value.dtype, count)


def _combine(k: LLVMBuilder, fold: Fold, a: Sequence[Value], b: Sequence[Value]) -> State:
    rule = fold.rule
    if isinstance(rule, Reduce):
        return [rule.combine(k, a[0], b[0])]
    zero = k.const(0, "int64")
    (x, i), (y, j) = a, b
    earlier = k.and_(k.compare("lt", j, i), k.not_(rule.better(k, x, y)))
    wins = k.or_(rule.better(k, y, x), earlier)
    take = k.or_(k.compare("lt", i, zero), wins)
    take = k.and_(take, k.compare("ge", j, zero))
    return [k.select(take, y, x), k.select(take, j, i)]
