"""Questions to a running server from the command line: is it well, what is it.

Invariant: reads only; used by `exprd health`, `exprd info` and container checks.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2, health_pb2_grpc

import exprd_proto as wire
from exprd_compiler.errors import ConnectionLost, ExprdError, UnsupportedVersion, by_kind
from exprd_proto.channels import NO_ACCESS, Access, advice, open_channel
from exprd_server.statuses import TRAILER

if TYPE_CHECKING:
    from collections.abc import Callable

_SILENT: Final = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
)


def health(target: str, seconds: float, access: Access = NO_ACCESS) -> str:
    """The serving status of a server, by name.

    Raises:
        ConnectionLost: there is no server, or it does not answer in time.
    """
    response = _ask(target, seconds, access, _check_health)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)


def info(target: str, seconds: float, access: Access = NO_ACCESS) -> dict[str, Any]:
    """What a server says of itself, as plain data.

    Raises:
        ConnectionLost: there is no server, or it does not answer in time.
    """
    response = _ask(target, seconds, access, _get_info)
    return json_format.MessageToDict(response, preserving_proto_field_name=True)


def ask_compiler(target: str, access: Access, method: str, request: Any, seconds: float) -> Any:
    """The answer of the compiler's service to a request.

    Raises:
        ExprdError: what the server says; ConnectionLost if it says nothing.
    """
    return ask(target, access, wire.CompilerServiceStub, method, request, seconds)


def ask(
    target: str,
    access: Access,
    stub: Callable[[grpc.Channel], Any],
    method: str,
    request: Any,
    seconds: float,
) -> Any:
    """The answer of any service to a request.

    Raises:
        ExprdError: what the server says; ConnectionLost if it says nothing.
    """

    def question(channel: grpc.Channel, seconds: float) -> Any:
        return getattr(stub(channel), method)(request, timeout=seconds)

    return _ask(target, seconds, access, question)


def talk(
    target: str, access: Access, question: Callable[[grpc.Channel, float], Any], seconds: float
) -> Any:
    """What several questions to a server come to, asked over one channel.

    Raises:
        ExprdError: what the server says; ConnectionLost if it says nothing.
    """
    return _ask(target, seconds, access, question)


def _ask(
    target: str, seconds: float, access: Access, question: Callable[[grpc.Channel, float], Any]
) -> Any:
    with open_channel(target, access) as channel:
        try:
            return question(channel, seconds)
        except grpc.RpcError as error:
            raise _error_of(error, target) from None


def _error_of(error: grpc.RpcError, target: str) -> ExprdError:
    told: Any = error  # every error of a call has what the stubs do not know
    for key, value in told.trailing_metadata() or ():
        if key == TRAILER:
            with contextlib.suppress(DecodeError):  # then it is not ours, and the status has to do
                detail = wire.ErrorDetail.FromString(value)
                return by_kind().get(detail.kind, ExprdError)(detail.message, hint=detail.hint)
    code, details = told.code(), str(told.details())
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return UnsupportedVersion(
            f"{target} does not know this question: {details}",
            hint="upgrade it, or ask a server of exprd",
        )
    if code in _SILENT:
        return ConnectionLost(f"{target} does not answer: {details}", hint=advice(details))
    return ExprdError(f"{target} answered {code.name}: {details}")


def _check_health(channel: grpc.Channel, seconds: float) -> Any:
    health: Any = health_pb2_grpc.HealthStub(channel)
    return health.Check(health_pb2.HealthCheckRequest(), timeout=seconds)


def _get_info(channel: grpc.Channel, seconds: float) -> wire.GetInfoResponse:
    return wire.AdminServiceStub(channel).GetInfo(wire.GetInfoRequest(), timeout=seconds)
