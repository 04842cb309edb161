"""Indexes in compiled functions: masks, arrays beside slices, choices, and their errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd.errors import DTypeError, GraphError, IndexOutOfRange, ShapeError

A = np.arange(60.0).reshape(3, 4, 5)
MASK = np.array([[True, False, True, False], [False, False, False, True], [True] * 4])
ROWS = np.array([2, 0, 2])
Key = Callable[..., Any]

KEYS: dict[str, Key] = {
    "rows beside columns": lambda i, n, m: (slice(1, None), i + 1, slice(None, None, -1)),
    "two arrays apart": lambda i, n, m: (i, slice(None), i + 1),
    "an array and a number": lambda i, n, m: (slice(None), i, n),
    "new axes": lambda i, n, m: (None, i, None, slice(n, None)),
    "an ellipsis": lambda i, n, m: (Ellipsis, i),
    "a run-time step": lambda i, n, m: (slice(None, None, -n), slice(n, None, n)),
    "a mask": lambda i, n, m: m,
    "a mask and a slice": lambda i, n, m: (m, slice(None, n)),
    "a mask behind a slice": lambda i, n, m: (slice(n, None), m[0]),
    "positions of a mask": lambda i, n, m: m.nonzero(),
}


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("known", [False, True], ids=["unknown", "known"])
def test_read_and_written(mode: str, name: str, known: bool) -> None:
    x = T.TensorType("float64", shape=A.shape if known else (None, None, None))("x")
    i, n = T.lvector("i"), T.lscalar("n")
    m = T.TensorType("bool", shape=MASK.shape if known else (None, None))("m")
    view = x[KEYS[name](i, n, m)]
    cost = T.sum(T.sqr(view))
    outputs = [
        view,
        T.set_subtensor(view, -view),
        T.inc_subtensor(view, 1.5),
        T.set_subtensor(view, 1.5),
        T.grad(cost, x),
    ]
    f = exprd.function([x, i, n, m], outputs, on_unused_input="ignore")
    key = KEYS[name](ROWS, 2, MASK)
    numbers = np.arange(A.size).reshape(A.shape)[key]
    changed, fixed = A.copy(), A.copy()
    changed[key], fixed[key] = -A[key], 1.5
    count = np.bincount(numbers.reshape(-1), minlength=A.size).reshape(A.shape)
    wanted = [A[key], changed, A + 1.5 * count, fixed, 2 * A * count]
    for got, want in zip(f(A, ROWS, 2, MASK), wanted, strict=True):
        np.testing.assert_array_equal(got, want)


def test_a_mask_of_nothing(mode: str) -> None:
    x, m = T.matrix("x", dtype="float32"), T.TensorType("bool", shape=(None, None))("m")
    f = exprd.function([x, m], [x[m], T.set_subtensor(x[m], 3), *T.nonzero(m), T.flatnonzero(m)])
    for shape in ((0, 4), (3, 0), (2, 3)):
        ones = np.ones(shape, "float32")
        taken, written, *places = f(ones, np.zeros(shape, bool))
        assert taken.shape == (0,)
        np.testing.assert_array_equal(written, ones)
        assert [place.shape for place in places] == [(0,)] * 3


def test_a_mask_of_another_shape(mode: str) -> None:
    x, m = T.vector("x"), T.TensorType("bool", shape=(None,))("m")
    f = exprd.function([x, m], x[m])
    with pytest.raises(ShapeError, match=r"specify_shape.*5.*4"):
        f(np.zeros(4), np.ones(5, bool))
    with pytest.raises(ShapeError, match="mask"):
        T.TensorType("float64", shape=(4,))("x")[np.ones(1, bool)]


def test_positions_of_another_value(mode: str) -> None:
    """Only the mask of an index has the shape of what is indexed."""
    x, m = T.vector("x"), T.TensorType("bool", shape=(None,))("m")
    f = exprd.function([x, m], T.set_subtensor(x[m.nonzero()], 7))
    np.testing.assert_array_equal(f(np.zeros(4), np.ones(2, bool)), [7, 7, 0, 0])


def test_take(mode: str) -> None:
    x, i = T.matrix("x"), T.lmatrix("i")
    places = np.array([[0, 5, -7], [3, -1, 1]])
    modes = [(axis, m) for axis in (None, 0, 1) for m in ("wrap", "clip")]
    f = exprd.function([x, i], [x.take(i, axis, m) for axis, m in modes])
    for got, (axis, m) in zip(f(A[0], places), modes, strict=True):
        np.testing.assert_array_equal(got, A[0].take(places, axis, mode=m))
    raising = exprd.function([x, i], T.take(x, i, axis=1))
    with pytest.raises(IndexOutOfRange, match=r"-7.*5"):
        raising(A[0], places - 5 * (places > 4))


@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_take_along_axis(mode: str, axis: int | None) -> None:
    x = T.tensor3("x")
    flat = A.reshape(-1) if axis is None else A
    order = np.argsort(-np.sin(flat), axis=axis or 0)
    i = T.tensor(dtype="int64", shape=(None,) * order.ndim)
    taken = T.take_along_axis(x, i, axis)
    f = exprd.function([x, i], [taken, T.grad(T.sum(taken * taken), x)])
    got, slope = f(A, order)
    np.testing.assert_array_equal(got, np.take_along_axis(A, order, axis))
    assert slope.shape == A.shape


def test_choose(mode: str) -> None:
    a, x, y, rows = T.lvector("a"), T.matrix("x"), T.vector("y"), T.matrix("rows")
    numbers, table = np.array([1, 0, 1, 1, 0]), np.arange(10.0).reshape(2, 5)
    f = exprd.function(
        [a, x, y, rows],
        [a.choose([x, y]), T.choose(a, rows), T.choose(a * 3 - 2, [x, y], mode="clip")],
    )
    one, other, clipped = f(numbers, A[0], A[1, 0], table)
    np.testing.assert_array_equal(one, np.choose(numbers, [A[0], A[1, 0]]))
    np.testing.assert_array_equal(other, np.choose(numbers, table))
    np.testing.assert_array_equal(clipped, np.choose(numbers * 3 - 2, [A[0], A[1, 0]], mode="clip"))
    for wrong in (-1, 2):
        with pytest.raises(IndexOutOfRange, match="2"):
            f(np.full(5, wrong), A[0], A[1, 0], table)


def test_values_that_are_not_zero(mode: str) -> None:
    x = T.matrix("x")
    taken = T.nonzero_values(x)
    f = exprd.function([x], [taken, T.grad(T.sum(T.sqr(taken)), x), x[x > 1], *x.nonzero()])
    value = np.array([[0.0, 2.0, -1.0], [np.nan, 0.0, 1.5]])
    got, slope, large, *places = f(value)
    np.testing.assert_array_equal(got, value[value.nonzero()])
    np.testing.assert_array_equal(slope, 2 * value)
    np.testing.assert_array_equal(large, [2, 1.5])
    np.testing.assert_array_equal(places, value.nonzero())


def test_everything_is_a_view(mode: str) -> None:
    x = T.matrix("x")
    f = exprd.function([x], [T.set_subtensor(x[:], 1), T.inc_subtensor(x[...], 2), x[:]])
    one, more, same = f(np.zeros((2, 3)))
    np.testing.assert_array_equal([one, more, same], np.multiply.outer([1, 2, 0], np.ones((2, 3))))


def test_a_value_for_a_new_axis(mode: str) -> None:
    """Its extent there is 1, which the call checks where the type does not tell."""
    x, y = T.matrix("x"), T.tensor3("y")
    i = np.array([2, 0])
    changed = [T.set_subtensor(x[None, 1:], y), T.inc_subtensor(x[i, None], y * y)]
    costs = [T.sum(out * x) for out in changed]
    f = exprd.function([x, y], [changed[0], T.grad(costs[0], y)])
    g = exprd.function([x, y], [changed[1], T.grad(costs[1], y)])
    value = np.arange(6.0).reshape(3, 2)
    for call, given, wanted, slope in (
        (f, np.full((1, 2, 2), 9.0), [[0, 1], [9, 9], [9, 9]], value[None, 1:]),
        (g, np.full((2, 1, 2), 2.0), np.add(value, [[4], [0], [4]]), 4 * value[i, None]),
    ):
        got, of_y = call(value, given)
        np.testing.assert_array_equal(got, wanted)
        np.testing.assert_array_equal(of_y, slope)
    with pytest.raises(ShapeError, match="2"):
        f(value, np.zeros((2, 2, 2)))


def test_a_view_of_a_view_is_the_start_of_a_copy(mode: str) -> None:
    """What is changed is what was indexed last, not what that was taken from."""
    x, i = T.matrix("x"), T.lvector("i")
    f = exprd.function([x, i], [T.set_subtensor(x[1:][i], 0), T.set_subtensor(x[i, 1:], 0)])
    part, whole = f(np.ones((3, 2)), [0, 0])
    np.testing.assert_array_equal(part, [[0, 0], [1, 1]])
    np.testing.assert_array_equal(whole, [[1, 0], [1, 1], [1, 1]])


def test_errors_name_op_index_and_extent(mode: str) -> None:
    x, i, n = T.matrix("x"), T.lvector("i"), T.lscalar("n")
    f = exprd.function([x, i], x[:, i])
    with pytest.raises(IndexOutOfRange, match=r"7.*4"):
        f(A[:, :, 0], [0, 7])
    with pytest.raises(IndexOutOfRange, match=r"-5.*4"):
        exprd.function([x, i], T.inc_subtensor(x[1:, i], 1))(A[:, :, 0], [0, -5])
    with pytest.raises(ShapeError, match="step"):
        exprd.function([x, n], x[::n])(A[0], 0)
    with pytest.raises(GraphError, match="truth value"):
        x[True]
    with pytest.raises(DTypeError, match="integers or masks"):
        x[T.vector("y")]
    with pytest.raises(ShapeError, match="3 indexes"):
        x[T.matrix("m", dtype="bool"), 0]
    with pytest.raises(GraphError, match="mode"):
        x.take([0], 0, mode="nearest")
    with pytest.raises(DTypeError, match="cast the value"):
        T.set_subtensor(T.lvector("k")[[0, 1]], 1.5)
