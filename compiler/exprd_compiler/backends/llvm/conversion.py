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
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exprd_compiler.backends.llvm.types import SCALARS, is_float, is_signed

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.arithmetic import Arithmetic
    from exprd_compiler.backends.llvm.text import Value


def cast(k: Arithmetic, x: Value, dtype: str) -> Value:
    """``x`` converted to ``dtype``."""
    if x.dtype == dtype:
        return x
    if dtype == "bool":
        return k.compare("ne", x, k.like(0, x))
    if is_float(x.dtype):
        return _resize_float(k, x, dtype) if is_float(dtype) else _float_to_integer(k, x, dtype)
    if is_float(dtype):
        return k.convert("sitofp" if is_signed(x.dtype) else "uitofp", x, dtype)
    return _resize_integer(k, x, dtype)


def _resize_float(k: Arithmetic, x: Value, dtype: str) -> Value:
    wider = SCALARS[dtype].bits > SCALARS[x.dtype].bits
    return k.convert("fpext" if wider else "fptrunc", x, dtype)


def _resize_integer(k: Arithmetic, x: Value, dtype: str) -> Value:
    source, target = SCALARS[x.dtype], SCALARS[dtype]
    if target.bits == source.bits:  # signedness lies in the operations, not in the register
        return type(x)(x.text, dtype, x.lanes)
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
