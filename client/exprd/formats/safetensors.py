"""The safetensors format, both ways: a header in JSON, then the bytes of every tensor.

8 bytes give the length of the header; the header has for every name a dtype, a shape, and where the
bytes lie; they fill the rest of the file without holes or overlaps. Rules and dtype names:
https://huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from exprd.convert import is_mapping
from exprd.formats.elements import array_of, decoded, encoded, extents_of
from exprd.whole import write_whole
from exprd_compiler.errors import CallError, DamagedFile
from exprd_compiler.ir.dtype import ITEMSIZE

__all__ = [
    "is_safetensors",
    "load_safetensors",
    "read_safetensors",
    "safetensors_metadata",
    "save_safetensors",
]

_DTYPES: Final = {
    "BOOL": "bool",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "U8": "uint8",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
}
_NAMES: Final = {ours: name for name, ours in _DTYPES.items()}
_METADATA: Final = "__metadata__"
_MOST_HEADER: Final = 100_000_000
_LENGTH: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A tensor of the header: where its bytes begin and end, counted from the end of the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def load_safetensors(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """The tensors of a safetensors file by name, in the order of its header.

    Raises:
        DamagedFile: the file breaks a rule of the format.
        OSError: the file cannot be read.
    """
    return read_safetensors(Path(path).read_bytes())


def safetensors_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The free text in the header of a safetensors file.

    Raises:
        DamagedFile: the header breaks a rule of the format.
        OSError: the file cannot be read.
    """
    header, _ = _split(Path(path).read_bytes())
    return _metadata(header)


def save_safetensors(
    tensors: Mapping[str, Any],
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes arrays by name as a safetensors file, whole or not at all.

    Raises:
        CallError: a name is no string, a value no array, or of a dtype that the format lacks.
        OSError: the file cannot be written.
    """
    arrays = {_checked_name(name): _checked(name, value) for name, value in tensors.items()}
    # wide elements first, so that each tensor is aligned when the file is mapped into memory
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    header: dict[str, Any] = {}
    if metadata:
        header[_METADATA] = _texts(dict(metadata), CallError)
    position, parts = 0, list[bytes]()
    for name in order:
        array = arrays[name]
        begin, position = position, position + array.nbytes
        kind = _NAMES[array.dtype.name]
        row = {"dtype": kind, "shape": list(array.shape), "data_offsets": [begin, position]}
        header[name] = row
        parts.append(encoded(array))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH)
    write_whole(path, b"".join([len(text).to_bytes(_LENGTH, "little"), text, *parts]))


def is_safetensors(data: bytes) -> bool:
    """Whether a file begins as one of this format: a length, then a header of that length."""
    size = int.from_bytes(data[:_LENGTH], "little")
    return data[_LENGTH : _LENGTH + 1] == b"{" and size <= _MOST_HEADER


def read_safetensors(data: bytes) -> dict[str, NDArray[Any]]:
    """The tensors in the bytes of a file.

    Raises:
        DamagedFile: they break a rule of the format.
    """
    header, body = _split(data)
    _metadata(header)
    entries = [_entry(name, row) for name, row in header.items() if name != _METADATA]
    _check_places(entries, len(body))
    return {entry.name: _array(entry, body) for entry in entries}


def _split(data: bytes) -> tuple[dict[str, Any], memoryview]:
    """The header, and the bytes behind it."""
    if len(data) < _LENGTH:
        raise DamagedFile("the file is shorter than the length of a header")
    size = int.from_bytes(data[:_LENGTH], "little")
    if size > min(_MOST_HEADER, len(data) - _LENGTH):
        raise DamagedFile(f"a header of {size} bytes does not fit into the file, or is too long")
    text = data[_LENGTH : _LENGTH + size]
    if text[:1] != b"{":
        raise DamagedFile("the header does not begin with {")
    try:
        header: dict[str, Any] = json.loads(text.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"the header is no JSON: {error}") from error
    return header, memoryview(data)[_LENGTH + size :]


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in pairs:
        if name in out:
            raise DamagedFile(f"the header has {name!r} twice")
        out[name] = value
    return out


def _metadata(header: Mapping[str, Any]) -> dict[str, str]:
    return _texts(header.get(_METADATA, {}), DamagedFile)


def _texts(value: Any, error: type[CallError | DamagedFile]) -> dict[str, str]:
    if not is_mapping(value) or not all(
        isinstance(part, str) for item in value.items() for part in item
    ):
        raise error(f"{_METADATA} is no mapping of strings to strings")
    return dict(value)


def _entry(name: str, row: Any) -> _Entry:
    if not is_mapping(row) or set(row) != {"dtype", "shape", "data_offsets"}:
        raise DamagedFile(f"tensor {name!r}: the header says not dtype, shape and data_offsets")
    dtype = row["dtype"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise DamagedFile(
            f"tensor {name!r} has dtype {str(dtype)[:40]!r}",
            hint=f"there are {', '.join(_DTYPES)}",
        )
    offsets = extents_of(row["data_offsets"], f"data_offsets of tensor {name!r}")
    if len(offsets) != 2:
        raise DamagedFile(f"tensor {name!r}: data_offsets has {len(offsets)} entries")
    shape = extents_of(row["shape"], f"shape of tensor {name!r}")
    begin, end = offsets
    bytes_ = math.prod(shape) * ITEMSIZE[_DTYPES[dtype]]
    if end - begin != bytes_:
        raise DamagedFile(
            f"tensor {name!r} of {dtype} with shape {shape} has {end - begin} bytes, not {bytes_}"
        )
    return _Entry(name=name, dtype=_DTYPES[dtype], shape=shape, begin=begin, end=end)


def _check_places(entries: Iterable[_Entry], size: int) -> None:
    """The tensors fill the file: each begins where the one before ends."""
    position = 0
    for entry in sorted(entries, key=lambda entry: (entry.begin, entry.end)):
        if entry.begin != position:
            raise DamagedFile(
                f"tensor {entry.name!r} begins at {entry.begin}, and {position} was expected"
            )
        position = entry.end
    if position != size:
        raise DamagedFile(f"the tensors end at {position}, and the file has {size} bytes of them")


def _array(entry: _Entry, body: memoryview) -> NDArray[Any]:
    try:
        return decoded(body[entry.begin : entry.end], entry.dtype).reshape(entry.shape)
    except DamagedFile as error:
        raise DamagedFile(f"tensor {entry.name!r}: {error.message}") from error
    except ValueError as error:  # numpy refuses extents beside a 0 that are too large
        raise DamagedFile(f"tensor {entry.name!r}: {error}") from error


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or name == _METADATA:
        raise CallError(f"{name!r} cannot name a tensor", op="save_safetensors")
    return name


def _checked(name: object, value: object) -> NDArray[Any]:
    array = array_of(value, f"tensor {name!r}", "save_safetensors")
    if array.dtype.name not in _NAMES:
        raise CallError(
            f"tensor {name!r}: the format has no {array.dtype}",
            op="save_safetensors",
            hint="save its real and imaginary part, or use exprd.save",
        )
    return np.asarray(array)
