"""Errors as statuses: which code a class has, and what a caller is told.

Invariant: only documented errors are told in words; anything else becomes an
incident id. Texts are cut so that a status always fits into 8 KiB of metadata.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from exprd_compiler import errors
from exprd_compiler.errors import CompilerBug, ExprdError, LimitExceeded
from exprd_proto import ErrorDetail

if TYPE_CHECKING:
    from collections.abc import Mapping

TRAILER: Final = "exprd-error-bin"
RETRY_FIELD: Final = "retry_after_ms"
# In bytes of UTF-8. A detail travels twice in base64, its message once more percent-encoded, and
# callers refuse metadata above 8 KiB.
_MESSAGE_BYTES: Final = 600
_HINT_BYTES: Final = 300
_FIELD_BYTES: Final = 60
_FIELDS: Final = 6
_NODES: Final = 32

# Names of grpc.StatusCode, so that this module works without gRPC.
_CODES: Final[Mapping[type[ExprdError], str]] = MappingProxyType(
    {
        errors.GraphError: "INVALID_ARGUMENT",
        errors.CallError: "INVALID_ARGUMENT",
        errors.IndexOutOfRange: "OUT_OF_RANGE",
        errors.LinAlgError: "OUT_OF_RANGE",
        errors.AssertionFailed: "OUT_OF_RANGE",
        errors.UnknownHandle: "NOT_FOUND",
        errors.UnsupportedVersion: "UNIMPLEMENTED",
        errors.Unauthenticated: "UNAUTHENTICATED",
        errors.PermissionDenied: "PERMISSION_DENIED",
        errors.LimitExceeded: "RESOURCE_EXHAUSTED",
        errors.DeadlineExceeded: "DEADLINE_EXCEEDED",
        errors.Cancelled: "CANCELLED",
        errors.Conflict: "ABORTED",
        errors.ResultExpired: "FAILED_PRECONDITION",
        errors.StateRolledBack: "DATA_LOSS",
        errors.DamagedFile: "DATA_LOSS",
        errors.StateMismatch: "FAILED_PRECONDITION",
        errors.DeviceUnavailable: "FAILED_PRECONDITION",
        errors.MissingExtra: "FAILED_PRECONDITION",
        errors.ConnectionLost: "UNAVAILABLE",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a caller learns of an error: a code by name, and the detail."""

    code: str
    detail: ErrorDetail

    @property
    def details(self) -> str:
        """The message for the status itself.

        It is percent-encoded on the wire, where a letter beyond ASCII would take nine bytes.
        """
        return self.detail.message.encode("ascii", "replace").decode()

    @property
    def expected(self) -> bool:
        """Whether the error is of the documented tree and not our own fault."""
        return not self.detail.incident


def status_of(error: BaseException) -> Status:
    """The status of an exception."""
    if isinstance(error, MemoryError):
        error = LimitExceeded("the call needs more memory than the server has; nothing has changed")
    code = "INTERNAL"
    for cls in type(error).__mro__:
        if cls in _CODES:
            code = _CODES[cls]
            break
    if isinstance(error, ExprdError) and code != "INTERNAL":
        return Status(code=code, detail=_detail(error))
    return Status(code="INTERNAL", detail=_incident())


def code_of(kind: str) -> str:
    """The code of a class name; for documentation and tests."""
    return status_of(errors.by_kind()[kind]("")).code


def _detail(error: ExprdError) -> ErrorDetail:
    kept = list(error.fields.items())[:_FIELDS]
    return ErrorDetail(
        kind=type(error).__name__,
        message=_cut(error.message, _MESSAGE_BYTES),
        op=_cut(error.op, _FIELD_BYTES),
        nodes=error.nodes[:_NODES],
        fields={_cut(k, _FIELD_BYTES): _cut(v, _FIELD_BYTES) for k, v in kept},
        hint=_cut(error.hint, _HINT_BYTES),
        retry_after_ms=int(error.fields.get(RETRY_FIELD, 0)),
    )


def _incident() -> ErrorDetail:
    incident = secrets.token_hex(6)
    return ErrorDetail(
        kind=CompilerBug.__name__,
        message=f"internal error, incident {incident}; nothing has changed",
        hint="report the incident id; the server's log has the rest",
        incident=incident,
    )


def _cut(text: str, length: int) -> str:
    """Text that is safe in a status: without control characters, and not too many bytes."""
    clean = "".join(c if c.isprintable() else "?" for c in text[: length + 1])
    data = clean.encode()
    if len(data) <= length:
        return clean
    return data[: length - 1].decode(errors="ignore") + "~"
