"""CRC-32 as in zlib, in native code where the processor multiplies without carries.

Each update that is kept, each chunk that comes or goes and each argument of a call with an effect
has its checksum, and zlib computes 3 to 6 GB/s. Four accumulators of 256 or 512 bits are folded
forward by their own length instead: a polynomial of that degree times a constant power of x is
added to what follows, which leaves the remainder as it was. What is left in the accumulators at the
end stands for all bytes before it, so zlib takes it from there.

Source: V. Gopal et al., Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction,
Intel, 2009, sections 3 and 4 (bit-reflected).
"""

from __future__ import annotations

import ctypes
import zlib
from functools import cache
from string import Template
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from exprd_compiler.backends.addresses import data_address
from exprd_compiler.backends.llvm.jit import Linked, compile_ir
from exprd_compiler.backends.llvm.target import host_features, host_level

if TYPE_CHECKING:
    from collections.abc import Callable

_POLYNOMIAL: Final = 0x104C11DB7  # of degree 32
_BITS: Final = 32
_ACCUMULATORS: Final = 4
_NEEDED: Final = "vpclmulqdq"
_LEAST: Final = 16_384  # of fewer bytes the way to native code takes longer
_HELD: Final = 2 << 20  # up to so many the interpreter is not given away: they take 0.1 ms
_FEATURES: Final = {256: "+pclmul,+vpclmulqdq", 512: "+pclmul,+vpclmulqdq,+avx512f"}
_ALL: Final = 0xFFFFFFFF

# Lines with ${i} stand once for each accumulator.
_TEXT: Final = """
declare $vector $multiply($vector, $vector, i8 immarg)

define void @fold(ptr %data, i64 %steps, i64 %start, ptr %out) #0 {
begin:
  %at${i} = getelementptr i8, ptr %data, i64 $at
  %read${i} = load $vector, ptr %at${i}, align 1
  %start${i} = mul i64 %start, $is_first
  %before${i} = insertelement $vector zeroinitializer, i64 %start${i}, i32 0
  %first${i} = xor $vector %read${i}, %before${i}
  br label %look
look:
  %step = phi i64 [ 1, %begin ], [ %next, %more ]
  %old${i} = phi $vector [ %first${i}, %begin ], [ %new${i}, %more ]
  %goes_on = icmp ult i64 %step, %steps
  br i1 %goes_on, label %more, label %end
more:
  %offset = mul i64 %step, $stride
  %here = getelementptr i8, ptr %data, i64 %offset
  %next = add i64 %step, 1
  %place${i} = getelementptr i8, ptr %here, i64 $at
  %bytes${i} = load $vector, ptr %place${i}, align 1
  %low${i} = call $vector $multiply($vector %old${i}, $vector <$factors>, i8 0)
  %high${i} = call $vector $multiply($vector %old${i}, $vector <$factors>, i8 17)
  %both${i} = xor $vector %low${i}, %high${i}
  %new${i} = xor $vector %both${i}, %bytes${i}
  br label %look
end:
  %to${i} = getelementptr i8, ptr %out, i64 $at
  store $vector %old${i}, ptr %to${i}, align 1
  ret void
}

attributes #0 = { "target-features"="$features" }
"""


def crc32(data: Any, start: int = 0) -> int:
    """The CRC-32 of the bytes of a buffer, which lie one after the other.

    Args:
        data: a buffer.
        start: the checksum of what comes before it.
    """
    view = memoryview(data)
    nbytes = view.nbytes
    fold = _folding() if nbytes >= _LEAST else None
    return zlib.crc32(data, start) if fold is None else fold(view, nbytes, start)


def install() -> None:
    """Has arrays on the wire checked this way as well; the native code is made now, in 20 ms."""
    from exprd_proto import checksums  # an engine within a client's process does without the wire

    if _folding() is not None:
        checksums.compute_by(crc32)


def fold_constants(distance: int) -> tuple[int, int]:
    """What the lower and the upper half of 128 bits are multiplied by to move by `distance` bits.

    The order of bits is reversed, as in CRC-32, hence the shift by one: the product of two reversed
    polynomials of n bits is the reversed product of 2n - 1 bits.
    """
    low, high = (_reversed(_power(distance + by)) << 1 for by in (_BITS, -_BITS))
    return low, high


def fold_text(bits: int) -> str:
    """The IR of `fold(data, steps, start, out)`, with accumulators of so many bits.

    It takes `steps` (at least 1) times four accumulators of bytes and leaves as many.
    """
    size = bits // 8
    low, high = fold_constants(_ACCUMULATORS * bits)
    names = {
        "vector": f"<{bits // 64} x i64>",
        "multiply": f"@llvm.x86.pclmulqdq.{bits}",
        "factors": ", ".join([f"i64 {low}, i64 {high}"] * (bits // 128)),
        "stride": _ACCUMULATORS * size,
        "features": _FEATURES[bits],
    }
    return "\n".join(
        Template(line).substitute(names, i=i, at=i * size, is_first=int(i == 0))
        for line in _TEXT.splitlines()
        for i in range(_ACCUMULATORS if "${i}" in line else 1)
    )


class _Fold:
    """The native code, and the calling of it."""

    def __init__(self, bits: int) -> None:
        self._linked = Linked(compile_ir(fold_text(bits), host_level()), ("fold",))
        self._step = _ACCUMULATORS * bits // 8
        self._left = ctypes.c_char * self._step
        kinds = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
        address = self._linked.address("fold")
        self._held = ctypes.PYFUNCTYPE(None, *kinds)(address)
        self._free = ctypes.CFUNCTYPE(None, *kinds)(address)

    def __call__(self, view: memoryview, nbytes: int, start: int) -> int:
        step = self._step
        steps = nbytes // step
        flat: Any = np.frombuffer(view, np.uint8)
        left = self._left()
        fold = self._held if nbytes <= _HELD else self._free
        fold(data_address(flat), steps, ~start & _ALL, ctypes.addressof(left))
        return zlib.crc32(flat[steps * step :], zlib.crc32(left, _ALL))


@cache
def _folding() -> Callable[[memoryview, int, int], int] | None:
    """The quick way of this machine, if it has one."""
    if _NEEDED not in host_features():
        return None
    return _Fold(host_level().vector_bits)


def _power(exponent: int) -> int:
    """x to the power of `exponent`, modulo the polynomial."""
    found = 1
    for _ in range(exponent):
        found <<= 1
        if found >> _BITS:
            found ^= _POLYNOMIAL
    return found


def _reversed(polynomial: int) -> int:
    return int(f"{polynomial:0{_BITS}b}"[::-1], 2)
