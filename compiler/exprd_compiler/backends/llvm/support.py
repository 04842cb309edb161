"""Functions that every module brings along: sizes that saturate, and memory that is reused.

i64 exprd.bytes(i64 size, i64 extent)           product, all ones if it does not fit
ptr exprd.memory(ptr context, i64 size)         aligned memory, or null when there is no room
ptr exprd.fresh(ptr context, i64 size)          the same for an output
ptr exprd.slot(ptr context, ptr slot, i64 size) a temporary's memory, grown if need be, or null
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exprd_compiler.backends.llvm.layout import (
    ALIGNMENT,
    HELD_OFFSET,
    HUGE_FROM,
    HUGE_PAGE,
    LARGEST,
    MADV_HUGEPAGE,
    PAGE,
    ROOM_OFFSET,
    TAKEN_OFFSET,
    UNBOUNDED,
    UNKEPT_FROM,
    VALUES_OFFSET,
)
from exprd_compiler.backends.llvm.scalar import LLVMBuilder
from exprd_compiler.backends.llvm.text import Value, constant

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.text import FunctionText, ModuleText


def bytes_function(module: ModuleText) -> None:
    """Define `exprd.bytes`, `exprd.memory` and `exprd.fresh`."""
    module.define_once("exprd.bytes", lambda: _define_bytes(module))
    module.define_once("exprd.memory", lambda: _define_memory(module))
    module.define_once("exprd.fresh", lambda: _define_fresh(module))


def slot_function(module: ModuleText) -> None:
    """Define `exprd.slot`."""
    module.define_once("exprd.slot", lambda: _define_slot(module))


def _define_bytes(module: ModuleText) -> None:
    size, extent = Value("%size", "int64", 1), Value("%extent", "int64", 1)
    f = module.function("exprd.bytes", (size, extent), result="i64", linkage="internal")
    name = "llvm.umul.with.overflow.i64"
    module.declare(name, "{ i64, i1 }", ["i64", "i64"])
    f.line(f"%pair = call {{ i64, i1 }} @{name}(i64 %size, i64 %extent)")
    f.line("%product = extractvalue { i64, i1 } %pair, 0")
    f.line("%over = extractvalue { i64, i1 } %pair, 1")
    f.line("%result = select i1 %over, i64 -1, i64 %product")
    f.line("ret i64 %result")


def _define_memory(module: ModuleText) -> None:
    context, size = Value("%context", "ptr", 1), Value("%size", "int64", 1)
    f = module.function("exprd.memory", (context, size), result="ptr", linkage="internal")
    refuse, ask, allow = f.label("refuse"), f.label("ask"), f.label("allow")
    f.branch(f.emit(f"icmp ugt i64 %size, {LARGEST}", "bool"), refuse, ask)
    f.begin(ask)
    room, taken, held = (_load(f, offset) for offset in (ROOM_OFFSET, TAKEN_OFFSET, HELD_OFFSET))
    k = LLVMBuilder(f, 1)
    whole = k.add(k.add(taken, held), size)  # no wrap: all of them are far below 2**62
    f.branch(f.emit(f"icmp ugt i64 {whole.text}, {room.text}", "bool"), refuse, allow)
    f.begin(refuse)
    f.line(f"store i64 %size, ptr {_field(f, VALUES_OFFSET).text}, align 8")
    f.line("ret ptr null")
    f.begin(allow)
    f.line(f"store i64 %size, ptr {_field(f, VALUES_OFFSET).text}, align 8")
    f.line(f"ret ptr {_aligned(f, size, room).text}")


def _define_fresh(module: ModuleText) -> None:
    context, size = Value("%context", "ptr", 1), Value("%size", "int64", 1)
    f = module.function("exprd.fresh", (context, size), result="ptr", linkage="internal")
    pointer = f.emit(f"call ptr @exprd.memory({context.typed}, {size.typed})", "ptr")
    missing = f.emit(f"icmp eq ptr {pointer.text}, null", "bool")
    more = f.emit(f"select i1 {missing.text}, i64 0, {size.typed}", "int64")
    taken = LLVMBuilder(f, 1).add(_load(f, TAKEN_OFFSET), more)
    f.line(f"store {taken.typed}, ptr {_field(f, TAKEN_OFFSET).text}, align 8")
    f.line(f"ret ptr {pointer.text}")


def _field(f: FunctionText, offset: int) -> Value:
    return f.emit(f"getelementptr i8, ptr %context, i64 {offset}", "ptr")


def _load(f: FunctionText, offset: int) -> Value:
    return f.emit(f"load i64, ptr {_field(f, offset).text}, align 8", "int64")


def _aligned(f: FunctionText, size: Value, room: Value) -> Value:
    """Memory of at least one line; the size is rounded up as aligned_alloc wants it.

    A large piece asks for huge pages, because page by page its first use takes longer than most
    computations on it. If it begins one as well, the allocator gives it back to the system when it
    is freed, else it may keep it for the next. It does so in each thread, so bounded calls, which
    are those of servers, keep nothing.
    """
    k = LLVMBuilder(f, 1)
    large = f.emit(f"icmp uge i64 {size.text}, {HUGE_FROM}", "bool")
    longest = f.emit(f"icmp uge i64 {size.text}, {UNKEPT_FROM}", "bool")
    bounded = f.emit(f"icmp ne i64 {room.text}, {UNBOUNDED}", "bool")
    unkept = k.and_(large, k.or_(longest, bounded))
    line = f.emit(f"select i1 {unkept.text}, i64 {HUGE_PAGE}, i64 {ALIGNMENT}", "int64")
    padded = k.add(k.maximum(size, constant(1, "int64")), constant(ALIGNMENT - 1, "int64"))
    rounded = k.and_(padded, constant(-ALIGNMENT, "int64"))
    f.module.declare("aligned_alloc", "ptr", ["i64", "i64"])
    pointer = f.emit(f"call ptr @aligned_alloc({line.typed}, {rounded.typed})", "ptr")
    advise, done = f.label("advise"), f.label("done")
    f.branch(large, advise, done)
    f.begin(advise)
    f.module.declare("madvise", "i32", ["ptr", "i64", "i32"])
    address = f.emit(f"ptrtoint {pointer.typed} to i64", "int64")
    lead = k.and_(k.sub(constant(0, "int64"), address), constant(PAGE - 1, "int64"))
    page = f.emit(f"getelementptr i8, {pointer.typed}, {lead.typed}", "ptr")
    rest = k.sub(rounded, lead)
    f.emit(f"call i32 @madvise({page.typed}, {rest.typed}, i32 {MADV_HUGEPAGE})", "int32")
    f.jump(done)
    f.begin(done)
    return pointer


def _define_slot(module: ModuleText) -> None:
    context, slot = Value("%context", "ptr", 1), Value("%slot", "ptr", 1)
    size = Value("%size", "int64", 1)
    f = module.function("exprd.slot", (context, slot, size), result="ptr", linkage="internal")
    enough, grow = f.label("enough"), f.label("grow")
    old = f.emit("load ptr, ptr %slot, align 8", "ptr")
    place = f.emit("getelementptr i8, ptr %slot, i64 8", "ptr")
    capacity = f.emit(f"load i64, ptr {place.text}, align 8", "int64")
    # at least one byte, so that a slot in use is never null
    need = LLVMBuilder(f, 1).maximum(Value("%size", "uint64", 1), constant(1, "uint64"))
    f.branch(f.emit(f"icmp ule i64 {need.text}, {capacity.text}", "bool"), enough, grow)
    f.begin(enough)
    f.line(f"ret ptr {old.text}")
    f.begin(grow)
    module.declare("free", "void", ["ptr"])
    f.line(f"call void @free(ptr {old.text})")
    rest = LLVMBuilder(f, 1).sub(_load(f, HELD_OFFSET), capacity)
    f.line(f"store {rest.typed}, ptr {_field(f, HELD_OFFSET).text}, align 8")
    pointer = f.emit(f"call ptr @exprd.memory({context.typed}, i64 {need.text})", "ptr")
    f.line(f"store ptr {pointer.text}, ptr %slot, align 8")
    missing = f.emit(f"icmp eq ptr {pointer.text}, null", "bool")
    kept = f.emit(f"select i1 {missing.text}, i64 0, i64 {need.text}", "int64")
    f.line(f"store {kept.typed}, ptr {place.text}, align 8")
    held = LLVMBuilder(f, 1).add(rest, kept)
    f.line(f"store {held.typed}, ptr {_field(f, HELD_OFFSET).text}, align 8")
    f.line(f"ret ptr {pointer.text}")
