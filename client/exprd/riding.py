"""Riding: how a client's calls are repeated while its server is out of reach or full.

A call is idempotent, or carries the identity under which the server has recorded it, so repeating
it is safe. The deadline of the call bounds all of it; the patience, `config.ride_through`, how long
a server may be away.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

import grpc

from exprd.statuses import error_of
from exprd_compiler.errors import ConnectionLost, ExprdError, LimitExceeded
from exprd_proto.arrays import WireError

__all__ = ["Rider"]

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_RETRY_FIELD: Final = "retry_after_ms"

T = TypeVar("T")


class Rider:
    """The patience of a client with one server. Thread safe.

    Args:
        target: of the server, for messages.
        deadline: asked at each call: seconds that it may take, repetitions included.
        patience: asked at each failure: seconds for which a server may be away.
        closed: set when the client ends.

    Attributes:
        seconds: the deadline, to be asked.
        patience: to be asked as well.
    """

    def __init__(
        self,
        target: str,
        deadline: Callable[[], float],
        patience: Callable[[], float],
        closed: threading.Event,
    ) -> None:
        self._target = target
        self._deadline = self.seconds = deadline
        self._patience = self.patience = patience
        self._closed = closed
        self._outer = threading.local()

    def bounded(self, work: Callable[[], T], begun: float | None = None) -> T:
        """The result of work that makes several calls, which have one deadline together.

        Args:
            work: what is to be done.
            begun: when the time began to run, by `time.monotonic`; now by default.
        """
        if getattr(self._outer, "end", None) is not None:
            return work()
        self._outer.end = (time.monotonic() if begun is None else begun) + self._deadline()
        try:
            return work()
        finally:
            self._outer.end = None

    def call(
        self,
        attempt: Callable[[float], T],
        seconds: float | None = None,
        patience: float | None = None,
    ) -> T:
        """The answer of a call, repeated with growing pauses.

        Args:
            attempt: makes the call once, with so many seconds left for it.
            seconds: for all attempts together; the client's deadline by default.
            patience: seconds for which the server may be away; the client's own by default.

        Raises:
            ConnectionLost: the server stayed away.
            ExprdError: whatever it answered.
        """
        end = self._end(seconds)
        pause, last = _FIRST_PAUSE, end
        failed = False
        while True:
            begun = time.monotonic()
            try:
                return attempt(max(end - time.monotonic(), 0.0))
            except grpc.RpcError as failure:
                error = error_of(failure, self._target)
            except WireError as failure:
                raise ConnectionLost(
                    f"what {self._target} sent cannot be read: {failure}",
                    hint="something between changes it, or the server is no exprd",
                ) from failure
            except ValueError as failure:  # what grpc raises on a closed channel
                raise ConnectionLost(f"the connection to {self._target} is closed") from failure
            wait = _pause_before_next(error, pause)
            now = time.monotonic()
            # An attempt that lasted had met a server, which has gone away only now.
            if not failed or now - begun > _LONGEST_PAUSE:
                failed, pause = True, _FIRST_PAUSE
                last = min(end, now + (self._patience() if patience is None else patience))
            if wait is None or now + wait >= last or self._closed.wait(wait):
                raise error from None
            pause = min(2 * pause, _LONGEST_PAUSE)

    def left(self) -> float:
        """Seconds that the call of this thread may still take."""
        outer: float | None = getattr(self._outer, "end", None)
        return self._deadline() if outer is None else max(outer - time.monotonic(), 0.0)

    def _end(self, seconds: float | None) -> float:
        now, outer = time.monotonic(), getattr(self._outer, "end", None)
        end = now + seconds if seconds is not None else None
        if outer is None:
            return now + self._deadline() if end is None else end
        bound: float = outer if end is None else min(outer, end)
        return bound


def _pause_before_next(error: ExprdError, pause: float) -> float | None:
    """Seconds until the next attempt; None when there is no point in one."""
    # Without jitter, all clients of a server that comes back would call it at the same moments.
    if isinstance(error, ConnectionLost):
        return pause * random.uniform(0.5, 1.0)
    after = error.fields.get(_RETRY_FIELD) if isinstance(error, LimitExceeded) else None
    return None if after is None else max(int(after) / 1000, pause) * random.uniform(1.0, 1.5)
