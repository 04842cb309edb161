"""Compilers: how the engine gets native code, in this process or from workers.

Invariant: a remote server never compiles in its own process, and per-node Python
never runs there; what comes back from a worker is an artifact, which is only linked.
"""

from __future__ import annotations

import time
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from exprd_compiler import driver
from exprd_compiler.errors import Cancelled, DeviceUnavailable, GraphError
from exprd_compiler.interpret import evaluate
from exprd_compiler.ir.counts import EventCount
from exprd_compiler.options import TARGETS, CompileOptions
from exprd_compiler.worker import pack, texts_of, unpack
from exprd_server.alarm import Alarm
from exprd_server.deadline import Deadline, check
from exprd_server.functions import Compiled
from exprd_server.interrupts import Interrupts
from exprd_server.longrun import LongRuns, Pace
from exprd_server.outline import outline_of_text, read_outline
from exprd_server.plans import plan_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from exprd_compiler.ir.graph import Graph
    from exprd_server.outline import Outline
    from exprd_server.settings import WorkerSettings
    from exprd_server.values import CompileChoices
    from exprd_server.workers import WorkerPool

# Theano's mode names, and the levels they mean.
_LEVELS: Final[Mapping[str, str]] = MappingProxyType(
    {"FAST_RUN": "fast_run", "FAST_COMPILE": "fast_compile", "NONE": "none"}
)
REFERENCE: Final = "reference"
_SMALL: Final = 8_192  # bytes of text of about 200 nodes: 3 ms


def options_of(choices: CompileChoices) -> CompileOptions:
    """The compiler's options for what a caller chose.

    Raises:
        DeviceUnavailable: the target does not exist here.
        GraphError: the mode or an option does not exist.
    """
    if choices.target not in TARGETS:
        raise DeviceUnavailable(
            f"target {choices.target!r} does not exist on this server",
            hint=f"use one of {', '.join(TARGETS)}",
        )
    level = _LEVELS.get(choices.mode.upper())
    if level is None:
        raise GraphError(
            f"mode {choices.mode!r} is unknown", hint=f"use one of {', '.join(_LEVELS)}"
        )
    return CompileOptions(target=choices.target, level=level, excluding=choices.excluding)


class InProcessCompiler:
    """The compiler of embedded use: everything happens in the caller's process.

    Args:
        cache: directory of the object cache; none when not given.
        room: bytes that one call of native code may take; 0 is as many as there are.
    """

    def __init__(self, cache: Path | None = None, room: int = 0) -> None:
        self._cache = cache
        self._room = room
        self._alarm = Alarm()

    def compile(
        self, outline: Outline, choices: CompileChoices, deadline: Deadline | None, /
    ) -> Compiled:
        """Compiles and links the graph of an outline."""
        check(deadline, "the graph was compiled")
        options = options_of(choices)
        if options.target == REFERENCE:
            return Compiled(run=_Interpreted(outline.graph()), plan=(), timings=())
        compiled = driver.compile_graph(outline.graph(), options, self._cache, self._room)
        return Compiled(
            run=_Native(compiled.executable, self._alarm),
            plan=plan_of(compiled.artifact.listing),
            timings=tuple(compiled.artifact.timings.items()),
        )

    def read(self, text: bytes, deadline: Deadline | None, /) -> Outline:
        """The outline of a graph that was written down."""
        check(deadline, "the graph was read")
        return outline_of_text(text)

    def texts(
        self, outline: Outline, choices: CompileChoices, deadline: Deadline | None, /
    ) -> Mapping[str, str]:
        """The stages of a graph as text."""
        check(deadline, "the graph was described")
        return texts_of(outline.graph(), options_of(choices))

    def close(self) -> None:
        """Ends the alarm's thread."""
        self._alarm.close()


