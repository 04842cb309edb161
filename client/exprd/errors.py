"""Errors as users catch them: the tree of exprd, and Theano's names for its classes.

The classes are the compiler's own, so an error means the same in this process and from a server.
"""

from __future__ import annotations

from collections.abc import Sequence

from exprd.config import config
from exprd.convert import is_array
from exprd.origin import Origin
from exprd_compiler.errors import (
    ArgumentError,
    AssertionFailed,
    CallError,
    Cancelled,
    CompilerBug,
    Conflict,
    ConnectionLost,
    DamagedFile,
    DeadlineExceeded,
    DeviceUnavailable,
    DisconnectedInput,
    DTypeError,
    ExprdError,
    GradientError,
    GraphError,
    IndexOutOfRange,
    LimitExceeded,
    LinAlgError,
    MissingExtra,
    MissingInput,
    NotDifferentiable,
    NotVectorizable,
    PermissionDenied,
    ResultExpired,
    ShapeError,
    StateMismatch,
    StateRolledBack,
    Unauthenticated,
    UnknownHandle,
    UnsupportedVersion,
    UnusedInput,
)
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.text import print_graph

UnusedInputError = UnusedInput
MissingInputError = MissingInput
DisconnectedInputError = DisconnectedInput
NullTypeGradError = NotDifferentiable

__all__ = [
    "ArgumentError",
    "AssertionFailed",
    "CallError",
    "Cancelled",
    "CompilerBug",
    "Conflict",
    "ConnectionLost",
    "DTypeError",
    "DamagedFile",
    "DeadlineExceeded",
    "DeviceUnavailable",
    "DisconnectedInput",
    "DisconnectedInputError",
    "ExprdError",
    "GradientError",
    "GraphError",
    "IndexOutOfRange",
    "LimitExceeded",
    "LinAlgError",
    "MissingExtra",
    "MissingInput",
    "MissingInputError",
    "NotDifferentiable",
    "NotVectorizable",
    "NullTypeGradError",
    "PermissionDenied",
    "ResultExpired",
    "ShapeError",
    "StateMismatch",
    "StateRolledBack",
    "Unauthenticated",
    "UnknownHandle",
    "UnsupportedVersion",
    "UnusedInput",
    "UnusedInputError",
]


def explain(error: ExprdError, graph: Graph, values: Sequence[object]) -> None:
    """Adds the arguments of a call and the graph to its error, where the user asked for more."""
    if config.exception_verbosity != "high":
        return
    given = "\n".join(f"  argument {place}: {_shown(x)}" for place, x in enumerate(values))
    error.add_note(f"arguments of the call:\n{given or '  none'}")
    error.add_note(f"graph before compilation:\n{print_graph(graph)}")


def _shown(value: object) -> str:
    if is_array(value):
        return f"array of {value.dtype}, shape {value.shape}, strides {value.strides}"
    return repr(value)[:200]


def locate(error: ExprdError, origins: Sequence[Origin | None]) -> None:
    """Adds the user's lines to an error that names nodes of a graph."""
    places = [origins[index] for index in error.nodes if index < len(origins)]
    lines = list(dict.fromkeys(str(place) for place in places if place is not None))
    if lines and "built_at" not in error.fields:
        error.fields["built_at"] = "\n".join(lines)
