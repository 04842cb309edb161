"""Native code against numpy on random graphs: the judge of fusion, views, slots and kernels."""

from __future__ import annotations

import numpy as np
import pytest

from exprd_compiler.driver import compile_graph
from exprd_compiler.interpret import evaluate
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Array
from exprd_compiler.options import CompileOptions
from tests.compiler.random_graphs import random_graph

GRAPHS = 300
BATCH = 20


def tolerance(graph: Graph) -> dict[str, float]:
    single = any(node.dtype == "float32" for node in graph.nodes())
    return {"rtol": 1e-3, "atol": 1e-4} if single else {"rtol": 1e-8, "atol": 1e-8}


def assert_same(graph: Graph, got: list[Array], want: list[Array]) -> None:
    for a, b in zip(got, want, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a.astype("float64"), b.astype("float64"), **tolerance(graph))


@pytest.mark.parametrize("first", range(0, GRAPHS, BATCH))
@pytest.mark.parametrize("level", ["none", "fast_run"])
def test_native_code_gives_numpys_values(first: int, level: str) -> None:
    for seed in range(first, first + BATCH):
        graph, values = random_graph(seed)
        want, _ = evaluate(graph, values)
        got = compile_graph(graph, CompileOptions(level=level)).executable(values)
        assert_same(graph, got, want)
