"""The builder's plain arithmetic: every operation that is one or a few LLVM instructions.

The same source serves one lane and vectors, floats and integers; what a value is follows from its
dtype. No fast-math flag is ever printed and no operation can be undefined: integers wrap, a
division by zero gives 0, a shift beyond the width gives what is left of the number.
"""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from exprd_compiler.backends.llvm import complex as complex_
from exprd_compiler.backends.llvm import conversion
from exprd_compiler.backends.llvm.control import branched
from exprd_compiler.backends.llvm.text import Value, constant
from exprd_compiler.backends.llvm.types import (
    SCALARS,
    bit_width,
    bits_dtype,
    is_complex,
    is_float,
    is_signed,
    register_type,
)
from exprd_compiler.errors import CompilerBug
from exprd_compiler.ir.dtype import HALVES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exprd_compiler.backends.llvm.text import FunctionText

_WHOLE: Final = 1 << 53  # below it, float64 has all whole numbers

# Predicate -> (float, signed, unsigned). `ne` alone is true for NaN, as in numpy.
_PREDICATES: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "lt": ("olt", "slt", "ult"),
        "le": ("ole", "sle", "ule"),
        "gt": ("ogt", "sgt", "ugt"),
        "ge": ("oge", "sge", "uge"),
        "eq": ("oeq", "eq", "eq"),
        "ne": ("une", "ne", "ne"),
    }
)


