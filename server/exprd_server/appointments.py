"""Appointments: when callers that found no place come back.

Each is asked to come when one more place will have become free, at the pace at which they did so
lately. So callers come one after the other, however many there are, and a server that has too much
to do refuses about as many calls as it serves. Were all of them told the same time, they would come
together, wait for each other to be refused, and take the cores from those that are served.

Invariant: nobody is asked to come sooner than `_SOONEST` or later than `_LATEST`.
"""

from __future__ import annotations

from typing import Final

_SOONEST: Final = 0.05
_LATEST: Final = 1.0
_WINDOW: Final = 0.25  # seconds over which the pace is measured
_FORGOTTEN: Final = 1.0  # of a window that has lasted longer: nobody was refused in the meantime
_QUICK: Final = 0.001  # seconds from one place to the next while nothing else is known


class Appointments:
    """The times at which callers come back. Whoever has it keeps it to one thread at a time."""

    __slots__ = ("_every", "_freed", "_last", "_since")

    def __init__(self) -> None:
        self._every = _QUICK
        self._since = self._last = 0.0
        self._freed = 0

    def next(self, now: float, freed: int) -> float:
        """Seconds until the next caller is to come.

        Args:
            now: by `time.monotonic`.
            freed: how many places have been given back so far.
        """
        self._measure(now, freed)
        soonest, latest = now + _SOONEST, now + _LATEST
        self._last = min(max(soonest, self._last + self._every), latest)
        return self._last - now

    def _measure(self, now: float, freed: int) -> None:
        passed = now - self._since
        if passed < _WINDOW:
            return
        forgotten = passed > _FORGOTTEN
        self._every = _QUICK if forgotten else passed / max(1, freed - self._freed)
        self._since, self._freed = now, freed
