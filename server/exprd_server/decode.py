"""Graphs of requests into IR, with the derivatives that a request asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import exprd_proto as wire
from exprd_compiler.errors import CallError
from exprd_proto import decode
from exprd_server.deadline import check
from exprd_server.gradients import Gradients

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exprd_compiler.ir.graph import Graph
    from exprd_server.deadline import Deadline
    from exprd_server.settings import Limits


def decode_bundle(
    bundle: wire.GraphBundle,
    gradients: Sequence[wire.GradientRequest],
    limits: Limits,
    deadline: Deadline | None = None,
) -> Graph:
    """The main graph of a bundle, with derivatives where they were asked for.

    Raises:
        GraphError: the bundle contradicts itself or the op table.
        LimitExceeded: it is larger, deeper or longer than the server takes.
        UnsupportedVersion: it speaks of ops that are not known here.
        DeadlineExceeded: there is no time left for it.
    """
    graph, _ = decode.decode_bundle(
        bundle, limits, Gradients(gradients), lambda: check(deadline, "the graph was decoded")
    )
    return graph


def read_graph(data: bytes, limits: Limits, deadline: Deadline | None = None) -> Graph:
    """The graph of a CompileRequest that is still bytes; see `decode_bundle`.

    Raises:
        CallError: the bytes are no such message.
    """
    try:
        request = wire.CompileRequest.FromString(data)
    except Exception:  # protobuf's error class differs between its implementations
        raise malformed("Compile") from None
    return decode_bundle(request.graph, request.gradients, limits, deadline)


def malformed(method: str) -> CallError:
    """The error of a request whose bytes are no message."""
    return CallError(
        f"the request of {method} is not a valid message",
        hint="use the published .proto files; strings are UTF-8",
    )
