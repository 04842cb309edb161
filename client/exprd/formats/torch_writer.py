"""Files that `torch.load` reads, also with `weights_only=True`: written without torch.

The pickle in the file is spelled out opcode by opcode (protocol 2), since it names functions of a
package that need not exist here.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from exprd.convert import is_array, is_scalar
from exprd.formats.elements import array_of, encoded
from exprd.formats.plain_pickle import Name, kind_of
from exprd.formats.torch_tensors import ELEMENTS, STORAGES, UNTYPED
from exprd.whole import write_whole
from exprd_compiler.errors import CallError

__all__ = ["save_torch"]

_DEPTH: Final = 200
_DATE: Final = (1980, 1, 1, 0, 0, 0)
_FOLDER: Final = "archive"
_STORAGE_OF: Final = {dtype: name for name, dtype in STORAGES.items()}
_ELEMENT_OF: Final = {dtype: name for name, dtype in ELEMENTS.items()}


def save_torch(value: object, path: str | os.PathLike[str]) -> None:
    """Writes arrays as a file that `torch.load` reads as tensors, whole or not at all.

    Args:
        value: arrays, strings, numbers, None, and lists, tuples and dicts of these. An array that
            is met twice is one tensor.
        path: of the file, by custom with the ending `.pt` or `.pth`.

    Raises:
        CallError: something in the value is none of these.
        OSError: the file cannot be written.
    """
    pickle = _Pickle()
    members = {
        "data.pkl": pickle.of(value),
        "byteorder": b"little",
        **{f"data/{key}": encoded(array) for key, array in enumerate(pickle.arrays)},
        "version": b"3\n",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as out:
        for name, data in members.items():
            out.writestr(zipfile.ZipInfo(f"{_FOLDER}/{name}", _DATE), data)
    write_whole(path, buffer.getbuffer())


class _Pickle:
    """A pickle being written.

    Attributes:
        arrays: the storages, in the order of their keys.
    """

    def __init__(self) -> None:
        self.arrays: list[NDArray[Any]] = []
        self._out: list[bytes] = []
        self._place: dict[int, int] = {}  # of arrays in the memo of the reader
        self._alive: list[object] = []  # an id is of an object only as long as that lives
        self._writers: Mapping[type, Callable[[Any, str, int], None]] = MappingProxyType(
            {
                type(None): lambda _v, _p, _d: self._out.append(b"N"),
                bool: lambda v, _p, _d: self._out.append(b"\x88" if v else b"\x89"),
                int: lambda v, _p, _d: self._out.append(_integer(v)),
                float: lambda v, _p, _d: self._out.append(b"G" + struct.pack(">d", v)),
                str: lambda v, _p, _d: self._out.append(_text(v)),
                list: self._list,
                tuple: self._tuple,
                dict: self._dict,
                OrderedDict: self._ordered,
            }
        )

    def of(self, value: object) -> bytes:
        """The pickle of a value."""
        self._write(value, "the value", 0)
        return b"".join([b"\x80\x02", *self._out, b"."])

    def _write(self, value: Any, path: str, depth: int) -> None:
        if depth > _DEPTH:
            raise CallError(f"{path[:100]} is nested deeper than {_DEPTH}", op="save_torch")
        if is_array(value) or is_scalar(value):
            self._array(value, path)
            return
        kind = kind_of(value)
        write = self._writers.get(kind)
        if write is None:
            raise CallError(
                f"{path} is {kind.__name__}, which cannot be saved",
                op="save_torch",
                hint="save arrays, strings, numbers, and lists and dicts of these",
            )
        write(value, path, depth + 1)

    # ---- containers
    def _list(self, values: Sequence[Any], path: str, depth: int) -> None:
        self._out.append(b"](")
        for place, value in enumerate(values):
            self._write(value, f"{path}[{place}]", depth)
        self._out.append(b"e")

    def _tuple(self, values: Sequence[Any], path: str, depth: int) -> None:
        self._out.append(b"(")
        for place, value in enumerate(values):
            self._write(value, f"{path}[{place}]", depth)
        self._out.append(b"t")

    def _dict(self, values: Mapping[Any, Any], path: str, depth: int) -> None:
        self._out.append(b"}")
        self._items(values, path, depth)

    def _ordered(self, values: Mapping[Any, Any], path: str, depth: int) -> None:
        self._out.append(_global(_ORDERED) + b")R")
        self._items(values, path, depth)

    def _items(self, values: Mapping[Any, Any], path: str, depth: int) -> None:
        self._out.append(b"(")
        for key, value in values.items():
            if type(key) not in (str, int, float, bool):
                raise CallError(f"{path} has a key of {type(key).__name__}", op="save_torch")
            self._write(key, path, depth)
            self._write(value, f"{path}[{key!r}]", depth)
        self._out.append(b"u")

    # ---- tensors
    def _array(self, value: Any, path: str) -> None:
        if id(value) in self._place:
            self._out.append(b"j" + struct.pack("<I", self._place[id(value)]))
            return
        self._alive.append(value)
        array = array_of(value, path, "save_torch")
        key = self._place[id(value)] = len(self.arrays)
        self.arrays.append(array)
        self._out += [_tensor(array, key), b"r" + struct.pack("<I", key)]


_ORDERED: Final = Name("collections", "OrderedDict")


def _tensor(array: NDArray[Any], key: int) -> bytes:
    """A call that makes a tensor over the whole of a storage."""
    dtype = array.dtype.name
    typed = dtype in _STORAGE_OF
    length = array.size if typed else array.nbytes
    storage = _STORAGE_OF[dtype] if typed else UNTYPED
    name = Name("torch._utils", "_rebuild_tensor_v2" if typed else "_rebuild_tensor_v3")
    parts = [
        _global(name) + b"((",
        *(_text("storage"), _global(storage), _text(str(key)), _text("cpu"), _integer(length)),
        b"tQ",
        *(_integer(0), _integers(array.shape), _integers(_strides(array.shape)), b"\x89"),
        _global(_ORDERED) + b")R",
        b"" if typed else _global(_ELEMENT_OF[dtype]),
        b"tR",
    ]
    return b"".join(parts)


def _strides(shape: Sequence[int]) -> list[int]:
    """In elements, of an array in C order."""
    return [int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(len(shape))]


def _global(name: Name) -> bytes:
    return f"c{name.module}\n{name.name}\n".encode()


def _text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def _integers(values: Sequence[int]) -> bytes:
    return b"(" + b"".join(map(_integer, values)) + b"t"


def _integer(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    if len(data) > 255:
        raise CallError("the value has an integer of more than 255 bytes", op="save_torch")
    return b"\x8a" + bytes([len(data)]) + data
