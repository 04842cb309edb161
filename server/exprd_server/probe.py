"""Questions to a running server from the command line: is it well, what is it.

Invariant: reads only; used by `exprd health`, `exprd info` and container checks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import json_format
from grpc_health.v1 import health_pb2, health_pb2_grpc

import exprd_proto as wire
from exprd_compiler.errors import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import Callable


def health(target: str, seconds: float) -> str:
    """The serving status of a server, by name.

    Raises:
        ConnectionLost: there is no server, or it does not answer in time.
    """
    response = _ask(target, seconds, _check_health)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)


def info(target: str, seconds: float) -> dict[str, Any]:
    """What a server says of itself, as plain data.

    Raises:
        ConnectionLost: there is no server, or it does not answer in time.
    """
    response = _ask(target, seconds, _get_info)
    return json_format.MessageToDict(response, preserving_proto_field_name=True)


def _ask(target: str, seconds: float, question: Callable[[grpc.Channel, float], Any]) -> Any:
    with grpc.insecure_channel(target) as channel:
        try:
            return question(channel, seconds)
        except grpc.RpcError as error:
            details: Any = getattr(error, "details", str)  # every error of a call has it
            raise ConnectionLost(
                f"{target} does not answer: {details()}",
                hint="check the target, and that `exprd serve` runs there",
            ) from None


def _check_health(channel: grpc.Channel, seconds: float) -> Any:
    health: Any = health_pb2_grpc.HealthStub(channel)
    return health.Check(health_pb2.HealthCheckRequest(), timeout=seconds)


def _get_info(channel: grpc.Channel, seconds: float) -> wire.GetInfoResponse:
    return wire.AdminServiceStub(channel).GetInfo(wire.GetInfoRequest(), timeout=seconds)
