"""Ranges, diagonals and specified shapes: their errors, their plans, and numpy's values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exprd_compiler.errors import DTypeError, GraphError, ShapeError
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Array, Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.kernel.form import Fetch, Kernel
from exprd_compiler.kernel.plan import make_plan
from exprd_compiler.ops.arithmetic import add, mul
from exprd_compiler.ops.diagonals import assign_diagonal, diag, diagonal, eye, identity_like, tril
from exprd_compiler.ops.leaves import const, input_
from exprd_compiler.ops.movement import shape_i, specify_shape
from exprd_compiler.ops.ranges import arange, linspace
from exprd_compiler.ops.reduce import sum_
from exprd_compiler.ops.transcendental import exp
from exprd_compiler.passes.levels import optimize
from tests.ops.conftest import RunGraph
from tests.ops.samples import leaf

MAIN = {"offset": 0, "axis1": 0, "axis2": 1}


def run(run_graph: RunGraph, build: Any, *arrays: Array, known: bool = False) -> Array:
    leaves = [leaf(array, known=known) for array in arrays]
    (value,) = run_graph(Graph(tuple(leaves), (build(*leaves),)), arrays)
    return value


def matrix(rows: int | None = None, columns: int | None = None) -> Node:
    return input_(type=TensorType("float64", (rows, columns)))


def points(*values: float) -> list[Array]:
    return [np.asarray(value) for value in values]


# ---- ranges
@pytest.mark.parametrize(
    "ends", [(0, 7, 1), (3, -8, -2), (5, 5, 1), (0, 1, 5), (0.5, 3.2, 0.3), (1.0, 0.0, -0.1)]
)
def test_arange(ends: tuple[float, float, float], run_graph: RunGraph) -> None:
    got = run(run_graph, arange, *points(*ends))
    np.testing.assert_allclose(got, np.arange(*ends), rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize(
    "ends", [(0, 7, 0), (0.0, 1.0, 0.0), (0.0, np.inf, 1.0), (np.nan, 1.0, 1.0), (0.0, 1.0, -1.0)]
)
def test_what_never_arrives_has_no_elements(
    ends: tuple[float, float, float], run_graph: RunGraph
) -> None:
    assert run(run_graph, arange, *points(*ends)).shape == (0,)


def test_linspace_ends_where_it_should(run_graph: RunGraph) -> None:
    got = run(run_graph, lambda a, b: linspace(a, b, number=11, endpoint=True), *points(0.1, 0.7))
    assert (got[0], got[-1]) == (0.1, 0.7)
    np.testing.assert_allclose(got, np.linspace(0.1, 0.7, 11), rtol=1e-15)


def test_a_range_over_an_extent_needs_no_fetch() -> None:
    x = matrix()
    positions = arange(const(0, "int64"), shape_i(x, axis=0), const(2, "int64"))
    steps = make_plan(optimize(Graph((x,), (positions,)))).steps
    assert [type(step) for step in steps] == [Kernel]


# ---- diagonals
def test_a_diagonal_is_a_view(run_graph: RunGraph) -> None:
    x = matrix()
    steps = make_plan(optimize(Graph((x,), (exp(diagonal(x, **MAIN)),)))).steps
    assert len([step for step in steps if isinstance(step, Kernel)]) == 1
    assert not any(isinstance(step, Fetch) for step in steps)
    array = np.arange(12.0).reshape(3, 4)
    got = run(run_graph, lambda x: sum_(diagonal(x, **MAIN), axes=(0,)), array)
    assert got == np.trace(array)


def test_a_diagonal_is_set_and_increased(run_graph: RunGraph) -> None:
    array, values = np.arange(12.0).reshape(3, 4), np.array([7.0, 8.0, 9.0])
    want = array.copy()
    want[[0, 1, 2], [1, 2, 3]] += values
    place = {"offset": 1, "axis1": 0, "axis2": 1}
    got = run(run_graph, lambda x, y: assign_diagonal(x, y, mode="inc", **place), array, values)
    np.testing.assert_array_equal(got, want)


def test_what_is_written_to_a_diagonal_must_fit(run_graph: RunGraph) -> None:
    array = np.zeros((3, 4))
    for wrong in (np.zeros(4), np.zeros(1)):
        y = input_(type=TensorType("float64", (None,)))
        x = matrix()
        graph = Graph((x, y), (assign_diagonal(x, y, mode="set", **MAIN),))
        with pytest.raises(ShapeError):
            run_graph(graph, [array, wrong])
    with pytest.raises(DTypeError, match="cast the value"):
        assign_diagonal(leaf(np.zeros((2, 2), "int8"), known=False), const(0.5), mode="set", **MAIN)


@pytest.mark.parametrize("known", [False, True])
def test_a_matrix_of_a_diagonal_times_another(known: bool, run_graph: RunGraph) -> None:
    vector, array = np.array([1.0, 2.0, 3.0]), np.arange(9.0).reshape(3, 3)
    got = run(run_graph, lambda v, x: mul(diag(v, offset=0), x), vector, array, known=known)
    np.testing.assert_array_equal(got, np.diag(vector) * array)


@pytest.mark.parametrize("known", [False, True])
def test_identity_like(known: bool, run_graph: RunGraph) -> None:
    array = np.zeros((3, 5), "int16")
    got = run(run_graph, identity_like, array, known=known)
    assert got.dtype == "int16"
    np.testing.assert_array_equal(got, np.eye(3, 5))


@pytest.mark.parametrize(
    "build",
    [
        lambda x: diagonal(x, offset=0, axis1=1, axis2=1),
        lambda x: diagonal(x, offset=0, axis1=0, axis2=2),
        lambda x: diagonal(x, offset=0.5, axis1=0, axis2=1),
        lambda x: diag(x, offset=0),
        lambda x: tril(sum_(x, axes=(0,)), offset=0),
        lambda x: tril(x, offset=True),
        lambda _: eye(shape=(3,), offset=0, dtype="float64"),
        lambda _: eye(shape=(3, -1), offset=0, dtype="float64"),
        lambda _: eye(shape=(3, 3), offset=0, dtype="float"),
        lambda _: eye(shape=(3, None), offset=0, dtype="float64"),
        lambda x: arange(x, x, x),
        lambda _: linspace(const(0.0), const(1.0), number=-1, endpoint=True),
        lambda _: linspace(const(0.0), const(1.0), number=3, endpoint=1),
        lambda _: linspace(const(False), const(True), number=3, endpoint=True),
        lambda x: specify_shape(x, shape=(3,)),
        lambda x: specify_shape(x, shape=(3, -2)),
        lambda x: specify_shape(x, shape=(3, None)),
    ],
)
def test_a_wrong_attribute_makes_no_node(build: Any) -> None:
    with pytest.raises(GraphError):
        build(matrix())


# ---- specified shapes
def test_a_shape_is_checked(run_graph: RunGraph) -> None:
    with pytest.raises(ShapeError, match="specified"):
        run(run_graph, lambda x: specify_shape(x, shape=(3, -1)), np.zeros((2, 4)))
    with pytest.raises(ShapeError, match="specified"):
        run(
            run_graph,
            lambda x, n: specify_shape(x, n, shape=(-1, None)),
            np.zeros((2, 4)),
            np.asarray(-1),
        )
    with pytest.raises(ShapeError, match="does not have shape"):
        specify_shape(matrix(rows=2), shape=(3, -1))


def test_an_axis_specified_as_one_broadcasts(run_graph: RunGraph) -> None:
    x, y = matrix(), matrix()
    graph = Graph((x, y), (add(specify_shape(exp(x), shape=(1, -1)), y),))
    row, array = np.array([[1.0, 2.0, 3.0]]), np.arange(6.0).reshape(2, 3)
    (got,) = run_graph(graph, [row, array])
    np.testing.assert_allclose(got, np.exp(row) + array, rtol=1e-15)


def test_a_specified_shape_does_not_part_kernels() -> None:
    x = matrix()
    steps = make_plan(optimize(Graph((x,), (exp(specify_shape(exp(x), shape=(3, -1))),)))).steps
    assert len([step for step in steps if isinstance(step, Kernel)]) == 1
