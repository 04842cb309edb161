"""Packing: answers of calls as bytes, and back.

A packed value is a line of JSON, then the bytes of its arrays one after another. Dataclasses and
enumerations are told by name and fields, out of a closed table, so that a field that is added with
a default needs nothing here, and nothing but these classes is ever made of stored bytes.
"""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from exprd_compiler.errors import CompilerBug
from exprd_compiler.ir.counts import EventCount
from exprd_compiler.ir.dtype import numpy_dtype
from exprd_compiler.ir.type import TensorType
from exprd_server.stores.faults import damaged_table
from exprd_server.values import (
    BufferInfo,
    Durability,
    ExecuteReply,
    SetReply,
    VariableInfo,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from exprd_server.values import Reply

_CLASSES: Final[Mapping[str, type[Any]]] = MappingProxyType(
    {
        cls.__name__: cls
        for cls in (Durability, EventCount, ExecuteReply, SetReply, TensorType, VariableInfo)
    }
)
_FIELDS: Final[Mapping[type[Any], tuple[str, ...]]] = MappingProxyType(
    {
        cls: tuple(field.name for field in fields(cls))
        for cls in _CLASSES.values()
        if is_dataclass(cls)
    }
)


def pack_reply(reply: Reply | None) -> bytes | None:
    """An answer as bytes; None for one that means nothing after a restart.

    Kept outputs are buffers, and those end with the process: a retry after that is told that the
    answer has expired.
    """
    if reply is None:
        return None
    if isinstance(reply, ExecuteReply) and any(isinstance(x, BufferInfo) for x in reply.outputs):
        return None
    arrays: list[NDArray[Any]] = []
    head = json.dumps(reply, separators=(",", ":"), default=partial(_plain, arrays)).encode()
    return b"".join((head, b"\n", *[array.tobytes() for array in arrays]))


def unpack_reply(data: bytes | None) -> Reply | None:
    """The answer of packed bytes; its arrays are read-only views of them.

    Raises:
        DamagedFile: these are no bytes of an answer.
    """
    if data is None:
        return None
    head, _, body = data.partition(b"\n")
    try:
        found = _Reader(body).value(json.loads(head))
        if not isinstance(found, ExecuteReply | SetReply):
            raise TypeError(f"it holds {type(found).__name__}")
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise damaged_table(f"an answer cannot be read: {error}") from error
    return found


def _plain(arrays: list[NDArray[Any]], value: Any) -> dict[str, Any]:
    """What JSON has no form for, as what it has one for; arrays are added to the list."""
    kind: type[Any] = value.__class__
    if issubclass(kind, np.ndarray | np.generic):
        array: NDArray[Any] = np.asarray(value)
        arrays.append(array)
        return {"array": _name_of(array.dtype), "shape": array.shape}
    name = kind.__name__
    if _CLASSES.get(name) is not kind:
        raise CompilerBug(f"{name} in an answer has no stored form")
    if issubclass(kind, Enum):
        return {"enum": name, "value": value.value}
    return {
        "class": name,
        "fields": {name: getattr(value, name) for name in _FIELDS[kind]},
    }


@lru_cache(maxsize=64)
def _name_of(dtype: np.dtype[Any]) -> str:
    return dtype.name  # which numpy makes up each time, in Python


class _Reader:
    """The arrays of a packed value, taken in order."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._offset = 0

    def value(self, plain: Any) -> Any:
        """The value of its plain form."""
        kind: type[Any] = plain.__class__
        if kind is list:
            return tuple([self.value(item) for item in plain])
        return self._object(plain) if kind is dict else plain

    def _object(self, facts: dict[str, Any]) -> Any:
        if "array" in facts:
            return self._array(facts["array"], facts["shape"])
        if "enum" in facts:
            return _CLASSES[facts["enum"]](facts["value"])
        cls = _CLASSES[facts["class"]]
        known = {f.name for f in fields(cls)}  # a field that is gone is passed over
        given = {key: self.value(item) for key, item in facts["fields"].items()}
        return cls(**{key: item for key, item in given.items() if key in known})

    def _array(self, dtype: str, shape: list[int]) -> NDArray[Any]:
        found = numpy_dtype(dtype)
        count = math.prod(map(int, shape))
        start, self._offset = self._offset, self._offset + count * found.itemsize
        piece = np.frombuffer(self._body[start : self._offset], np.uint8)
        return piece.view(found).reshape(shape)
