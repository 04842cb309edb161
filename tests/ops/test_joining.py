"""Joined, repeated and scanned values: their errors, their plans, and what numpy is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exprd_compiler.errors import DTypeError, GraphError, IndexOutOfRange, ShapeError
from exprd_compiler.grad import grad
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Array, Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.kernel.form import Fetch, Kernel
from exprd_compiler.kernel.plan import make_plan
from exprd_compiler.ops.creation import alloc
from exprd_compiler.ops.joining import join, roll, split
from exprd_compiler.ops.leaves import const, input_
from exprd_compiler.ops.reduce import sum_
from exprd_compiler.ops.repetition import extend, pad, repeat, repeat_each, tile
from exprd_compiler.ops.scans import cumprod, cumsum, flip
from exprd_compiler.passes.levels import optimize
from tests.ops.conftest import RunGraph, native
from tests.ops.samples import leaf


def run(run_graph: RunGraph, build: Any, *arrays: Array) -> Array:
    leaves = [leaf(array, known=False) for array in arrays]
    (value,) = run_graph(Graph(tuple(leaves), (build(*leaves),)), arrays)
    return value


def matrix(rows: int | None = None, columns: int | None = None) -> Node:
    return input_(type=TensorType("float64", (rows, columns)))


A, B = np.arange(6.0).reshape(2, 3), np.arange(8.0).reshape(2, 4)
NUMBER = np.asarray(-1, "int64")


# ---- errors
@pytest.mark.parametrize("second", [(3, None), (None, 4, 1), (1, 4)])
def test_what_cannot_be_joined(second: tuple[int | None, ...]) -> None:
    other = input_(type=TensorType("float64", second))
    with pytest.raises(ShapeError):
        join(matrix(rows=2), other, axis=1)


def test_extents_that_meet_must_agree(run_graph: RunGraph) -> None:
    with pytest.raises(ShapeError):
        run(run_graph, lambda a, b: join(a, b, axis=0), A, B)


def test_nothing_is_joined_to_nothing() -> None:
    with pytest.raises(GraphError, match="one or more"):
        join(axis=0)


@pytest.mark.parametrize(
    "build",
    [
        lambda x, n: repeat(x, n, repeats=None, axis=0),
        lambda x, n: tile(x, n, reps=(None, 1)),
        lambda x, n: pad(x, const(0.0), n, widths=(None, 0, 0, 0)),
        lambda x, n: pad(x, const(0.0), n, widths=(0, 0, 0, None)),
    ],
)
def test_a_count_below_zero(build: Any, run_graph: RunGraph) -> None:
    with pytest.raises(ShapeError):
        run(run_graph, build, A, NUMBER)


@pytest.mark.parametrize(
    "build",
    [
        lambda x: repeat(x, repeats=-1, axis=0),
        lambda x: repeat(x, repeats=2.0, axis=0),
        lambda x: repeat(x, repeats=2, axis=2),
        lambda x: tile(x, reps=(2,)),
        lambda x: tile(x, reps=(2, -1)),
        lambda x: pad(x, const(0.0), widths=(1, 1)),
        lambda x: pad(x, const(0.0), widths=(1, 1, -1, 0)),
        lambda x: extend(x, widths=(1, 1, 1, 1), mode="mean"),
        lambda x: extend(x, widths=(1, 1, 1, None), mode="edge"),
        lambda x: roll(x, shift=1.0, axis=0),
        lambda x: roll(x, shift=1, axis=-1),
        lambda x: cumsum(x, axis=2),
        lambda x: cumprod(x, axis=None),
    ],
)
def test_a_wrong_attribute_makes_no_node(build: Any) -> None:
    with pytest.raises((GraphError, TypeError)):
        build(matrix())


def test_a_border_fits_its_value() -> None:
    x = input_(type=TensorType("int8", (None,)))
    with pytest.raises(DTypeError, match="0-d value of int8"):
        pad(x, const(0.5), widths=(1, 1))


@pytest.mark.parametrize("mode", ["edge", "reflect", "symmetric", "wrap"])
def test_an_empty_axis_has_nothing_to_extend_it_with(mode: str, run_graph: RunGraph) -> None:
    with pytest.raises(IndexOutOfRange):
        run(run_graph, lambda x: extend(x, widths=(1, 0), mode=mode), np.zeros(0))


def test_more_elements_than_can_be_counted() -> None:
    n = input_(type=TensorType("int64"))
    long = alloc(const(1.0), n, shape=(None,))
    with pytest.raises(ShapeError, match="too many elements"):
        native(Graph((n,), (join(long, long, long, long, axis=0),)), [np.asarray(2**62)])


@pytest.mark.parametrize("counts", [[1, -1, 2], [1, 2], [1, 2, 3, 0]])
def test_counts_that_do_not_fit(counts: list[int], run_graph: RunGraph) -> None:
    with pytest.raises(ShapeError):
        run(run_graph, lambda x, c: repeat_each(x, c, axis=1), A, np.array(counts))


# ---- values
@pytest.mark.parametrize("shift", [0, 1, -1, 5, 12, -13])
@pytest.mark.parametrize("known", [False, True])
def test_any_shift(shift: int, known: bool, run_graph: RunGraph) -> None:
    array, by = np.arange(5.0), np.asarray(shift, "int64")
    x, n = leaf(array, known=known), input_(type=TensorType("int64"))
    graph = Graph((x, n), (roll(x, shift=shift, axis=0), roll(x, n, shift=None, axis=0)))
    for got in run_graph(graph, [array, by]):
        np.testing.assert_array_equal(got, np.roll(array, shift))


def test_dtypes_meet_when_joined(run_graph: RunGraph) -> None:
    parts = [np.arange(3, dtype="int8"), np.arange(2, dtype="float32"), np.ones(1, bool)]
    got = run(run_graph, lambda *xs: join(*xs, axis=0), *parts)
    assert got.dtype == "float32"
    np.testing.assert_array_equal(got, [0, 1, 2, 0, 1, 1])


def test_split_undoes_join(run_graph: RunGraph) -> None:
    x = matrix()
    n = input_(type=TensorType("int64"))
    graph = Graph((x, n), tuple(split(x, [n, 1], axis=1)))
    left, right = run_graph(graph, [B, np.asarray(3)])
    np.testing.assert_array_equal(left, B[:, :3])
    np.testing.assert_array_equal(right, B[:, 3:])


@pytest.mark.parametrize("axes", [(), (0,), (1,), (0, 1)])
def test_flip(axes: tuple[int, ...], run_graph: RunGraph) -> None:
    np.testing.assert_array_equal(run(run_graph, lambda x: flip(x, axes), A), np.flip(A, axes))


def test_a_scan_goes_in_order(run_graph: RunGraph) -> None:
    """Sums of floats depend on the order; numpy's is that of the axis."""
    array = np.random.default_rng(3).normal(size=(50, 70)).astype("float32")
    for axis in (0, 1):
        got = run(run_graph, lambda x, axis=axis: cumsum(x, axis=axis), array)
        np.testing.assert_array_equal(got, np.cumsum(array, axis=axis))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shape", [(2, 2, 2), (1, 3, 33), (3, 1, 2), (2, 40, 1), (3, 0, 2)])
