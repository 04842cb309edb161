"""Compiled objects kept on disk, found by the content they were made from.

A file is used only when its header names the wanted key, its checksum holds, and its machine and
features are the host's; anything else is deleted and compiled again. Objects hold symbols, never
addresses, so they outlive the process.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final

from exprd_compiler.backends.llvm.jit import compile_ir, fingerprint
from exprd_compiler.backends.llvm.target import supports

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.target import Level

_MAGIC: Final = b"exprd object 1\n"
_DEFAULT_LIMIT: Final = 256 << 20
_COUNTER = itertools.count()


def object_key(text: str, level: Level) -> str:
    """The name of the object of this text: everything that can change a byte of it is hashed."""
    digest = hashlib.sha256()
    for part in (_MAGIC, fingerprint(level).encode(), text.encode()):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def elf_machine(image: bytes) -> int:
    """The ``e_machine`` of an object, or -1 when it is not a 64-bit little-endian ELF file."""
    if len(image) < 64 or image[:6] != b"\x7fELF\x02\x01":
        return -1
    return int(struct.unpack_from("<H", image, 18)[0])


class ObjectCache:
    """Objects in a directory of our own, at most so many bytes, the least recently used go first.

    Several processes may share the directory: files appear whole, by renaming.
    """

    __slots__ = ("_directory", "_limit", "_size")

    def __init__(self, directory: Path, *, limit: int = _DEFAULT_LIMIT) -> None:
        self._directory = directory
        self._limit = limit
        self._size: int | None = None
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_shared(directory)

    def compiled(self, text: str, level: Level) -> bytes:
        """The object of a module, from the cache or newly compiled and kept."""
        key = object_key(text, level)
        image = self.load(key, level)
        if image is None:
            image = compile_ir(text, level)
            self.store(key, level, image)
        return image

    def load(self, key: str, level: Level) -> bytes | None:
        """The object under a key, or None; a file that is not in order is deleted."""
        path = self._path(key)
        try:
            image = _opened(path.read_bytes(), key, level)
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return image

    def store(self, key: str, level: Level, image: bytes) -> bool:
        """Keep an object; False when the disk would not have it, which harms nobody."""
        path = self._path(key)
        temporary = path.with_name(f".{key}.{os.getpid()}.{next(_COUNTER)}")
        content = _sealed(key, level, image)
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
            self._grow(len(content))
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            return False
        return True

    def _path(self, key: str) -> Path:
        return self._directory / f"{key}.o"

    def _grow(self, size: int) -> None:
        if self._size is None or self._size + size > self._limit:
            self._size = self._trim()
        else:
            self._size += size

    def _trim(self) -> int:
        """Delete the least recently used files until the rest fits; the bytes that remain."""
        files = sorted(_listed(self._directory), key=lambda entry: entry[1])
        total = sum(size for _, _, size in files)
        for path, _, size in files:
            if total <= self._limit:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size
        return total


def _listed(directory: Path) -> list[tuple[Path, int, int]]:
    found: list[tuple[Path, int, int]] = []
    for path in directory.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process may trim as well
            status = path.stat()
            found.append((path, status.st_mtime_ns, status.st_size))
    return found


def _refuse_shared(directory: Path) -> None:
    status = directory.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PermissionError(
            f"object cache {directory}: others may write there, and its files are run as code; "
            "use a directory that belongs to this user alone (chmod 700)"
        )


def _sealed(key: str, level: Level, image: bytes) -> bytes:
    header = {
        "key": key,
        "sha256": hashlib.sha256(image).hexdigest(),
        "e_machine": elf_machine(image),
        "features": sorted(level.requires),
    }
    return _MAGIC + json.dumps(header, sort_keys=True).encode() + b"\n" + image


def _opened(content: bytes, key: str, level: Level) -> bytes:
    """The object inside a file; ValueError when anything about it is not as expected."""
    if not content.startswith(_MAGIC):
        raise ValueError("not an object of ours")
    line, separator, image = content[len(_MAGIC) :].partition(b"\n")
    expected = json.loads(_sealed(key, level, image)[len(_MAGIC) :].partition(b"\n")[0])
    if not separator or json.loads(line) != expected:
        raise ValueError("key, checksum or features differ")
    if elf_machine(image) != level.machine or not supports(level):
        raise ValueError("made for another machine")
    return image
