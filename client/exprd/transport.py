"""Transport: the one seam between the client and whatever runs its graphs.

Typed methods that mirror the services; two implementations, in this process and over gRPC. Arrays
given to a transport are given up: nobody writes to them again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from numpy.typing import NDArray

from exprd.named import Names
from exprd_compiler.ir.counts import EventCount
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.type import TensorType

if TYPE_CHECKING:
    from exprd.looping import Loops  # which is written in the types of this module

__all__ = [
    "AttachedVariable",
    "BufferRef",
    "CompileJob",
    "CompiledInfo",
    "Expected",
    "NewVariable",
    "PlanStep",
    "RemoteBuffer",
    "Transport",
]

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True)
class BufferRef:
    """An array that lies where the graphs run, as an input of a call."""

    handle: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteBuffer:
    """What is known of an array that stays where the graphs run."""

    handle: str
    dtype: str
    shape: tuple[int, ...]


InputValue: TypeAlias = "Array | BufferRef"
Expected: TypeAlias = Sequence[tuple[str, int]]  # uuids of variables, and their versions
OutputValue: TypeAlias = "Array | RemoteBuffer"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVariable:
    """A shared variable to be made.

    Durability is "volatile", "durable", "constant", or "default" for what it is where it lives.
    """

    uuid: str
    name: str
    type: TensorType
    durability: str
    value: InputValue


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedVariable:
    """A shared variable that was there already, or was made just now."""

    uuid: str
    type: TensorType


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileJob:
    """A graph to compile; its nodes' origins are their positions in `graph.nodes()`.

    `durability` is the policy of its commits, "" that of where it runs.
    """

    graph: Graph
    bindings: tuple[str, ...] = ()
    mode: str = "FAST_RUN"
    target: str = "cpu"
    including: tuple[str, ...] = ()
    excluding: tuple[str, ...] = ()
    name: str = ""
    durability: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStep:
    """One step of a compiled function, under Theano's class name where there is one."""

    op: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledInfo:
    """A compiled function as the transport names it."""

    handle: str
    plan: tuple[PlanStep, ...]
    timings: Mapping[str, float] = field(default_factory=dict[str, float])
    cache_hit: bool = False
    notes: tuple[str, ...] = ()


class Run(Protocol):
    """A compiled function ready to be called. Thread safe."""

    def __call__(
        self, inputs: Sequence[InputValue], keep: bool, expected: Expected = ()
    ) -> tuple[Sequence[OutputValue], Sequence[EventCount]]:
        """The outputs, which with `keep` stay where they are, and the events that were met.

        Raises:
            Conflict: a variable is not at the expected version; nothing has changed.
        """
        ...


class Transport(Protocol):
    """What runs graphs and keeps values for one client. Thread safe."""

    @property
    def target(self) -> str:
        """Where that is; "" for this process."""
        ...

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes of execute messages sent and received so far."""
        ...

    @property
    def names(self) -> Names:
        """The functions that are published there."""
        ...

    @property
    def loops(self) -> Loops:
        """Submitted calls, batches and repetitions."""
        ...

    def info(self) -> Mapping[str, str]:
        """Versions, limits and load, for people."""
        ...

    def compile(self, job: CompileJob) -> CompiledInfo:
        """Compiles a graph."""
        ...

    def runner(self, handle: str, outputs: int) -> Run:
        """The callable of a handle that has so many outputs."""
        ...

    def texts(self, handle: str) -> Mapping[str, str]:
        """The stages of a compiled function as text."""
        ...

    def create_variable(self, new: NewVariable) -> str:
        """Makes a shared variable; its durability there."""
        ...

    def attach_variable(self, name: str, default: NewVariable | None) -> AttachedVariable:
        """The durable variable of a name, or one that is made of a default."""
        ...

    def get_variable(self, uuid: str) -> Array:
        """The value of a shared variable, read-only."""
        ...

    def read_variables(self, uuids: Sequence[str]) -> Sequence[Array]:
        """The values of shared variables, all of one moment, read-only."""
        ...

    def variable_versions(self, uuids: Sequence[str]) -> Sequence[int]:
        """The versions of shared variables, all of one moment."""
        ...

    def set_variable(self, uuid: str, value: Array, expected_version: int | None = None) -> int:
        """Assigns a shared variable; its new version.

        Raises:
            Conflict: it is not at the expected version; nothing has changed.
        """
        ...

    def put(self, value: Array, resend: bool = False) -> RemoteBuffer:
        """Keeps an array where the graphs run; with `resend` also over a restart of that place."""
        ...

    def get(self, buffer: RemoteBuffer) -> Array:
        """The value of a kept array, read-only."""
        ...

    def release(
        self, functions: Sequence[str], buffers: Sequence[str], variables: Sequence[str]
    ) -> None:
        """Gives up what is no longer needed; unknown names are ignored."""
        ...

    def close(self) -> None:
        """Gives up everything this client holds."""
        ...
