"""Exclusive: lock files, which one process holds at a time and which say who does.

Invariant: the lock is the kernel's and ends with its process, however that ends; the file stays.

A process that is killed leaves its locks to whatever child it has just begun to start, until that
runs a program of its own: on a busy machine for half a second. So a lock whose holder is gone is
waited for, and a server that was killed can be started again at once.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from time import monotonic, sleep
from typing import Final

_SECONDS: Final = 5.0
_PAUSE: Final = 0.005


class Occupied(Exception):
    """Another process holds the lock.

    Attributes:
        holder: the number of that process as text; "" if it has not said so yet.
    """

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


def take(path: Path) -> int:
    """An open file that holds the lock until it is closed.

    Raises:
        Occupied: another process has it.
        OSError: the file cannot be opened or written.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _wait_for(lock)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _wait_for(lock: int) -> None:
    end = monotonic() + _SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode(errors="replace").strip()
            if _runs(holder) or monotonic() > end:
                raise Occupied(holder) from None
            sleep(_PAUSE)
        else:
            return


def _runs(holder: str) -> bool:
    """Whether a process may still run; one that has ended and that nobody has waited for does not.

    A number that says nothing is of one that has only just begun to hold the lock.
    """
    if not holder.isdecimal():
        return True
    try:
        facts = Path(f"/proc/{holder}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return facts.rpartition(")")[2].split()[:1] not in (["Z"], ["X"])
