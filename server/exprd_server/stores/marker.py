"""Marker: the number of the last answered commit, in a file of its own.

It is written without waiting for the disk, 2 us a time, and so outlives the end of the process but
not that of the machine. Against it the state shows at the next start what was lost: by a weak
durability policy, or by a write-ahead log that was cut.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING, Final

from exprd_compiler.errors import LimitExceeded

if TYPE_CHECKING:
    from pathlib import Path

_FORM: Final = struct.Struct("<8s16sQ")  # then CRC-32 of these bytes
_CRC: Final = struct.Struct("<I")
_MAGIC: Final = b"exprdack"


class Marker:
    """The marker of one run.

    Args:
        path: of the file.
        incarnation: the id of the run.
        sequence: of the last commit before it; so the file has its room on the disk from the start.

    Raises:
        LimitExceeded: the file cannot be written.
    """

    def __init__(self, path: Path, incarnation: str, sequence: int) -> None:
        self._path = path
        self._id = incarnation.encode()
        self._file = -1
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self.write(sequence)
        except OSError as error:
            raise self._refused(error) from error
        except BaseException:
            self.close()
            raise

    def write(self, sequence: int) -> None:
        """Says that a commit is answered.

        Raises:
            LimitExceeded: the file cannot be written.
        """
        data = _FORM.pack(_MAGIC, self._id, sequence)
        try:
            os.pwrite(self._file, data + _CRC.pack(zlib.crc32(data)), 0)
        except OSError as error:
            raise self._refused(error) from error

    def close(self) -> None:
        """Closes the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _refused(self, error: OSError) -> LimitExceeded:
        return LimitExceeded(
            f"{self._path} cannot be written: {error.strerror}; nothing has changed",
            hint="mend the disk; without this file the loss of an answer could not be told",
            fields={"limit": "state_bytes"},
        )


def read_marker(path: Path, incarnation: str) -> int:
    """The last answered commit of a run as far as a file tells; 0 when it tells nothing."""
    name, sequence = _told(path)
    return sequence if name == incarnation.encode() else 0


def answered(path: Path) -> int:
    """The last answered commit of whatever run a file speaks of; 0 when it tells nothing."""
    return _told(path)[1]


def _told(path: Path) -> tuple[bytes, int]:
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        return b"", 0
    data, rest = found[: _FORM.size], found[_FORM.size :]
    if len(data) != _FORM.size or rest != _CRC.pack(zlib.crc32(data)):
        return b"", 0
    magic, name, sequence = _FORM.unpack(data)
    return (name, int(sequence)) if magic == _MAGIC else (b"", 0)
