"""Lanes: the calls of one stream or batch, one after another under one deadline that is set anew.

A call of some microseconds cannot afford an alarm, a deadline and an entry among the running calls
of its own. Invariant: what is meant for one call never meets the next; its number and its time
change under the lock under which it is stopped.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Final

from exprd_server.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable

    from exprd_server.alarm import Alarm

_IDLE: Final = -1


class Lane(Deadline):
    """The deadline of whichever call runs here.

    Args:
        client_id: whose calls these are.
        seconds: that they may take, unless `begin` says otherwise.

    Attributes:
        client_id: whose calls these are.
        seq: the number of the call, 0 when it has none; -1 between calls.
    """

    __slots__ = ("_alarm", "_armed", "_guarding", "_stop", "client_id", "seq")

    def __init__(self, client_id: str, seconds: float = 0.0) -> None:
        super().__init__(seconds)
        self.client_id = client_id
        self.seq = _IDLE
        self._guarding = threading.Lock()
        self._stop: Callable[[], None] | None = None
        self._alarm: Alarm | None = None
        self._armed = math.inf  # when the alarm looks here next

    def begin(self, seq: int, seconds: float) -> None:
        """Sets out on a call that has so much time; wishes about those before are forgotten."""
        with self._guarding:
            self.seq = seq
            self._seconds = seconds
            self._end = self._clock() + seconds
            self._forget()

    def go_on(self, seq: int) -> None:
        """Sets out on a call that shares the time of those before it, and their end."""
        with self._guarding:
            self.seq = seq

    def over(self) -> None:
        """Notes that no call runs."""
        with self._guarding:
            self.seq = _IDLE

    def close(self) -> None:
        """Ends the lane; the alarm looks here no more."""
        self.over()
        if self._alarm is not None:
            self._alarm.drop(self)

    def cancel(self) -> None:
        """Notes that nobody wants the answer; running native code stops."""
        with self._guarding:
            self._cancel()

    def cancel_if(self, meant: Callable[[str, int], bool]) -> bool:
        """Cancels the call if it is meant; whether it was."""
        with self._guarding:
            found = self.seq >= 0 and meant(self.client_id, self.seq)
            if found:
                self._cancel()
            return found

    def guard(self, alarm: Alarm, native: Callable[[], int], stop: Callable[[], None], /) -> int:
        """What `native()` gives; `stop()` is called if that must end while it runs."""
        with self._guarding:
            self._stop = stop
            if self._end < self._armed:
                self._arm(alarm)
            if self.is_over():
                stop()
        try:
            return native()
        finally:
            with self._guarding:
                self._stop = None

    def _look(self) -> None:
        """Stops the call whose time is up; one that has more is looked at again then."""
        with self._guarding:
            self._armed = math.inf
            if self._stop is None or self._alarm is None:
                return  # the next call arms it anew
            if self._clock() >= self._end:
                self._stop()
            else:
                self._arm(self._alarm)

    def _arm(self, alarm: Alarm) -> None:
        self._alarm, self._armed = alarm, self._end
        alarm.set_at(self, self._end, self._look)

    def _cancel(self) -> None:
        super().cancel()
        if self._stop is not None:
            self._stop()
