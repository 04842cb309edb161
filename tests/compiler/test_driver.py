"""From graphs to artifacts and back: stages, bytes, the object cache, and graphs of any depth."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from exprd_compiler.driver import Artifact, compile_artifact, compile_graph, link, llvm_ir
from exprd_compiler.errors import CompilerBug, GraphError, IndexOutOfRange
from exprd_compiler.interpret import evaluate
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.arithmetic import add, mul, sub
from exprd_compiler.ops.index import gather, subtensor
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.movement import dimshuffle, reshape
from exprd_compiler.ops.reduce import expand_axes, sum_
from exprd_compiler.ops.transcendental import tanh
from exprd_compiler.options import CompileOptions
from tests.compiler.native import leaf

STAGES = ["optimize", "plan", "emit", "codegen"]


def graph() -> Graph:
    x, index = leaf(2), leaf(1, "int64")
    x.name = "x"
    table = const(np.arange(6.0).reshape(2, 3))
    return Graph((x, index), (gather(tanh(x), index), add(x, table)))


def artifact() -> Artifact:
    return compile_artifact(graph(), CompileOptions())


# ---- artifacts
def test_an_artifact_survives_as_bytes() -> None:
    made = artifact()
    read = Artifact.from_bytes(made.to_bytes())
    assert read.image == made.image
    assert read.listing == made.listing
    assert read.timings == made.timings
    assert (read.interface.arguments, read.interface.names) == (made.interface.arguments, ("x", ""))
    assert read.interface.sites == made.interface.sites
    values = [np.ones((2, 3)), np.array([1, -1])]
    for mine, theirs in zip(link(made)(values), link(read)(values), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(IndexOutOfRange):
        link(read)([np.ones((2, 3)), np.array([2])])


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"something else entirely",
        lambda data: data[:10],
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data + b"x",
        lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:],
    ],
)
def test_a_damaged_artifact_is_refused(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(CompilerBug, match="not an artifact"):
        Artifact.from_bytes(damage(artifact().to_bytes()))


def test_the_same_graph_becomes_the_same_bytes() -> None:
    first, second = artifact(), artifact()
    assert first.image == second.image
    assert llvm_ir(graph(), CompileOptions()) == llvm_ir(graph(), CompileOptions())


# ---- stages
def test_every_stage_is_timed() -> None:
    compiled = compile_graph(graph(), CompileOptions())
    assert list(compiled.artifact.timings) == [*STAGES, "link"]
    assert all(seconds >= 0 for seconds in compiled.artifact.timings.values())


def test_the_object_cache_spares_code_generation(tmp_path: Path) -> None:
    cache = tmp_path / "objects"
    cold = compile_artifact(graph(), CompileOptions(), cache)
    warm = compile_artifact(graph(), CompileOptions(), cache)
    assert cold.image == warm.image
    assert len(list(cache.iterdir())) == 1
    assert warm.timings["codegen"] < cold.timings["codegen"]
    assert list(warm.timings) == STAGES
    compile_artifact(graph(), CompileOptions(machine="v3"), cache)
    compile_artifact(graph(), CompileOptions(level="none"), cache)


def test_an_object_that_was_damaged_on_disk_is_made_again(tmp_path: Path) -> None:
    cold = compile_artifact(graph(), CompileOptions(), tmp_path / "objects")
    (file,) = (tmp_path / "objects").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    again = compile_artifact(graph(), CompileOptions(), tmp_path / "objects")
    assert again.image == cold.image
    link(again)


def test_a_misspelled_option_is_an_error() -> None:
    with pytest.raises(GraphError, match="no rewrite can be excluded as 'fusoin'"):
        compile_artifact(graph(), CompileOptions(excluding=("fusoin",)))
    with pytest.raises(GraphError, match="unknown level"):
        CompileOptions(level="O3")


# ---- depth
def elementwise(y: Node, x: Node, i: int) -> Node:
    return tanh(add(mul(y, const(0.5)), x)) if i % 3 else sub(y, x)


def shuffled(y: Node, _x: Node, i: int) -> Node:
    turned = dimshuffle(y, order=(1, 0))
    return turned if i % 2 else mul(turned, const(0.99))


def sliced(y: Node, _x: Node, _i: int) -> Node:
    return subtensor(y, index=(("slice", 0, 100, None),))


def reduced(y: Node, x: Node, _i: int) -> Node:
    return sub(x, expand_axes(sum_(y, axes=(1,)), (1,)))


def reshaped(y: Node, x: Node, i: int) -> Node:
    return add(reshape(y, shape=(2, -1)), const(1.0)) if i % 2 else reshape(y, shape=(-1, 2))


@pytest.mark.parametrize("level", ["none", "fast_run"])
@pytest.mark.parametrize("step", [elementwise, shuffled, sliced, reduced, reshaped])
def test_a_chain_of_one_kind_meets_no_recursion_limit(
    step: Callable[[Node, Node, int], Node], level: str, rng: np.random.Generator
) -> None:
    x = leaf(2)
    y = x
    for i in range(400):
        y = step(y, x, i)
    chain = Graph((x,), (y,))
    value = rng.uniform(-0.2, 0.2, (2, 2))
    old = sys.getrecursionlimit()
    sys.setrecursionlimit(300)  # of which pytest itself needs some hundred
    try:
        function = compile_graph(chain, CompileOptions(level=level)).executable
    finally:
        sys.setrecursionlimit(old)
    (want,), _ = evaluate(chain, [value])
    np.testing.assert_allclose(function([value])[0], want, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_chain_of_100_000_nodes_compiles(rng: np.random.Generator) -> None:
    x = leaf(1)
    y = x
    for i in range(50_000):
        y = tanh(add(y, x)) if i % 2 else sub(x, y)
    chain = Graph((x,), (y,))
    compiled = compile_graph(chain, CompileOptions())
    value = rng.uniform(-0.2, 0.2, 5)
    (want,), _ = evaluate(chain, [value])
    np.testing.assert_allclose(compiled.executable([value])[0], want, rtol=1e-9)
    assert sum(compiled.artifact.timings.values()) < 60
