"""Locks of shared variables: many readers or one writer.

Invariant: whoever takes several takes them in ascending uuid order (`hold`), which
rules out deadlock; a waiting writer holds new readers back, so it cannot starve.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from exprd_server.deadline import Deadline


class ReadWriteLock:
    """A lock that admits any number of readers, or one writer."""

    __slots__ = ("_changed", "_readers", "_waiting_writers", "_writing")

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._readers = 0
        self._waiting_writers = 0
        self._writing = False

    def acquire_read(self, timeout: float | None) -> bool:
        """Takes a share of the lock; false when the time ran out."""
        with self._changed:
            free = self._changed.wait_for(self._open_to_readers, timeout)
            self._readers += free
            return free

    def acquire_write(self, timeout: float | None) -> bool:
        """Takes the whole lock; false when the time ran out."""
        with self._changed:
            self._waiting_writers += 1
            try:
                free = self._changed.wait_for(self._open_to_writer, timeout)
            finally:
                self._waiting_writers -= 1
            self._writing |= free
            if not free:  # readers may have waited for this writer
                self._changed.notify_all()
            return free

    def release_read(self) -> None:
        """Gives a share back."""
        with self._changed:
            self._readers -= 1
            self._changed.notify_all()

    def release_write(self) -> None:
        """Gives the whole lock back."""
        with self._changed:
            self._writing = False
            self._changed.notify_all()

    def _open_to_readers(self) -> bool:
        return not self._writing and not self._waiting_writers

    def _open_to_writer(self) -> bool:
        return not self._writing and not self._readers


class Lockable(Protocol):
    """Something with a uuid and a lock."""

    @property
    def uuid(self) -> str:
        """Its place in the lock order."""
        ...

    @property
    def lock(self) -> ReadWriteLock:
        """Its lock."""
        ...


@contextmanager
def hold(
    write: Sequence[Lockable], read: Sequence[Lockable], deadline: Deadline | None
) -> Generator[None]:
    """Holds write and read locks together, or raises when the deadline lapses first."""
    writing = {item.uuid for item in write}
    wanted = {item.uuid: item for item in (*read, *write)}
    held: list[Lockable] = []
    try:
        for uuid in sorted(wanted):
            _acquire(wanted[uuid], deadline, exclusive=uuid in writing)
            held.append(wanted[uuid])
        yield
    finally:
        for item in reversed(held):
            _release(item, exclusive=item.uuid in writing)


def _acquire(item: Lockable, deadline: Deadline | None, *, exclusive: bool) -> None:
    timeout = None if deadline is None else deadline.remaining()
    acquire = item.lock.acquire_write if exclusive else item.lock.acquire_read
    if not acquire(timeout):
        assert deadline is not None  # without a timeout an acquisition cannot fail
        raise deadline.lapsed(f"shared variable {item.uuid} became free")


def _release(item: Lockable, *, exclusive: bool) -> None:
    if exclusive:
        item.lock.release_write()
    else:
        item.lock.release_read()
