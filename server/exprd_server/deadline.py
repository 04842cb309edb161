"""Deadline: how long a call may still take, and whether its answer is still wanted.

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

    from exprd_server.alarm import Alarm


class _Wish:
    """Whether the answer is wanted, and whom to tell when it no longer is. Thread safe."""

    __slots__ = ("_lock", "_tell", "cancelled", "outlives")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tell: dict[object, Callable[[], None]] = {}
        self.cancelled = False
        self.outlives = False

    def cancel(self) -> None:
        """Tells everybody, once and for all."""
        with self._lock:
            self.cancelled = True
            for tell in self._tell.values():
                tell()

    def ask(self, key: object, tell: Callable[[], None]) -> None:
        """Has `tell` called on cancellation, at once if that was before."""
        with self._lock:
            self._tell[key] = tell
            if self.cancelled:
                tell()

    def ring(self, key: object) -> None:
        """Tells one, if it still asks."""
        with self._lock:
            if tell := self._tell.get(key):
                tell()

    def done(self, key: object) -> None:
        """Forgets one, which is not told from now on."""
        with self._lock:
            self._tell.pop(key, None)


class Deadline:
    """A point in time, and a flag that may be raised before it."""

    __slots__ = ("_clock", "_end", "_seconds", "_wish")

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds = seconds
        self._end = clock() + seconds
        self._wish = _Wish()

    def capped(self, seconds: float) -> Deadline:
        """A deadline at most so far away, cancelled together with this one."""
        child = Deadline(min(seconds, self.remaining()), self._clock)
        child._wish = self._wish
        return child

    def cancel(self) -> None:
        """Notes that nobody wants the answer; running native code stops."""
        self._wish.cancel()

    def leave(self) -> None:
        """Notes that the caller has gone; that cancels, unless the answer is kept for a retry."""
        if not self._wish.outlives:
            self.cancel()

    def outlive_caller(self) -> None:
        """Lets the call go on when its caller has gone, because a retry will ask for its answer."""
        self._wish.outlives = True

    def _forget(self) -> None:
        """Begins anew, for a call that nobody has a wish about yet."""
        if self._wish.cancelled:
            self._wish = _Wish()
        self._wish.outlives = False

    def remaining(self) -> float:
        """Seconds left, at least 0."""
        return max(0.0, self._end - self._clock())

    def is_over(self) -> bool:
        """Whether `check` would raise."""
        return self._wish.cancelled or self._clock() >= self._end

    def check(self, stage: str) -> None:
        """Returns if the call may go on.

        Args:
            stage: what the call is about to do, for the message.

        Raises:
            Cancelled: nobody wants the answer.
            DeadlineExceeded: the time is up.
        """
        if self._wish.cancelled:
            raise Cancelled(f"cancelled before {stage}; nothing has changed")
        if self._clock() >= self._end:
            raise self.lapsed(stage)

    def lapsed(self, stage: str) -> DeadlineExceeded:
        """The error of a call that ran out of time."""
        return DeadlineExceeded(
            f"the time of {self._seconds:g} s ran out before {stage}; nothing has changed",
            hint="give the call more, and the server --execute-seconds, or give it less work",
            fields={"seconds": f"{self._seconds:g}", "stage": stage},
        )

    def guard(self, alarm: Alarm, native: Callable[[], int], stop: Callable[[], None], /) -> int:
        """What `native()` gives; `stop()` is called if that must end while it runs.

        With an alarm, this is a `Guard` of native code.
        """
        key = object()
        self._wish.ask(key, stop)
        if self._clock is time.monotonic:
            alarm.set_at(key, self._end, lambda: self._wish.ring(key))
        else:
            alarm.set(key, self.remaining(), lambda: self._wish.ring(key))
        try:
            return native()
        finally:
            alarm.drop(key)
            self._wish.done(key)


def check(deadline: Deadline | None, stage: str) -> None:
    """`Deadline.check` for a call that may have no deadline at all (embedded use)."""
    if deadline is not None:
        deadline.check(stage)
