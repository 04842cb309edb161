"""The driver: from a graph to an artifact, and from an artifact to something callable.

    Graph -> optimize -> Plan -> LLVM IR -> object     compile_artifact, anywhere
    Artifact -> Executable                             link, in the process that runs it

Updates that change a part of their variable are compiled apart (see `kernel.writes`), so that they
can be made in place.

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
from exprd_compiler.backends.patch import Patch
from exprd_compiler.backends.patching import LinkedWriter, PatchingExecutable
from exprd_compiler.errors import CompilerBug
from exprd_compiler.ir.counts import EventCount
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.half import read_array
from exprd_compiler.ir.node import Array
from exprd_compiler.ir.type import TensorType
from exprd_compiler.kernel.form import Counter, Site
from exprd_compiler.kernel.listing import Listed, listing
from exprd_compiler.kernel.memory import MemoryPlan, memory_plan
from exprd_compiler.kernel.plan import make_plan
from exprd_compiler.kernel.writes import Write, Writer, split_writes
from exprd_compiler.options import CompileOptions
from exprd_compiler.passes.levels import optimize

_MAGIC = b"exprd artifact 6\n"


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

    def changes(
        self, arguments: Sequence[Array], guard: Guard | None = None
    ) -> tuple[Sequence[Array | Patch], tuple[EventCount, ...]]:
        """The same, with patches in place of new values that are in part the old ones."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledWriter:
    """The writes of one update as data; see `kernel.writes.Writer`.

    Attributes:
        update: the position of the update.
        argument: the position of its variable among the arguments.
        operands: where the operands come from.
        old: where what is about to be overwritten comes from.
        writes: in order.
        artifact: the code that makes them.
    """

    update: int
    argument: int
    operands: tuple[int, ...]
    old: tuple[int, ...]
    writes: tuple[Write, ...]
    artifact: Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A compiled graph as data.

    Attributes:
        image: the relocatable object.
        interface: what calling it takes.
        listing: the nodes of the compiled graph in order of execution.
        timings: seconds per stage of the compilation.
        returned: how many of the interface's outputs are outputs of the graph.
        writers: the updates that are left out of the outputs.
    """

    image: bytes
    interface: Interface
    listing: tuple[Listed, ...]
    timings: dict[str, float]
    returned: int
    writers: tuple[CompiledWriter, ...] = ()

    def to_bytes(self) -> bytes:
        """As bytes for `from_bytes`."""
        arrays = io.BytesIO()
        for array in self.interface.constants:
            np.save(arrays, array, allow_pickle=False)
        code = [writer.artifact.to_bytes() for writer in self.writers]
        head = {
            "arguments": [_type_to_json(t) for t in self.interface.arguments],
            "names": self.interface.names,
            "outputs": [_type_to_json(t) for t in self.interface.outputs],
            "sites": [asdict(site) for site in self.interface.sites],
            "counters": [asdict(counter) for counter in self.interface.counters],
            "slots": self.interface.slots,
            "memory": self.interface.memory.to_json(),
            "constants": len(self.interface.constants),
            "listing": [asdict(item) for item in self.listing],
            "timings": self.timings,
            "image": len(self.image),
            "returned": self.returned,
            "writers": [
                _writer_to_json(w, len(d)) for w, d in zip(self.writers, code, strict=True)
            ],
        }
        text = json.dumps(head).encode()
        parts = (len(text).to_bytes(8, "little"), text, self.image, *code, arrays.getvalue())
        rest = b"".join(parts)
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
        end = place = start + size + head["image"]
        writers: list[CompiledWriter] = []
        for item in head["writers"]:
            part, place = data[place : place + item["code"]], place + item["code"]
            writers.append(_writer_from_json(item, Artifact.from_bytes(part)))
        arrays = io.BytesIO(data[place:])
        interface = Interface(
            arguments=tuple(map(_type_from_json, head["arguments"])),
            names=tuple(head["names"]),
            outputs=tuple(map(_type_from_json, head["outputs"])),
            sites=tuple(Site(**site) for site in head["sites"]),
            counters=tuple(Counter(**counter) for counter in head["counters"]),
            slots=head["slots"],
            memory=MemoryPlan.from_json(head["memory"]),
            constants=tuple(read_array(arrays) for _ in range(head["constants"])),
        )
        return Artifact(
            image=data[start + size : end],
            returned=head["returned"],
            writers=tuple(writers),
            interface=interface,
            listing=tuple(Listed.from_json(item) for item in head["listing"]),
            timings=head["timings"],
        )


def _type_to_json(t: TensorType) -> list[Any]:
    return [t.dtype, list(t.shape)]


def _type_from_json(item: Sequence[Any]) -> TensorType:
    return TensorType(item[0], tuple(item[1]))


def _writer_to_json(writer: CompiledWriter, code: int) -> dict[str, Any]:
    writes = [asdict(write) for write in writer.writes]
    return {
        "update": writer.update,
        "argument": writer.argument,
        "operands": writer.operands,
        "old": writer.old,
        "writes": writes,
        "code": code,
    }


def _writer_from_json(item: dict[str, Any], artifact: Artifact) -> CompiledWriter:
    return CompiledWriter(
        update=item["update"],
        argument=item["argument"],
        operands=tuple(item["operands"]),
        old=tuple(item["old"]),
        writes=tuple(_write_from_json(**write) for write in item["writes"]),
        artifact=artifact,
    )


def _write_from_json(places: Sequence[int], index: Sequence[Sequence[Any]] | None) -> Write:
    return Write(tuple(places), None if index is None else tuple(map(tuple, index)))


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
    split = split_writes(optimized)
    made = _compiled(split.graph, options, cache, clock)
    return replace(
        made,
        listing=listing(optimized),
        timings=clock.laps,
        returned=len(optimized.outputs),
        writers=tuple(_compiled_writer(w, options, cache, clock) for w in split.writers),
    )


def _compiled(
    graph: Graph,
    options: CompileOptions,
    cache: Path | None,
    clock: _Clock,
    *,
    in_place: bool = False,
) -> Artifact:
    plan = make_plan(graph, in_place=in_place)
    clock.lap("plan")
    text = emit_module(plan)
    clock.lap("emit")
    level = host_level(options.machine)
    image = compile_ir(text, level) if cache is None else ObjectCache(cache).compiled(text, level)
    clock.lap("codegen")
    interface = Interface(
        arguments=tuple(node.type for node in graph.leaves),
        names=tuple(node.name or "" for node in graph.leaves),
        outputs=tuple(node.type for node in (graph.outputs if in_place else graph.roots)),
        sites=plan.sites,
        counters=plan.counters,
        slots=plan.slots,
        memory=memory_plan(plan),
        constants=plan.constants,
    )
    return Artifact(
        image=image, interface=interface, listing=(), timings={}, returned=len(graph.outputs)
    )


def _compiled_writer(
    writer: Writer, options: CompileOptions, cache: Path | None, clock: _Clock
) -> CompiledWriter:
    return CompiledWriter(
        update=writer.update,
        argument=writer.argument,
        operands=writer.operands,
        old=writer.old,
        writes=writer.writes,
        artifact=_compiled(writer.graph, options, cache, clock, in_place=True),
    )


def link(artifact: Artifact, room: int = 0) -> Function:
    """The artifact's code in this process; a call may take `room` bytes, or what there is for 0."""
    executable = Executable(artifact.image, artifact.interface, room)
    if not artifact.writers:
        return executable
    writers = [
        LinkedWriter(w.update, w.argument, w.operands, w.old, w.writes, link(w.artifact, room))
        for w in artifact.writers
    ]
    return PatchingExecutable(executable, writers, artifact.returned)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A graph compiled and linked in this process."""

    artifact: Artifact
    executable: Function


def compile_graph(
    graph: Graph, options: CompileOptions, cache: Path | None = None, room: int = 0
) -> Compiled:
    """Compile and link in this process; see `compile_artifact` and `link`."""
    artifact = compile_artifact(graph, options, cache)
    start = time.perf_counter()
    executable = link(artifact, room)
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
        self.laps[name] = self.laps.get(name, 0.0) + now - self._last
        self._last = now
