"""Conversions between dtypes, with the values that numpy gives on x86.

Every pair of dtypes converts without undefined behaviour. Where C leaves a float outside the range
of the integer undefined, x86 does not, and numpy shows it (for uint32, numpy's loop over contiguous
memory answers otherwise than its loop over a stride; this is the latter):

    float -> int32, int64    NaN and values out of range give the least integer
    float -> int8, int16     as int32, then the low bits are kept
    float -> uint8, uint16   as int32, then the low bits are kept
    float -> uint32          as int64, then the low bits are kept
    float -> uint64          below 2**63 as int64; else x - 2**63 as int64, top bit flipped
    anything -> bool         x != 0, so that NaN is true

Whatever becomes a 16-bit float is rounded once: where it passes through float32, that rounds to odd
before (see ``ir.half``). Values of 16-bit floats are kept as float32, so the way back is free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exprd_compiler.backends.llvm import complex as complex_
from exprd_compiler.backends.llvm.types import SCALARS, is_complex, is_float, is_signed
from exprd_compiler.ir.dtype import HALVES

if TYPE_CHECKING:
    from collections.abc import Callable

    from exprd_compiler.backends.llvm.arithmetic import Arithmetic
    from exprd_compiler.backends.llvm.text import Value


def cast(k: Arithmetic, x: Value, dtype: str) -> Value:
    """``x`` converted to ``dtype``."""
    if x.dtype == dtype:
        return x
    if is_complex(x.dtype) or is_complex(dtype):
        return complex_.cast(k, x, dtype)
    if x.dtype in HALVES:
        return cast(k, _labelled(x, "float32"), dtype)
    if dtype in HALVES:
        return _ROUNDED[dtype](k, _odd_single(k, x))
    if dtype == "bool":
        return k.compare("ne", x, k.like(0, x))
    if is_float(x.dtype):
        return _resize_float(k, x, dtype) if is_float(dtype) else _float_to_integer(k, x, dtype)
    if is_float(dtype):
        return k.convert("sitofp" if is_signed(x.dtype) else "uitofp", x, dtype)
    return _resize_integer(k, x, dtype)


def _labelled(x: Value, dtype: str) -> Value:
    """The same register as a value of another dtype."""
    return type(x)(x.text, dtype, x.lanes)


def _resize_float(k: Arithmetic, x: Value, dtype: str) -> Value:
    wider = SCALARS[dtype].bits > SCALARS[x.dtype].bits
    return k.convert("fpext" if wider else "fptrunc", x, dtype)


def _resize_integer(k: Arithmetic, x: Value, dtype: str) -> Value:
    source, target = SCALARS[x.dtype], SCALARS[dtype]
    if target.bits == source.bits:  # signedness lies in the operations, not in the register
        return _labelled(x, dtype)
    if target.bits < source.bits:
        return k.convert("trunc", x, dtype)
    return k.convert("sext" if source.kind == "signed" else "zext", x, dtype)


def _float_to_integer(k: Arithmetic, x: Value, dtype: str) -> Value:
    if dtype == "uint64":
        return _float_to_uint64(k, x)
    through = "int64" if dtype in ("int64", "uint32") else "int32"
    return _resize_integer(k, _indefinite(k, x, through), dtype)


def _indefinite(k: Arithmetic, x: Value, dtype: str) -> Value:
    # fptosi is poison out of range; asking |x| < 2**(bits-1) is enough, as -2**(bits-1) itself
    # has the indefinite integer for its result
    bits = SCALARS[dtype].bits
    inside = k.compare("lt", k.abs(x), k.like(2.0 ** (bits - 1), x))
    whole = k.convert("fptosi", k.select(inside, x, k.like(0.0, x)), dtype)
    return k.select(inside, whole, k.like(-(1 << (bits - 1)), whole))


def _float_to_uint64(k: Arithmetic, x: Value) -> Value:
    half = k.like(2.0**63, x)
    high = k.compare("ge", x, half)
    low = _indefinite(k, k.select(high, k.sub(x, half), x), "int64")
    flip = k.select(high, k.like(-(1 << 63), low), k.like(0, low))
    return _resize_integer(k, k.xor(low, flip), "uint64")


# ---- 16-bit floats
STORED = {"float16": "half", "bfloat16": "uint16"}
"""What a 16-bit float is in memory, as a dtype of a register."""


def from_stored(k: Arithmetic, raw: Value, dtype: str) -> Value:
    """A 16-bit float out of what was loaded."""
    if dtype == "float16":
        return _labelled(k.convert("fpext", raw, "float32"), dtype)
    bits = k.convert("zext", raw, "int32")
    return _labelled(k.from_bits(_shifted(k, "shl", bits), "float32"), dtype)


def to_stored(k: Arithmetic, x: Value) -> Value:
    """What to store of a 16-bit float; exact."""
    if x.dtype == "float16":
        return k.convert("fptrunc", x, STORED[x.dtype])
    return k.convert("trunc", _shifted(k, "lshr", k.bits(x)), STORED[x.dtype])


def single(x: Value) -> Value:
    """A 16-bit float as the float32 that it is in registers; others as they are."""
    return _labelled(x, "float32") if x.dtype in HALVES else x


def in_single(k: Arithmetic, compute: Callable[..., Value], *values: Value) -> Value:
    """The result of a computation on 16-bit floats: that in float32, rounded."""
    return cast(k, compute(*map(single, values)), values[0].dtype)


def _shifted(k: Arithmetic, opcode: str, bits: Value) -> Value:
    """The bits moved by half of their number."""
    half = k.like(16, bits)
    return k.function.emit(f"{opcode} {bits.typed}, {half.text}", bits.dtype, bits.lanes)


def _to_float16(k: Arithmetic, x: Value) -> Value:
    stored = k.convert("fptrunc", x, STORED["float16"])
    return from_stored(k, stored, "float16")


def _to_bfloat16(k: Arithmetic, x: Value) -> Value:
    """To nearest, ties to even; then the lower half of the bits is 0. A NaN stays one."""
    bits = k.bits(x)
    odd = k.and_(_shifted(k, "lshr", bits), k.like(1, bits))
    nearest = k.add(k.add(bits, k.like(0x7FFF, bits)), odd)
    quiet = k.or_(bits, k.like(0x400000, bits))
    kept = k.and_(k.select(k.compare("ne", x, x), quiet, nearest), k.like(-0x10000, bits))
    return _labelled(k.from_bits(kept, "float32"), "bfloat16")


_ROUNDED = {"float16": _to_float16, "bfloat16": _to_bfloat16}


def _odd_single(k: Arithmetic, x: Value) -> Value:
    """A number in float32; between two of those it is the odd one, so that rounding goes on."""
    if x.dtype == "float32" or (not is_float(x.dtype) and SCALARS[x.dtype].bits <= 16):
        return cast(k, x, "float32")
    x = x if x.dtype == "float64" else cast(k, _odd_whole(k, x), "float64")
    near = _resize_float(k, x, "float32")
    back = _resize_float(k, near, "float64")
    bits = k.bits(near)
    low = k.and_(bits, k.like(1, bits))
    between = k.and_(k.compare("eq", low, k.like(0, low)), _differ(k, back, x))
    away = k.compare("gt", k.abs(back), k.abs(x))
    step = k.select(away, k.like(-1, bits), k.like(1, bits))
    return k.from_bits(k.add(bits, k.select(between, step, k.like(0, bits))), "float32")


def _differ(k: Arithmetic, a: Value, b: Value) -> Value:
    """Whether two numbers differ; no NaN does."""
    return k.or_(k.compare("lt", a, b), k.compare("gt", a, b))


def _odd_whole(k: Arithmetic, x: Value) -> Value:
    """An integer that float64 holds: a large one ends in a bit for whatever was behind it."""
    if SCALARS[x.dtype].bits < 64:
        return x
    low = k.like(0x7FF, x)
    odd = k.and_(k.or_(x, k.add(k.and_(x, low), low)), k.not_(low))
    size = k.like(1 << 53, x)
    small = k.compare("le", x, size)
    if is_signed(x.dtype):
        small = k.and_(small, k.compare("ge", x, k.neg(size)))
    return k.select(small, x, odd)
