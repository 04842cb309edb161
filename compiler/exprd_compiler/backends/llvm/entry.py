"""From a plan to one LLVM module: the native entry and the kernels that it calls.

The entry is straight-line code with exits: integers are computed where they are first needed,
buffers are provided right before the step that first writes them.
"""

from __future__ import annotations

from collections.abc import Sequence

from exprd_compiler.backends.llvm import layout, memory
from exprd_compiler.backends.llvm.counting import cancel_point
from exprd_compiler.backends.llvm.kernels import emit_kernel, fail_with
from exprd_compiler.backends.llvm.lapack import write_lapack
from exprd_compiler.backends.llvm.products import EntryScope, write_product
from exprd_compiler.backends.llvm.routines import write_routine_call
from exprd_compiler.backends.llvm.scalar import LLVMBuilder
from exprd_compiler.backends.llvm.signature import Signature
from exprd_compiler.backends.llvm.support import bytes_function, slot_function
from exprd_compiler.backends.llvm.text import FunctionText, ModuleText, Value, constant
from exprd_compiler.backends.llvm.types import item_size
from exprd_compiler.errors import CompilerBug
from exprd_compiler.ir.integer import IntExpr
from exprd_compiler.kernel.form import (
    Blas,
    Buffer,
    Check,
    Fetch,
    Kernel,
    LapackCall,
    Plan,
    RoutineCall,
    Step,
)
from exprd_compiler.kernel.slots import buffers_of

_POINTER_BYTES = 8


def emit_module(plan: Plan) -> str:
    """The LLVM IR of a plan: its kernels and the function `layout.ENTRY`."""
    module = ModuleText()
    _EntryWriter(module, plan).write()
    return module.text()


