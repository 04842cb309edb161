"""Counted events: every way to run a graph counts the same elements, and the right ones."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from exprd_compiler.driver import compile_graph
from exprd_compiler.interpret import evaluate
from exprd_compiler.ir.counts import EventCount
from exprd_compiler.ir.dtype import INTEGERS, SIGNED, UNSIGNED, WIDE_FLOATS
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.lowering import Scalar
from exprd_compiler.ir.node import Array, Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, cast, mul, sub, true_div
from exprd_compiler.ops.creation import alloc
from exprd_compiler.ops.division import int_div, mod
from exprd_compiler.ops.events import (
    DIVISION_BY_ZERO,
    INVALID_CAST,
    NEGATIVE_POWER,
    OVERFLOW,
    WIDE_SHIFT,
)
from exprd_compiler.ops.index import scatter
from exprd_compiler.ops.leaves import const, input_
from exprd_compiler.ops.logic import left_shift
from exprd_compiler.ops.movement import dimshuffle
from exprd_compiler.ops.reduce import max_, sum_
from exprd_compiler.ops.scans import cumsum
from exprd_compiler.ops.table import OPS
from exprd_compiler.options import CompileOptions
from tests.ops.samples import joined, sample

Counts = Counter[tuple[str, str]]
COUNTING = [op for op in OPS.values() if isinstance(op.lowering, Scalar) and op.lowering.events]


def interpreted(graph: Graph, arrays: Sequence[Array]) -> list[EventCount]:
    met: list[EventCount] = []
    evaluate(graph, arrays, (), met)
    return met


def native(graph: Graph, arrays: Sequence[Array], level: str = "fast_run") -> list[EventCount]:
    compiled = compile_graph(graph, CompileOptions(level=level))
    return list(compiled.executable.run(arrays)[1])


WAYS: dict[str, Callable[[Graph, Sequence[Array]], list[EventCount]]] = {
    "interpret": interpreted,
    "native": native,
    "unoptimized": lambda graph, arrays: native(graph, arrays, "none"),
}


@pytest.fixture(params=WAYS)
def counts(request: pytest.FixtureRequest) -> Callable[[Graph, Sequence[Array]], Counts]:
    """`counts(graph, arrays)` gives how often each op met each event, by one way to run it."""

    def count(graph: Graph, arrays: Sequence[Array]) -> Counts:
        found: Counts = Counter()
        for one in WAYS[request.param](graph, arrays):
            assert one.count > 0
            found[one.op, one.kind] += one.count
        return found

    return count


# ---- which elements are counted
def in_python(name: str, a: int, b: int, bits: int) -> Iterator[str]:
    """The events of one pair of integers, in the words of Python."""
    if name in ("int_div", "mod") and b == 0:
        yield DIVISION_BY_ZERO
    if name == "int_div" and a == -(1 << (bits - 1)) and b == -1:
        yield OVERFLOW
    if name in ("left_shift", "right_shift") and not 0 <= b < bits:
        yield WIDE_SHIFT
    if name == "pow" and b < 0:
        yield NEGATIVE_POWER


def test_the_ops_that_count_are_these() -> None:
    assert {op.name for op in COUNTING} == {
        "cast", "int_div", "mod", "left_shift", "right_shift", "pow",
    }  # fmt: skip


@pytest.mark.parametrize("dtype", INTEGERS)
def test_pairs_of_integers(dtype: str, counts, rng: np.random.Generator) -> None:
    info = np.iinfo(dtype)
    edges = [info.min, info.max, 0, 1, 2, info.bits - 1, info.bits, 3]
    edges += [-1, -2] if dtype in SIGNED else []
    a, b = rng.choice(np.array(edges, dtype), (2, 333))
    a[:2], b[:2] = info.min, edges[-2]
    names = ("int_div", "mod", "left_shift", "right_shift", "pow")
    graph, arrays = joined([sample(OPS[name], (a, b), {}) for name in names])
    wanted: Counts = Counter()
    for name in names:
        for x, y in zip(a.tolist(), b.tolist(), strict=True):
            wanted.update((name, kind) for kind in in_python(name, x, y, info.bits))
    assert counts(graph, arrays) == wanted


@pytest.mark.parametrize("source", WIDE_FLOATS)
def test_floats_that_no_integer_holds(source: str, counts) -> None:
    edges = [0.0, 0.99, -0.99, -1.0, math.nan, math.inf, -math.inf, 1e30]
    for bits in (7, 8, 15, 16, 31, 32, 63, 64):
        edges += [2.0**bits, 2.0**bits - 0.5, -(2.0**bits), -(2.0**bits) - 0.5, -(2.0**bits) - 1]
    x = np.array(edges, source)
    x = np.concatenate([x, np.nextafter(x, np.inf), np.nextafter(x, -np.inf)]).astype(source)
    dtypes = [*SIGNED, *UNSIGNED, "bool", "float32", "float64"]
    for dtype in dtypes:
        graph, arrays = joined([sample(cast, (x,), {"dtype": dtype})])
        wanted = sum(not _holds(dtype, value) for value in x.tolist())
        found = counts(graph, arrays)
        assert found == (Counter({("cast", INVALID_CAST): wanted}) if wanted else Counter()), dtype


def _holds(dtype: str, value: float) -> bool:
    if dtype not in INTEGERS:
        return True
    info = np.iinfo(dtype)
    return math.isfinite(value) and info.min <= math.trunc(value) <= info.max


def test_16_bit_floats(counts) -> None:
    x = np.array([1.0, 300.0, np.nan, -1.0, 65504.0, np.inf], "float16")
    for dtype, wanted in (("int8", 4), ("uint8", 5), ("int32", 2), ("uint64", 3)):
        graph, arrays = joined([sample(cast, (x,), {"dtype": dtype})])
        assert counts(graph, arrays) == {("cast", INVALID_CAST): wanted}, dtype


# ---- each element once
def leaf(*shape: int | None, dtype: str = "int64") -> Node:
    return input_(type=TensorType(dtype, shape))


def zeros_in(rng: np.random.Generator, *shape: int) -> Array:
    return rng.integers(0, 4, shape)


@pytest.mark.parametrize(
    "shape", [(), (0,), (1,), (15,), (16,), (33,), (67, 35), (3, 0), (2, 3, 41)]
)
def test_shapes_and_tails(shape: tuple[int, ...], counts, rng: np.random.Generator) -> None:
    a, b = zeros_in(rng, *shape), zeros_in(rng, *shape)
    x, y = leaf(*[None] * len(shape)), leaf(*[None] * len(shape))
    found = counts(Graph((x, y), (mod(x, y),)), [a, b])
    assert found["mod", DIVISION_BY_ZERO] == np.count_nonzero(b == 0)


GRID = (19, 37)


def _row(x: Node, y: Node) -> Node:
    """A quotient of rows, added to a matrix: computed for each row or once, counted once."""
    row = int_div(sum_(x, axes=(0,)), sum_(y, axes=(0,)))
    return add(x, dimshuffle(row, order=(-1, 0)))


def _stages(x: Node, y: Node) -> Node:
    """A quotient that is needed before and after a fold."""
    ratio = cast(true_div(x, y), dtype="int32")
    return sub(ratio, dimshuffle(max_(ratio, axes=(1,)), order=(0, -1)))


def _twice(x: Node, y: Node) -> Node:
    """A cheap value that several kernels compute: as it stands, turned over, and in sums."""
    shifted = left_shift(x, sub(y, const(1, "int64")))
    turned = dimshuffle(shifted, order=(1, 0))
    both = add(sum_(shifted, axes=(1,)), sum_(turned, axes=(0,)))
    return add(shifted, dimshuffle(both, order=(0, -1)))


def _column(x: Node, y: Node) -> Node:
    """A value of a column that a fold over rows reads."""
    column = mod(sum_(x, axes=(1,)), sum_(y, axes=(1,)))
    return sum_(mul(x, dimshuffle(column, order=(0, -1))), axes=(0,))


def _scanned(x: Node, y: Node) -> Node:
    return cumsum(mod(x, y), axis=0)


def _scattered(x: Node, y: Node) -> Node:
    at = const(np.array([3, 3, 0]))
    return scatter(x, int_div(sum_(x, axes=(0,)), sum_(y, axes=(0,))), at, mode="inc")


SHAPES_OF_USE = {
    f.__name__.strip("_"): f for f in (_row, _stages, _twice, _column, _scanned, _scattered)
}


@pytest.mark.parametrize("name", SHAPES_OF_USE)
def test_a_value_that_is_computed_more_than_once_counts_once(
    name: str, rng: np.random.Generator
) -> None:
    x, y = leaf(None, None), leaf(None, None)
    a, b = zeros_in(rng, *GRID), zeros_in(rng, *GRID)
    b[:, :5], b[2:4] = 0, 0
    graph = Graph((x, y), (SHAPES_OF_USE[name](x, y), add(x, y)))
    wanted = interpreted(graph, [a, b])
    assert wanted
    for level in ("fast_run", "none"):
        assert native(graph, [a, b], level) == wanted, level


def test_elements_that_lie_nowhere_count_all_the_same() -> None:
    """A repeated number is loaded once, but its quotient has 5 x 7 elements.

    The optimizer computes it once and repeats the result, so there is one element to count.
    """
    n, m, x = leaf(), leaf(), leaf()
    wide = alloc(x, n, m, shape=(None, None))
    graph = Graph((x, n, m), (int_div(wide, sub(wide, wide)), wide))
    arrays = [np.array(3), np.array(5), np.array(7)]
    found = {level: native(graph, arrays, level)[0].count for level in ("none", "fast_run")}
    assert found == {"none": 35, "fast_run": 1}
    assert interpreted(graph, arrays)[0].count == 35


def test_a_constant_that_calls_report_is_not_folded(counts) -> None:
    x = leaf(None)
    graph = Graph((x,), (add(x, int_div(const(5, "int64"), const(0, "int64"))),))
    assert counts(graph, [np.arange(3)]) == {("int_div", DIVISION_BY_ZERO): 1}


def test_the_counts_of_calls_do_not_add_up() -> None:
    x, y = leaf(None), leaf(None)
    run = compile_graph(Graph((x, y), (int_div(x, y),)), CompileOptions()).executable.run
    a = np.arange(100)
    assert [one.count for _ in range(3) for one in run([a, a])[1]] == [1, 1, 1]
    assert run([a, a + 1])[1] == ()


def test_the_node_is_told() -> None:
    x, y = leaf(None), leaf(None)
    node = int_div(x, y)
    node.origin = 7
    for way in WAYS.values():
        (one,) = way(Graph((x, y), (node,)), [np.arange(3), np.zeros(3, "int64")])
        assert one == EventCount(DIVISION_BY_ZERO, "int_div", 7, 3)
