"""The server's log: one JSON object per line on a stream.

Invariant: no global configuration; whoever logs was handed a logger.
"""

from __future__ import annotations

import contextlib
import json
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


class _Stream:
    """Where lines go, as far as they can be written: a log that fails costs lines, never calls."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = 0

    def write(self, line: str) -> None:
        """Writes a line, and before it how many could not be written."""
        lost = self._lost
        self._lost += 1
        with contextlib.suppress(OSError, ValueError):  # a full disk, a pipe that nobody reads
            if lost:
                note = {"event": "lines of the log were lost", "lines": lost, "level": "warning"}
                self._stream.write(json.dumps(note) + "\n")
            self._stream.write(line)
            self._stream.flush()
            self._lost = 0

    def flush(self) -> None:
        """Does nothing: each line is flushed."""


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
            structlog.WriteLogger(cast("TextIO", _Stream(stream))),
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