class _EntryWriter:
    def __init__(self, module: ModuleText, plan: Plan) -> None:
        self.module, self.plan = module, plan
        self.context, self.pointers, self.extents, self.results = (
            Value(f"%{name}", "ptr", 1) for name in ("context", "pointers", "extents", "results")
        )
        parameters = (self.context, self.pointers, self.extents, self.results)
        self.kernels: dict[object, str] = {}
        self.signatures: dict[int, Signature] = {}
        self.integers: dict[IntExpr, Value] = {}
        self.addresses: dict[Buffer, Value] = {}
        self.fetched: dict[int, Value] = {}
        for step in plan.steps:
            if isinstance(step, Kernel):
                self._define_kernel(step)
        bytes_function(module)
        slot_function(module)
        self.function: FunctionText = module.function(layout.ENTRY, parameters, result="i32")
        self.k = LLVMBuilder(self.function, 1)
        self._first = [sum(plan.arguments[:i]) for i in range(len(plan.arguments) + 1)]
        self._result = self._result_places()

    def write(self) -> None:
        for place in self._result:  # after a failure the caller frees what is not null
            self._put(place, "ptr null")
        taken = self._context_field(layout.TAKEN_OFFSET)
        self.function.line(f"store i64 0, ptr {taken.text}, align 8")
        self._clear_counters()
        for step in self.plan.steps:
            for buffer in buffers_of(step):
                self._address(buffer)
            self._step(step)
        for buffer in self.plan.outputs:
            self._address(buffer)
        self.function.line(f"ret i32 {layout.OK}")

    def _clear_counters(self) -> None:
        first = layout.counters_offset(self.plan.slots)
        for number in range(len(self.plan.counters)):
            slot = self._context_field(first + layout.COUNTER_BYTES * number)
            self.function.line(f"store i64 0, ptr {slot.text}, align 8")

    # ---- kernels
    def _define_kernel(self, kernel: Kernel) -> None:
        signature = self.signatures[id(kernel)] = Signature(kernel)
        if signature.key not in self.kernels:
            name = f"k{len(self.kernels)}_{kernel.label}"
            self.kernels[signature.key] = name
            counters = layout.counters_offset(self.plan.slots)
            emit_kernel(self.module, name, kernel, signature, counters)

    # ---- steps
    def _step(self, step: Step) -> None:
        match step:
            case Check():
                self._check(step)
            case Fetch():
                self._fetch(step)
            case Kernel():
                cancel_point(self.function, self.context)
                self._call_kernel(step)
            case Blas():
                cancel_point(self.function, self.context)
                write_product(self._scope(), step)
            case LapackCall():
                cancel_point(self.function, self.context)
                write_lapack(self._scope(), step, self.context)
            case RoutineCall():
                cancel_point(self.function, self.context)
                status = write_routine_call(self._scope(), step, self.context)
                self._exit_if(
                    self.k.compare("ne", status, constant(layout.OK, "int32")), status.text
                )

    def _scope(self) -> EntryScope:
        return EntryScope(
            module=self.module,
            function=self.function,
            context=self.context,
            address=self._address,
            integer=self._integer,
        )

    def _exit_if(self, condition: Value, status: int | str) -> None:
        leave, stay = self.function.label("leave"), self.function.label("stay")
        self.function.branch(condition, leave, stay)
        self.function.begin(leave)
        self.function.line(f"ret i32 {status}")
        self.function.begin(stay)

    def _context_field(self, offset: int) -> Value:
        text = f"getelementptr i8, ptr {self.context.text}, i64 {offset}"
        return self.function.emit(text, "ptr")

    def _check(self, step: Check) -> None:
        values = [self._integer(expr) for expr in step.values]
        holds = self.k.compare("ne", self._integer(step.condition), constant(0, "int64"))
        fine, fail = self.function.label("fine"), self.function.label("fail")
        self.function.branch(holds, fine, fail)
        self.function.begin(fail)
        fail_with(self.function, self.context, step.site, values)
        self.function.begin(fine)

    def _fetch(self, step: Fetch) -> None:
        base, dtype = self._address(step.buffer), step.buffer.dtype
        pointer = memory.element_pointer(self.k, base, dtype, self._integer(step.offset))
        value = memory.load_one(self.k, pointer, dtype)
        self.fetched[step.number] = self.k.cast(value, "int64")

    def _call_kernel(self, kernel: Kernel) -> None:
        signature = self.signatures[id(kernel)]
        buffers = [self._address(buffer) for buffer in signature.buffers]
        integers = [self._integer(expr) for expr in signature.integers]
        operands = ", ".join(value.typed for value in (self.context, *buffers, *integers))
        name = self.kernels[signature.key]
        status = self.function.emit(f"call i32 @{name}({operands})", "int32")
        self._exit_if(self.k.compare("ne", status, constant(layout.OK, "int32")), status.text)

    # ---- buffers
    def _address(self, buffer: Buffer) -> Value:
        if buffer not in self.addresses:
            self.addresses[buffer] = self._provide(buffer)
        return self.addresses[buffer]

    def _provide(self, buffer: Buffer) -> Value:
        match buffer.place:
            case "argument":
                return self._pointer_at(self.pointers, buffer.index)
            case "constant":
                return self._pointer_at(self.pointers, len(self.plan.arguments) + buffer.index)
            case "output":
                return self._output(buffer)
            case "temporary":
                return self._temporary(buffer)

    def _pointer_at(self, array: Value, index: int) -> Value:
        text = f"getelementptr ptr, ptr {array.text}, i64 {index}"
        place = self.function.emit(text, "ptr")
        return self.function.emit(f"load ptr, ptr {place.text}, align 8", "ptr")

    def _bytes(self, buffer: Buffer) -> Value:
        """The size of a buffer; multiplications saturate, so a wrap cannot make it small."""
        size = constant(item_size(buffer.dtype), "int64")
        for extent in buffer.extents:
            if extent.known != 1:
                text = f"call i64 @exprd.bytes({size.typed}, {self._integer(extent).typed})"
                size = self.function.emit(text, "int64")
        return size

    def _temporary(self, buffer: Buffer) -> Value:
        slot = self.plan.slot_of[buffer.number]
        size = self._bytes(buffer)
        place = self._context_field(layout.SLOTS_OFFSET + slot * layout.SLOT_BYTES)
        text = f"call ptr @exprd.slot({self.context.typed}, ptr {place.text}, {size.typed})"
        return self._allocated(buffer, self.function.emit(text, "ptr"))

    def _allocated(self, buffer: Buffer, pointer: Value) -> Value:
        """The address of a buffer; without one the call ends, and the record says for which."""
        extents = [self._integer(extent) for extent in buffer.extents[: layout.VALUES - 1]]
        missing = self.function.emit(f"icmp eq ptr {pointer.text}, null", "bool")
        leave, stay = self.function.label("leave"), self.function.label("stay")
        self.function.branch(missing, leave, stay)
        self.function.begin(leave)
        site = self._context_field(layout.SITE_OFFSET)
        self.function.line(f"store i32 {buffer.number}, ptr {site.text}, align 4")
        for number, extent in enumerate(extents, 1):
            place = self._context_field(layout.VALUES_OFFSET + 8 * number)
            self.function.line(f"store {extent.typed}, ptr {place.text}, align 8")
        self.function.line(f"ret i32 {layout.NO_MEMORY}")
        self.function.begin(stay)
        return pointer

    def _output(self, buffer: Buffer) -> Value:
        """Fresh memory that the caller will own, and its extents in the results."""
        size = self._bytes(buffer)
        pointer = self.function.emit(
            f"call ptr @exprd.fresh({self.context.typed}, {size.typed})", "ptr"
        )
        place = self._result[buffer.index]
        self._put(place, f"ptr {pointer.text}")
        for axis, extent in enumerate(buffer.extents):
            self._put(place + 1 + axis, self._integer(extent).typed)
        return self._allocated(buffer, pointer)

    def _put(self, place: int, typed: str) -> None:
        offset = place * _POINTER_BYTES
        slot = self.function.emit(f"getelementptr i8, ptr {self.results.text}, i64 {offset}", "ptr")
        self.function.line(f"store {typed}, ptr {slot.text}, align 8")

    def _result_places(self) -> list[int]:
        places: list[int] = []
        place = 0
        for buffer in self.plan.outputs:
            places.append(place)
            place += 1 + len(buffer.extents)
        return places

    # ---- integers
    def _integer(self, expr: IntExpr) -> Value:
        """The value of an expression, computed at its first use."""
        stack = [expr]
        while stack:
            item = stack[-1]
            missing = [x for x in item.parts if x not in self.integers]
            if item in self.integers or not missing:
                stack.pop()
                if item not in self.integers:
                    self.integers[item] = self._compute(item)
            else:
                stack.extend(missing)
        return self.integers[expr]

    def _compute(self, expr: IntExpr) -> Value:
        if expr.known is not None:
            return constant(expr.known, "int64")
        parts = [self.integers[x] for x in expr.parts]
        match expr.kind, expr.args:
            case "extent", (int(argument), int(axis)):
                return self._extent(argument, axis)
            case "value", (int(number),):
                return self.fetched[number]
            case _:
                return self._operation(expr.kind, parts)

    def _extent(self, argument: int, axis: int) -> Value:
        place = self._first[argument] + axis
        text = f"getelementptr i64, ptr {self.extents.text}, i64 {place}"
        pointer = self.function.emit(text, "ptr")
        return self.function.emit(f"load i64, ptr {pointer.text}, align 8", "int64")

    def _operation(self, kind: str, parts: Sequence[Value]) -> Value:
        k, zero = self.k, constant(0, "int64")
        match kind:
            case "add" | "sub" | "mul":
                result: Value = getattr(k, kind)(*parts)
            case "min":
                result = k.minimum(*parts)
            case "max":
                result = k.maximum(*parts)
            case "lt" | "eq":
                result = k.cast(k.compare(kind, *parts), "int64")
            case "select":
                result = k.select(k.compare("ne", parts[0], zero), parts[1], parts[2])
            case "floordiv":
                result = self._floor_division(*parts)
            case _:
                raise CompilerBug(f"no code for the integer operation {kind!r}")
        return result

    def _floor_division(self, a: Value, b: Value) -> Value:
        quotient = self.function.emit(f"sdiv i64 {a.text}, {b.text}", "int64")
        rest = self.function.emit(f"srem i64 {a.text}, {b.text}", "int64")
        below = self.k.cast(self.k.compare("lt", rest, constant(0, "int64")), "int64")
        return self.k.sub(quotient, below)
