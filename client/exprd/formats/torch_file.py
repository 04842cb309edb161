"""Files of `torch.save`, read without torch: the zip of today, and the format before it.

Tensors come back as arrays, wherever they were; lists, tuples, dicts, strings and numbers as they
are. Anything else is refused by its name, and no code is run. The zip has `data.pkl`, whose
persistent ids name the members `data/0`, `data/1` ... with the elements
(https://docs.pytorch.org/docs/stable/notes/serialization.html).
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from exprd.convert import is_mapping, is_sequence
from exprd.formats.plain_pickle import Name, PlainPickle, refused
from exprd.formats.torch_tensors import STORAGES, UNTYPED, Storage, calls_of
from exprd_compiler.errors import DamagedFile, UnsupportedVersion
from exprd_compiler.ir.dtype import ITEMSIZE

__all__ = ["is_torch", "load_torch", "read_torch"]

_ZIP: Final = b"PK\x03\x04"
_PICKLE: Final = "/data.pkl"
_VERSIONS: Final = range(1, 11)
_MAGIC: Final = 0x1950A86A20F9469CFC6C
_OLD_START: Final = b"\x80\x02\x8a\n" + _MAGIC.to_bytes(10, "little") + b"."
_OLD_VERSION: Final = 1001
_ORDERS: Final = MappingProxyType({b"little": False, b"big": True})


def load_torch(path: str | os.PathLike[str]) -> Any:
    """What `torch.save` wrote into a file, with arrays in the place of tensors.

    Raises:
        DamagedFile: the file is not what was written, or holds more than tensors and plain data.
        UnsupportedVersion: the file is of a later version of the format.
        OSError: the file cannot be read.
    """
    return read_torch(Path(path).read_bytes())


def is_torch(data: bytes) -> bool:
    """Whether a file is one of `torch.save`, damaged or not."""
    return _is_zip(data) or data.startswith(_OLD_START)


def _is_zip(data: bytes) -> bool:
    return data.startswith(_ZIP) and _PICKLE.encode() in data[:4096]


def read_torch(data: bytes) -> Any:
    """What the bytes of a file hold.

    Raises:
        DamagedFile: the file is not what was written, or holds more than tensors and plain data.
        UnsupportedVersion: the file is of a later version of the format.
    """
    if data.startswith(_OLD_START):
        return _read_old(data)
    if not data.startswith(_ZIP):
        raise DamagedFile("the file is none of torch.save")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _Zip(archive, len(data)).read()
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise DamagedFile(f"the file is damaged: {error}") from error
    except (ValueError, OverflowError, KeyError) as error:
        raise DamagedFile(f"the file is damaged: {error}") from error


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A persistent id: which storage, of what, and how many bytes."""

    key: str
    dtype: str | None
    size: int


def _wanted(persistent: Any) -> _Wanted:
    """The storage of a persistent id `("storage", class, key, location, length)`."""
    entries: list[Any] = list(persistent) if is_sequence(persistent) else []
    if len(entries) > 1 and entries[0] == "module":
        raise refused(entries[1])
    if len(entries) not in (5, 6):
        raise DamagedFile("the pickle has a persistent id that is no storage")
    kind, storage, key, _, length, *view = entries
    if kind != "storage" or type(key) is not str or type(length) is not int or any(view):
        raise DamagedFile("the pickle has a persistent id that is no storage")
    if storage != UNTYPED and storage not in STORAGES:
        raise DamagedFile(f"the file holds a {storage}, which has no dtype here")
    dtype = STORAGES.get(storage)
    return _Wanted(key, dtype, length * (ITEMSIZE[dtype] if dtype else 1))