def test_scans_of_all_axes(shape: tuple[int, ...], axis: int, run_graph: RunGraph) -> None:
    array = np.arange(1, 1 + np.prod(shape), dtype="int64").reshape(shape)
    for known in (False, True):
        x = leaf(array, known=known)
        (got,) = run_graph(Graph((x,), (cumsum(x, axis=axis),)), [array])
        np.testing.assert_array_equal(got, np.cumsum(array, axis=axis))


@pytest.mark.parametrize("zeros", [(), (0,), (2,), (1, 3), (3,)])
def test_the_gradient_of_a_running_product_beside_zeros(
    zeros: tuple[int, ...], run_graph: RunGraph
) -> None:
    array = np.array([2.0, 3.0, 0.5, 7.0])
    array[list(zeros)] = 0

    def slope(x: Node) -> Node:
        (found,) = grad(sum_(cumprod(x, axis=0), axes=(0,)), [x])
        return found

    want = [sum(np.prod(np.delete(array[: last + 1], i)) for last in range(i, 4)) for i in range(4)]
    np.testing.assert_allclose(run(run_graph, slope, array), want)


# ---- plans
def kernels(node: Node, *inputs: Node) -> list[Kernel]:
    steps = make_plan(optimize(Graph(inputs, (node,)))).steps
    assert not any(isinstance(step, Fetch) for step in steps), "extents need no computation"
    return [step for step in steps if isinstance(step, Kernel)]


def test_each_input_is_joined_by_one_kernel() -> None:
    x, y, z = (matrix() for _ in range(3))
    found = kernels(join(x, y, z, axis=1), x, y, z)
    assert [kernel.label for kernel in found] == ["join"] * 3
    assert all(len(kernel.stores) == 1 for kernel in found)


def test_a_shift_copies_each_element_once() -> None:
    x = matrix()
    assert [kernel.label for kernel in kernels(roll(x, shift=3, axis=0), x)] == ["join"] * 2


def test_a_scan_is_in_vectors_across_the_axis_only() -> None:
    x = matrix()
    _, down = kernels(cumsum(x, axis=0), x)
    assert (len(down.axes), down.vector) == (2, 1)
    _, along = kernels(cumsum(x, axis=1), x)
    assert (len(along.axes), along.vector) == (2, -1)
