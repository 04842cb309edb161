"""Faults: what goes wrong with a state directory, as errors of the tree."""

from __future__ import annotations

import errno
import os
import sqlite3
from typing import TYPE_CHECKING, Final, TypeAlias

from exprd_compiler.errors import CallError, DamagedFile, ExprdError, LimitExceeded

if TYPE_CHECKING:
    from pathlib import Path

SqliteFault: TypeAlias = "sqlite3.Error | UnicodeDecodeError"  # names of columns are text, too
FAULTS: Final = (sqlite3.Error, UnicodeDecodeError)

_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_DISK: Final = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR}
)
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_PROBE_BYTES: Final = 1 << 16  # more than any one write of SQLite's
_PRIMARY: Final = 0xFF  # the low byte of SQLite's extended codes
_CHECK: Final = "`exprd state check` tells what is damaged, `exprd state repair` saves the rest"


def fault_of(
    error: SqliteFault, path: Path, *, reading: bool = False, full: bool = False
) -> ExprdError:
    """The error of the tree for one of SQLite's; when `reading`, an odd answer is damage too.

    Args:
        error: SQLite's.
        path: of the file.
        reading: whether nothing was to be written.
        full: whether there is no room, as `is_full` tells.
    """
    code = code_of(error)
    if code in _BUSY:
        return used_elsewhere(path)
    if code in _DAMAGE or (reading and code not in _DISK):
        return DamagedFile(f"{path} is damaged: {plain(str(error))}", hint=_CHECK)
    if full or code == sqlite3.SQLITE_FULL:
        return LimitExceeded(
            f"the disk of {path} is full, or a quota on it is used up; nothing has changed",
            hint="free some space; reads and volatile variables go on",
            fields={"limit": "state_bytes"},
        )
    return LimitExceeded(
        f"state cannot be written to {path}: {error}; nothing has changed here",
        hint="mend the disk and start the server again, which tells whether it was written after"
        " all; reads and volatile variables go on",
        fields={"limit": "state_bytes"},
    )


def used_elsewhere(path: Path) -> CallError:
    """The error of a file that a program has open which knows nothing of our lock."""
    return CallError(
        f"another program has {path} open",
        hint="end it, such as a backup or SQLite's own shell, and try again",
    )


def plain(text: str) -> str:
    """What a damaged file says, fit for one line of a log."""
    return "".join(c if c.isprintable() else "?" for c in text[:200])


def code_of(error: SqliteFault) -> int:
    """SQLite's primary code of an error; 0 when Python made it up."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & _PRIMARY


def is_fatal(error: sqlite3.Error) -> bool:
    """Whether nothing more may be written after this error.

    After a failed write or fsync nobody knows what the kernel has kept; only reading it all again
    tells, which a start does.
    """
    return code_of(error) not in (sqlite3.SQLITE_FULL, 0)


def is_full(error: sqlite3.Error, path: Path) -> bool:
    """Whether a write failed for want of room on the disk, or of what a quota leaves of it.

    SQLite tells the former apart (SQLITE_FULL), the latter is an error of the disk like any other
    to it; so another write tells.
    """
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_IOERR_WRITE:
        return _is_over_quota(path.with_name(f"{path.name}.room"))
    return code_of(error) == sqlite3.SQLITE_FULL


def _is_over_quota(probe: Path) -> bool:
    try:
        with probe.open("wb") as file:
            probe.unlink()
            file.write(os.urandom(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno == errno.EDQUOT
    return False


def damaged_value(uuid: str, name: str, what: str) -> DamagedFile:
    """The error of a variable that cannot be read back."""
    label = f"{name!r} ({plain(uuid)})" if name else plain(uuid)
    return DamagedFile(
        f"shared variable {label} is damaged on disk: {plain(what)}",
        hint=_CHECK,
        fields={"uuid": uuid, "name": name},
    )


def damaged_table(what: str) -> DamagedFile:
    """The error of anything else that cannot be read back."""
    return DamagedFile(f"the state is damaged on disk: {plain(what)}", hint=_CHECK)


def unusable(path: Path, error: OSError) -> CallError:
    """The error of a directory in which nothing can be written."""
    return CallError(
        f"the state directory {path} cannot be used: {error.strerror or error}",
        hint="it must be a directory that this user may write to",
    )
