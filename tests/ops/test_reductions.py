"""Folds at the ends of numbers: NaN, infinities, zeros, and no elements at all."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from exprd_compiler.errors import DTypeError, GraphError, ShapeError
from exprd_compiler.grad import grad
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Array, Node
from exprd_compiler.ops import reduce
from exprd_compiler.ops.table import OPS
from tests.ops.conftest import RunGraph
from tests.ops.samples import assert_close, leaf

INF = np.inf
ROWS = np.array(
    [
        [1.0, -2.0, 3.0, 3.0],
        [np.nan, 1.0, np.nan, 0.0],
        [INF, 1.0, 2.0, INF],
        [-INF, -INF, -INF, -INF],
        [INF, -INF, 1.0, 0.0],
        [0.0, -0.0, 0.0, 0.0],
    ]
)
MEANINGS = {
    "sum": np.sum,
    "prod": np.prod,
    "max": np.max,
    "min": np.min,
    "any": np.any,
    "all": np.all,
    "argmax": np.argmax,
    "argmin": np.argmin,
    "mean": np.mean,
    "var": np.var,
    "std": np.std,
    "ptp": np.ptp,
}
FURTHER: dict[str, dict[str, Any]] = {"var": {"ddof": 0}, "std": {"ddof": 0}}


def run(run_graph: RunGraph, build: Any, *arrays: Array) -> Array:
    leaves = [leaf(array, known=False) for array in arrays]
    (value,) = run_graph(Graph(tuple(leaves), (build(*leaves),)), arrays)
    return value


def numpy_of(name: str, array: Array, axis: int) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(MEANINGS[name](array, axis=axis))


@pytest.mark.parametrize("name", MEANINGS)
@pytest.mark.parametrize("axis", [0, 1])
def test_rows_with_special_values(name: str, axis: int, run_graph: RunGraph) -> None:
    array = ROWS if axis else np.repeat(ROWS.T, 19, axis=1)
    got = run(run_graph, lambda x: OPS[name](x, axes=(axis,), **FURTHER.get(name, {})), array)
    assert_close(got, numpy_of(name, array, axis))


@pytest.mark.parametrize("name", ["sum", "prod", "any", "all", "mean", "var"])
def test_no_elements(name: str, run_graph: RunGraph) -> None:
    array = np.zeros((3, 0))
    got = run(run_graph, lambda x: OPS[name](x, axes=(1,), **FURTHER.get(name, {})), array)
    assert_close(got, numpy_of(name, array, 1))


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin", "ptp", "logsumexp"])
def test_no_elements_have_no_extreme(name: str, run_graph: RunGraph) -> None:
    with pytest.raises(ShapeError, match="no elements"):
        run(run_graph, lambda x: OPS[name](x, axes=(1,)), np.zeros((3, 0)))


def test_logsumexp_of_what_exp_cannot_hold(run_graph: RunGraph) -> None:
    array = np.array([[1000.0, 1000.0], [-1000.0, -1001.0], [-INF, -INF], [INF, 0.0], [-INF, 7.0]])
    got = run(run_graph, lambda x: OPS["logsumexp"](x, axes=(1,)), array)
    want = [1000 + np.log(2), -1000 + np.log1p(np.exp(-1.0)), -INF, INF, 7.0]
    np.testing.assert_allclose(got, want, rtol=1e-15)


def test_the_gradient_of_logsumexp_is_finite_where_nothing_adds_up(run_graph: RunGraph) -> None:
    array = np.array([[-INF, -INF], [-INF, 2.0], [1000.0, 1000.0]])

    def slope(x: Node) -> Node:
        (found,) = grad(reduce.sum_(OPS["logsumexp"](x, axes=(1,)), axes=(0,)), [x])
        return found

    np.testing.assert_allclose(run(run_graph, slope, array), [[0, 0], [0, 1], [0.5, 0.5]])


@pytest.mark.parametrize("zeros", [(), (1,), (0, 2)])
def test_the_gradient_of_a_product_beside_zeros(
    zeros: tuple[int, ...], run_graph: RunGraph
) -> None:
    array = np.array([2.0, 3.0, 5.0, 7.0])
    array[list(zeros)] = 0

    def slope(x: Node) -> Node:
        (found,) = grad(reduce.prod(x, axes=(0,)), [x])
        return found

    want = [np.prod(np.delete(array, i)) for i in range(4)]
    np.testing.assert_allclose(run(run_graph, slope, array), want)


def test_a_product_of_float32_does_not_overflow_on_the_way(run_graph: RunGraph) -> None:
    array = np.array([1e30, 1e30, 1e-30, 1e-30], "float32")
    got = run(run_graph, lambda x: reduce.prod(x, axes=(0,)), array)
    np.testing.assert_allclose(got, 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "attrs"),
    [
        ("var", {"ddof": 0.5}),
        ("std", {"ddof": True}),
        ("norm", {"order": 2}),
        ("norm", {"order": np.nan}),
        ("norm", {"order": "nuc"}),
    ],
)
def test_a_wrong_attribute_makes_no_node(name: str, attrs: dict[str, Any]) -> None:
    with pytest.raises(GraphError):
        OPS[name](leaf(np.zeros((3, 4)), known=False), axes=(0,), **attrs)


def test_there_is_no_range_of_truth() -> None:
    with pytest.raises(DTypeError, match="cast to an integer"):
        OPS["ptp"](leaf(np.zeros(3, "bool"), known=False), axes=(0,))
