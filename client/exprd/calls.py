"""Identities of calls: how a retry is told from a second call.

Every call that changes state gets a number of its own; the server forgets what the client says it
has received.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

from exprd_proto import CallId

__all__ = ["CallIds"]


class CallIds:
    """The numbering of one client's calls. Thread safe."""

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self._lock = threading.Lock()
        self._last = 0
        self._open: set[int] = set()

    @contextmanager
    def call(self) -> Generator[CallId]:
        """The identity of one call, open until its outcome is known."""
        with self._lock:
            acked = min(self._open, default=self._last + 1) - 1
            self._last += 1
            seq = self._last
            self._open.add(seq)
        try:
            yield CallId(client_id=self._client_id, seq=seq, acked_through=acked)
        finally:
            with self._lock:
                self._open.discard(seq)
