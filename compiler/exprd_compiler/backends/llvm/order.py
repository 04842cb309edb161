"""The order of values as the order of unsigned integers of their width.

    bool, unsigned    themselves
    signed            the sign bit flipped
    float             the sign bit flipped if it is clear, else all bits; both zeros are one
                      number, every NaN is the largest

So integer code sorts and searches every dtype; equal numbers mean equal values, numpy's NaN last.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from exprd_compiler.backends.llvm import memory
from exprd_compiler.backends.llvm.types import SCALARS, item_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exprd_compiler.backends.llvm.scalar import LLVMBuilder
    from exprd_compiler.backends.llvm.text import Value

# The bit pattern of infinity; what is above it, sign aside, is NaN.
INFINITY: Final[Mapping[str, int]] = MappingProxyType(
    {
        "float16": 0x7C00,
        "bfloat16": 0x7F80,
        "float32": 0x7F80_0000,
        "float64": 0x7FF0_0000_0000_0000,
    }
)


def raw_dtype(dtype: str) -> str:
    """The unsigned integer dtype of the width that an element has in memory."""
    return f"uint{8 * item_size(dtype)}"


def load_raw(k: LLVMBuilder, base: Value, dtype: str, place: Value) -> Value:
    """The bits of an element of an array."""
    raw = raw_dtype(dtype)
    return memory.load_one(k, memory.element_pointer(k, base, raw, place), raw)


def store_raw(k: LLVMBuilder, bits: Value, base: Value, place: Value) -> None:
    """Write the bits of an element of an array."""
    memory.store_one(k, bits, memory.element_pointer(k, base, bits.dtype, place))


def rank_of(k: LLVMBuilder, bits: Value, dtype: str, *, descending: bool = False) -> Value:
    """The unsigned integer that stands for a value among others of its dtype."""
    scalar = SCALARS[dtype]
    if scalar.kind == "signed":
        bits = k.xor(bits, k.const(1 << (scalar.bits - 1), bits.dtype))
    elif dtype in INFINITY:
        bits = _float_rank(k, bits, 8 * item_size(dtype), INFINITY[dtype])
    return k.not_(bits) if descending else bits


def _float_rank(k: LLVMBuilder, bits: Value, width: int, infinity: int) -> Value:
    top = k.const(1 << (width - 1), bits.dtype)
    size = k.and_(bits, k.const((1 << (width - 1)) - 1, bits.dtype))
    signs = k.function.emit(f"ashr {bits.typed}, {width - 1}", bits.dtype)
    ordered = k.xor(bits, k.or_(signs, top))
    is_zero = k.compare("eq", size, k.const(0, bits.dtype))
    is_nan = k.compare("gt", size, k.const(infinity, bits.dtype))
    one_zero = k.select(is_zero, top, ordered)
    return k.select(is_nan, k.const((1 << width) - 1, bits.dtype), one_zero)
