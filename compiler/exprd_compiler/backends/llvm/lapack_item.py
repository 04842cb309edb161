"""One item of a stack of matrices, and what a recipe may do with it: calls, loops, memory.

Calls go through the C interface of LAPACK that takes workspace from the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from exprd_compiler.backends.llvm import memory
from exprd_compiler.backends.llvm.loops import counted
from exprd_compiler.backends.llvm.scalar import LLVMBuilder
from exprd_compiler.backends.llvm.text import FunctionText, Value, constant
from exprd_compiler.backends.llvm.types import item_size

BY_COLUMNS: Final = "i32 102"
_PREFIX: Final = {"float32": "s", "float64": "d"}


def letter(text: str) -> str:
    """A flag of LAPACK as an argument."""
    return f"i32 {ord(text)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item of a stack, as a recipe sees it.

    Attributes:
        k: builder of the entry.
        dtype: of the result and of what LAPACK computes in.
        out: address of the result.
        operands: addresses of the operands, or of their copies.
        scratch: addresses and lengths of temporaries.
        sizes: integers, in the order of the lowering.
        attrs: attributes of the op.
        fail: writes an exit with the error of this number and these values.
    """

    k: LLVMBuilder
    dtype: str
    out: Value
    operands: tuple[Value, ...]
    scratch: tuple[tuple[Value, Value], ...]
    sizes: tuple[Value, ...]
    attrs: Mapping[str, Any]
    fail: Callable[[int, Value], None]

    @property
    def function(self) -> FunctionText:
        """What instructions go to."""
        return self.k.function

    # ---- arguments
    def short(self, value: Value) -> str:
        """An integer as LAPACK takes it."""
        return self.function.emit(f"trunc i64 {value.text} to i32", "int32").typed

    def lead(self, value: Value) -> str:
        """A leading dimension: at least 1."""
        return self.short(self.k.maximum(value, constant(1, "int64")))

    def at(self, base: Value, *terms: Value | int, dtype: str = "") -> Value:
        """The address of an element behind another, by a sum of distances."""
        total = constant(0, "int64")
        for term in terms:
            total = self.plus(total, term)
        return memory.element_pointer(self.k, base, dtype or self.dtype, total)

    def plus(self, a: Value, b: Value | int) -> Value:
        """a + b in int64."""
        other = b if isinstance(b, Value) else constant(b, "int64")
        return other if a.text == "0" else self.k.add(a, other)

    def load(self, place: Value, dtype: str = "") -> Value:
        """The element at an address."""
        return memory.load_one(self.k, place, dtype or self.dtype)

    def store(self, value: Value, place: Value) -> None:
        """Write an element."""
        self.function.line(f"store {value.typed}, ptr {place.text}, align {item_size(self.dtype)}")

    # ---- calls
    def call(self, name: str, *arguments: str) -> Value:
        """LAPACK's code, from a call of a routine for the item's dtype."""
        symbol = f"exprd_{_PREFIX[self.dtype]}{name}"
        self.function.module.declare(symbol, "i32", [a.split(" ")[0] for a in arguments])
        return self.function.emit(f"call i32 @{symbol}({', '.join(arguments)})", "int32")

    def apply(self, name: str, *arguments: str) -> None:
        """A call of a routine of BLAS."""
        symbol = f"exprd_{_PREFIX[self.dtype]}{name}"
        self.function.module.declare(symbol, "void", [a.split(" ")[0] for a in arguments])
        self.function.line(f"call void @{symbol}({', '.join(arguments)})")

    def check(self, code: Value, number: int = 0) -> None:
        """Leave with an error unless a code of LAPACK is 0."""
        self.fail_if(self.k.compare("ne", code, constant(0, "int32")), number, code)

    def fail_if(self, condition: Value, number: int, code: Value) -> None:
        """Leave with an error of this number if the condition holds."""
        fail, fine = self.function.label("fail"), self.function.label("fine")
        self.function.branch(condition, fail, fine)
        self.function.begin(fail)
        self.fail(number, self.k.cast(code, "int64"))
        self.function.begin(fine)

    def when(self, condition: Value, write: Callable[[], None]) -> None:
        """Do something only if a condition holds."""
        then, after = self.function.label("then"), self.function.label("after")
        self.function.branch(condition, then, after)
        self.function.begin(then)
        write()
        self.function.jump(after)
        self.function.begin(after)

    def some(self, *sizes: Value) -> Value:
        """Whether no size is 0."""
        out = constant(1, "bool")
        for size in sizes:
            out = self.k.and_(out, self.k.compare("lt", constant(0, "int64"), size))
        return out

    # ---- memory
    def clear(self, place: Value, count: Value) -> None:
        """Zeros from an address on."""
        size = self.k.mul(count, constant(item_size(self.dtype), "int64"))
        self.function.module.declare("llvm.memset.p0.i64", "void", ["ptr", "i8", "i64", "i1"])
        text = f"ptr {place.text}, i8 0, {size.typed}, i1 false"
        self.function.line(f"call void @llvm.memset.p0.i64({text})")

    def copy(self, target: Value, source: Value, count: Value) -> None:
        """Elements from one place to another that does not overlap."""
        size = self.k.mul(count, constant(item_size(self.dtype), "int64"))
        self.function.module.declare("llvm.memcpy.p0.p0.i64", "void", ["ptr", "ptr", "i64", "i1"])
        text = f"ptr {target.text}, ptr {source.text}, {size.typed}, i1 false"
        self.function.line(f"call void @llvm.memcpy.p0.p0.i64({text})")

    def each(self, count: Value, write: Callable[[Value], None]) -> None:
        """A loop from 0 below a count."""

        def body(index: Value, _: Sequence[Value]) -> Sequence[Value]:
            write(index)
            return ()

        counted(self.function, count, 1, (), body)

    def check_finite(self, rows: Value, part: Callable[[Value], tuple[Value, Value]]) -> None:
        """Leave with error 1 if elements are not finite; LAPACK's iterations may loop on such.

        Args:
            rows: how many lines there are to look at.
            part: the address and length of each.
        """
        zero = constant(0.0, self.dtype)

        def line(row: Value, carried: Sequence[Value]) -> Sequence[Value]:
            first, length = part(row)

            def element(index: Value, inner: Sequence[Value]) -> Sequence[Value]:
                # 0 for what is finite, else NaN
                probe = self.k.mul(self.load(self.at(first, index)), zero)
                return (self.k.add(inner[0], probe),)

            return counted(self.function, length, 1, carried, element)

        (total,) = counted(self.function, rows, 1, (zero,), line)
        self.fail_if(self.k.compare("ne", total, total), 1, constant(0, "int32"))
