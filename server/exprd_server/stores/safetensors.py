"""Safetensors: arrays by name in one file that other programs read.

The format: the length of the header in 8 little-endian bytes; the header, a JSON object of names to
dtype, shape and range of bytes, padded with spaces to a multiple of 8; the bytes of the arrays, one
after another without gaps. Source: https://huggingface.co/docs/safetensors

It has no complex128: complex arrays are written as real ones with a last axis of 2.
"""

from __future__ import annotations

import json
import math
import struct
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np

from exprd_compiler.errors import DamagedFile
from exprd_compiler.ir.dtype import ITEMSIZE, is_complex, numpy_dtype, part_of
from exprd_server.stores.chunks import bytes_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "bool": "BOOL",
        "int8": "I8",
        "int16": "I16",
        "int32": "I32",
        "int64": "I64",
        "uint8": "U8",
        "uint16": "U16",
        "uint32": "U32",
        "uint64": "U64",
        "float16": "F16",
        "bfloat16": "BF16",
        "float32": "F32",
        "float64": "F64",
    }
)
_DTYPES: Final = MappingProxyType({there: here for here, there in _NAMES.items()})
_LENGTH: Final = struct.Struct("<Q")
_HEADER_BYTES: Final = 100_000_000  # the limit of the format's own reader


def write_safetensors(
    file: BinaryIO, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, str]
) -> None:
    """Writes arrays to an open file.

    Args:
        file: at its beginning.
        arrays: by name, of every dtype there is.
        facts: text that is kept beside them, as `__metadata__`.
    """
    header: dict[str, Any] = {"__metadata__": dict(facts)}
    offset = 0
    for name, array in arrays.items():
        dtype, shape = array.dtype.name, list(array.shape)
        if is_complex(dtype):
            dtype, shape = part_of(dtype), [*shape, 2]
        end = offset + array.nbytes
        header[name] = {"dtype": _NAMES[dtype], "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(_LENGTH.pack(len(text)))
    file.write(text)
    for array in arrays.values():
        data: Any = bytes_of(array)  # an array is a buffer, which its stubs do not say
        file.write(data)


def read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file, read-only.

    Raises:
        DamagedFile: the file breaks a rule of the format.
    """
    data: NDArray[np.uint8] = np.fromfile(path, np.uint8)
    data.flags.writeable = False
    try:
        (length,) = _LENGTH.unpack(data[:8].tobytes())
        if length > min(_HEADER_BYTES, data.nbytes - 8):
            raise ValueError("the header is longer than the file")
        header = json.loads(data[8 : 8 + length].tobytes())
        body = data[8 + length :]
        found = {k: _array(body, facts) for k, facts in header.items() if k != "__metadata__"}
        if sum(array.nbytes for array in found.values()) != body.nbytes:
            raise ValueError("the arrays do not fill the file")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise DamagedFile(f"{path} is no safetensors file: {error}") from None
    return found


def _array(body: NDArray[np.uint8], facts: Mapping[str, Any]) -> NDArray[Any]:
    dtype = _DTYPES[facts["dtype"]]
    start, end = facts["data_offsets"]
    shape = tuple(map(int, facts["shape"]))
    if not 0 <= start <= end <= body.nbytes or end - start != math.prod(shape) * ITEMSIZE[dtype]:
        raise ValueError(f"bytes {start} to {end} are no {dtype}{list(shape)}")
    # A copy is aligned, which the place in the file need not be.
    value = body[start:end].copy().view(numpy_dtype(dtype)).reshape(shape)
    value.flags.writeable = False
    return value
