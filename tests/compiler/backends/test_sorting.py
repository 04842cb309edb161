"""Sorting, search and compaction natively: every way to sort, all dtypes, on two code levels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from exprd_compiler.backends.llvm.networks import LONGEST, TOGETHER
from exprd_compiler.backends.llvm.ranking import RUN
from exprd_compiler.backends.llvm.sorting import FEW, MANY
from exprd_compiler.driver import compile_graph
from exprd_compiler.errors import DeviceUnavailable, IndexOutOfRange
from exprd_compiler.interpret import evaluate
from exprd_compiler.ir.dtype import DISCRETE, EVERY, ITEMSIZE, WIDE_FLOATS
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.half import converted
from exprd_compiler.ir.node import Array, Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.leaves import const, input_
from exprd_compiler.ops.masks import flatnonzero, true_elements, true_positions
from exprd_compiler.ops.movement import dimshuffle
from exprd_compiler.ops.reduce import sum_
from exprd_compiler.ops.sets import distinct, distinct_values, searchsorted
from exprd_compiler.ops.sorting import argsort, argtop, sort, top
from exprd_compiler.options import CompileOptions

SPECIAL = (np.nan, -np.nan, 0.0, -0.0, 1, -1, np.inf, -np.inf, 5e-324, -5e-324, 2, 3)
BOTH = (False, True)


def leaf(dtype: str, rank: int) -> Node:
    return input_(type=TensorType(dtype, (None,) * rank))


def same_bits(graph: Graph, arrays: Sequence[Array], machine: str = "") -> list[Array]:
    """What native code gives, which is what the interpreter gives, bit for bit."""
    try:
        compiled = compile_graph(graph, CompileOptions(machine=machine))
    except DeviceUnavailable:
        pytest.skip(f"this machine has no {machine}")
    got, (want, _) = compiled.executable(arrays), evaluate(graph, arrays)
    for one, other in zip(got, want, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tobytes() == other.tobytes()
    return got


def lengths(dtype: str) -> list[int]:
    """Lengths on both sides of every border between two ways to sort."""
    borders = (16, FEW, RUN, 2 * RUN, 3 * RUN, MANY[ITEMSIZE[dtype]])
    return sorted({0, 1, 2, 1000, *(b + more for b in borders for more in (-1, 0, 1))})


def draw(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    """Values of all magnitudes, many of them equal."""
    if dtype in WIDE_FLOATS:
        wide = np.where(rng.random(shape) < 0.5, rng.choice(SPECIAL, shape), rng.normal(size=shape))
        return wide.astype(dtype)
    if dtype == "bool":
        return rng.random(shape) < 0.3
    bits = rng.integers(0, 256, (*shape, 8)).astype("uint8").view("int64")[..., 0]
    return np.where(rng.random(shape) < 0.5, bits, bits % 5).astype(dtype)


@pytest.mark.parametrize("dtype", [*DISCRETE, *WIDE_FLOATS])
@pytest.mark.parametrize("machine", ["v3", ""])
def test_rows_of_every_length(dtype: str, machine: str, rng: np.random.Generator) -> None:
    x = leaf(dtype, 2)
    found = [op(x, descending=d) for op in (sort, argsort) for d in BOTH]
    compiled = compile_graph(Graph((x,), tuple(found)), CompileOptions(machine=machine)).executable
    for n in lengths(dtype):
        a = draw(rng, (3, n), dtype)
        want = [op.numpy(a, descending=d) for op in (sort, argsort) for d in BOTH]
        for got, expected in zip(compiled([a]), want, strict=True):
            assert got.tobytes() == expected.tobytes(), n


@pytest.mark.parametrize("dtype", ["int8", "uint32", "float32", "float64"])
def test_the_first_of_rows(dtype: str, rng: np.random.Generator) -> None:
    x, k = leaf(dtype, 2), input_(type=TensorType("int64"))
    found = [op(x, k, count=None, descending=d) for op in (top, argtop) for d in BOTH]
    compiled = compile_graph(Graph((x, k), tuple(found)), CompileOptions()).executable
    for n in (1, 5, FEW + 2, 1200):
        a = draw(rng, (3, n), dtype)
        a[2] = np.sort(a[2])
        for count in sorted({0, 1, min(n, FEW), min(n, FEW + 1), n // 8, n}):
            want = [
                op.numpy(a, np.array(count), count=None, descending=d)
                for op in (top, argtop)
                for d in BOTH
            ]
            for got, expected in zip(compiled([a, np.array(count)]), want, strict=True):
                assert got.tobytes() == expected.tobytes(), (n, count)


def test_rows_that_are_in_order_already() -> None:
    x = leaf("int64", 1)
    graph = Graph(
        (x,),
        (sort(x, descending=False), argsort(x, descending=False), top(x, count=5, descending=True)),
    )
    for values in (np.arange(3000), np.arange(3000)[::-1].copy(), np.full(3000, 7)):
        same_bits(graph, [values])


@pytest.mark.parametrize("descending", BOTH)
@pytest.mark.parametrize("dtype", ["int32", "uint64", "float32", "float64"])
def test_rows_are_sorted_together(dtype: str, descending: bool, rng: np.random.Generator) -> None:
    """By a network where there are enough of them; those with NaN or -0 keep their order."""
    x = leaf(dtype, 2)
    graph = Graph((x,), (sort(x, descending=descending),))
    lanes = TOGETHER[ITEMSIZE[dtype]]
    for rows, n in ((lanes, 1), (lanes - 1, 5), (lanes, 0), (2 * lanes + 3, 33), (3 * lanes, 7)):
        same_bits(graph, [draw(rng, (rows, n), dtype)])
        same_bits(graph, [rng.integers(0, 2**31, (rows, n)).astype(dtype)])
    same_bits(graph, [rng.integers(0, 999, (lanes + 1, LONGEST)).astype(dtype)])
    same_bits(graph, [rng.integers(0, 999, (lanes + 1, LONGEST + 1)).astype(dtype)])


def test_a_moved_axis_is_copied_and_a_part_is_not() -> None:
    x = leaf("float64", 2)
    by_column = sort(dimshuffle(x, order=(1, 0)), descending=False)
    a = np.random.default_rng(1).normal(size=(40, 7))
    same_bits(Graph((x,), (by_column,)), [a])
    same_bits(Graph((x,), (argsort(by_column, descending=True),)), [a])


@pytest.mark.parametrize("dtype", ["bool", "int16", "uint64", "float64"])
def test_search(dtype: str, rng: np.random.Generator) -> None:
    a, v = leaf(dtype, 1), leaf(dtype, 2)
    graph = Graph((a, v), tuple(searchsorted(a, v, right=right) for right in BOTH))
    for n in (0, 1, 2, 3, 17, 100):
        same_bits(graph, [np.sort(draw(rng, (n,), dtype)), draw(rng, (3, 40), dtype)])


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_compaction(share: float, rng: np.random.Generator) -> None:
    mask = leaf("bool", 1)
    graph = Graph((mask,), (flatnonzero(mask),))
    for n in (0, 1, 7, 8, 9, 64, 1003):
        same_bits(graph, [rng.random(n) < share])


@pytest.mark.parametrize("dtype", EVERY)
def test_elements_at_a_mask(dtype: str, rng: np.random.Generator) -> None:
    x, mask = leaf(dtype, 1), leaf("bool", 1)
    count = sum_(mask, axes=(0,))
    graph = Graph((x, mask), (true_elements(x, mask, count),))
    for n, share in ((0, 0.5), (7, 1.0), (64, 1.0), (65, 0.0), (200, 0.5), (200, 0.95)):
        same_bits(graph, [converted(rng.integers(0, 100, n), dtype), rng.random(n) < share])


def test_fewer_true_elements_than_said() -> None:
    mask, count = leaf("bool", 1), input_(type=TensorType("int64"))
    given = np.array([True, False, True] * 5)
    for choice in (true_positions(mask, count), true_elements(mask, mask, count)):
        graph = Graph((mask, count), (choice,))
        for few in (0, 3, 10):
            same_bits(graph, [given, np.array(few)])
        run = compile_graph(graph, CompileOptions()).executable
        with pytest.raises(IndexOutOfRange, match="only 10 elements are true, not 11"):
            run([given, np.array(11)])


@pytest.mark.parametrize("dtype", ["bool", "uint8", "float32"])
def test_distinct_values(dtype: str, rng: np.random.Generator) -> None:
    x = leaf(dtype, 1)
    d = distinct(x)
    graph = Graph((x,), (d.values, d.index, d.inverse, d.counts, distinct_values(x)))
    for n in (0, 1, 2, 300):
        a = draw(rng, (n,), dtype)
        got = same_bits(graph, [a])
        for one, want in zip(got, np.unique(a, True, True, True), strict=False):
            np.testing.assert_array_equal(one, want)


def test_constants_are_sorted_before_any_call() -> None:
    graph = Graph((), (sort(const([3, 1, 2]), descending=False),))
    assert same_bits(graph, [])[0].tolist() == [1, 2, 3]
