"""Throttling: a client that keeps the server busy rests while others call.

The interpreter runs one thread at a time, so a client that never pauses makes all others wait, even
when each of its calls is short. While n clients call, each may use an n-th of the interpreter's
time, and a quarter at any rate (`--least-share`): whoever has used more rests before its next call
until that is so. A client that is alone never rests.

It is the generic cell rate algorithm (ITU-T I.371, annex A): of each client a point in time is kept
up to which its share is used. Time of the processor counts, since time on the clock would count the
waiting for others as well; and of a call a millisecond at most, since what takes longer is native
code, during which others have the interpreter. What gRPC takes for it besides is a constant.

Invariant: nobody rests for longer than `_LONGEST` at a time, or with a lock in its hands.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST_SHARE: Final = 0.25
MOST: Final = 0.001  # seconds that count of one call, of one step, of one item of a batch
BESIDE: Final = 0.0001  # what gRPC takes for a call or a frame of them, on threads of its own
_GRAIN: Final = 0.001  # shorter rests are put off; to fall asleep and wake takes 0.1 ms
_LONGEST: Final = 0.05
_WINDOW: Final = 0.1  # seconds for which a client that has called counts as one that calls


class Throttle:
    """What clients have used of the interpreter's time. Thread safe.

    Args:
        least: the share of the time that a client may use however many call; 1 lets nobody rest.
        clock: tells the time in seconds.
        sleep: waits for some seconds.

    Attributes:
        rested: seconds that clients have rested so far.
    """

    def __init__(
        self,
        least: float = LEAST_SHARE,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.rested = 0.0
        self._most = 1.0 / least
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._calling: set[str] = set()  # in this window, and in the one before it
        self._called: set[str] = set()
        self._over = 0.0  # when this window is
        self._used: dict[str, float] = {}  # up to when each has used its share

    def spend(self, client_id: str, seconds: float) -> None:
        """Notes that a client has used the interpreter for so long, up to now."""
        now = self._clock()
        with self._lock:
            if now >= self._over:
                self._turn_over(now)
            self._calling.add(client_id)
            crowd = min(max(len(self._calling), len(self._called)), self._most)
            if crowd > 1:
                used = max(self._used.get(client_id, 0.0), now - seconds) + crowd * seconds
                self._used[client_id] = min(used, now + _LONGEST)

    def rest(self, client_id: str) -> None:
        """Returns when a client has a share of the time left, which most have at once."""
        until = self._used.get(client_id)
        if until is None:
            return
        due = until - self._clock()
        if due > _GRAIN:
            self.rested += due
            self._sleep(due)

    def _turn_over(self, now: float) -> None:
        self._called = self._calling if now < self._over + _WINDOW else set()
        self._calling = set()
        self._over = now + _WINDOW
        self._used = {client: until for client, until in self._used.items() if until > now}


class Lap:
    """The work of a call that has many parts, on the thread that makes it."""

    __slots__ = ("_client_id", "_parts", "_start", "_throttle", "_until")

    def __init__(self, throttle: Throttle, client_id: str) -> None:
        self._throttle = throttle
        self._client_id = client_id
        self._begin()

    def rest(self, parts: int = 1) -> None:
        """Notes that parts are done, and rests when that is due."""
        self._parts += parts
        if time.monotonic() >= self._until:
            self.end()
            self._throttle.rest(self._client_id)
            self._begin()

    def end(self, parts: int = 0) -> None:
        """Notes that the last parts are done, and what was used since the last rest."""
        most = (self._parts + parts) * MOST
        used = time.thread_time() - self._start
        self._throttle.spend(self._client_id, max(0.0, min(used, most)))

    def _begin(self) -> None:
        self._parts = 0
        self._until = time.monotonic() + _GRAIN
        self._start = time.thread_time()
