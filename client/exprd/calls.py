"""Identities of calls: how a retry is told from a second call.

Every call that changes state gets a number of its own; the server forgets what the client says it
has received.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager

from exprd_proto import CallId

__all__ = ["CallIds"]


class CallIds:
    """The numbering of one client's calls. Thread safe."""

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self._lock = threading.Lock()
        self._last = 0
        self._open: dict[int, None] = {}  # ascending, since numbers are

    @contextmanager
    def call(self) -> Generator[CallId]:
        """The identity of one call, open until its outcome is known."""
        with self.calls(1) as first:
            yield first

    @contextmanager
    def calls(self, count: int) -> Generator[CallId]:
        """The identity of the first of several calls with numbers in a row."""
        with self._lock:
            acked = self._acked()
            seqs = [self._take() for _ in range(count)]
        try:
            yield CallId(client_id=self._client_id, seq=seqs[0], acked_through=acked)
        finally:
            self.close(seqs)

    def take(self) -> tuple[int, int]:
        """The number of a new call, open until `close` is told, and what is acknowledged."""
        with self._lock:
            acked = self._acked()
            return self._take(), acked

    def open(self) -> int:
        """The number of a new call, open until `close` is told."""
        with self._lock:
            return self._take()

    def __contains__(self, seq: int) -> bool:
        """Whether the outcome of a call is still to come."""
        with self._lock:
            return seq in self._open

    def close(self, seqs: Iterable[int]) -> None:
        """Notes that the outcomes of calls are known."""
        with self._lock:
            for seq in seqs:
                self._open.pop(seq, None)

    def acked(self) -> int:
        """The number up to which all outcomes are known."""
        with self._lock:
            return self._acked()

    def _take(self) -> int:
        self._last += 1
        self._open[self._last] = None
        return self._last

    def _acked(self) -> int:
        return next(iter(self._open), self._last + 1) - 1
