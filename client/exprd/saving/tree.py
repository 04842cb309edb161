"""Trees: objects as the structure and the members of an archive, and back.

Variables, functions and the like are written in their pickle forms, which are plain data; nothing
in a file names code, so a file from anywhere can cost time and memory and nothing else.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeGuard

import numpy as np

from exprd.buffers import Buffer
from exprd.convert import is_mapping
from exprd.saving.archive import Archive
from exprd.saving.pickled import is_known, reduced, restore, restore_state
from exprd.shared import TensorSharedVariable
from exprd_compiler.errors import CallError, DamagedFile, ExprdError
from exprd_compiler.ir.dtype import numpy_dtype

__all__ = ["from_archive", "to_archive"]

Json: TypeAlias = Any
_PLAIN: Final = (type(None), bool, int, float, str)
_UNSAFE: Final = re.compile(r"[^\w.\-]")
_DEPTH: Final = 200
_BITS: Final = "bfloat16"


def to_archive(value: object) -> Archive:
    """An object as an archive.

    Raises:
        CallError: something in it cannot be written.
    """
    writer = _Writer()
    tree = writer.write(value, "", 0)
    writer.archive.structure = {"value": tree, "objects": writer.objects}
    return writer.archive


def from_archive(archive: Archive) -> Any:
    """The object of an archive.

    Raises:
        DamagedFile: the structure is not one of `to_archive`.
        UnsupportedVersion: it holds what this version of exprd does not know.
    """
    structure = archive.structure
    if not is_mapping(structure) or set(structure) != {"value", "objects"}:
        raise DamagedFile("the structure is not one of exprd.save")
    try:
        return _Reader(archive).read_all(structure)
    except (DamagedFile, ExprdError):
        raise
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise DamagedFile(f"the structure is not one of exprd.save: {error}") from error


class _Writer:
    """One writing: the objects met so far, by identity."""

    def __init__(self) -> None:
        self.archive = Archive()
        self.objects: list[Json] = []
        self._place: dict[int, int] = {}
        self._arrays: dict[int, str] = {}
        self._alive: list[object] = []  # an id is of an object only as long as that lives

    def write(self, value: Any, path: str, depth: int) -> Json:
        """A value as JSON; `path` names its arrays."""
        if depth > _DEPTH:
            raise CallError(f"{path[:100]} is nested deeper than {_DEPTH} levels", op="save")
        if type(value) in _PLAIN:
            return value
        make = self._writer_of(value)
        if make is None:
            raise CallError(
                f"{path or 'the value'} is {type(value).__name__}, which cannot be saved",
                op="save",
                hint="save arrays, variables, functions, and lists and dicts of these;"
                " of a model its state_dict()",
            )
        return make(value, path, depth + 1)

    def _writer_of(self, value: object) -> Callable[[Any, str, int], Json] | None:
        kinds: Mapping[type, Callable[[Any, str, int], Json]] = {
            list: self._sequence("list"),
            tuple: self._sequence("tuple"),
            OrderedDict: self._mapping("ordered"),
            dict: self._mapping("dict"),
            bytes: self._bytes,
            complex: lambda v, _p, _d: {"complex": [v.real, v.imag]},
            np.ndarray: self._array,
            Buffer: lambda v, p, d: self._array(v.get(), p, d),
        }
        if is_known(type(value)):
            return self._object
        if isinstance(value, np.generic):
            return self._scalar
        return kinds.get(type(value))

    def _sequence(self, name: str) -> Callable[[Any, str, int], Json]:
        def write(values: Any, path: str, depth: int) -> Json:
            return {name: [self.write(v, _join(path, i), depth) for i, v in enumerate(values)]}

        return write

    def _mapping(self, name: str) -> Callable[[Any, str, int], Json]:
        def write(values: Any, path: str, depth: int) -> Json:
            items = values.items()
            return {
                name: [
                    [self.write(k, path, depth), self.write(v, _join(path, k), depth)]
                    for k, v in items
                ]
            }

        return write

    def _bytes(self, value: bytes, path: str, _: int) -> Json:
        return {"bytes": self.archive.add(f"{_safe(path) or 'data'}.bin", value)}

    def _array(self, value: Any, path: str, _: int) -> Json:
        if id(value) not in self._arrays:
            self._alive.append(value)
            # an NPY file has no name for bfloat16: it holds the bits, and the structure the dtype
            shown = value.view("uint16") if value.dtype.name == _BITS else value
            self._arrays[id(value)] = self.archive.add_array(_safe(path) or "array", shown)
        kind = _BITS if value.dtype.name == _BITS else "array"
        return {kind: self._arrays[id(value)]}

    def _scalar(self, value: Any, path: str, depth: int) -> Json:
        found = self._array(np.asarray(value), path, depth)
        return {"scalar": found.get("array", found)}

    def _object(self, value: Any, path: str, depth: int) -> Json:
        """An object in its pickle form; its state is written when it has its place."""
        if id(value) not in self._place:
            self._alive.append(value)
            form = reduced(value)
            kind, version, *data = form[1]
            state = form[2] if len(form) > 2 else None
            if isinstance(value, TensorSharedVariable) and value.name:
                path = value.name
            row = {
                "kind": kind,
                "version": version,
                "data": [self.write(x, path, depth) for x in data],
            }
            self._place[id(value)] = len(self.objects)
            self.objects.append(row)
            row["state"] = self.write(state, path, depth)
        return {"object": self._place[id(value)]}


class _Reader:
    """One reading: the objects made so far, in the order of the file."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._objects: list[Any] = []
        self._arrays: dict[str, Any] = {}
        self._make: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
            {
                "list": lambda rows: [self.read(row) for row in rows],
                "tuple": lambda rows: tuple(self.read(row) for row in rows),
                "dict": lambda rows: {self.read(k): self.read(v) for k, v in rows},
                "ordered": lambda rows: OrderedDict((self.read(k), self.read(v)) for k, v in rows),
                "bytes": archive.data,
                "complex": lambda parts: complex(*parts),
                "array": self._array,
                _BITS: self._bits,
                "scalar": lambda found: (
                    self._array(found) if isinstance(found, str) else self.read(found)
                )[()],
                "object": self._object,
            }
        )

    def read_all(self, structure: Mapping[str, Json]) -> Any:
        """The value of a structure."""
        for row in structure["objects"]:
            data = [self.read(x) for x in row["data"]]
            self._objects.append(restore(row["kind"], row["version"], *data))
        for made, row in zip(self._objects, structure["objects"], strict=True):
            state = self.read(row["state"])
            if state is not None:
                restore_state(made, state)
        return self.read(structure["value"])

    def read(self, tree: Json) -> Any:
        """The value of a part of the structure."""
        if type(tree) in _PLAIN:
            return tree
        if not _is_single(tree):
            raise DamagedFile(f"the structure holds {str(tree)[:100]}")
        name, content = next(iter(tree.items()))
        if name not in self._make:
            raise DamagedFile(f"the structure holds {name!r}")
        return self._make[name](content)

    def _array(self, name: str) -> Any:
        if name not in self._arrays:
            self._arrays[name] = self._archive.array(name)
        return self._arrays[name]

    def _bits(self, name: str) -> Any:
        bits = self._array(name)
        if bits.dtype.name == "uint16":
            self._arrays[name] = bits.view(numpy_dtype(_BITS))
        return self._arrays[name]

    def _object(self, place: int) -> Any:
        if not 0 <= place < len(self._objects):
            raise DamagedFile(f"object {place} comes later, or never")
        return self._objects[place]


def _is_single(tree: Json) -> TypeGuard[dict[str, Json]]:
    return isinstance(tree, dict) and len(tree) == 1  # pyright: ignore[reportUnknownArgumentType]


def _join(path: str, part: object) -> str:
    text = part if isinstance(part, str) else str(part) if isinstance(part, int) else "key"
    return f"{path}.{text}" if path else text


def _safe(path: str) -> str:
    """A path as the name of a member: no folders, nothing that a file system minds."""
    return _UNSAFE.sub("_", path).strip(".")[:150]