class WorkerCompiler:
    """The compiler of a server: graphs go to worker processes as text, artifacts come back.

    Args:
        pool: of the workers that compile; compilers of several namespaces may share it.
        evaluators: of those that run graphs node by node, so that neither work waits for the other.
        settings: of the workers.
        cache: directory of the object cache; none when not given.
        room: bytes that one call of native code may take; 0 is as many as there are.
        readers: of the workers that read large graphs; by default those that compile.
    """

    def __init__(
        self,
        pool: WorkerPool,
        evaluators: WorkerPool,
        settings: WorkerSettings,
        cache: Path | None = None,
        room: int = 0,
        readers: WorkerPool | None = None,
    ) -> None:
        self._pool = pool
        self._readers = readers or pool
        self._evaluators = evaluators
        self._settings = settings
        self._cache = cache
        self._room = room
        self._alarm = Alarm()
        self._long = LongRuns()

    def compile(
        self, outline: Outline, choices: CompileChoices, deadline: Deadline | None, /
    ) -> Compiled:
        """Has a graph compiled, and links the result here."""
        options = options_of(choices)
        if options.target == REFERENCE:
            return Compiled(run=_Remote(self, outline), plan=(), timings=())
        task = self._task("compile", options)
        answer, data = self._ask(self._pool, task, outline.text(), deadline)
        start = time.perf_counter()
        plan = int(answer["plan"])
        artifact = driver.Artifact.from_bytes(data[plan:])
        executable = driver.link(artifact, self._room)
        linked = ("link", time.perf_counter() - start)
        return Compiled(
            run=_Native(executable, self._alarm, self._long),
            plan=data[:plan],
            timings=(*artifact.timings.items(), linked),
        )

    def read(self, text: bytes, deadline: Deadline | None, /) -> Outline:
        """The outline of a graph that was written down; a large one is read by a worker."""
        if len(text) <= _SMALL:
            check(deadline, "the graph was read")
            return outline_of_text(text)
        answer, _ = self._ask(self._readers, {"task": "outline"}, text, deadline)
        return read_outline(answer["outline"], text)

    def texts(
        self, outline: Outline, choices: CompileChoices, deadline: Deadline | None, /
    ) -> Mapping[str, str]:
        """Has the stages of a graph written out."""
        task = self._task("texts", options_of(choices))
        answer, _ = self._ask(self._pool, task, outline.text(), deadline)
        return {str(name): str(text) for name, text in answer["texts"].items()}

    def evaluate(
        self, text: bytes, arrays: Sequence[NDArray[Any]], deadline: Deadline | None
    ) -> tuple[list[NDArray[Any]], list[EventCount]]:
        """Has a graph, given as text, run node by node with numpy."""
        task = self._task("evaluate", CompileOptions(target=REFERENCE))
        body = b"".join((text, pack(arrays)))
        answer, data = self._ask(self._evaluators, {**task, "text": len(text)}, body, deadline)
        met = [EventCount(**facts) for facts in answer["met"]]
        return unpack(data, answer["arrays"]), met

    def close(self) -> None:
        """Ends the workers and the alarm's thread."""
        self._pool.close()
        self._evaluators.close()
        self._alarm.close()
        self._long.close()

    def _task(self, name: str, options: CompileOptions) -> dict[str, Any]:
        cache = "" if self._cache is None else str(self._cache)
        return {"task": name, "options": options.to_json(), "cache": cache}

    def _ask(
        self, pool: WorkerPool, task: Mapping[str, Any], body: bytes, deadline: Deadline | None
    ) -> tuple[dict[str, Any], bytes]:
        seconds = self._settings.seconds
        bounded = Deadline(seconds) if deadline is None else deadline.capped(seconds)
        return pool.request(task, body, bounded)


class _Native:
    """Linked native code; it stops at the deadline, or else when a signal handler raises."""

    def __init__(
        self, function: driver.Function, alarm: Alarm, runs: LongRuns | None = None
    ) -> None:
        self._run = function.changes
        self._alarm = alarm
        self._pace = None if runs is None else Pace(runs)
        self._interrupts = Interrupts()

    def __call__(
        self, inputs: Sequence[NDArray[Any]], deadline: Deadline | None, /
    ) -> tuple[Sequence[Any], Sequence[EventCount]]:
        if deadline is None:
            return self._run(inputs, self._interrupts.guard(inputs))
        try:
            return self._run(inputs, partial(self._guard, deadline))
        except Cancelled:
            deadline.check("the function had run")  # which tells why
            raise

    def _guard(
        self, deadline: Deadline, native: Callable[[], int], stop: Callable[[], None]
    ) -> int:
        paced = native if self._pace is None else partial(self._pace.run, native)
        return deadline.guard(self._alarm, paced, stop)


class _Interpreted:
    """A graph run node by node with numpy, in this process."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def __call__(
        self, inputs: Sequence[NDArray[Any]], _deadline: Deadline | None, /
    ) -> tuple[Sequence[NDArray[Any]], Sequence[EventCount]]:
        count = len(self._graph.inputs)
        met: list[EventCount] = []
        outputs, updates = evaluate(self._graph, inputs[:count], inputs[count:], met)
        # A node's value may be a view of an input or of another value; results never are.
        return [np.array(value, order="C") for value in (*outputs, *updates)], met


class _Remote:
    """A graph run node by node with numpy, in a worker."""

    def __init__(self, compiler: WorkerCompiler, outline: Outline) -> None:
        self._compiler = compiler
        self._text = outline.text()

    def __call__(
        self, inputs: Sequence[NDArray[Any]], deadline: Deadline | None, /
    ) -> tuple[Sequence[NDArray[Any]], Sequence[EventCount]]:
        return self._compiler.evaluate(self._text, inputs, deadline)
