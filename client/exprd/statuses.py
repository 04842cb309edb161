"""Statuses of gRPC into the exception tree.

The server's trailer names the class; without one, the code decides. The only place where a client
looks at a gRPC error.
"""

from __future__ import annotations

from typing import Any, Final

import grpc

from exprd_compiler import errors
from exprd_compiler.errors import ExprdError
from exprd_proto import ErrorDetail
from exprd_proto.channels import advice

__all__ = ["TRAILER", "error_of", "error_of_detail"]

TRAILER: Final = "exprd-error-bin"

_BY_CODE: Final[dict[grpc.StatusCode, type[ExprdError]]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.CallError,
    grpc.StatusCode.OUT_OF_RANGE: errors.IndexOutOfRange,
    grpc.StatusCode.NOT_FOUND: errors.UnknownHandle,
    grpc.StatusCode.UNIMPLEMENTED: errors.UnsupportedVersion,
    grpc.StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDenied,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.LimitExceeded,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    grpc.StatusCode.CANCELLED: errors.Cancelled,
    grpc.StatusCode.ABORTED: errors.Conflict,
    grpc.StatusCode.DATA_LOSS: errors.StateRolledBack,
    grpc.StatusCode.UNAVAILABLE: errors.ConnectionLost,
}
# What gRPC itself says of a call that reaches a server while it stops, and of a stream that is
# broken off; a cancellation that the server knows of has our detail.
_BROKEN_OFF: Final = (grpc.StatusCode.CANCELLED, "CANCELLED")
# What gRPC itself says beyond the number of calls for which the server has threads to refuse them.
_FULL: Final = (grpc.StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!")


def error_of(error: grpc.RpcError, target: str) -> ExprdError:
    """The exception that a failed call stands for."""
    call: Any = error
    detail = _detail(call)
    if detail is not None:
        return error_of_detail(detail, _BY_CODE.get(call.code(), ExprdError))
    code, text = call.code(), call.details() or "no details"
    if code is grpc.StatusCode.UNAVAILABLE or (code, text) == _BROKEN_OFF:
        return errors.ConnectionLost(f"no answer from {target}: {text}", hint=advice(text))
    if (code, text) == _FULL:
        return errors.LimitExceeded(
            f"{target} handles too many calls already; nothing has changed",
            hint="try again in a moment",
            fields={"limit": "calls", "retry_after_ms": "50"},
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.DeadlineExceeded(
            f"no answer from {target} within the time of the call",
            hint="config.deadline gives more; whether it was done, what it assigns tells",
        )
    return _BY_CODE.get(code, ExprdError)(f"{target} answered {code.name}: {text}")


def error_of_detail(detail: ErrorDetail, default: type[ExprdError] = ExprdError) -> ExprdError:
    """The exception that a detail tells of; `default` when its kind is unknown here."""
    cls = errors.by_kind().get(detail.kind, default)
    fields = dict(detail.fields)
    if detail.incident:
        fields["incident"] = detail.incident
    return cls(detail.message, op=detail.op, nodes=detail.nodes, hint=detail.hint, fields=fields)


def _detail(call: Any) -> ErrorDetail | None:
    for key, value in call.trailing_metadata() or ():
        if key == TRAILER:
            return ErrorDetail.FromString(value)
    return None
