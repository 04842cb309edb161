"""Values of 16-bit floats: converted with a single rounding, with or without numpy's help.

numpy has bfloat16 only by the package ml_dtypes, which a thin client need not have, and which does
not round float64 and int64 once. So its bits are made here. A result that is rounded to odd in a
wider format first, and then to nearest, is rounded as if once (S. Boldo, G. Melquiond, "When double
rounding is odd", 2005).
"""

from __future__ import annotations

from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from exprd_compiler.errors import MissingExtra
from exprd_compiler.ir.dtype import HALVES, numpy_dtype

_LOW: Final = 0x7FF  # the bits of a 64-bit integer that float64 need not hold


def widened(x: NDArray[Any]) -> NDArray[Any]:
    """A 16-bit float array in float32, the format in which it is computed; others as they are."""
    return x.astype("float32") if x.dtype.name in HALVES else x


def converted(x: NDArray[Any], dtype: str) -> NDArray[Any]:
    """The array in another dtype; floats round once, to nearest, ties to even."""
    if x.dtype.name == dtype and x.dtype.isnative:
        return x
    if dtype == "bfloat16":
        return bfloat16_bits(x).view(numpy_dtype(dtype))
    with np.errstate(all="ignore"):
        return (widened(x) if x.dtype.name == "bfloat16" else x).astype(dtype, copy=False)


def constant_array(value: Any, dtype: str | None) -> tuple[NDArray[Any], str]:
    """A fresh C-ordered array of a value, and its dtype.

    Without its package a bfloat16 array is one of float32 whose elements are bfloat16 numbers.
    """
    if dtype != "bfloat16":
        with np.errstate(all="ignore"):
            array = np.array(value, dtype=dtype, order="C", copy=True)
        return array, array.dtype.name
    bits = np.array(bfloat16_bits(np.asarray(value)), order="C")
    try:
        return bits.view(numpy_dtype(dtype)), dtype
    except MissingExtra:
        return from_bfloat16_bits(bits), dtype


def read_array(file: BinaryIO) -> NDArray[Any]:
    """The next array of a file in numpy's format, which has no name for bfloat16."""
    array: NDArray[Any] = np.load(file, allow_pickle=False)
    return array.view(numpy_dtype("bfloat16")) if array.dtype == "V2" else array


def bfloat16_bits(x: NDArray[Any]) -> NDArray[np.uint16]:
    """The bit patterns of the bfloat16 numbers nearest to the elements; a NaN stays one."""
    bits = _odd_single(x).view(np.uint32)
    nearest = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    quiet = (bits >> np.uint32(16)) | np.uint32(0x40)
    is_nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    return np.where(is_nan, quiet, nearest).astype(np.uint16)


def from_bfloat16_bits(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The numbers of bit patterns, in float32."""
    return np.asarray(bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _odd_single(x: NDArray[Any]) -> NDArray[np.float32]:
    """float32 numbers; of two neighbours the odd one where an element lies between them."""
    with np.errstate(all="ignore"):
        if x.dtype.name in ("float32", *HALVES):
            return np.asarray(x.astype(np.float32))
        wide = _odd_double(x)
        near = wide.astype(np.float32)
        back = near.astype(np.float64)
        even = (near.view(np.uint32) & np.uint32(1)) == 0
        step = np.where(np.abs(back) > np.abs(wide), np.uint32(0xFFFFFFFF), np.uint32(1))
        between = even & (back != wide) & ~np.isnan(wide)
        bits = near.view(np.uint32) + np.where(between, step, np.uint32(0))
        return bits.astype(np.uint32).view(np.float32)


def _odd_double(x: NDArray[Any]) -> NDArray[np.float64]:
    """float64 numbers; large integers end in a bit that tells whether any behind it was set."""
    if x.dtype.name not in ("int64", "uint64"):
        return np.asarray(x.astype(np.float64))
    low = x.dtype.type(_LOW)
    odd = (x | ((x & low) + low)) & ~low
    exact = np.abs(x.astype(np.float64)) < 2.0**53
    return np.where(exact, x, odd).astype(np.float64)
