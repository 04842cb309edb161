"""The server's log: one JSON object per line on a stream.

Invariant: no global configuration; whoever logs was handed a logger.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO, cast

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Logger(Protocol):
    """The part of a structured logger that the server uses."""

    def debug(self, event: str, **facts: Any) -> Any:
        """Writes an event of level debug."""
        ...

    def info(self, event: str, **facts: Any) -> Any:
        """Writes an event of level info."""
        ...

    def warning(self, event: str, **facts: Any) -> Any:
        """Writes an event of level warning."""
        ...

    def error(self, event: str, **facts: Any) -> Any:
        """Writes an event of level error."""
        ...

    def is_enabled_for(self, level: int) -> bool:
        """Whether events of a level, as `logging` numbers them, are written."""
        ...


class Shed:
    """Refusals for want of room: counted, and written at most once a second. Thread safe."""

    def __init__(self, log: Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._next = 0.0

    def note(self, limit: str) -> None:
        """Counts a refusal by the limit that caused it."""
        with self._lock:
            self._counts[limit] += 1
            now = self._clock()
            if now < self._next:
                return
            self._next = now + _SHED_SECONDS
            counts, self._counts = self._counts, Counter()
        self._log.info("refused", kind="LimitExceeded", calls=dict(counts))


_SHED_SECONDS: Final = 1.0
LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def make_logger(stream: TextIO, level: str = "info") -> Logger:
    """A logger of JSON lines; user text is escaped by JSON, so it cannot forge a line."""
    return cast(
        "Logger",
        structlog.wrap_logger(
            structlog.WriteLogger(stream),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
            cache_logger_on_first_use=True,
        ).bind(),  # the lazy form assembles itself at every call: 60 us
    )
