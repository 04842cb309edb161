"""What kernels compute: loops of every shape, the same bits on every machine, folds in order."""

from __future__ import annotations

import numpy as np
import pytest

from exprd_compiler.backends.llvm.kernels import NARROW_LANES, WIDE_LANES, lanes_of
from exprd_compiler.backends.llvm.target import LEVELS, supports
from exprd_compiler.driver import compile_graph
from exprd_compiler.interpret import evaluate
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.lowering import Library
from exprd_compiler.kernel.form import Kernel
from exprd_compiler.kernel.plan import make_plan
from exprd_compiler.ops.arithmetic import add, cast, mul, sub
from exprd_compiler.ops.index import NEXT, assign, gather, scatter, subtensor
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import lt, maximum
from exprd_compiler.ops.movement import dimshuffle
from exprd_compiler.ops.nnet import softmax
from exprd_compiler.ops.reduce import argmax, expand_axes, max_, sum_
from exprd_compiler.ops.transcendental import exp, tanh
from exprd_compiler.options import CompileOptions
from exprd_compiler.passes.levels import optimize
from tests.compiler.kernel.graphs import GRAPHS
from tests.compiler.native import leaf, native, numpys
from tests.compiler.random_graphs import random_graph

# around the lanes of both kinds of kernels, where tails begin and end
EDGES = (0, 1, 2, WIDE_LANES - 1, WIDE_LANES, WIDE_LANES + 1, NARROW_LANES, NARROW_LANES + 1, 65)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int16", "bool"])
def test_every_length_around_a_vector_is_complete(dtype: str, rng: np.random.Generator) -> None:
    x, y = leaf(1, dtype), leaf(1, dtype)
    outputs = [maximum(x, y), sum_(x, axes=(0,)), lt(x, y), add(x, const(1, "int8"))]
    function = native([x, y], *outputs)
    for n in EDGES:
        values = [rng.normal(scale=50, size=n).astype(dtype) for _ in range(2)]
        for got, want in zip(function(values), numpys([x, y], outputs, values), strict=True):
            assert got.dtype == want.dtype
            np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_folds_over_any_axes_of_any_layout(
    axes: tuple[int, ...], order: tuple[int, ...], rng: np.random.Generator
) -> None:
    x = leaf(3)
    seen = dimshuffle(x, order=order)
    total = sum_(seen, axes=axes)
    outputs = [total, max_(seen, axes=axes), sub(seen, expand_axes(total, axes))]
    function = native([x], *outputs)
    for shape in ((1, 1, 1), (2, 17, 33), (33, 3, 2)):
        value = rng.normal(size=shape)
        for got, want in zip(function([value]), numpys([x], outputs, [value]), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n", [1, 5, WIDE_LANES, 100])
def test_argmax_is_the_first_of_equals_and_the_first_nan(n: int, rng: np.random.Generator) -> None:
    x = leaf(2)
    for axis in (0, 1):
        function = native([x], argmax(x, axes=(axis,)))
        for value in (
            np.zeros((n, n)),
            rng.integers(0, 3, (n, n)).astype("float64"),
            np.where(rng.random((n, n)) < 0.1, np.nan, rng.normal(size=(n, n))),
            np.full((n, n), -np.inf),
        ):
            np.testing.assert_array_equal(function([value])[0], value.argmax(axis))


def test_max_propagates_nan_and_softmax_survives_infinity() -> None:
    x = leaf(2)
    function = native([x], max_(x, axes=(1,)), softmax(x, axis=1))
    value = np.array([[1, np.nan, 3], [-np.inf, 0, 1000], [-1000, -1001, -np.inf]])
    largest, rows = function([value])
    np.testing.assert_array_equal(largest, [np.nan, 1000, -1000])
    np.testing.assert_allclose(rows[1], [0, 0, 1])
    np.testing.assert_allclose(rows[2], np.exp([0, -1, -np.inf]) / np.exp([0, -1]).sum())


def test_a_sum_of_singles_is_accumulated_in_double() -> None:
    x = leaf(1, "float32")
    value = np.full(10**6, 0.1, "float32")
    (got,) = native([x], sum_(x, axes=(0,)))([value])
    assert got.dtype == "float32"
    assert got == np.float32(value.astype("float64").sum())


@pytest.mark.parametrize("dtype", ["float32", "int16", "bool", "float16", "complex64"])
def test_rows_that_indexes_choose_are_complete(dtype: str, rng: np.random.Generator) -> None:
    """Neighbours in memory of every length, read, set and added to; equal indexes too."""
    x, y, index = leaf(2, dtype), leaf(2, dtype), leaf(1, "int64")
    outputs = [
        gather(x, index),
        scatter(x, y, index, mode="set"),
        scatter(x, y, index, mode="inc"),
        assign(x, y, index=(("slice", 2, 14, None),), mode="inc"),
    ]
    function = native([x, y, index], *outputs)
    for n in EDGES:
        values = [rng.integers(-2, 3, (rows, n)).astype(dtype) for rows in (20, 12)]
        values.append(rng.integers(-20, 20, 12))
        wanted = numpys([x, y, index], outputs, values)
        for got, want in zip(function(values), wanted, strict=True):
            np.testing.assert_array_equal(got, want)


def test_equal_indexes_are_written_in_order(rng: np.random.Generator) -> None:
    x, y, index = leaf(2), leaf(2), leaf(1, "int64")
    outputs = [scatter(x, y, index, mode=mode) for mode in ("set", "inc")]
    for rows, columns in ((100, 1), (100, 40)):
        values = [
            rng.normal(size=(7, columns)),
            rng.normal(size=(rows, columns)),
            rng.integers(-7, 7, rows),
        ]
        wanted = numpys([x, y, index], outputs, values)
        for got, want in zip(native([x, y, index], *outputs)(values), wanted, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-13)


def test_an_output_may_be_computed_from_the_whole_of_another(rng: np.random.Generator) -> None:
    """A permutation of rows reads what its own kernel must have finished writing."""
    x, index = leaf(2), leaf(1, "int64")
    squared = exp(x)
    value, order = rng.normal(size=(20, 30)), rng.permutation(20)
    first, second = native([x, index], squared, gather(squared, index))([value, order])
    np.testing.assert_array_equal(second, first[order])


# ---- the same bits everywhere
def bits(arrays: list[np.ndarray]) -> list[bytes]:
    return [array.tobytes() for array in arrays]


@pytest.mark.skipif(not supports(LEVELS["v4"]), reason="this machine has no AVX-512")
@pytest.mark.parametrize("first", range(0, 60, 10))
def test_the_bits_do_not_depend_on_the_width_of_registers(first: int) -> None:
    for seed in range(first, first + 10):
        graph, values = random_graph(seed)
        if any(isinstance(node.op.lowering, Library) for node in optimize(graph).nodes()):
            continue  # BLAS chooses its own kernels
        v3, v4 = (
            compile_graph(graph, CompileOptions(machine=machine)).executable(values)
            for machine in ("v3", "v4")
        )
        assert bits(v3) == bits(v4)


def test_the_bits_do_not_depend_on_where_the_data_lies(rng: np.random.Generator) -> None:
    x = leaf(1, "float32")
    function = native([x], sum_(exp(x), axes=(0,)), tanh(x))
    raw = rng.normal(size=1000).astype("float32")
    wanted = bits(function([raw]))
    for shift in range(1, 5):
        moved = np.empty(1000 + shift, "float32")[shift:]
        moved[...] = raw
        assert bits(function([moved])) == wanted


# ---- fusion
@pytest.mark.parametrize("name", GRAPHS)
def test_pinned_graphs_compute_what_numpy_does(name: str, rng: np.random.Generator) -> None:
    graph = GRAPHS[name]()
    values: list[np.ndarray] = []
    for node in graph.leaves:
        shape = (6,) * node.ndim  # square, so that whatever must agree does
        if node.dtype == "int64":
            values.append(np.asarray(rng.integers(0, 2, shape)))
        else:
            values.append(np.asarray(rng.uniform(0.1, 0.9, shape), node.dtype))
    count = len(graph.inputs)
    outputs, updates = evaluate(graph, values[:count], values[count:])
    got = compile_graph(graph, CompileOptions()).executable(values)
    for mine, want in zip(got, [*outputs, *updates], strict=True):
        np.testing.assert_allclose(mine, want, rtol=2e-5, atol=1e-6)


def test_a_fetched_bound_moves_with_its_value(rng: np.random.Generator) -> None:
    x, i = leaf(2), leaf(0, "int64")
    first = mul(i, const(4, "int64"))
    rows = subtensor(x, first, add(first, const(4, "int64")), index=(("slice", NEXT, NEXT, None),))
    function = native([x, i], sum_(rows, axes=(0,)))
    data = rng.normal(size=(18, 3))
    for k in range(6):
        (got,) = function([data, np.array(k)])
        np.testing.assert_allclose(got, data[4 * k : 4 * k + 4].sum(0), atol=1e-14)


def test_a_kernel_has_as_many_lanes_as_its_widest_value_wants() -> None:
    x = leaf(1, "float32")
    for node, lanes in ((exp(x), NARROW_LANES), (exp(cast(x, dtype="float64")), WIDE_LANES)):
        (kernel,) = make_plan(optimize(Graph((x,), (node,)))).steps
        assert isinstance(kernel, Kernel)
        assert lanes_of(kernel) == lanes
