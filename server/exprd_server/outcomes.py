"""Outcomes: the answer or the error of one call among several in a message.

Invariant: an error here is told exactly as a status would tell it, and logged as there.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from exprd_server import replies, requests
from exprd_server.statuses import status_of
from exprd_server.values import BufferInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    import exprd_proto as wire
    from exprd_server.deadline import Deadline
    from exprd_server.engine import LocalEngine
    from exprd_server.log import Logger
    from exprd_server.settings import Limits
    from exprd_server.values import ExecuteCall, ExecuteReply

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


class Outcomes:
    """Runs calls one by one and writes what came of each."""

    __slots__ = ("_engine", "_limits", "_log")

    def __init__(self, engine: LocalEngine, limits: Limits, log: Logger) -> None:
        self._engine = engine
        self._limits = limits
        self._log = log

    def execute(
        self, request: wire.ExecuteRequest, deadline: Deadline, outcome: wire.CallOutcome
    ) -> int:
        """Runs the call of a request; the size of the answer's arrays in bytes."""
        outcome.seq = request.call_id.seq
        try:
            call = requests.execute_call(request, self._limits)
            return self._run(call, deadline, outcome)
        except Exception as error:
            self.fail(error, outcome)
            return 0

    def run(self, call: ExecuteCall, deadline: Deadline, outcome: wire.CallOutcome) -> int:
        """Runs a call; the size of the answer's arrays in bytes, or -1 when it failed."""
        try:
            return self._run(call, deadline, outcome)
        except Exception as error:
            self.fail(error, outcome)
            return -1

    def fail(self, error: Exception, outcome: wire.CallOutcome) -> None:
        """Writes an error, and notes it."""
        status = status_of(error)
        failure = outcome.failure
        failure.code = CODES[status.code]
        failure.detail.CopyFrom(status.detail)
        facts = {"method": "call", "seq": outcome.seq, "code": status.code}
        if status.expected:
            self._log.info(
                "refused", kind=status.detail.kind, reason=status.detail.message, **facts
            )
        else:
            self._log.error("failed", incident=status.detail.incident, exc_info=error, **facts)

    def _run(self, call: ExecuteCall, deadline: Deadline, outcome: wire.CallOutcome) -> int:
        reply = self._engine.execute(call, deadline)
        replies.write_reply(outcome.response, reply, self._engine.incarnation)
        return _nbytes(reply)


def _nbytes(reply: ExecuteReply) -> int:
    return sum(x.nbytes for x in reply.outputs if x is not None and not isinstance(x, BufferInfo))
