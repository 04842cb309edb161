"""Fixtures of the op tests: the ways to run a graph, each held to the numpy meanings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from exprd_compiler.driver import compile_graph
from exprd_compiler.interpret import evaluate
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Array
from exprd_compiler.options import CompileOptions

RunGraph = Callable[[Graph, Sequence[Array]], list[Array]]


def interpreted(graph: Graph, arrays: Sequence[Array]) -> list[Array]:
    """Outputs, then new values, from the numpy meanings."""
    count = len(graph.inputs)
    outputs, updates = evaluate(graph, arrays[:count], arrays[count:])
    return outputs + updates


def native(graph: Graph, arrays: Sequence[Array]) -> list[Array]:
    """Outputs, then new values, from native code."""
    return compile_graph(graph, CompileOptions()).executable(arrays)


BACKENDS: dict[str, RunGraph] = {"interpret": interpreted, "native": native}


@pytest.fixture(params=BACKENDS)
def run_graph(request: pytest.FixtureRequest) -> RunGraph:
    """`run_graph(graph, arrays)` gives outputs, then new values, by one backend."""
    return BACKENDS[request.param]
