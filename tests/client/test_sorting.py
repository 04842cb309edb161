"""Sorting, selection, search, counting, distinct values and quantiles, as numpy has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd.errors import DTypeError, GraphError, IndexOutOfRange, ShapeError

pytestmark = pytest.mark.usefixtures("mode")

A = np.random.default_rng(5).integers(-4, 5, (5, 6)) / 2.0
SPECIAL = np.array([np.nan, 0.0, -0.0, np.inf, -np.inf, -np.nan, 1.0, 0.0, -0.0, 5e-324])

CASES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "sort": (lambda x: T.sort(x), lambda a: np.sort(a)),
    "sort axis": (lambda x: T.sort(x, axis=0), lambda a: np.sort(a, axis=0)),
    "sort flat": (lambda x: T.sort(x, axis=None), lambda a: np.sort(a, axis=None)),
    "argsort": (lambda x: T.argsort(x), lambda a: np.argsort(a, kind="stable")),
    "argsort axis": (lambda x: T.argsort(x, 0), lambda a: np.argsort(a, 0, kind="stable")),
    "argsort flat": (lambda x: T.argsort(x, None), lambda a: np.argsort(a, None, kind="stable")),
    "topk": (lambda x: T.topk(x, 2), lambda a: np.sort(a)[:, :-3:-1]),
    "topk smallest": (lambda x: T.topk(x, -2), lambda a: np.sort(a)[:, :2]),
    "topk axis": (lambda x: T.topk(x, 3, axis=0), lambda a: np.sort(a, 0)[:-4:-1]),
    "topk flat": (lambda x: T.topk(x, 3, axis=None), lambda a: np.sort(a, None)[:-4:-1]),
    "argtopk": (
        lambda x: T.argtopk(x, 3, idx_dtype="int32"),
        lambda a: np.argsort(-a, kind="stable")[:, :3].astype("int32"),
    ),
    "searchsorted": (
        lambda x: T.searchsorted(T.sort(x[0]), x),
        lambda a: np.searchsorted(np.sort(a[0]), a),
    ),
    "searchsorted right": (
        lambda x: T.searchsorted(x[0], x, "right", T.argsort(x[0])),
        lambda a: np.searchsorted(a[0], a, "right", np.argsort(a[0])),
    ),
    "searchsorted mixed": (
        lambda x: T.searchsorted(np.arange(-2, 3, dtype="int8"), x),
        lambda a: np.searchsorted(np.arange(-2, 3), a),
    ),
    "unique": (lambda x: T.unique(x), lambda a: np.unique(a)),
    "unique index": (lambda x: T.unique(x, True)[1], lambda a: np.unique(a, True)[1]),
    "unique inverse": (
        lambda x: T.unique(x, return_inverse=True)[1],
        lambda a: np.unique(a, return_inverse=True)[1].ravel(),
    ),
    "unique counts": (
        lambda x: T.unique(x, return_counts=True)[1],
        lambda a: np.unique(a, return_counts=True)[1],
    ),
    "median": (lambda x: T.median(x), lambda a: np.median(a)),
    "median axis": (lambda x: T.median(x, axis=0), lambda a: np.median(a, axis=0)),
    "median axes": (
        lambda x: T.median(x, axis=(0, 1), keepdims=True),
        lambda a: np.median(a, axis=(0, 1), keepdims=True),
    ),
    "quantile": (lambda x: T.quantile(x, 0.3), lambda a: np.quantile(a, 0.3)),
    "quantile axis": (
        lambda x: T.quantile(x, [0.0, 0.25, 0.9, 1.0], axis=0, keepdims=True),
        lambda a: np.quantile(a, [0.0, 0.25, 0.9, 1.0], axis=0, keepdims=True),
    ),
    "percentile": (
        lambda x: T.percentile(x, [5, 50], axis=1),
        lambda a: np.percentile(a, [5, 50], axis=1),
    ),
    "diff": (lambda x: T.diff(x), lambda a: np.diff(a)),
    "diff twice": (lambda x: T.diff(x, 2, axis=0), lambda a: np.diff(a, 2, axis=0)),
    "diff of truth": (lambda x: T.diff(T.gt(x, 0)), lambda a: np.diff(a > 0)),
    "compress": (lambda x: T.compress([1, 0, 1], x, 0), lambda a: np.compress([1, 0, 1], a, 0)),
    "compress flat": (
        lambda x: T.compress(T.gt(x[0], 0), x),
        lambda a: np.compress(a[0] > 0, a),
    ),
    "cov": (lambda x: T.cov(x), lambda a: np.cov(a)),
    "cov columns": (
        lambda x: T.cov(x, rowvar=False, ddof=0),
        lambda a: np.cov(a, rowvar=False, ddof=0),
    ),
    "cov of two": (lambda x: T.cov(x[0], x[1], bias=True), lambda a: np.cov(a[0], a[1], bias=True)),
    "cov weighted": (
        lambda x: T.cov(x, fweights=[1, 2, 1, 3, 1, 1], aweights=abs(x[0]) + 1),
        lambda a: np.cov(a, fweights=[1, 2, 1, 3, 1, 1], aweights=abs(a[0]) + 1),
    ),
    "cov of one": (lambda x: T.cov(x[0]), lambda a: np.cov(a[0])),
}


@pytest.mark.parametrize("case", CASES)
def test_the_values_are_numpys(case: str) -> None:
    build, numpy = CASES[case]
    x = T.dmatrix("x")
    got, want = exprd.function([x], build(x))(A), np.asarray(numpy(A))
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-15)
    assert (got.dtype, got.shape) == (want.dtype, want.shape)


def test_special_values_have_numpys_order_bit_for_bit() -> None:
    x = T.dvector("x")
    ordered, place, low = exprd.function([x], [T.sort(x), T.argsort(x), T.topk(x, -4)])(SPECIAL)
    want = np.argsort(SPECIAL, kind="stable")
    np.testing.assert_array_equal(place, want)
    assert ordered.tobytes() == SPECIAL[want].tobytes()
    assert low.tobytes() == SPECIAL[want][:4].tobytes()
    values, count = exprd.function([x], T.unique(x, return_counts=True))(SPECIAL)
    np.testing.assert_array_equal(values, np.unique(SPECIAL))
    np.testing.assert_array_equal(count, [1, 4, 1, 1, 1, 2])


def test_nan_makes_a_median_nan_and_nothing_has_none() -> None:
    x = T.dmatrix("x")
    f = exprd.function([x], [T.median(x, axis=1), T.quantile(x, 0.5, axis=1)])
    for got in f(np.array([[1.0, np.nan, 3.0], [2.0, 1.0, 0.0]])):
        np.testing.assert_array_equal(got, [np.nan, 1.0])
    assert np.isnan(exprd.function([x], T.median(x))(np.zeros((0, 3))))


def test_shares_outside_0_to_1() -> None:
    x, q = T.dvector("x"), T.dscalar("q")
    f = exprd.function([x, q], T.quantile(x, q))
    assert f([1.0, 2.0, np.inf], 0.5) == 2.0
    assert f([1.0, 2.0], 1.0) == 2.0
    for wrong in (-0.1, 1.1, np.nan):
        with pytest.raises(IndexOutOfRange, match="bounded"):
            f([1.0, 2.0], wrong)


def test_the_sign_of_topk_may_be_known_only_by_the_call() -> None:
    x, k = T.dvector("x"), T.lscalar("k")
    f = exprd.function([x, k], T.topk_and_argtopk(x, k))
    values, places = f(np.array([3.0, 1.0, 2.0]), 2)
    assert (values.tolist(), places.tolist()) == ([3.0, 2.0], [0, 2])
    assert f(np.array([3.0, 1.0, 2.0]), -1)[0].tolist() == [1.0]
    with pytest.raises(ShapeError, match="no first 4 elements on an axis of 3"):
        f(np.array([3.0, 1.0, 2.0]), 4)


def test_bincount() -> None:
    x, w, n = T.lvector("x"), T.fvector("w"), T.lscalar("n")
    f = exprd.function([x, w, n], [T.bincount(x, minlength=n), T.bincount(x, w, n)])
    count, total = f([1, 3, 1], np.array([0.5, 2.0, 4.0], "float32"), 6)
    np.testing.assert_array_equal(count, [0, 2, 0, 1, 0, 0])
    np.testing.assert_array_equal(total, np.array([0, 4.5, 0, 2, 0, 0], "float32"))
    assert total.dtype == "float32"
    assert f(np.zeros(0, int), np.zeros(0, "float32"), 0)[0].shape == (0,)
    with pytest.raises(IndexOutOfRange, match="bincount: value -2 is not one of the numbers"):
        f([1, -2, 1], np.zeros(3, "float32"), 0)
    with pytest.raises(ShapeError, match="3 values and 2 weights"):
        f([1, 2, 1], np.zeros(2, "float32"), 0)


def test_a_sorter_is_checked() -> None:
    x, order = T.dvector("x"), T.lvector("order")
    f = exprd.function([x, order], T.searchsorted(x, 1.5, sorter=order))
    assert f([3.0, 1.0, 2.0], [1, 2, 0]) == 1
    for wrong in ([1, 2, 3], [1, 2, -1]):
        with pytest.raises(IndexOutOfRange, match="is not one of the numbers below 3"):
            f([3.0, 1.0, 2.0], wrong)
    with pytest.raises(ShapeError):
        f([3.0, 1.0, 2.0], [0, 1])


def test_diagonals() -> None:
    x, offset = T.dmatrix("x"), T.lscalar("offset")
    f = exprd.function(
        [x, offset],
        [
            T.fill_diagonal(x, 9.0),
            T.fill_diagonal_offset(x, 9.0, -2),
            T.fill_diagonal_offset(x, 9.0, offset),
        ],
    )
    for shape in ((4, 4), (6, 3), (3, 6)):
        for k in (-4, -1, 0, 2, 7):
            main, below, any_ = f(np.zeros(shape), k)
            np.testing.assert_array_equal(main, 9 * np.eye(*shape))
            np.testing.assert_array_equal(below, 9 * np.eye(*shape, -2))
            np.testing.assert_array_equal(any_, 9 * np.eye(*shape, k))
    y = T.dtensor3("y")
    cube = exprd.function([y], T.fill_diagonal(y, -1))
    want = np.ones((3, 3, 3))
    np.fill_diagonal(want, -1)
    np.testing.assert_array_equal(cube(np.ones((3, 3, 3))), want)
    with pytest.raises(ShapeError):
        cube(np.ones((3, 3, 2)))


def test_one_hot_rows() -> None:
    y, n = T.lvector("y"), T.lscalar("n")
    f = exprd.function([y, n], T.to_one_hot(y, n, "int32"))
    np.testing.assert_array_equal(f([2, 0, 1], 4), np.eye(4, dtype="int32")[[2, 0, 1]])
    with pytest.raises(IndexOutOfRange, match="index 4 is out of range"):
        f([4], 4)


@pytest.mark.parametrize("order", ["C", "F"])
def test_coordinates_of_a_grid(order: str) -> None:
    i, n = T.lmatrix("i"), T.lscalar("n")
    parts = T.unravel_index(i, (n, 3, 4), order)
    f = exprd.function([i, n], [*parts, T.ravel_multi_index(parts, (n, 3, 4), order=order)])
    numbers = np.array([[0, 23, 7], [11, 4, 12]])
    *coordinates, back = f(numbers, 2)
    for got, want in zip(coordinates, np.unravel_index(numbers, (2, 3, 4), order), strict=True):
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(back, numbers)
    with pytest.raises(IndexOutOfRange, match="value 24 is not one of the numbers below 24"):
        f(np.array([[24]]), 2)


def test_modes_of_coordinates() -> None:
    i = T.lvector("i")
    f = exprd.function([i], T.ravel_multi_index([i, i], (3, 4), mode=["clip", "wrap"]))
    given = np.array([-5, 2, 9])
    want = np.ravel_multi_index([given, given], (3, 4), mode=("clip", "wrap"))
    np.testing.assert_array_equal(f(given), want)
    g = exprd.function([i], T.ravel_multi_index([i, i], (3, 4)))
    with pytest.raises(IndexOutOfRange, match="value 3 is not one of the numbers below 3"):
        g([3])


def test_bartlett_windows() -> None:
    m = T.lscalar("m")
    f = exprd.function([m], T.bartlett(m))
    for points in (0, 1, 2, 5, 8):
        np.testing.assert_allclose(f(points), np.bartlett(points), rtol=1e-15, atol=1e-16)


def test_gradients_go_back_to_where_elements_come_from() -> None:
    x = T.dvector("x")
    weights = np.array([1.0, 10.0, 100.0, 1000.0])
    at = np.array([3.0, -1.0, 2.0, 0.5])
    place = np.argsort(at)
    want = np.zeros(4)
    want[place] = weights
    costs = {
        (T.sort(x) * weights).sum(): want,
        (T.topk(x, 2) * weights[:2]).sum(): [1, 0, 10, 0],
        (T.topk(x, -2) * weights[:2]).sum(): [0, 1, 0, 10],
        T.median(x): [0, 0, 0.5, 0.5],
        T.quantile(x, 0.25): [0, 0.25, 0, 0.75],
        (T.diff(x, 2) * [1.0, 10.0]).sum(): [1, 8, -19, 10],
        (T.compress([0, 1, 1], x) * [1.0, 10.0]).sum(): [0, 1, 10, 0],
        (T.unique(x) * weights).sum(): want,
        (T.bincount([2, 0, 1, 0], x) * [1.0, 10.0, 100.0]).sum(): [100, 1, 10, 1],
        T.fill_diagonal(T.outer(x, x), 0).sum(): 2 * (at.sum() - at),
    }
    got = exprd.function([x], [T.grad(cost, x) for cost in costs])(at)
    for one, slope in zip(got, costs.values(), strict=True):
        np.testing.assert_allclose(one, slope, rtol=1e-12)


def test_counts_decide_shapes_of_later_steps() -> None:
    x = T.lvector("x")
    values, counts = T.unique(x, return_counts=True)
    most = values[T.argmax(counts)]
    f = exprd.function([x], [most, T.bincount(T.searchsorted(values, x)), x[T.gt(x, most)]])
    got = f([7, 3, 7, 9, 3, 7])
    assert [part.tolist() for part in got] == [7, [2, 3, 1], [9]]


def test_what_is_refused() -> None:
    x, z = T.dmatrix("x"), T.dscalar("z")
    with pytest.raises(ShapeError, match="axis 2"):
        T.sort(x, axis=2)
    with pytest.raises(ShapeError, match="axis -1"):
        T.sort(z)
    with pytest.raises(GraphError, match="bogosort"):
        T.argsort(x, kind="bogosort")
    with pytest.raises(ShapeError, match="topk of 0"):
        T.topk(x, 0)
    with pytest.raises(ShapeError, match="no first 3 elements"):
        T.topk(T.constant(np.zeros(2)), 3)
    with pytest.raises(DTypeError, match="whole numbers"):
        T.bincount(T.cast(x[0], "uint64"))
    with pytest.raises(GraphError, match="side"):
        T.searchsorted(x[0], 1.0, side="middle")
    with pytest.raises(ShapeError, match="flatten"):
        T.unique(x, axis=0)
    with pytest.raises(ShapeError, match="one value"):
        T.fill_diagonal(x, x)
    with pytest.raises(DTypeError, match="complex128"):
        T.sort(T.cast(x, "complex128"))
