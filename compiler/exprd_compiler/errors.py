"""The exception tree: every error exprd raises on purpose, on either side of the wire.

    ExprdError
    |- GraphError            the caller built something wrong           INVALID_ARGUMENT
    |  |- DTypeError         (also TypeError)
    |  |- ShapeError         (also ValueError) at build time or at run time
    |  |- ArgumentError      (also TypeError and ValueError)
    |  |- NotDifferentiable  (also TypeError and ValueError)
    |  |- DisconnectedInput  (also ValueError)
    |  |- GradientError      (client only) differences show another slope
    |  |- NotVectorizable    |- UnusedInput        |- MissingInput
    |- CallError             wrong arguments of a compiled function      INVALID_ARGUMENT
    |- IndexOutOfRange       (also IndexError)                           OUT_OF_RANGE
    |- LinAlgError           (also numpy's) singular, no convergence    OUT_OF_RANGE
    |- AssertionFailed       (also AssertionError) a condition of Assert  OUT_OF_RANGE
    |- UnknownHandle         never existed, released, or lapsed          NOT_FOUND
    |- UnsupportedVersion    op, op set or protocol not known here       UNIMPLEMENTED
    |- Unauthenticated       no valid token was given                    UNAUTHENTICATED
    |- PermissionDenied      the token does not allow this call         PERMISSION_DENIED
    |- LimitExceeded         too large, too many, too deep               RESOURCE_EXHAUSTED
    |- DeadlineExceeded      (also TimeoutError)                         DEADLINE_EXCEEDED
    |- Cancelled                                                         CANCELLED
    |- Conflict              an expected version was not the current one ABORTED
    |- ResultExpired         committed, but the reply was not kept       FAILED_PRECONDITION
    |- StateRolledBack       the server lost acknowledged updates        DATA_LOSS
    |- DamagedFile           a file is not what was written             DATA_LOSS
    |- StateMismatch         (client only, also RuntimeError) no state of this model
    |- DeviceUnavailable     no such target on this server               FAILED_PRECONDITION
    |- ConnectionLost        (client only, also ConnectionError)         UNAVAILABLE
    |- MissingExtra          (also ImportError) an optional part is not installed
    `- CompilerBug           ours; please report                         INTERNAL

A message says what, where and what to do; the same facts lie beside it as fields. The class name
is the stable `kind` on the wire, so a client raises the very class that the server raised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np


class ExprdError(Exception):
    """Root of the tree.

    Attributes:
        message: the sentence without location.
        op: name of the op concerned, or "".
        nodes: wire indexes of the nodes concerned (filled by the server).
        hint: what to do, or "".
        fields: further facts by name, already as text.
    """

    def __init__(
        self,
        message: str,
        *,
        op: str = "",
        nodes: Sequence[int] = (),
        hint: str = "",
        fields: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.op = op
        self.nodes = tuple(nodes)
        self.hint = hint
        self.fields = dict(fields or {})

    def __str__(self) -> str:
        where = f"{self.op}: " if self.op else ""
        todo = f"; {self.hint}" if self.hint else ""
        place = self.fields.get("built_at")  # the user's line, which only the client knows
        return f"{where}{self.message}{todo}" + (f"\n  built at {place}" if place else "")


class GraphError(ExprdError):
    """The graph is wrong: an op got inputs it cannot take. Mend the expression it names."""


class DTypeError(GraphError, TypeError):
    """An element type does not fit. Insert a cast, or allow the downcast where a call offers it."""


class ShapeError(GraphError, ValueError):
    """Ranks, extents or patterns do not fit. Only axes that are statically 1 broadcast."""


class ArgumentError(GraphError, TypeError, ValueError):
    """An argument of a graph builder means nothing there. The message says which ones do."""


class NotDifferentiable(GraphError, TypeError, ValueError):
    """A gradient was asked through an op that has none. Use consider_constant, or another cost."""


class DisconnectedInput(GraphError, ValueError):
    """A gradient was asked for a variable on which the cost does not depend."""


class NotVectorizable(GraphError):
    """An op cannot carry a batch axis. Give static extents, or write the batch out."""


class UnusedInput(GraphError):
    """A function input plays no part in its outputs or updates. Drop it, or say on_unused_input."""


class MissingInput(GraphError):
    """The outputs depend on a variable that is neither an input, a given, nor shared."""


class CallError(ExprdError, TypeError):
    """A compiled function was called with wrong arguments: count, dtype, rank or extents."""


class IndexOutOfRange(ExprdError, IndexError):
    """An index lies outside the extent of its axis; the op, the index and the extent are named."""


class LinAlgError(ExprdError, np.linalg.LinAlgError):
    """A matrix is singular or not positive definite, or an iteration did not converge."""


class AssertionFailed(ExprdError, AssertionError):
    """A condition that the user's graph asserts does not hold; the message is the user's own."""


class UnknownHandle(ExprdError, LookupError):
    """A handle never existed on this server, was released, or its lease has lapsed."""


class UnsupportedVersion(ExprdError):
    """The other side uses an op, op set or protocol not known here. Upgrade one side."""


class Unauthenticated(ExprdError):
    """A call had no token, or one that the server does not know or that has expired."""


class PermissionDenied(ExprdError):
    """The caller's token does not allow this call; the scope that would is named."""


class LimitExceeded(ExprdError):
    """A configured limit was met: too large, too many or too deep. The limit is named."""


class DeadlineExceeded(ExprdError, TimeoutError):
    """The call's time ran out before its commit point; nothing has changed."""


class Cancelled(ExprdError):
    """The caller cancelled before the commit point; nothing has changed."""


class Conflict(ExprdError):
    """A shared variable was not at the expected version. Read it again and retry."""


class ResultExpired(ExprdError):
    """The call was committed, but its reply was too large or too old to be kept for a retry."""


class StateRolledBack(ExprdError):
    """The server restarted and lost acknowledged updates, as a weak durability policy allows."""


class DeviceUnavailable(ExprdError):
    """The requested target does not exist on this machine."""


class ConnectionLost(ExprdError, ConnectionError):
    """The server cannot be reached. Check the target and that `exprd serve` runs there."""


class GradientError(GraphError):
    """A gradient is not the slope that differences show. Mend the rule of the op it comes from."""


class DamagedFile(ExprdError):
    """A file is not what was written into it, or is none of ours. Take another copy of it."""


class StateMismatch(ExprdError, RuntimeError):
    """A state dict does not fit a model. Build the model it was saved of, or load parts of it."""


class MissingExtra(ExprdError, ImportError):
    """An optional part is not installed; the message names the extra to install."""


class CompilerBug(ExprdError):
    """An invariant of exprd itself broke. Nothing has changed; please report it with the graph."""


def _walk(root: type[ExprdError]) -> Iterator[type[ExprdError]]:
    yield root
    for child in root.__subclasses__():
        yield from _walk(child)


def by_kind() -> dict[str, type[ExprdError]]:
    """Every class of the tree by its stable name, as it travels on the wire."""
    return {cls.__name__: cls for cls in _walk(ExprdError)}
