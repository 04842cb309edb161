"""The server's log: one JSON object per line on a stream.

Invariant: no global configuration; whoever logs was handed a logger.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol, TextIO, cast

import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping


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
