"""Errors as users catch them: the tree of exprd, and Theano's names for its classes.

The classes are the compiler's own, so an error means the same in this process and from a server.
"""

from __future__ import annotations

from collections.abc import Sequence

from exprd.origin import Origin
from exprd_compiler.errors import (
    CallError,
    Cancelled,
    CompilerBug,
    Conflict,
    ConnectionLost,
    DeadlineExceeded,
    DeviceUnavailable,
    DisconnectedInput,
    DTypeError,
    ExprdError,
    GraphError,
    IndexOutOfRange,
    LimitExceeded,
    MissingExtra,
    MissingInput,
    NotDifferentiable,
    ResultExpired,
    ShapeError,
    StateRolledBack,
    UnknownHandle,
    UnsupportedVersion,
    UnusedInput,
)

UnusedInputError = UnusedInput
MissingInputError = MissingInput
DisconnectedInputError = DisconnectedInput
NullTypeGradError = NotDifferentiable

__all__ = [
    "CallError",
    "Cancelled",
    "CompilerBug",
    "Conflict",
    "ConnectionLost",
    "DTypeError",
    "DeadlineExceeded",
    "DeviceUnavailable",
    "DisconnectedInput",
    "DisconnectedInputError",
    "ExprdError",
    "GraphError",
    "IndexOutOfRange",
    "LimitExceeded",
    "MissingExtra",
    "MissingInput",
    "MissingInputError",
    "NotDifferentiable",
    "NullTypeGradError",
    "ResultExpired",
    "ShapeError",
    "StateRolledBack",
    "UnknownHandle",
    "UnsupportedVersion",
    "UnusedInput",
    "UnusedInputError",
]


def locate(error: ExprdError, origins: Sequence[Origin | None]) -> None:
    """Adds the user's lines to an error that names nodes of a graph."""
    places = [origins[index] for index in error.nodes if index < len(origins)]
    lines = list(dict.fromkeys(str(place) for place in places if place is not None))
    if lines and "built_at" not in error.fields:
        error.fields["built_at"] = "\n".join(lines)
