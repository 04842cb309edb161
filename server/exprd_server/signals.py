"""Signals that end a server, received where they cannot be lost.

Invariant: a signal is a byte in a socket that the main thread reads. The kernel may
deliver it to any thread, also to one of gRPC's, and a handler in Python runs only when
the main thread happens to wake up; a thread that waits for an event never does.
"""

from __future__ import annotations

import select
import signal
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType, TracebackType

_ENDING = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """The ending signals of this process, as a context of the main thread."""

    def __enter__(self) -> Signals:
        self._received, self._written = socket.socketpair()
        self._written.settimeout(0)  # a handler must not block
        self._before = signal.set_wakeup_fd(self._written.fileno())
        self._handlers = [signal.signal(number, _noted) for number in _ENDING]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.set_wakeup_fd(self._before)
        for number, handler in zip(_ENDING, self._handlers, strict=True):
            signal.signal(number, handler)
        self._received.close()
        self._written.close()

    def wait(self, seconds: float | None = None) -> bool:
        """Waits for one signal; false when the time ran out."""
        ready, _, _ = select.select([self._received], [], [], seconds)
        return bool(ready and self._received.recv(1))


def _noted(_number: int, _frame: FrameType | None) -> None:
    """Only there so that the signal is written to the socket; the reader does the rest."""
