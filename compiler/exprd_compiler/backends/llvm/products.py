"""Products by BLAS in the entry: one call, or a native loop of calls over batch axes.

Operands are stepped through where they lie, transposed ones by flags. Nothing is called for no
results, and an empty sum gives zeros without a call, since routines differ in what they do then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from exprd_compiler.backends.llvm import memory
from exprd_compiler.backends.llvm.blas import NO_TRANSPOSE, ROW_MAJOR, TRANSPOSE
from exprd_compiler.backends.llvm.counting import leave_unless_ok
from exprd_compiler.backends.llvm.loops import counted
from exprd_compiler.backends.llvm.panels import panels
from exprd_compiler.backends.llvm.scalar import LLVMBuilder
from exprd_compiler.backends.llvm.small_products import SMALL, small_product
from exprd_compiler.backends.llvm.text import FunctionText, ModuleText, Value, constant
from exprd_compiler.backends.llvm.types import item_size
from exprd_compiler.ir.integer import IntExpr
from exprd_compiler.kernel.form import Blas, Buffer, Operand
from exprd_compiler.ops.movement import contiguous_strides

PREFIX: Final = {"float32": "s", "float64": "d"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryScope:
    """What an entry under construction offers to those who write a step of it.

    Attributes:
        module: what declarations go to.
        function: the entry.
        context: the context record.
        address: the storage of a buffer.
        integer: the value of an expression, computed at its first use.
    """

    module: ModuleText
    function: FunctionText
    context: Value
    address: Callable[[Buffer], Value]
    integer: Callable[[IntExpr], Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    """The extents of one product: a (m, k) by b (k, n), and how many results there are in all."""

    m: Value
    k: Value
    n: Value
    bytes: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lines:
    """A matrix as BLAS wants it: address, distance of its lines, elements between batch items.

    `step` is the distance as BLAS takes it, `wide` the same in 64 bits.
    """

    pointer: Value
    step: str
    wide: Value
    flag: int
    strides: tuple[Value, ...]
    dtype: str


def write_product(scope: EntryScope, step: Blas) -> None:
    """Write the step: nothing for no results, zeros for an empty sum, else the calls."""
    function, k = scope.function, LLVMBuilder(scope.function, 1)
    # everything is computed before the first branch, so that it is known behind the last
    sizes = _sizes(scope, k, step)
    a, b = _lines(scope, k, step.a), _lines(scope, k, step.b)
    out = _result(scope, step)
    extents = [scope.integer(extent) for extent in step.batch]
    labels = [function.label(hint) for hint in ("some", "empty", "blas", "done")]
    some, empty, call, done = labels
    zero = constant(0, "int64")
    function.branch(k.compare("eq", sizes.bytes, zero), done, some)
    function.begin(some)
    function.branch(k.compare("eq", sizes.k, zero), empty, call)
    function.begin(empty)
    if not step.add:
        _clear(scope, out.pointer, sizes.bytes)
    function.jump(done)
    function.begin(call)
    _loops(scope, step, sizes, (a, b, out), extents)
    function.jump(done)
    function.begin(done)


def _sizes(scope: EntryScope, k: LLVMBuilder, step: Blas) -> _Sizes:
    one = constant(1, "int64")
    columns = one if step.n is None else scope.integer(step.n)
    rows = scope.integer(step.m)
    size = k.mul(k.mul(rows, columns), constant(item_size(step.dtype), "int64"))
    for extent in step.batch:
        size = k.mul(size, scope.integer(extent))
    return _Sizes(m=rows, k=scope.integer(step.k), n=columns, bytes=size)


def _lines(scope: EntryScope, k: LLVMBuilder, operand: Operand) -> _Lines:
    base, offset = scope.address(operand.buffer), scope.integer(operand.offset)
    step = k.maximum(scope.integer(operand.step), constant(1, "int64"))
    return _Lines(
        pointer=memory.element_pointer(k, base, operand.buffer.dtype, offset),
        step=_short(scope, step),
        wide=step,
        flag=TRANSPOSE if operand.transposed else NO_TRANSPOSE,
        strides=tuple(scope.integer(stride) for stride in operand.batch),
        dtype=operand.buffer.dtype,
    )


def _result(scope: EntryScope, step: Blas) -> _Lines:
    strides = contiguous_strides(step.out.extents)[: len(step.batch)]
    wide = constant(1, "int64") if step.n is None else scope.integer(step.n)
    return _Lines(
        pointer=scope.address(step.out),
        step=_short(scope, wide),
        wide=wide,
        flag=NO_TRANSPOSE,
        strides=tuple(scope.integer(stride) for stride in strides),
        dtype=step.dtype,
    )


def _clear(scope: EntryScope, out: Value, size: Value) -> None:
    scope.module.declare("llvm.memset.p0.i64", "void", ["ptr", "i8", "i64", "i1"])
    clear = f"ptr {out.text}, i8 0, i64 {size.text}, i1 false"
    scope.function.line(f"call void @llvm.memset.p0.i64({clear})")


def _loops(
    scope: EntryScope,
    step: Blas,
    sizes: _Sizes,
    matrices: tuple[_Lines, _Lines, _Lines],
    extents: Sequence[Value],
) -> None:
    """A loop for each batch axis around the call."""
    k = LLVMBuilder(scope.function, 1)
    small = _is_small(k, sizes) if extents and matrices[1].flag == NO_TRANSPOSE else None

    def item(depth: int, pointers: Sequence[Value]) -> None:
        if depth == len(extents):
            _one(scope, step, sizes, matrices, pointers, small)
            return

        def body(index: Value, _: Sequence[Value]) -> Sequence[Value]:
            there = [
                memory.element_pointer(k, p, x.dtype, k.mul(index, x.strides[depth]))
                for p, x in zip(pointers, matrices, strict=True)
            ]
            item(depth + 1, there)
            return ()

        counted(scope.function, extents[depth], 1, (), body)

    item(0, [x.pointer for x in matrices])


def _is_small(k: LLVMBuilder, sizes: _Sizes) -> Value:
    """Whether there are so few multiplications that a call would take longer."""
    inside = k.compare("le", k.mul(k.mul(sizes.m, sizes.n), sizes.k), constant(SMALL, "int64"))
    # each is compared as well, since the product of large extents wraps around
    for extent in (sizes.m, sizes.n, sizes.k):
        inside = k.and_(inside, k.compare("le", extent, constant(SMALL, "int64")))
    return inside


def _one(
    scope: EntryScope,
    step: Blas,
    sizes: _Sizes,
    matrices: tuple[_Lines, _Lines, _Lines],
    pointers: Sequence[Value],
    small: Value | None,
) -> None:
    """The product at one batch position: in our own code if it is small, else by a call."""
    if small is None:
        _call(scope, step, sizes, matrices, pointers)
        return
    function = scope.function
    near, far, done = (function.label(hint) for hint in ("small", "large", "made"))
    function.branch(small, near, far)
    function.begin(near)
    name = small_product(scope.module, step.dtype, alpha=step.alpha, add=step.add)
    a, b, out = matrices
    one = constant(1, "int64")
    down, right = (one, a.wide) if a.flag == TRANSPOSE else (a.wide, one)
    at_a, at_b, at_out = pointers
    values = (at_a, down, right, at_b, b.wide, at_out, out.wide, sizes.m, sizes.n, sizes.k)
    function.line(f"call void @{name}({', '.join(value.typed for value in values)})")
    function.jump(done)
    function.begin(far)
    _call(scope, step, sizes, matrices, pointers)
    function.jump(done)
    function.begin(done)


def _call(
    scope: EntryScope,
    step: Blas,
    sizes: _Sizes,
    matrices: tuple[_Lines, _Lines, _Lines],
    pointers: Sequence[Value],
) -> None:
    """One call of the routine for the matrices at these addresses."""
    a, b, out = matrices
    at_a, at_b, at_out = (pointer.typed for pointer in pointers)
    m, n, k = (_short(scope, value) for value in (sizes.m, sizes.n, sizes.k))
    alpha, beta = (constant(x, step.dtype).typed for x in (step.alpha, float(step.add)))
    order = f"i32 {ROW_MAJOR}"
    if step.routine == "gemm":
        left = (order, f"i32 {a.flag}", f"i32 {b.flag}", m, n, k, alpha, at_a, a.step)
        arguments: tuple[str, ...] = (*left, at_b, b.step, beta, at_out, out.step)
    else:
        stored = (k, m) if a.flag == TRANSPOSE else (m, k)
        matrix = (order, f"i32 {a.flag}", *stored, alpha, at_a, a.step)
        arguments = (*matrix, at_b, "i32 1", beta, at_out, "i32 1")
    symbol = f"exprd_{PREFIX[step.dtype]}{step.routine}"
    name = panels(scope.module, symbol, step.routine, step.dtype, step.dtype)
    passed = ", ".join((scope.context.typed, *arguments))
    stopped = scope.function.emit(f"call i32 @{name}({passed})", "int32")
    leave_unless_ok(scope.function, stopped)


def _short(scope: EntryScope, value: Value) -> str:
    return scope.function.emit(f"trunc i64 {value.text} to i32", "int32").typed
