"""Outcomes: the answer or the error of one call among several in a message.

Invariant: an error here is told exactly as a status would tell it, and logged as there.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import exprd_proto as wire
from exprd_server.statuses import status_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exprd_server.log import Logger

# The numbers of google.rpc.Code, for the names that `statuses` gives.
CODES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "CANCELLED": 1,
        "INVALID_ARGUMENT": 3,
        "DEADLINE_EXCEEDED": 4,
        "NOT_FOUND": 5,
        "PERMISSION_DENIED": 7,
        "RESOURCE_EXHAUSTED": 8,
        "FAILED_PRECONDITION": 9,
        "ABORTED": 10,
        "OUT_OF_RANGE": 11,
        "UNIMPLEMENTED": 12,
        "INTERNAL": 13,
        "UNAVAILABLE": 14,
        "DATA_LOSS": 15,
        "UNAUTHENTICATED": 16,
    }
)


def failure_of(error: Exception, seq: int, log: Logger) -> wire.CallFailure:
    """The message of an error, which is noted in the log."""
    status = status_of(error)
    facts = {"method": "call", "seq": seq, "code": status.code}
    if status.expected:
        log.info("refused", kind=status.detail.kind, reason=status.detail.message, **facts)
    else:
        log.error("failed", incident=status.detail.incident, exc_info=error, **facts)
    return wire.CallFailure(code=CODES[status.code], detail=status.detail)
