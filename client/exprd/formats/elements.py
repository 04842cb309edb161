"""Elements: bytes of a file as arrays, and arrays as the bytes of a file."""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from exprd.convert import is_array, is_scalar, is_sequence
from exprd_compiler.errors import CallError, DamagedFile, MissingExtra
from exprd_compiler.ir.dtype import EVERY, ITEMSIZE, numpy_dtype
from exprd_compiler.ir.half import from_bfloat16_bits

__all__ = ["MOST_AXES", "array_of", "decoded", "encoded", "extents_of"]

MOST_AXES: Final = 64  # numpy's own limit
_MOST: Final = 2**63 - 1


def decoded(data: bytes | memoryview, dtype: str, *, big_endian: bool = False) -> NDArray[Any]:
    """The elements of a file as a vector of its own memory.

    bfloat16 is an array of bfloat16 where `ml_dtypes` is installed, else the same numbers in
    float32.

    Raises:
        DamagedFile: the bytes are no whole number of elements, or no elements of this dtype.
    """
    order: Literal["<", ">"] = ">" if big_endian else "<"
    if len(data) % ITEMSIZE[dtype]:
        raise DamagedFile(f"{len(data)} bytes are no whole number of elements of {dtype}")
    if dtype == "bfloat16":
        return _bfloat16(np.frombuffer(data, f"{order}u2").astype(np.uint16))
    if dtype == "bool" and np.any(np.frombuffer(data, np.uint8) > 1):
        raise DamagedFile("a bool is neither 0 nor 1")
    kind = np.dtype(dtype)
    return np.frombuffer(data, kind.newbyteorder(order)).astype(kind)


def _bfloat16(bits: NDArray[np.uint16]) -> NDArray[Any]:
    try:
        return bits.view(numpy_dtype("bfloat16"))
    except MissingExtra:
        return from_bfloat16_bits(bits)


def encoded(array: NDArray[Any]) -> bytes:
    """The elements of an array in C order, the low byte first."""
    if array.dtype.name == "bfloat16":
        array = np.ascontiguousarray(array).view(np.uint16)
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def array_of(value: object, what: str, operation: str) -> NDArray[Any]:
    """A value as an array that has a place in a file.

    Raises:
        CallError: it is no array, or of no dtype that exists here.
    """
    if not (is_array(value) or is_scalar(value)):
        raise CallError(
            f"{what} is {type(value).__name__}, not an array",
            op=operation,
            hint="a state dict has arrays: exprd.state_dict(model), or variable.get_value()",
        )
    array = np.asarray(value)
    if array.dtype.name not in EVERY:
        raise CallError(f"{what} has dtype {array.dtype}", op=operation)
    return array


def extents_of(value: object, what: str) -> tuple[int, ...]:
    """A list of extents, strides or the like out of a file.

    Raises:
        DamagedFile: it is not a short list of integers from 0 up.
    """
    if not is_sequence(value) or len(value) > MOST_AXES:
        raise DamagedFile(f"{what} is no list of at most {MOST_AXES} numbers")
    entries = tuple(value)
    if not all(type(entry) is int and 0 <= entry <= _MOST for entry in entries):
        raise DamagedFile(f"{what} has an entry that is no size: {str(entries)[:100]}")
    return entries
