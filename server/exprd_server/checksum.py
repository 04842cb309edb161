"""Checksums of arrays: what tells one array from another; not meant against forgery.

A large array goes through 32 lanes of 64 bits in native code, at the speed of memory, and each word
once through its lane: xor, a product with an odd number, and the upper half onto the lower. All
three can be undone, so that two arrays which differ in one word of a lane differ in that lane.
"""

from __future__ import annotations

import ctypes
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from exprd_compiler.backends.addresses import data_address
from exprd_compiler.backends.llvm.jit import Linked, compile_ir
from exprd_compiler.backends.llvm.target import host_level

if TYPE_CHECKING:
    from exprd_server.values import Array

_LARGE: Final = 1 << 16  # bytes; below, what it costs to call native code counts
_LANES: Final = 32
_BLOCK: Final = 8 * _LANES
_FACTOR: Final = 0x9E3779B97F4A7C15  # odd, of bits without a pattern: 2**64 by the golden ratio
_VECTOR: Final = f"<{_LANES} x i64>"


def _each(number: int) -> str:
    return "<" + ", ".join([f"i64 {number}"] * _LANES) + ">"


_TEXT: Final = f"""
define void @mix(ptr %data, i64 %size, ptr %lanes) {{
start:
  %first = load {_VECTOR}, ptr %lanes, align 8
  %end = getelementptr i8, ptr %data, i64 %size
  br label %block
block:
  %at = phi ptr [ %data, %start ], [ %next, %block ]
  %sum = phi {_VECTOR} [ %first, %start ], [ %mixed, %block ]
  %words = load {_VECTOR}, ptr %at, align 1
  %both = xor {_VECTOR} %sum, %words
  %product = mul {_VECTOR} %both, {_each(_FACTOR)}
  %upper = lshr {_VECTOR} %product, {_each(32)}
  %mixed = xor {_VECTOR} %product, %upper
  %next = getelementptr i8, ptr %at, i64 {_BLOCK}
  %goes_on = icmp ult ptr %next, %end
  br i1 %goes_on, label %block, label %done
done:
  store {_VECTOR} %mixed, ptr %lanes, align 8
  ret void
}}
"""


def checksum(array: Array) -> str:
    """Text that differs between arrays whose bytes differ, but for rare accidents."""
    data: Any = np.ascontiguousarray(array).view(np.uint8)  # bfloat16 is no buffer of its own
    if data.nbytes < _LARGE:
        return str(zlib.crc32(data))
    flat = data.reshape(-1)
    whole = flat.size // _BLOCK * _BLOCK
    lanes = np.arange(_LANES, dtype=np.uint64)
    _, mix = _native()
    mix(data_address(flat), whole, data_address(lanes))
    return f"{lanes.tobytes().hex()}{zlib.crc32(flat[whole:])}"


@cache
def _native() -> tuple[Linked, Any]:
    """The code, and the function in it."""
    linked = Linked(compile_ir(_TEXT, host_level()), ("mix",))
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
    return linked, kind(linked.address("mix"))
