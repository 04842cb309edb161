"""Expressions give numpy's values, in this process and on a server."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd.errors import DTypeError, GraphError, IndexOutOfRange, ShapeError

pytestmark = pytest.mark.usefixtures("mode")

Pair = tuple[Callable[..., Any], Callable[..., Any]]


def same(build: Callable[..., Any], numpy: Callable[..., Any], *values: Any) -> None:
    """The compiled expression and numpy agree, in dtype, shape and values."""
    arrays = [np.asarray(v) for v in values]
    inputs = [T.tensor(dtype=a.dtype.name, shape=(None,) * a.ndim) for a in arrays]
    out = build(*inputs)
    got = exprd.function(inputs, out, on_unused_input="ignore")(*arrays)
    wanted = np.asarray(numpy(*arrays))
    assert (got.dtype.name, got.shape) == (out.dtype, wanted.shape)
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)


A = np.arange(12.0).reshape(3, 4) - 5.5
B = np.linspace(0.5, 2.0, 4)
LABELS = np.array([3, 0, 2])

OPERATORS: dict[str, Pair] = {
    "add": (lambda x, y: x + y, lambda x, y: x + y),
    "radd": (lambda x, y: 2 + y, lambda x, y: 2 + y),
    "sub": (lambda x, y: x - y, lambda x, y: x - y),
    "rsub": (lambda x, y: 1 - y, lambda x, y: 1 - y),
    "div": (lambda x, y: x / y, lambda x, y: x / y),
    "rdiv": (lambda x, y: 1 / y, lambda x, y: 1 / y),
    "pow": (lambda x, y: y**2, lambda x, y: y**2),
    "rpow": (lambda x, y: 2**y, lambda x, y: 2**y),
    "abs neg": (lambda x, y: abs(-x), lambda x, y: abs(-x)),
    "matmul": (lambda x, y: x @ y, lambda x, y: x @ y),
    "lt": (lambda x, y: x < y, lambda x, y: x < y),
    "logic": (lambda x, y: ~(x < 0) & (x > 2) | (x >= 5), lambda x, y: (x >= 0) & (x > 2)),
    "floordiv": (lambda x, y: x // y, lambda x, y: x // y),
    "rfloordiv": (lambda x, y: 7 // y, lambda x, y: 7 // y),
    "mod": (lambda x, y: x % y, lambda x, y: x % y),
    "divmod": (lambda x, y: divmod(x, y)[1] + 0.5 % y, lambda x, y: x % y + 0.5 % y),
    "floor": (lambda x, y: math.floor(x), lambda x, y: np.floor(x)),
    "ceil": (lambda x, y: math.ceil(x), lambda x, y: np.ceil(x)),
    "trunc": (lambda x, y: math.trunc(x), lambda x, y: np.trunc(x)),
    "round": (lambda x, y: x.round(), lambda x, y: np.round(x)),
    "add3": (lambda x, y: T.add(x, y, 1), lambda x, y: x + y + 1),
    "where": (lambda x, y: T.where(x > 0, x, y), lambda x, y: np.where(x > 0, x, y)),
    "clip": (lambda x, y: x.clip(-1, 2), lambda x, y: np.clip(x, -1, 2)),
    "exp log": (lambda x, y: T.log(T.exp(y)), lambda x, y: y),
    "maximum": (lambda x, y: T.maximum(x, y), np.maximum),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name: str) -> None:
    same(*OPERATORS[name], A, B)


INTEGERS: dict[str, Pair] = {
    "xor": (lambda i, j: i ^ j, lambda i, j: i ^ j),
    "rxor": (lambda i, j: 5 ^ j, lambda i, j: 5 ^ j),
    "shifts": (lambda i, j: (i << j) >> 1, lambda i, j: (i << j) >> 1),
    "rshifts": (lambda i, j: (1 << j) + (64 >> j), lambda i, j: (1 << j) + (64 >> j)),
    "floordiv": (lambda i, j: i // j, lambda i, j: i // j),
    "mod": (lambda i, j: i % j, lambda i, j: i % j),
    "pow": (lambda i, j: i**j, lambda i, j: i**j),
    "and or not": (lambda i, j: ~i & j | 8, lambda i, j: ~i & j | 8),
}


@pytest.mark.parametrize("name", INTEGERS)
def test_operators_of_integers(name: str) -> None:
    same(*INTEGERS[name], np.array([-7, 0, 5, 12]), np.array([1, 2, 3, 4]))


def test_rounding_modes() -> None:
    halves = np.array([-1.5, -0.5, 0.5, 1.5, 2.5])
    same(
        lambda x: T.round(x, "half_away_from_zero"),
        lambda x: np.array([-2.0, -1.0, 1.0, 2.0, 3.0]),
        halves,
    )
    with pytest.raises(GraphError, match="half_to_even"):
        T.round(T.vector(), "down")


FOLDS: dict[str, Pair] = {
    "sum": (lambda x: x.sum(), np.sum),
    "sum axis": (lambda x: x.sum(axis=-1), lambda x: x.sum(-1)),
    "sum axes": (lambda x: x.sum(axis=(0, 1)), np.sum),
    "sum keepdims": (lambda x: x.sum(0, keepdims=True), lambda x: x.sum(0, keepdims=True)),
    "mean": (lambda x: T.mean(x, axis=1), lambda x: x.mean(1)),
    "max": (lambda x: x.max(axis=0), lambda x: x.max(0)),
    "min": (lambda x: x.min(), np.min),
    "argmax": (lambda x: x.argmax(axis=1), lambda x: x.argmax(1)),
    "argmax flat": (lambda x: T.argmax(x), np.argmax),
    "argmin": (lambda x: T.argmin(x, axis=0), lambda x: x.argmin(0)),
    "var": (lambda x: x.var(axis=0), lambda x: x.var(0)),
    "std": (lambda x: x.std(), np.std),
    "std ddof": (lambda x: x.std(axis=1, ddof=1), lambda x: x.std(1, ddof=1)),
    "norm 1": (lambda x: x.norm(1, axis=0), lambda x: np.linalg.norm(x, 1, axis=0)),
    "norm inf": (lambda x: T.norm(x, np.inf), lambda x: abs(x).max()),
    "prod": (lambda x: x.prod(axis=1), lambda x: x.prod(1)),
    "ptp": (lambda x: x.ptp(axis=0), lambda x: np.ptp(x, 0)),
    "min method": (lambda x: x.min(axis=1, keepdims=True), lambda x: x.min(1, keepdims=True)),
    "any method": (lambda x: (x > 5).any(axis=1), lambda x: (x > 5).any(1)),
    "any": (lambda x: T.any(x > 5), lambda x: np.any(x > 5)),
    "all": (lambda x: T.all(x > -9, axis=0), lambda x: np.all(x > -9, 0)),
    "norm": (lambda x: x.norm(), np.linalg.norm),
    "logsumexp": (
        lambda x: T.logsumexp(x, axis=1),
        lambda x: np.log(np.exp(x).sum(1)),
    ),
}


@pytest.mark.parametrize("name", FOLDS)
def test_folds(name: str) -> None:
    same(*FOLDS[name], A)


def test_folds_of_integers_rise_to_64_bits() -> None:
    x = T.bvector("x")
    assert T.sum(x).dtype == "int64"
    assert T.mean(x).dtype == "float64"
    assert T.sum(x, dtype="int8").dtype == "int8"
    same(lambda v: T.min(v), np.min, np.array([-128, 3, 127], "int8"))
    same(lambda v: T.min(v), np.min, np.array([7, 3, 250], "uint8"))


SHAPES: dict[str, Pair] = {
    "transpose": (lambda x: x.T, lambda x: x.T),
    "flatten": (lambda x: x.flatten(), np.ravel),
    "reshape": (lambda x: x.reshape((2, -1)), lambda x: x.reshape(2, -1)),
    "reshape args": (lambda x: x.reshape(4, 3), lambda x: x.reshape(4, 3)),
    "reshape symbolic": (
        lambda x: x.reshape((x.shape[1], x.shape[0])),
        lambda x: x.reshape(4, 3),
    ),
    "reshape by shape": (lambda x: x.flatten().reshape(x.shape), lambda x: x),
    "dimshuffle": (lambda x: x.dimshuffle(1, "x", 0), lambda x: x.T[:, None, :]),
    "pads": (lambda x: T.shape_padright(T.shape_padleft(x)), lambda x: x[None, :, :, None]),
    "shape": (lambda x: x.shape, np.shape),
    "size": (lambda x: x.size, np.size),
    "zeros_like": (lambda x: T.zeros_like(x), np.zeros_like),
    "ones": (lambda x: T.ones((x.shape[0], 2)), lambda x: np.ones((3, 2))),
    "alloc": (lambda x: T.alloc(2.5, 2, x.shape[1]), lambda x: np.full((2, 4), 2.5)),
    "arange": (lambda x: T.arange(x.shape[1]), lambda x: np.arange(4)),
    "arange 3": (lambda x: T.arange(1, x.shape[1] + 7, 3), lambda x: np.arange(1, 11, 3)),
    "arange down": (lambda x: T.arange(x.shape[1], 0, -1), lambda x: np.arange(4, 0, -1)),
    "arange float": (lambda x: T.arange(0, 1, 0.25), lambda x: np.arange(0, 1, 0.25)),
    "swapaxes": (lambda x: x.swapaxes(0, 1), lambda x: x.T),
    "squeeze": (lambda x: T.squeeze(x.dimshuffle(0, "x", 1, "x")), lambda x: x),
    "padaxis": (lambda x: T.shape_padaxis(x, -2), lambda x: x[:, None, :]),
    "full": (lambda x: T.full((2, 3), 7, dtype="int32"), lambda x: np.full((2, 3), 7)),
    "fill": (lambda x: T.fill(x, 3), lambda x: np.full_like(x, 3)),
    "ones_like": (lambda x: T.ones_like(x, dtype="int8"), np.ones_like),
    "outer": (lambda x: T.outer(x[0], x[1]), lambda x: np.outer(x[0], x[1])),
    "dot scalar": (lambda x: T.dot(x, 2.0), lambda x: 2 * x),
    "permute": (lambda x: T.transpose(x, (1, 0)), lambda x: x.T),
    "ravel": (lambda x: x.ravel(), np.ravel),
    "flatten 2": (lambda x: x.dimshuffle(0, 1, "x").flatten(2), lambda x: x),
    "reshape vector": (
        lambda x: x.reshape(T.cast(x.shape[::-1], "int32"), ndim=2),
        lambda x: x.reshape(4, 3),
    ),
    "reshape constant": (lambda x: x.reshape(np.array([6, 2])), lambda x: x.reshape(6, 2)),
    "reshape scalar": (lambda x: x.reshape(x.size), np.ravel),
    "stack": (lambda x: T.stack([x.sum(), x.max()]), lambda x: np.array([x.sum(), x.max()])),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name: str) -> None:
    same(*SHAPES[name], A)


INDEXES: dict[str, Pair] = {
    "at": (lambda x: x[1], lambda x: x[1]),
    "at negative": (lambda x: x[-1, 2], lambda x: x[-1, 2]),
    "slice": (lambda x: x[1:, ::2], lambda x: x[1:, ::2]),
    "reversed": (lambda x: x[::-1], lambda x: x[::-1]),
    "ellipsis": (lambda x: x[..., 1], lambda x: x[..., 1]),
    "new axis": (lambda x: x[:, None, 1:], lambda x: x[:, None, 1:]),
    "symbolic": (lambda x: x[x.shape[0] - 1, 1 : x.shape[1]], lambda x: x[2, 1:4]),
    "rows": (lambda x: x[[2, 0, 2]], lambda x: x[[2, 0, 2]]),
    "columns": (lambda x: x[:, np.array([3, 0])], lambda x: x[:, [3, 0]]),
    "pairs": (lambda x: x[T.arange(3), LABELS], lambda x: x[np.arange(3), LABELS]),
    "at and array": (lambda x: x[1, np.array([0, 2])], lambda x: x[1, [0, 2]]),
    "matrix of rows": (lambda x: x[np.array([[0, 1], [2, 2]])], lambda x: x[[[0, 1], [2, 2]]]),
    "take": (lambda x: T.take(x, [1, 2], axis=1), lambda x: x.take([1, 2], 1)),
}


@pytest.mark.parametrize("name", INDEXES)
def test_indexes(name: str) -> None:
    same(*INDEXES[name], A)


def test_indexes_between_axes() -> None:
    cube = np.arange(24.0).reshape(2, 3, 4)
    rows = np.array([1, 0])
    same(lambda x: x[:, rows], lambda x: x[:, rows], cube)
    same(lambda x: x[:, rows, 1:3], lambda x: x[:, rows, 1:3], cube)
    same(lambda x: x[rows, :, rows], lambda x: x[rows, :, rows], cube)
    same(lambda x: x[..., rows], lambda x: x[..., rows], cube)


def test_writing_to_a_view() -> None:
    def set_first(x: Any) -> Any:
        out = x.copy()
        out[0] = 9
        return out

    def add_pairs(x: Any) -> Any:
        out = x.copy()
        np.add.at(out, (np.array([0, 0]), np.array([1, 1])), 1)
        return out

    def set_column(x: Any) -> Any:
        out = x.copy()
        out[:, 1] = 0
        return out

    same(lambda x: T.set_subtensor(x[0], 9), set_first, A)
    same(lambda x: T.inc_subtensor(x[np.array([0, 0]), np.array([1, 1])], 1), add_pairs, A)
    same(lambda x: T.set_subtensor(x[:, 1], 0), set_column, A)
    with pytest.raises(GraphError, match="view"):
        T.set_subtensor(T.vector(), 1)


def test_indexing_errors() -> None:
    x = T.matrix("x")
    with pytest.raises(ShapeError, match="3 indexes"):
        x[0, 0, 0]
    with pytest.raises(DTypeError, match="integers"):
        x[T.vector()]
    with pytest.raises(IndexOutOfRange, match="out of range"):
        exprd.function([x], x[7])(A)
    with pytest.raises(IndexError):
        exprd.function([x], x[:, LABELS])(A[:, :2])


def test_nnet() -> None:
    def softmax(x: Any) -> Any:
        e = np.exp(x - x.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    same(lambda x: T.nnet.softmax(x), softmax, A)
    same(lambda x: T.nnet.logsoftmax(x), lambda x: np.log(softmax(x)), A)
    same(lambda x: T.nnet.relu(x), lambda x: np.maximum(x, 0), A)
    same(lambda x: T.nnet.relu(x, 0.1), lambda x: np.where(x > 0, x, 0.1 * x), A)
    same(lambda x: T.nnet.sigmoid(x), lambda x: 1 / (1 + np.exp(-x)), A)
    same(
        lambda x, y: T.nnet.categorical_crossentropy(T.nnet.softmax(x), y),
        lambda x, y: -np.log(softmax(x))[np.arange(3), y],
        A,
        LABELS,
    )
    same(lambda x: T.nnet.elu(x), lambda x: np.where(x > 0, x, np.expm1(x)), A)
    same(lambda x: T.nnet.softplus(x), lambda x: np.log1p(np.exp(x)), A)
    same(lambda x: T.nnet.tanh(x), np.tanh, A)
    same(lambda x: T.nnet.softsign(x), lambda x: x / (1 + abs(x)), A)
    same(
        lambda x: T.nnet.sigmoid_binary_crossentropy(x, 0.25),
        lambda x: np.log1p(np.exp(x)) - 0.25 * x,
        A,
    )
    same(
        lambda x: T.nnet.categorical_crossentropy(T.nnet.softmax(x), np.eye(3, 4)),
        lambda x: -np.log(softmax(x))[np.arange(3), np.arange(3)],
        A,
    )
    with pytest.raises(ShapeError, match="labels"):
        T.nnet.categorical_crossentropy(T.matrix(), T.tensor3())
    same(
        lambda x: T.nnet.binary_crossentropy(T.nnet.sigmoid(x), 1.0),
        lambda x: np.log1p(np.exp(-x)),
        A,
    )


def test_writing_through_new_axes() -> None:
    def added(x: Any) -> Any:
        out = x.copy()
        out[1:] += 10
        return out

    same(lambda x: T.inc_subtensor(x[1:].dimshuffle(1, 0, "x"), 10), added, A)


def test_max_and_argmax() -> None:
    x = T.matrix("x")
    best, where = exprd.function([x], T.max_and_argmax(x, axis=1))(A)
    assert (best.tolist(), where.tolist()) == (A.max(1).tolist(), [3, 3, 3])


def test_shape_arguments_are_checked() -> None:
    x = T.matrix("x")
    for build, text in [
        (lambda: x.reshape(T.lvector()), "give ndim"),
        (lambda: x.reshape((2, 3), ndim=1), "ndim=1"),
        (lambda: x.reshape((2.5, 1)), "an extent is an integer"),
        (lambda: x.reshape(T.vector()), "vector of integers"),
        (lambda: x.flatten(3), "rank 3"),
        (lambda: x.dimshuffle("y"), "'x'"),
        (lambda: x.dimshuffle(0, 5), "axis 5"),
        (lambda: x.swapaxes(0, 2), "axis 2"),
        (lambda: T.shape_padaxis(x, 7), "no place 7"),
        (lambda: x.sum(axis=2), "axis 2"),
        (lambda: x.mean(dtype="int32"), "float dtype"),
        (lambda: T.arange(0, x.shape[0], T.iscalar()), "step"),
        (lambda: x[::0], "step"),
        (lambda: x[:: T.scalar()], "a slice step"),
        (lambda: x[..., ...], "one ellipsis"),
        (lambda: x.shape[5], "axis 5"),
        (lambda: T.take(x, 0, axis=3), "axis 3"),
        (lambda: T.stack([]), "one tensor or more"),
        (lambda: T.clip(x, None, 1), "bound"),
    ]:
        with pytest.raises(GraphError, match=text):
            build()


def test_eval() -> None:
    x = T.scalar("x")
    assert (x * 2).eval({x: 3.0}) == 6.0
    assert T.arange(3).eval().tolist() == [0, 1, 2]
