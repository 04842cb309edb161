"""Pass and Pipeline: named functions from graph to graph, and a visible row of them.

Observers see every pass: they print, time and verify. Nothing else hooks into a pipeline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol, TypeAlias, runtime_checkable

from exprd_compiler.ir.graph import Graph


@runtime_checkable
class Pass(Protocol):
    """A named function from graph to graph that keeps the meaning."""

    @property
    def name(self) -> str:
        """What observers, traces and `excluding` call it."""
        ...

    def __call__(self, graph: Graph, /) -> Graph:
        """The graph after the pass."""
        ...


Observer: TypeAlias = Callable[[str, Graph, Graph, float], None]


@dataclass(frozen=True, slots=True)
class Transform:
    """A pass that is a plain function."""

    name: str
    run: Callable[[Graph], Graph]

    def __call__(self, graph: Graph, /) -> Graph:
        """The graph after the pass."""
        return self.run(graph)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Passes in order; observers get (name, before, after, seconds) after each."""

    passes: tuple[Pass, ...]
    observers: tuple[Observer, ...] = ()

    def __call__(self, graph: Graph) -> Graph:
        """The graph after all passes."""
        for step in self.passes:
            start = perf_counter()
            after = step(graph)
            seconds = perf_counter() - start
            for observe in self.observers:
                observe(step.name, graph, after, seconds)
            graph = after
        return graph
