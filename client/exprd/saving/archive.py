"""Archive: the file that `exprd.save` writes. A zip without compression, each member checked.

`manifest.json` says what the file is, and lists every other member with its SHA-256; arrays are NPY
files, so `numpy.load` reads them. A file is written whole or not at all.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from exprd.convert import is_mapping
from exprd.whole import write_whole
from exprd_compiler.errors import DamagedFile, UnsupportedVersion

__all__ = ["FORMAT", "Archive", "is_archive", "read_archive", "write_archive"]

FORMAT: Final = "exprd"
VERSION: Final = 1
MANIFEST: Final = "manifest.json"
_DATE: Final = (1980, 1, 1, 0, 0, 0)  # equal content gives equal files


@dataclass(slots=True)
class Archive:
    """The content of a file.

    Attributes:
        structure: what the members make up, as JSON knows it.
        members: bytes by member name.
    """

    structure: Any = None
    members: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def add(self, name: str, data: bytes) -> str:
        """A new member; its name, with a number behind it if there is one of that name."""
        stem, dot, ending = name.rpartition(".")
        number, free = 1, name
        while free in self.members or free == MANIFEST:
            number += 1
            free = f"{stem}_{number}{dot}{ending}"
        self.members[free] = data
        return free

    def add_array(self, name: str, value: NDArray[Any]) -> str:
        """A new member with an array, as an NPY file."""
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, value, allow_pickle=False)
        return self.add(f"{name}.npy", buffer.getvalue())

    def array(self, name: str) -> NDArray[Any]:
        """The array of a member.

        Raises:
            DamagedFile: there is no such member, or it is no array.
        """
        stream = io.BytesIO(self.data(name))
        try:
            value: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise DamagedFile(f"member {name!r} is no array: {error}") from error
        return value

    def data(self, name: object) -> bytes:
        """The bytes of a member.

        Raises:
            DamagedFile: there is none of this name.
        """
        if not isinstance(name, str) or name not in self.members:
            raise DamagedFile(f"there is no member {name!r}")
        return self.members[name]


def write_archive(path: str | os.PathLike[str], archive: Archive) -> None:
    """Writes a file in place of what was there, whole or not at all.

    Raises:
        OSError: the file cannot be written; what was there stays.
    """
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in archive.members.items()}
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "members": sums,
        "structure": archive.structure,
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as out:
        text = json.dumps(manifest, indent=1, sort_keys=True)
        for name, data in {MANIFEST: text.encode(), **archive.members}.items():
            out.writestr(zipfile.ZipInfo(name, _DATE), data)
    write_whole(path, buffer.getbuffer())


def is_archive(data: bytes) -> bool:
    """Whether a file is a zip that has a manifest of ours, damaged or not."""
    return data[:4] == b"PK\x03\x04" and MANIFEST.encode() in data[:256]


def read_archive(data: bytes) -> Archive:
    """The content of a file.

    Raises:
        DamagedFile: a member is missing, too many, or not what was written.
        UnsupportedVersion: a later version of exprd wrote it.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _members(archive, len(data))
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise DamagedFile(f"the file is damaged: {error}") from error
    manifest = _manifest(members.pop(MANIFEST, None))
    _check_sums(manifest["members"], members)
    return Archive(manifest["structure"], members)


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, bytes]:
    """The members, none of them compressed: a small file holds no more than its size."""
    out: dict[str, bytes] = {}
    for info in archive.infolist():
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > size:
            raise DamagedFile(f"member {info.filename!r} is compressed, or larger than the file")
        if info.filename in out:
            raise DamagedFile(f"member {info.filename!r} is there twice")
        try:
            out[info.filename] = archive.read(info)
        except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as error:
            raise DamagedFile(f"member {info.filename!r} is damaged: {error}") from error
    return out


def _manifest(data: bytes | None) -> Mapping[str, Any]:
    if data is None:
        raise DamagedFile(f"there is no {MANIFEST}", hint="is it a file of exprd.save?")
    try:
        manifest: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{MANIFEST} is damaged: {error}") from error
    known = is_mapping(manifest) and manifest.get("format") == FORMAT
    if not known or not {"version", "members", "structure"} <= set(manifest):
        raise DamagedFile(f"{MANIFEST} is not one of exprd.save")
    found: Mapping[str, Any] = manifest
    if manifest["version"] != VERSION:
        raise UnsupportedVersion(
            f"the file has version {manifest['version']}, this exprd reads {VERSION}",
            hint="load it with a newer exprd",
        )
    return found


def _check_sums(sums: Any, members: Mapping[str, bytes]) -> None:
    if not is_mapping(sums):
        raise DamagedFile(f"{MANIFEST} lists no members")
    if wrong := sorted(set(sums) ^ set(members)):
        raise DamagedFile(f"member {wrong[0]!r} is missing, or not in {MANIFEST}")
    for name, data in members.items():
        if hashlib.sha256(data).hexdigest() != sums[name]:
            raise DamagedFile(f"member {name!r} is not what was written: its SHA-256 differs")
