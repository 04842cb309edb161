"""Waiting awake for what comes in a moment, where that pays.

To sleep and to be woken costs more than a short call, above all where an idle core halts. Who waits
awake takes a core from others, though; so one core is always left to them, and who waited in vain
goes to sleep at once for a while, the longer the more often.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable
from typing import Final

__all__ = ["NOTHING", "SECONDS", "Patience"]

NOTHING: Final = -1
SECONDS: Final = 0.0001  # by default; some calls, and far more than it takes to be woken
_LONGEST: Final = 1023


def _cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_PLACES: Final = deque[None]([None] * (_cores() - 1))


class Patience:
    """Whether one thread waits awake for what it waits for again and again.

    Two times in three it has to come in time; else the thread soon waits so only once in 1024.

    Args:
        seconds: for which it may wait so; 0 for never.
    """

    __slots__ = ("_pause", "_rest")

    def __init__(self, seconds: float) -> None:
        self._pause = 0
        self._rest = 0 if seconds else sys.maxsize  # times to go to sleep at once

    def wait(self, look: Callable[[], int]) -> int:
        """What `look()` gives, which waits awake; `NOTHING` when it is better to sleep."""
        if self._rest:
            self._rest -= 1
            return NOTHING
        try:
            _PLACES.pop()
        except IndexError:
            return NOTHING
        try:
            found = look()
        finally:
            _PLACES.append(None)
        if found == NOTHING:
            self._pause = min(4 * self._pause + 3, _LONGEST)
            self._rest = self._pause
        else:
            self._pause >>= 1
            self._rest = self._pause
        return found
