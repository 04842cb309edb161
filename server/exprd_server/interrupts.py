"""Interrupts: native code of the main thread ends when a signal handler raises, as on Ctrl-C.

Handlers in Python run in the main thread alone, and not while that is in native code. So a call
that may be long runs on a helper thread, for which the main thread waits: a wait can be broken.
Short calls run where they are made. A handler may also come between any two steps of Python, where
locks are held and some of the changes are made: there a shield keeps it off until all is done.
Invariant: a call that was broken off commits nothing.
"""

from __future__ import annotations

import _thread
import signal
import threading
import time
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType, TracebackType

    from numpy.typing import NDArray

    from exprd_compiler.backends.executable import Guard

# The functions of `signal` make enumerations of numbers, which takes 5 us a call; these do not.
_plain: Any = import_module("_signal")
_handle, _handler_of = _plain.signal, _plain.getsignal
_INTERRUPT: Final = int(signal.SIGINT)
# A helper costs about 0.1 ms, so a call of this length pays 1 % for it.
_LONG_SECONDS: Final = 0.01
# Beyond so many times the largest input of a short call, the next may be long.
_GROWTH: Final = 4


class Shield:
    """A context, in the main thread, within which Ctrl-C is noted; its handler runs at the end.

    In other threads, and where that handler is none of Python's, it does nothing. It may be nested.
    """

    __slots__ = ("_depth", "_handler", "_noted", "open")

    def __init__(self) -> None:
        self._depth = 0
        self._handler: Any = None
        self._noted = False
        self.open = False  # whether the handler runs at once all the same

    def __enter__(self) -> None:
        if threading.get_ident() != threading.main_thread().ident:
            return
        if self._depth == 0:
            handler = _handler_of(_INTERRUPT)
            if not callable(handler):
                return
            self._handler, self._noted, self.open = handler, False, False
            _handle(_INTERRUPT, self._note)
        self._depth += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._depth == 0 or threading.get_ident() != threading.main_thread().ident:
            return
        self._depth -= 1
        if self._depth == 0:
            _handle(_INTERRUPT, self._handler)  # from here on it may come anywhere
            if self._noted:
                signal.raise_signal(signal.SIGINT)

    def lift(self) -> None:
        """Lets the handler run at once, until `open` is false again."""
        self.open = True
        if self._depth and self._noted:
            self._noted = False
            self._handler(signal.SIGINT, None)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.open:
            self._handler(number, frame)
        else:
            self._noted = True


SHIELD: Final = Shield()


class Interrupts:
    """What is known of one function's calls: how large its inputs were when they were short."""

    __slots__ = ("_largest", "_main")

    def __init__(self) -> None:
        self._largest = -1  # bytes; the first call may be long
        self._main = threading.main_thread().ident

    def guard(self, inputs: Sequence[NDArray[Any]]) -> Guard | None:
        """Who is to run the next call: a helper thread, or nobody in particular."""
        if threading.get_ident() != self._main:
            return None
        nbytes = 0
        for array in inputs:
            nbytes += array.nbytes
        return None if nbytes <= self._largest else self._helped(nbytes)

    def _helped(self, nbytes: int) -> Guard:
        def guard(native: Callable[[], int], stop: Callable[[], None], /) -> int:
            start = time.perf_counter()
            status = _helped(native, stop)
            long = time.perf_counter() - start > _LONG_SECONDS
            self._largest = min(self._largest, nbytes - 1) if long else _GROWTH * nbytes
            return status

        return guard


def _helped(native: Callable[[], int], stop: Callable[[], None]) -> int:
    """What `native()` gives on a thread of its own; an exception of the wait stops it.

    An exception can come anywhere, also while the thread is being started. So whoever takes the
    ticket first decides whether native code runs at all, and it is never left running.
    """
    ticket, done = _thread.allocate_lock(), threading.Event()
    status: list[int] = []

    def work() -> None:
        if ticket.acquire(blocking=False):
            status.append(native())
            done.set()

    try:
        SHIELD.lift()
        try:
            _thread.start_new_thread(work, ())
        except RuntimeError:  # no more threads, or none any more while the interpreter ends
            return native()
        done.wait()
    except BaseException:
        SHIELD.open = False
        if not ticket.acquire(blocking=False):
            stop()
            _wait_whatever_comes(done)
        raise
    finally:
        SHIELD.open = False
    return status[0]


def _wait_whatever_comes(done: threading.Event) -> None:
    """Waits; a second exception changes nothing, for the first is on its way."""
    while not done.is_set():
        with suppress(KeyboardInterrupt):
            done.wait()