class Arithmetic:
    """Operations on values of ``lanes`` lanes, appended to one function.

    Attributes:
        function: where the instructions go.
        lanes: how many elements each value holds; 1 for plain scalars.
    """

    __slots__ = ("function", "lanes")

    def __init__(self, function: FunctionText, lanes: int) -> None:
        self.function = function
        self.lanes = lanes

    # --- values ---------------------------------------------------------------------------------

    def const(self, value: complex, dtype: str) -> Value:
        """A constant in all lanes."""
        return constant(value, dtype, self.lanes)

    def like(self, value: complex, x: Value) -> Value:
        """A constant of the dtype and lanes of ``x``."""
        return constant(value, x.dtype, x.lanes)

    def broadcast(self, x: Value) -> Value:
        """A one-lane value in all lanes."""
        if x.lanes == self.lanes:
            return x
        if is_complex(x.dtype):
            return complex_.each(self.function, self.broadcast, x)
        wide = register_type(x.dtype, self.lanes)
        one = self._emit(f"insertelement {wide} poison, {x.typed}, i64 0", x.dtype)
        mask = register_type("int32", self.lanes)
        return self._emit(
            f"shufflevector {wide} {one.text}, {wide} poison, {mask} zeroinitializer", x.dtype
        )

    # --- arithmetic -----------------------------------------------------------------------------

    def add(self, a: Value, b: Value) -> Value:
        """The sum."""
        return self._arithmetic("add", a, b)

    def sub(self, a: Value, b: Value) -> Value:
        """The difference."""
        return self._arithmetic("sub", a, b)

    def mul(self, a: Value, b: Value) -> Value:
        """The product."""
        if is_complex(a.dtype):
            return complex_.mul(self, a, b)
        return self._arithmetic("mul", a, b)

    def div(self, a: Value, b: Value) -> Value:
        """The quotient; of integers towards zero, with x / 0 = 0 and MIN / -1 = MIN."""
        if is_complex(a.dtype):
            return complex_.div(self, a, b)
        return (
            self._arithmetic("div", a, b) if is_float(a.dtype) else self._integer_div("div", a, b)
        )

    def rem(self, a: Value, b: Value) -> Value:
        """The remainder of integer ``div``, with the sign of ``a``; x rem 0 = 0."""
        return self._integer_div("rem", a, b)

    def neg(self, a: Value) -> Value:
        """The negative; of a float it flips the sign bit, of NaN and zero as well."""
        if is_complex(a.dtype):
            return complex_.each(self.function, self.neg, a)
        if is_float(a.dtype):
            return self._emit(f"fneg {a.typed}", a.dtype, a.lanes)
        return self.sub(self.like(0, a), a)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c, with one rounding for floats."""
        if is_float(a.dtype):
            return self.function.intrinsic("fma", a, b, c)
        return self.add(self.mul(a, b), c)

    def abs(self, a: Value) -> Value:
        """The absolute value; the most negative integer stays itself."""
        if is_float(a.dtype):
            return self.function.intrinsic("fabs", a)
        if not is_signed(a.dtype):
            return a
        return self.select(self.compare("lt", a, self.like(0, a)), self.neg(a), a)

    def minimum(self, a: Value, b: Value) -> Value:
        """The smaller one, NaN if either is NaN; of two equal zeros the second."""
        return self._extremum("lt", a, b)

    def maximum(self, a: Value, b: Value) -> Value:
        """The larger one, NaN if either is NaN; of two equal zeros the second."""
        return self._extremum("gt", a, b)

    def _extremum(self, predicate: str, a: Value, b: Value) -> Value:
        # compare + select with the second operand on a tie is one vminps/vmaxps
        best = self.select(self.compare(predicate, a, b), a, b)
        return self.select(self.compare("ne", a, a), a, best) if is_float(a.dtype) else best

    # --- comparison and logic -------------------------------------------------------------------

    def compare(self, predicate: str, a: Value, b: Value) -> Value:
        """``lt le gt ge eq ne`` as numpy means them; a bool."""
        if is_complex(a.dtype):
            return complex_.compare(self, predicate, a, b)
        ordered, signed, unsigned = _PREDICATES[predicate]
        if is_float(a.dtype):
            return self._emit(f"fcmp {ordered} {a.typed}, {b.text}", "bool", a.lanes)
        name = signed if is_signed(a.dtype) else unsigned
        return self._emit(f"icmp {name} {a.typed}, {b.text}", "bool", a.lanes)

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        """``a`` where the condition holds, else ``b``."""
        if is_complex(a.dtype):
            chosen = partial(self.select, condition)
            return complex_.each(self.function, chosen, a, b)
        return self._emit(f"select {condition.typed}, {a.typed}, {b.typed}", a.dtype, a.lanes)

    def and_(self, a: Value, b: Value) -> Value:
        """Logical or bitwise and."""
        return self._binary("and", a, b)

    def or_(self, a: Value, b: Value) -> Value:
        """Logical or bitwise or."""
        return self._binary("or", a, b)

    def xor(self, a: Value, b: Value) -> Value:
        """Logical or bitwise exclusive or."""
        return self._binary("xor", a, b)

    def not_(self, a: Value) -> Value:
        """Logical or bitwise complement."""
        return self.xor(a, self.like(1 if a.dtype == "bool" else -1, a))

    def shl(self, a: Value, b: Value) -> Value:
        """``a`` times 2 to the power ``b``; 0 when that is not below the width."""
        inside = self._shift_inside(b)
        return self.select(inside, self._binary("shl", a, b), self.like(0, a))

    def shr(self, a: Value, b: Value) -> Value:
        """``a`` divided by 2 to the power ``b``, rounded down, whatever ``b`` is."""
        last = self.like(bit_width(a.dtype) - 1, a)
        if is_signed(a.dtype):
            return self._binary("ashr", a, self.select(self._shift_inside(b), b, last))
        inside = self._shift_inside(b)
        return self.select(inside, self._binary("lshr", a, b), self.like(0, a))

    def _shift_inside(self, count: Value) -> Value:
        limit = self.like(bit_width(count.dtype), count)  # unsigned: a negative count is huge
        return self._emit(f"icmp ult {count.typed}, {limit.text}", "bool", count.lanes)

    # --- complex numbers ------------------------------------------------------------------------

    def pair(self, re: Value, im: Value) -> Value:
        """The complex number of two parts of one float dtype."""
        return complex_.pair(self.function, re, im)

    def real(self, z: Value) -> Value:
        """The real part of a complex number."""
        return complex_.part(self.function, z, 0)

    def imag(self, z: Value) -> Value:
        """The imaginary part of a complex number."""
        return complex_.part(self.function, z, 1)

    # --- float anatomy --------------------------------------------------------------------------

    def cast(self, a: Value, dtype: str) -> Value:
        """The value converted as numpy on x86 does; see ``conversion``."""
        return conversion.cast(self, a, dtype)

    def bits(self, x: Value) -> Value:
        """The bit pattern of a float as a signed integer of its width."""
        return self.convert("bitcast", x, bits_dtype(x.dtype))

    def from_bits(self, x: Value, dtype: str) -> Value:
        """The float that has this bit pattern."""
        return self.convert("bitcast", x, dtype)

    def convert(self, opcode: str, x: Value, dtype: str) -> Value:
        """One LLVM conversion instruction, as it stands."""
        target = register_type(dtype, x.lanes)
        return self._emit(f"{opcode} {x.typed} to {target}", dtype, x.lanes)

    def copysign(self, magnitude: Value, sign: Value) -> Value:
        """The magnitude of the first with the sign bit of the second."""
        return self.function.intrinsic("copysign", magnitude, sign)

    def floor(self, x: Value) -> Value:
        """Rounded down; integers unchanged."""
        return self._rounded("floor", x)

    def ceil(self, x: Value) -> Value:
        """Rounded up; integers unchanged."""
        return self._rounded("ceil", x)

    def trunc(self, x: Value) -> Value:
        """Rounded towards zero; integers unchanged."""
        return self._rounded("trunc", x)

    def rint(self, x: Value) -> Value:
        """Rounded to nearest, ties to even; integers unchanged."""
        return self._rounded("roundeven", x)

    def sqrt(self, x: Value) -> Value:
        """The square root, correctly rounded; NaN below zero, -0 for -0."""
        return self.function.intrinsic("sqrt", x)

    # --- how it is printed ----------------------------------------------------------------------

    def _emit(self, instruction: str, dtype: str, lanes: int = 0) -> Value:
        return self.function.emit(instruction, dtype, lanes or self.lanes)

    def _binary(self, opcode: str, a: Value, b: Value) -> Value:
        if (a.dtype, a.lanes) != (b.dtype, b.lanes):
            raise CompilerBug(f"{opcode} of {a.typed} and {b.typed}: the two types must agree")
        return self._emit(f"{opcode} {a.typed}, {b.text}", a.dtype, a.lanes)

    def _arithmetic(self, name: str, a: Value, b: Value) -> Value:
        if is_complex(a.dtype):
            return complex_.each(self.function, partial(self._arithmetic, name), a, b)
        if a.dtype in HALVES:
            return conversion.in_single(self, partial(self._arithmetic, name), a, b)
        return self._binary(f"f{name}" if is_float(a.dtype) else name, a, b)

    def _integer_div(self, name: str, a: Value, b: Value) -> Value:
        # LLVM leaves x / 0 and MIN / -1 undefined (x86 traps), so the divisor is made harmless:
        # MIN / 1 is MIN, as wanted for -1, and MIN rem 1 is 0.
        signed = is_signed(a.dtype)
        zero = self.compare("eq", b, self.like(0, b))
        unsafe = self.or_(zero, self._overflows(a, b)) if signed else zero
        safe = self.select(unsafe, self.like(1, b), b)
        if a.lanes == 1:
            divide = self._divided
        else:
            narrow = bit_width(a.dtype) <= 32
            divide = self._divided_as_floats if narrow else self._divided_if_large
        return self.select(zero, self.like(0, a), divide(name, a, safe))

    def _divided(self, name: str, a: Value, b: Value) -> Value:
        return self._binary(("s" if is_signed(a.dtype) else "u") + name, a, b)

    def _divided_if_large(self, name: str, a: Value, b: Value) -> Value:
        """As floats where all lanes are whole numbers of float64, which they nearly always are."""
        most = self.like(_WHOLE, a)
        far = [self._binary("add", x, most) if is_signed(x.dtype) else x for x in (a, b)]
        bound = 2 * _WHOLE if is_signed(a.dtype) else _WHOLE
        outside = self._emit(
            f"icmp ugt {far[0].type} {self.or_(*far).text}, {self.like(bound - 1, a).text}",
            "bool",
            a.lanes,
        )
        some = self.function.call(f"llvm.vector.reduce.or.v{a.lanes}i1", "bool", outside)
        (result,) = branched(
            self.function,
            some,
            lambda: (self._divided(name, a, b),),
            lambda: (self._divided_as_floats(name, a, b),),
        )
        return result

    def _divided_as_floats(self, name: str, a: Value, b: Value) -> Value:
        # Vectors have no integer division. a / b is whole or at least 1 / b away from it, which is
        # more than rounding can bridge: 24 bits are enough for 16 of them, 53 for as many.
        wide = "float32" if bit_width(a.dtype) <= 16 else "float64"
        quotient = self._binary("fdiv", self.cast(a, wide), self.cast(b, wide))
        opcode = "fptosi" if is_signed(a.dtype) else "fptoui"
        whole = self.convert(opcode, quotient, a.dtype)
        return whole if name == "div" else self.sub(a, self.mul(whole, b))

    def _overflows(self, a: Value, b: Value) -> Value:
        least = self.like(-(1 << (SCALARS[a.dtype].bits - 1)), a)
        minus_one = self.compare("eq", b, self.like(-1, b))
        return self.and_(self.compare("eq", a, least), minus_one)

    def _rounded(self, name: str, x: Value) -> Value:
        return self.function.intrinsic(name, x) if is_float(x.dtype) else x