# ---- the zip
class _Zip:
    """A zip of `torch.save`; no member is compressed, so that a small file holds little."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self._archive, self._size = archive, size
        self._members = {info.filename: info for info in archive.infolist()}
        self._storages: dict[str, Storage] = {}
        rows = archive.infolist()
        if len(rows) != len(self._members) or sum(row.file_size for row in rows) > size:
            raise DamagedFile("the file has members twice, or larger than itself")
        self._folder = self._found_folder()
        self._big_endian = self._order()

    def read(self) -> Any:
        """The object of the pickle."""
        self._check_version()
        pickle = PlainPickle(calls_of(self._size), self._storage)
        return pickle.read(io.BytesIO(self._member("data.pkl")))

    def _found_folder(self) -> str:
        found = [name for name in self._members if name.endswith(_PICKLE) and name.count("/") == 1]
        if len(found) != 1:
            raise DamagedFile("the file is none of torch.save: there is no data.pkl")
        folder = found[0].removesuffix(_PICKLE)
        if f"{folder}/constants.pkl" in self._members:
            raise DamagedFile(
                "the file holds a TorchScript program, which is code",
                hint="save the state_dict() of the module with torch.save",
            )
        return folder

    def _member(self, name: str) -> bytes:
        info = self._members.get(f"{self._folder}/{name}")
        if info is None or info.compress_type != zipfile.ZIP_STORED:
            raise DamagedFile(f"member {name!r} is missing, or compressed")
        try:
            return self._archive.read(info)
        except zipfile.BadZipFile as error:
            raise DamagedFile(f"member {name!r} is damaged: {error}") from error

    def _check_version(self) -> None:
        text = self._member("version").strip()
        if not text.isdigit() or int(text[:10]) not in _VERSIONS:
            raise UnsupportedVersion(f"the file has version {text[:10]!r} of torch's format")

    def _order(self) -> bool:
        """Whether the high byte comes first; files of before that was written have it last."""
        if f"{self._folder}/byteorder" not in self._members:
            return False
        text = self._member("byteorder")
        if text not in _ORDERS:
            raise DamagedFile(f"the byte order is {text[:20]!r}")
        return _ORDERS[text]

    def _storage(self, persistent: Any) -> Storage:
        wanted = _wanted(persistent)
        if wanted.key not in self._storages:
            data = self._member(f"data/{wanted.key}")
            self._storages[wanted.key] = _checked(wanted, data, big_endian=self._big_endian)
        return _same(self._storages[wanted.key], wanted)


def _checked(wanted: _Wanted, data: bytes | memoryview, *, big_endian: bool) -> Storage:
    if len(data) != wanted.size:
        raise DamagedFile(f"storage {wanted.key!r} has {len(data)} bytes, not {wanted.size}")
    return Storage(data, wanted.dtype, big_endian=big_endian)


def _same(storage: Storage, wanted: _Wanted) -> Storage:
    if storage.dtype != wanted.dtype:
        raise DamagedFile(f"storage {wanted.key!r} is of {storage.dtype} and of {wanted.dtype}")
    return storage


# ---- the format before: five pickles, then the bytes of the storages
def _read_old(data: bytes) -> Any:
    stream = io.BytesIO(data)
    if _plain(stream) != _MAGIC or _plain(stream) != _OLD_VERSION:
        raise UnsupportedVersion("the file has another version of torch's old format")
    system = _plain(stream)
    if not is_mapping(system) or type(system.get("little_endian")) is not bool:
        raise DamagedFile("the file does not say the order of its bytes")
    start = stream.tell()
    wanted = _storages_of(stream)
    bodies = _bodies(stream, wanted)
    big_endian = not system["little_endian"]
    storages = {
        key: _checked(wanted[key], body, big_endian=big_endian) for key, body in bodies.items()
    }
    stream.seek(start)

    def storage(persistent: Any) -> Storage:
        wants = _wanted(persistent)
        return _same(storages[wants.key], wants)

    return PlainPickle(calls_of(len(data)), storage).read(stream)


def _plain(stream: io.BytesIO) -> Any:
    """The next pickle, of numbers and strings."""
    return PlainPickle({}, _no_storage).read(stream)


def _no_storage(_: Any) -> Any:
    raise DamagedFile("the pickle has a persistent id in the head of the file")


def _storages_of(stream: io.BytesIO) -> Mapping[str, _Wanted]:
    """The storages that the main pickle will ask for, by key: only they tell the sizes."""
    found: dict[str, _Wanted] = {}

    def note(persistent: Any) -> None:
        wanted = _wanted(persistent)
        found[wanted.key] = wanted

    nothing: Callable[..., Any] = lambda *_: None  # noqa: E731
    calls = calls_of(0)
    rebuilt: dict[Name, Callable[..., Any]] = {
        name: nothing if name.module == "torch._utils" else call for name, call in calls.items()
    }
    PlainPickle(rebuilt, note).read(stream)
    return found


def _bodies(stream: io.BytesIO, wanted: Mapping[str, _Wanted]) -> Mapping[str, memoryview]:
    """The bytes of the storages, in the order of a list of keys; each with its length before it."""
    keys = _plain(stream)
    if not is_sequence(keys) or sorted(map(str, keys)) != sorted(wanted):
        raise DamagedFile("the file lists other storages than its tensors have")
    data, position = stream.getbuffer(), stream.tell()
    out: dict[str, memoryview] = {}
    for key in keys:
        begin, position = position + 8, position + 8 + wanted[key].size
        length = int.from_bytes(data[begin - 8 : begin], "little")
        if length * _width(wanted[key]) != wanted[key].size:
            raise DamagedFile(f"storage {key!r} has {length} elements, and others in its tensors")
        out[key] = data[begin:position]
    if position != len(data):
        raise DamagedFile(f"the file has {len(data)} bytes, and its storages end at {position}")
    return out


def _width(wanted: _Wanted) -> int:
    return ITEMSIZE[wanted.dtype] if wanted.dtype else 1
