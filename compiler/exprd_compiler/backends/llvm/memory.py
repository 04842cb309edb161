"""Loads and stores of a kernel: contiguous, repeated, strided and indexed, one lane or many.

A contiguous access has two forms behind one branch, for a full vector and for the masked tail.
Elements in memory are bytes for bool, two neighbours for complex numbers, 16 bits for floats that
have no more; everything else is as in registers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from exprd_compiler.backends.llvm.complex import doubled, interleaved, pair, part, separated
from exprd_compiler.backends.llvm.conversion import STORED, from_stored, to_stored
from exprd_compiler.backends.llvm.loops import Lanes, lane_numbers
from exprd_compiler.backends.llvm.text import Value, constant
from exprd_compiler.backends.llvm.types import (
    alignment,
    is_complex,
    memory_type,
    part_dtype,
    vector,
)
from exprd_compiler.ir.dtype import HALVES

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.scalar import LLVMBuilder


def element_pointer(k: LLVMBuilder, base: Value, dtype: str, offset: Value) -> Value:
    """The address of an element some elements behind another."""
    if offset.text == "0":
        return base
    kind = memory_type(dtype, 1)
    return k.function.emit(f"getelementptr {kind}, ptr {base.text}, i64 {offset.text}", "ptr")


def _to_register(k: LLVMBuilder, raw: str, dtype: str, lanes: int) -> Value:
    """The result of a load instruction as a register value; bytes become bool."""
    if is_complex(dtype) and lanes > 1:
        return separated(k, k.function.emit(raw, part_dtype(dtype), 2 * lanes))
    if dtype in HALVES:
        return from_stored(k, k.function.emit(raw, STORED[dtype], lanes), dtype)
    if dtype != "bool":
        return k.function.emit(raw, dtype, lanes)
    byte = k.function.emit(raw, "uint8", lanes)
    zero = constant(0, "uint8", lanes)
    return k.function.emit(f"icmp ne {byte.typed}, {zero.text}", "bool", lanes)


def _to_memory(k: LLVMBuilder, value: Value) -> Value:
    """The value as it lies in memory; bool becomes bytes."""
    if is_complex(value.dtype) and value.lanes > 1:
        return interleaved(k, value)
    if value.dtype in HALVES:
        return to_stored(k, value)
    if value.dtype != "bool":
        return value
    wide = vector("i8", value.lanes)
    return k.function.emit(f"zext {value.typed} to {wide}", "uint8", value.lanes)


# ---- one lane
def load_one(k: LLVMBuilder, pointer: Value, dtype: str) -> Value:
    """One element."""
    kind, align = memory_type(dtype, 1), alignment(dtype)
    return _to_register(k, f"load {kind}, ptr {pointer.text}, align {align}", dtype, 1)


def store_one(k: LLVMBuilder, value: Value, pointer: Value) -> None:
    """Write one element."""
    raw = _to_memory(k, value)
    k.function.line(f"store {raw.typed}, ptr {pointer.text}, align {alignment(value.dtype)}")


# ---- contiguous vectors
def load_many(k: LLVMBuilder, wanted: Sequence[tuple[Value, str]], lanes: Lanes) -> list[Value]:
    """Full vectors from (address, dtype) pairs; lanes outside are 0."""
    if not wanted:
        return []
    function = k.function
    whole, tail, join = (function.label(hint) for hint in ("whole", "tail", "loaded"))
    function.branch(lanes.full, whole, tail)
    function.begin(whole)
    full = [_load_full(k, pointer, dtype) for pointer, dtype in wanted]
    full_end = function.block
    function.jump(join)
    function.begin(tail)
    part = [_load_masked(k, pointer, dtype, lanes.mask) for pointer, dtype in wanted]
    part_end = function.block
    function.jump(join)
    function.begin(join)
    out = [function.phi(dtype, k.lanes) for _, dtype in wanted]
    for phi, a, b in zip(out, full, part, strict=True):
        function.incoming(phi, a, full_end)
        function.incoming(phi, b, part_end)
    return out


def _load_full(k: LLVMBuilder, pointer: Value, dtype: str) -> Value:
    kind = memory_type(dtype, k.lanes)
    raw = f"load {kind}, ptr {pointer.text}, align {alignment(dtype)}"
    return _to_register(k, raw, dtype, k.lanes)


def _masked_name(operation: str, dtype: str, lanes: int) -> str:
    stored = "uint8" if dtype == "bool" else dtype
    kind = memory_type(stored, 1)
    spelled = {"half": "f16", "float": "f32", "double": "f64"}.get(kind, kind)
    return f"llvm.masked.{operation}.v{lanes}{spelled}.p0"


def _load_masked(k: LLVMBuilder, pointer: Value, dtype: str, mask: Value) -> Value:
    kind = memory_type(dtype, k.lanes)
    inside = _mask_of(k, mask, dtype)
    name = _masked_name("load", part_dtype(dtype), inside.lanes)
    k.function.module.declare(name, kind, ["ptr", inside.type, kind])
    address = f"ptr align {alignment(dtype)} {pointer.text}"
    raw = f"call {kind} @{name}({address}, {inside.typed}, {kind} zeroinitializer)"
    return _to_register(k, raw, dtype, k.lanes)


def _mask_of(k: LLVMBuilder, mask: Value, dtype: str) -> Value:
    """The mask of what the lanes hold in memory."""
    return doubled(k, mask) if is_complex(dtype) else mask


def store_many(k: LLVMBuilder, wanted: Sequence[tuple[Value, Value]], lanes: Lanes) -> None:
    """Write (value, address) pairs as full vectors, or the lanes that are inside."""
    if not wanted:
        return
    function = k.function
    raw = [(_to_memory(k, value), pointer, alignment(value.dtype)) for value, pointer in wanted]
    whole, tail, join = (function.label(hint) for hint in ("whole", "tail", "stored"))
    function.branch(lanes.full, whole, tail)
    function.begin(whole)
    for value, pointer, align in raw:
        function.line(f"store {value.typed}, ptr {pointer.text}, align {align}")
    function.jump(join)
    function.begin(tail)
    for value, pointer, align in raw:
        mask = lanes.mask if value.lanes == k.lanes else doubled(k, lanes.mask)
        name = _masked_name("store", value.dtype, value.lanes)
        function.module.declare(name, "void", [value.type, "ptr", mask.type])
        address = f"ptr align {align} {pointer.text}"
        function.line(f"call void @{name}({value.typed}, {address}, {mask.typed})")
    function.jump(join)
    function.begin(join)


# ---- strided and indexed vectors: one address per lane
def lane_offsets(k: LLVMBuilder, stride: Value) -> Value:
    """Offsets 0, s, 2s, ... of the lanes of a strided access."""
    wide = k.broadcast(stride)
    numbers = lane_numbers(k.lanes, 64)
    return k.function.emit(f"mul {wide.type} {numbers.text}, {wide.text}", "int64", k.lanes)


def _addresses(k: LLVMBuilder, pointer: Value, dtype: str, offsets: Value) -> Value:
    kind = memory_type(dtype, 1)
    return k.function.emit(
        f"getelementptr {kind}, ptr {pointer.text}, {offsets.typed}", "ptr", k.lanes
    )


def _scattered_name(operation: str, dtype: str, lanes: int) -> str:
    return _masked_name(operation, dtype, lanes).removesuffix(".p0") + f".v{lanes}p0"


def gather(k: LLVMBuilder, pointer: Value, dtype: str, offsets: Value, mask: Value) -> Value:
    """One element per lane at offsets from an address; lanes outside the mask are 0, unread."""
    where = _addresses(k, pointer, dtype, offsets)
    if is_complex(dtype):
        inner = part_dtype(dtype)
        re, im = (_gathered(k, at, inner, mask) for at in (where, _behind(k, where, inner)))
        return pair(k.function, re, im)
    return _gathered(k, where, dtype, mask)


def _behind(k: LLVMBuilder, where: Value, dtype: str) -> Value:
    """Per lane, the address of the next element."""
    kind = memory_type(dtype, 1)
    return k.function.emit(f"getelementptr {kind}, {where.typed}, i64 1", "ptr", k.lanes)


def _gathered(k: LLVMBuilder, where: Value, dtype: str, mask: Value) -> Value:
    kind = memory_type(dtype, k.lanes)
    name = _scattered_name("gather", dtype, k.lanes)
    k.function.module.declare(name, kind, [where.type, mask.type, kind])
    address = f"{where.type} align {alignment(dtype)} {where.text}"
    raw = f"call {kind} @{name}({address}, {mask.typed}, {kind} zeroinitializer)"
    return _to_register(k, raw, dtype, k.lanes)


def scatter(k: LLVMBuilder, value: Value, pointer: Value, offsets: Value, mask: Value) -> None:
    """Write one element per lane inside the mask at offsets from an address."""
    where = _addresses(k, pointer, value.dtype, offsets)
    if is_complex(value.dtype):
        inner = part_dtype(value.dtype)
        _scattered(k, part(k.function, value, 0), where, mask)
        _scattered(k, part(k.function, value, 1), _behind(k, where, inner), mask)
    else:
        _scattered(k, value, where, mask)


def _scattered(k: LLVMBuilder, value: Value, where: Value, mask: Value) -> None:
    raw = _to_memory(k, value)
    name = _scattered_name("scatter", value.dtype, k.lanes)
    k.function.module.declare(name, "void", [raw.type, where.type, mask.type])
    address = f"{where.type} align {alignment(value.dtype)} {where.text}"
    k.function.line(f"call void @{name}({raw.typed}, {address}, {mask.typed})")
