"""Alarm: one thread that stops running calls whose time is up.

Invariant: the thread sleeps until the earliest end that it knows of, so that a call which begins
and ends before that wakes nobody.
"""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Alarm:
    """Calls of functions at given times. Thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting: dict[object, tuple[float, Callable[[], None]]] = {}
        self._next = math.inf
        self._thread: threading.Thread | None = None
        self._closed = False

    def set(self, key: object, seconds: float, ring: Callable[[], None]) -> None:
        """Has `ring` called after some seconds, on the alarm's own thread."""
        self.set_at(key, time.monotonic() + seconds, ring)

    def set_at(self, key: object, end: float, ring: Callable[[], None]) -> None:
        """The same at a time, by `time.monotonic`."""
        with self._lock:
            self._waiting[key] = (end, ring)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="exprd-alarm", daemon=True)
                self._thread.start()
            if end < self._next:
                self._next = end
                self._changed.notify()

    def drop(self, key: object) -> None:
        """Forgets a call; it may be ringing at this moment."""
        with self._lock:
            self._waiting.pop(key, None)

    def close(self) -> None:
        """Ends the thread; nothing rings any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        while not self._closed:
            for ring in self._due():
                ring()

    def _due(self) -> list[Callable[[], None]]:
        """What is to be rung now, after a wait for the earliest end."""
        with self._changed:
            if self._closed:
                return []
            now = time.monotonic()
            due = [key for key, (end, _) in self._waiting.items() if end <= now]
            due.sort(key=lambda key: self._waiting[key][0])
            rings = [self._waiting.pop(key)[1] for key in due]
            self._next = min((end for end, _ in self._waiting.values()), default=math.inf)
            if not rings:
                self._changed.wait(min(self._next - now, threading.TIMEOUT_MAX))
            return rings
