"""Aside: an iterator that runs in a thread of its own, so that whoever reads it can be interrupted.

A signal handler that raises, as Ctrl-C does, interrupts the main thread anywhere, also between a
change of state and the next that belongs to it. What changes state runs elsewhere, then.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from queue import SimpleQueue
from typing import Final, Generic, TypeVar

__all__ = ["aside"]

_AHEAD: Final = 64  # items that wait to be read

T = TypeVar("T")


class _End:
    """What follows the last item: nothing, or an error."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Source(Generic[T]):
    """The thread that makes items, a few ahead of whoever reads them."""

    def __init__(self, make: Callable[[], Iterable[T]]) -> None:
        self._make = make
        # these queues are of one piece, whatever interrupts their users
        self.items: SimpleQueue[T | _End] = SimpleQueue()
        self.read: SimpleQueue[bool] = SimpleQueue()

    def run(self) -> None:
        error: BaseException | None = None
        try:
            self._run()
        except BaseException as caught:  # raised by the reader
            error = caught
        self.items.put(_End(error))

    def _run(self) -> None:
        room = _AHEAD
        for item in self._make():
            self.items.put(item)
            room -= 1
            while room == 0 or not self.read.empty():
                if not self.read.get():
                    return
                room += 1


def aside(make: Callable[[], Iterable[T]], stop: Callable[[], object]) -> Generator[T]:
    """The items that `make` gives in another thread.

    Args:
        make: called there.
        stop: called when nobody reads on: has the thread end soon. It is waited for.
    """
    source = _Source(make)
    thread = threading.Thread(target=source.run, name="exprd-aside", daemon=True)
    ended = False
    try:
        thread.start()
        while not ended:
            item = source.items.get()
            if isinstance(item, _End):
                ended = True
                if item.error is not None:
                    raise item.error
                return
            source.read.put(True)
            yield item
    finally:
        if not ended:
            stop()
            source.read.put(False)
        if thread.ident is not None:
            thread.join()
