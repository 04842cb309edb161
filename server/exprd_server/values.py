"""The vocabulary of the engine: requests and answers as plain values.

Invariant: no wire message and no gRPC type appears here, so that embedded and remote
callers speak to one engine. Arrays handed to the engine are given up by the caller:
it must not write to them again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from exprd_compiler.ir.counts import EventCount
    from exprd_compiler.ir.graph import Graph
    from exprd_compiler.ir.type import TensorType
    from exprd_server.outline import Outline

    Array: TypeAlias = NDArray[Any]


class Delivery(Enum):
    """Where a result goes."""

    AUTO = "auto"  # inline while the answer stays small, else kept
    INLINE = "inline"
    KEEP = "keep"
    DISCARD = "discard"


class Durability(Enum):
    """What happens to a variable when the server stops; constants are never assigned."""

    DURABLE = "durable"
    VOLATILE = "volatile"
    CONSTANT = "constant"


class CallId(NamedTuple):
    """The name of one call for ever: client, sequence number, and what the client has received."""

    client_id: str
    seq: int
    acked_through: int = 0


@dataclass(frozen=True, slots=True)
class BufferRef:
    """A buffer of the server as an input."""

    handle: str


@dataclass(frozen=True, slots=True)
class VariableRef:
    """The published value of a shared variable as an input."""

    uuid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferInfo:
    """An array that stays on the server."""

    handle: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableInfo:
    """A shared variable without its value."""

    uuid: str
    name: str
    type: TensorType
    durability: Durability
    version: int
    shape: tuple[int, ...]
    nbytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One named, typed position of a signature; `variable` is the uuid bound to a shared slot."""

    name: str
    type: TensorType
    variable: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSignature:
    """What a function takes and gives; `updated` are positions in `shared`."""

    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...]
    shared: tuple[Parameter, ...]
    updated: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStep:
    """One step of a compiled function under Theano's class name."""

    op: str
    text: str = ""
    origins: tuple[int, ...] = ()


Plan: TypeAlias = tuple[PlanStep, ...] | bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileChoices:
    """Mode, target and pass options of a compilation.

    `durability` is the policy of the function's commits, "" the server's. It is no part of what
    decides on native code, and so not of the text that is hashed for it.
    """

    mode: str = "FAST_RUN"
    target: str = "cpu"
    including: tuple[str, ...] = ()
    excluding: tuple[str, ...] = ()
    allow_unsafe: bool = False
    settings: tuple[tuple[str, str], ...] = ()
    durability: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileCall:
    """A graph to compile, or the digest of one seen before, and the variables of its slots.

    Attributes:
        graph: of a caller in this process; an outline of one that was read; or a digest.
    """

    client_id: str
    graph: Graph | Outline | bytes
    bindings: tuple[str, ...] = ()
    choices: CompileChoices = field(default_factory=CompileChoices)
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionInfo:
    """A compiled function as its callers see it.

    Attributes:
        plan: its steps, or the bytes of a CompileResponse that has them alone.
    """

    handle: str
    signature: FunctionSignature
    plan: Plan
    timings: tuple[tuple[str, float], ...]
    graph_digest: bytes
    choices: CompileChoices
    name: str = ""
    cache_hit: bool = False
    texts: Mapping[str, str] = field(default_factory=dict[str, str])


InputValue: TypeAlias = "Array | BufferRef | VariableRef"


class ExecuteCall(NamedTuple):  # a frozen dataclass is made half as fast
    """One run of a function.

    Attributes:
        handle: of the function.
        inputs: in order.
        deliveries: one per output; none at all means `delivery` for each.
        delivery: where outputs go when `deliveries` is empty.
        call_id: makes a retry safe; embedded calls need none.
        client_id: whose lease is charged for kept outputs.
        expected: uuids of bound variables and the versions they must have.
        expected_incarnation: of the server the caller believes to talk to; "" is any.
        reply_bytes: what the answer may carry inline; None when it crosses no wire.
    """

    handle: str
    inputs: tuple[InputValue, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    delivery: Delivery = Delivery.INLINE
    call_id: CallId | None = None
    client_id: str = ""
    expected: tuple[tuple[str, int], ...] = ()
    reply_bytes: int | None = None
    expected_incarnation: str = ""


OutputValue: TypeAlias = "Array | BufferInfo | None"


@dataclass(slots=True, kw_only=True)  # every call makes one, and a frozen one takes 1 us more
class ExecuteReply:
    """The outcome of a run. Nobody changes one that was made.

    Attributes:
        outputs: in order.
        versions: of the variables it assigned.
        timings: seconds by stage.
        warnings: events that have a defined value but are rarely wanted.
        printed: lines for the caller.
        replayed: whether an earlier attempt has recorded it.
        steps: how many steps of a repetition are done.
        unfinished: whether there are more to do; then there is nothing else in it.
    """

    outputs: tuple[OutputValue, ...]
    versions: tuple[tuple[str, int], ...] = ()
    timings: tuple[tuple[str, float], ...] = ()
    warnings: tuple[EventCount, ...] = ()
    printed: tuple[str, ...] = ()
    replayed: bool = False
    steps: int = 1
    unfinished: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCall:
    """An assignment of a shared variable."""

    uuid: str
    value: Array | BufferRef
    call_id: CallId | None = None
    expected_version: int | None = None
    expected_incarnation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetReply:
    """The outcome of an assignment."""

    variable: VariableInfo
    replayed: bool = False


Reply: TypeAlias = ExecuteReply | SetReply


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """What has become of variables that a caller knew before the server was restarted.

    Attributes:
        incarnation: of the server now.
        missing: uuids that are not here.
        rolled_back: uuids of which acknowledged values are gone.
    """

    incarnation: str
    missing: tuple[str, ...]
    rolled_back: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a server holds at the moment, and since when."""

    incarnation: str
    store: str
    uptime_seconds: float
    functions: int
    variables: int
    buffers: int
