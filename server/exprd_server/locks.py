"""Locks of shared variables: many readers or one writer.

Invariant: whoever takes several takes them in ascending uuid order (`Hold`), which
rules out deadlock; a waiting writer holds new readers back, and a writer that has done lets those
readers in first that have waited for it, so neither can starve.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from exprd_server.deadline import Deadline


class ReadWriteLock:
    """A lock that admits any number of readers, or one writer."""

    __slots__ = (
        "_changed",
        "_lock",
        "_owed",
        "_readers",
        "_turn",
        "_waiting",
        "_waiting_readers",
        "_waiting_writers",
        "_writing",
    )

    def __init__(self) -> None:
        self._lock = threading.Lock()  # by itself it is entered five times faster
        self._changed = threading.Condition(self._lock)
        self._readers = 0
        self._waiting = 0  # readers and writers; nobody is woken when nobody waits
        self._waiting_readers = 0
        self._waiting_writers = 0
        self._writing = False
        self._turn = 0  # how many writers have done
        self._owed = 0  # how many readers have waited for the last of them

    def acquire_read(self, timeout: float | None) -> bool:
        """Takes a share of the lock; false when the time ran out."""
        with self._lock:
            free = self._wait_to_read(timeout) if self._writing or self._waiting_writers else True
            self._readers += free
            return free

    def acquire_write(self, timeout: float | None) -> bool:
        """Takes the whole lock; false when the time ran out."""
        with self._lock:
            taken = self._writing or self._readers or self._owed
            free = self._wait_to_write(timeout) if taken else True
            self._writing |= free
            return free

    def release_read(self) -> None:
        """Gives a share back."""
        with self._lock:
            self._readers -= 1
            if self._waiting:
                self._changed.notify_all()

    def release_write(self) -> None:
        """Gives the whole lock back."""
        with self._lock:
            self._writing = False
            if self._waiting:
                self._turn += 1
                self._owed = self._waiting_readers
                self._changed.notify_all()

    def _wait_to_read(self, timeout: float | None) -> bool:
        turn = self._turn

        def free() -> bool:
            return not self._writing and (not self._waiting_writers or self._turn != turn)

        self._waiting_readers += 1
        try:
            return self._wait(free, timeout)
        finally:
            self._waiting_readers -= 1
            if self._turn != turn:  # it was one of those
                self._owed -= 1
                if not self._owed and self._waiting:  # writers, for the last reader
                    self._changed.notify_all()

    def _wait_to_write(self, timeout: float | None) -> bool:
        self._waiting_writers += 1
        try:
            return self._wait(self._open_to_writer, timeout)
        finally:
            self._waiting_writers -= 1
            if self._waiting:  # readers, for this writer
                self._changed.notify_all()

    def _wait(self, free: Callable[[], bool], timeout: float | None) -> bool:
        self._waiting += 1
        try:
            return self._changed.wait_for(free, timeout)
        finally:
            self._waiting -= 1

    def _open_to_writer(self) -> bool:
        return not (self._writing or self._readers or self._owed)


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


# What is locked, each with whether it is written, in the order in which it is.
Order: TypeAlias = "Sequence[tuple[Lockable, bool]]"


def in_order(write: Sequence[Lockable], read: Sequence[Lockable]) -> Order:
    """Variables to be written or read, each once, as every call takes their locks."""
    if not (write or read):
        return ()
    wanted = {item.uuid: (item, False) for item in read}
    for item in write:
        wanted[item.uuid] = (item, True)
    return tuple([wanted[uuid] for uuid in sorted(wanted)])


class Hold:
    """Write and read locks held together, as a context; all or none are taken.

    Args:
        order: what is to be locked; see `in_order`.
        deadline: for all of them together.

    Raises on entry:
        DeadlineExceeded: the deadline lapsed before all were free.
    """

    __slots__ = ("_deadline", "_held", "_wanted")

    def __init__(self, order: Order, deadline: Deadline | None) -> None:
        self._wanted = order
        self._deadline = deadline
        self._held = 0  # how many of them

    def __enter__(self) -> None:
        try:
            for item, exclusive in self._wanted:
                acquire = item.lock.acquire_write if exclusive else item.lock.acquire_read
                if not acquire(0.0):  # as a rule it is free
                    self._await(item, acquire)
                self._held += 1
        except BaseException:
            self._release()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._release()

    def _release(self) -> None:
        while self._held:
            self._held -= 1
            item, exclusive = self._wanted[self._held]
            if exclusive:
                item.lock.release_write()
            else:
                item.lock.release_read()

    def _await(self, item: Lockable, acquire: Callable[[float | None], bool]) -> None:
        timeout = None if self._deadline is None else self._deadline.remaining()
        if not acquire(timeout):
            assert self._deadline is not None  # without a timeout an acquisition cannot fail
            raise self._deadline.lapsed(f"shared variable {item.uuid} became free")
