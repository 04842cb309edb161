"""Deadline: how long a call may still take, and whether its caller has gone.

Invariant: `check` is the only place that turns lapse or cancellation into an error,
so the commit point is simply the last `check` before the commit.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from exprd_compiler.errors import Cancelled, DeadlineExceeded

if TYPE_CHECKING:
    from collections.abc import Callable


class Deadline:
    """A point in time, and a flag that the caller may raise before it."""

    __slots__ = ("_cancelled", "_clock", "_end", "_seconds")

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds = seconds
        self._end = clock() + seconds
        self._cancelled = threading.Event()

    def capped(self, seconds: float) -> Deadline:
        """A deadline at most so far away, cancelled together with this one."""
        child = Deadline(min(seconds, self.remaining()), self._clock)
        child._cancelled = self._cancelled
        return child

    def cancel(self) -> None:
        """Notes that the caller no longer wants the answer."""
        self._cancelled.set()

    def remaining(self) -> float:
        """Seconds left, at least 0."""
        return max(0.0, self._end - self._clock())

    def check(self, stage: str) -> None:
        """Returns if the call may go on.

        Args:
            stage: what the call is about to do, for the message.

        Raises:
            Cancelled: the caller has gone.
            DeadlineExceeded: the time is up.
        """
        if self._cancelled.is_set():
            raise Cancelled(f"cancelled before {stage}; nothing has changed")
        if self._clock() >= self._end:
            raise self.lapsed(stage)

    def lapsed(self, stage: str) -> DeadlineExceeded:
        """The error of a call that ran out of time."""
        return DeadlineExceeded(
            f"the time of {self._seconds:g} s ran out before {stage}; nothing has changed",
            hint="give the call a longer deadline, or less work",
            fields={"seconds": f"{self._seconds:g}", "stage": stage},
        )


def check(deadline: Deadline | None, stage: str) -> None:
    """`Deadline.check` for a call that may have no deadline at all (embedded use)."""
    if deadline is not None:
        deadline.check(stage)
