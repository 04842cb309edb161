"""Reading ahead: one thread waits for the next item while another works on the last."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

__all__ = ["ahead"]

_ITEMS: Final = 2  # that wait to be worked on
_LARGE: Final = 8 << 20  # what comes in less is not worth a thread

T = TypeVar("T")


class _End(Exception):
    """There are no more items."""


def ahead(items: Iterator[T], nbytes: int) -> Iterator[T]:
    """The items of an iterator; if they are large, a thread of its own asks for the next ones.

    Worth it where items take about as long to come as to be used, and both let go of the
    interpreter's lock. Whoever stops early leaves the thread with the item that it waits for.

    Args:
        items: in order; what their iterator raises is raised after those before it.
        nbytes: what they have together.
    """
    return items if nbytes < _LARGE else _read_ahead(items)


def _read_ahead(items: Iterator[T]) -> Generator[T]:
    found: queue.SimpleQueue[T | BaseException] = queue.SimpleQueue()
    room = threading.Semaphore(_ITEMS)
    stopped = threading.Event()

    def read() -> None:
        try:
            for item in items:
                found.put(item)
                del item
                room.acquire()
                if stopped.is_set():
                    return
            found.put(_End())
        except BaseException as error:
            found.put(error)

    threading.Thread(target=read, name="exprd-ahead", daemon=True).start()
    try:
        while not isinstance(item := found.get(), BaseException):
            room.release()
            yield item
            del item
        if not isinstance(item, _End):
            raise item
    finally:
        stopped.set()
        room.release()
