"""The driver: from a graph to an artifact, and from an artifact to something callable.

    Graph -> optimize -> Plan -> LLVM IR -> object     compile_artifact, anywhere
    Artifact -> Executable                             link, in the process that runs it

An artifact is bytes without addresses; it can be cached and sent between processes of one machine.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from exprd_compiler.backends.executable import Executable, Guard, Interface
from exprd_compiler.backends.llvm.entry import emit_module
from exprd_compiler.backends.llvm.jit import compile_ir
from exprd_compiler.backends.llvm.objects import ObjectCache
from exprd_compiler.backends.llvm.target import host_level
from exprd_compiler.errors import CompilerBug
from exprd_compiler.ir.counts import EventCount
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.half import read_array
from exprd_compiler.ir.node import Array
from exprd_compiler.ir.type import TensorType
from exprd_compiler.kernel.form import Counter, Site
from exprd_compiler.kernel.listing import Listed, listing
from exprd_compiler.kernel.plan import make_plan
from exprd_compiler.options import CompileOptions
from exprd_compiler.passes.levels import optimize

_MAGIC = b"exprd artifact 3\n"


class Function(Protocol):
    """What a compiled graph is to its caller."""

    def __call__(self, arguments: Sequence[Array]) -> list[Array]:
        """Outputs, then new values, from inputs, then values of shared variables."""
        ...

    def run(
        self, arguments: Sequence[Array], guard: Guard | None = None
    ) -> tuple[list[Array], tuple[EventCount, ...]]:
        """The same, run by a guard that may stop it, and the events that were met."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A compiled graph as data.

    Attributes:
        image: the relocatable object.
        interface: what calling it takes.
        listing: the nodes of the compiled graph in order of execution.
        timings: seconds per stage of the compilation.
    """

    image: bytes
    interface: Interface
    listing: tuple[Listed, ...]
    timings: dict[str, float]

    def to_bytes(self) -> bytes:
        """As bytes for `from_bytes`."""
        arrays = io.BytesIO()
        for array in self.interface.constants:
            np.save(arrays, array, allow_pickle=False)
        head = {
            "arguments": [_type_to_json(t) for t in self.interface.arguments],
            "names": self.interface.names,
            "outputs": [_type_to_json(t) for t in self.interface.outputs],
            "sites": [asdict(site) for site in self.interface.sites],
            "counters": [asdict(counter) for counter in self.interface.counters],
            "slots": self.interface.slots,
            "constants": len(self.interface.constants),
            "listing": [asdict(item) for item in self.listing],
            "timings": self.timings,
            "image": len(self.image),
        }
        text = json.dumps(head).encode()
        rest = b"".join((len(text).to_bytes(8, "little"), text, self.image, arrays.getvalue()))
        return b"".join((_MAGIC, hashlib.sha256(rest).digest(), rest))

    @staticmethod
    def from_bytes(data: bytes) -> Artifact:
        """An artifact from `to_bytes`.

        Raises:
            CompilerBug: the bytes are not one.
        """
        first = len(_MAGIC) + hashlib.sha256().digest_size
        whole = hashlib.sha256(memoryview(data)[first:]).digest() == data[len(_MAGIC) : first]
        if not (data.startswith(_MAGIC) and whole):
            raise CompilerBug("these bytes are not an artifact, or not all of one")
        start = first + 8
        size = int.from_bytes(data[first:start], "little")
        head = json.loads(data[start : start + size])
        end = start + size + head["image"]
        arrays = io.BytesIO(data[end:])
        interface = Interface(
            arguments=tuple(map(_type_from_json, head["arguments"])),
            names=tuple(head["names"]),
            outputs=tuple(map(_type_from_json, head["outputs"])),
            sites=tuple(Site(**site) for site in head["sites"]),
            counters=tuple(Counter(**counter) for counter in head["counters"]),
            slots=head["slots"],
            constants=tuple(read_array(arrays) for _ in range(head["constants"])),
        )
        return Artifact(
            image=data[start + size : end],
            interface=interface,
            listing=tuple(Listed.from_json(item) for item in head["listing"]),
            timings=head["timings"],
        )


def _type_to_json(t: TensorType) -> list[Any]:
    return [t.dtype, list(t.shape)]


def _type_from_json(item: Sequence[Any]) -> TensorType:
    return TensorType(item[0], tuple(item[1]))


def llvm_ir(graph: Graph, options: CompileOptions) -> str:
    """The LLVM IR of a graph, for people and golden tests."""
    return emit_module(make_plan(optimize(graph, level=options.level, excluding=options.excluding)))


def compile_artifact(graph: Graph, options: CompileOptions, cache: Path | None = None) -> Artifact:
    """The artifact of a graph.

    Args:
        graph: as built or decoded.
        options: how to compile.
        cache: directory of the object cache; none when not given.

    Raises:
        GraphError: the graph cannot be compiled.
        DeviceUnavailable: this machine has no such code level.
    """
    clock = _Clock()
    optimized = optimize(graph, level=options.level, excluding=options.excluding)
    clock.lap("optimize")
    plan = make_plan(optimized)
    clock.lap("plan")
    text = emit_module(plan)
    clock.lap("emit")
    level = host_level(options.machine)
    image = compile_ir(text, level) if cache is None else ObjectCache(cache).compiled(text, level)
    clock.lap("codegen")
    interface = Interface(
        arguments=tuple(node.type for node in graph.leaves),
        names=tuple(node.name or "" for node in graph.leaves),
        outputs=tuple(node.type for node in graph.roots),
        sites=plan.sites,
        counters=plan.counters,
        slots=plan.slots,
        constants=plan.constants,
    )
    return Artifact(
        image=image, interface=interface, listing=listing(optimized), timings=clock.laps
    )


def link(artifact: Artifact) -> Executable:
    """The artifact's code in this process."""
    return Executable(artifact.image, artifact.interface)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A graph compiled and linked in this process."""

    artifact: Artifact
    executable: Function


def compile_graph(graph: Graph, options: CompileOptions, cache: Path | None = None) -> Compiled:
    """Compile and link in this process; see `compile_artifact`."""
    artifact = compile_artifact(graph, options, cache)
    start = time.perf_counter()
    executable = link(artifact)
    timings = {**artifact.timings, "link": time.perf_counter() - start}
    return Compiled(artifact=replace(artifact, timings=timings), executable=executable)


class _Clock:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now
