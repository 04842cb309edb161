"""Joining, splitting, repeating, shifting, scanning and diagonals, as numpy has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd.errors import GraphError, ShapeError

pytestmark = pytest.mark.usefixtures("mode")

A = np.arange(12.0).reshape(3, 4) - 5.5

CASES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "concatenate": (lambda x: T.concatenate([x, x * 2], axis=-1), lambda a: np.hstack([a, a * 2])),
    "join": (lambda x: T.join(0, x, x[:1]), lambda a: np.vstack([a, a[:1]])),
    "stack": (lambda x: T.stack([x, x + 1], axis=1), lambda a: np.stack([a, a + 1], axis=1)),
    "split": (lambda x: T.split(x, [1, 3], 2, axis=1)[1], lambda a: a[:, 1:]),
    "repeat": (lambda x: T.repeat(x, 2, axis=1), lambda a: np.repeat(a, 2, axis=1)),
    "repeat flat": (lambda x: T.repeat(x, 2), lambda a: np.repeat(a, 2)),
    "repeat each": (lambda x: T.repeat(x, [2, 0, 1], axis=0), lambda a: np.repeat(a, [2, 0, 1], 0)),
    "tile": (lambda x: T.tile(x, (2, 3)), lambda a: np.tile(a, (2, 3))),
    "tile more": (lambda x: T.tile(x, (2, 1, 2)), lambda a: np.tile(a, (2, 1, 2))),
    "roll": (lambda x: T.roll(x, -1, axis=1), lambda a: np.roll(a, -1, axis=1)),
    "roll flat": (lambda x: T.roll(x, 5), lambda a: np.roll(a, 5)),
    "flip": (lambda x: T.flip(x), lambda a: np.flip(a)),
    "flip axis": (lambda x: T.flip(x, -1), lambda a: np.flip(a, -1)),
    "expand_dims": (lambda x: T.expand_dims(x, -1), lambda a: np.expand_dims(a, -1)),
    "moveaxis": (lambda x: T.moveaxis(x, 0, -1), lambda a: np.moveaxis(a, 0, -1)),
    "cumsum": (lambda x: T.cumsum(x, axis=1), lambda a: np.cumsum(a, axis=1)),
    "cumsum flat": (lambda x: T.cumsum(x), lambda a: np.cumsum(a)),
    "cumprod": (lambda x: T.cumprod(x, axis=0), lambda a: np.cumprod(a, axis=0)),
    "eye": (lambda x: T.eye(x.shape[0], 4, 1), lambda a: np.eye(3, 4, 1)),
    "tri": (lambda x: T.tri(x.shape[0], k=-1), lambda a: np.tri(3, k=-1)),
    "tril": (lambda x: T.tril(x), lambda a: np.tril(a)),
    "triu": (lambda x: T.triu(x, 1), lambda a: np.triu(a, 1)),
    "diag": (lambda x: T.diag(x, 1), lambda a: np.diag(a, 1)),
    "diag of a vector": (lambda x: T.diag(x[0]), lambda a: np.diag(a[0])),
    "identity_like": (lambda x: T.identity_like(x), lambda a: np.eye(3, 4)),
}


@pytest.mark.parametrize("case", CASES)
def test_the_values_are_numpys(case: str) -> None:
    build, numpy = CASES[case]
    x = T.dmatrix("x")
    got = exprd.function([x], build(x), on_unused_input="ignore")(A)
    np.testing.assert_allclose(got, numpy(A), rtol=1e-12)
    assert got.shape == numpy(A).shape


def test_gradients_flow() -> None:
    x = T.dmatrix("x")
    cost = (T.concatenate([x, T.roll(x, 1, axis=0)], axis=1) ** 2).sum() + T.cumsum(x).sum()
    got = exprd.function([x], T.grad(cost, x))(A)
    behind = np.arange(12, 0, -1).reshape(3, 4)
    np.testing.assert_allclose(got, 4 * A + behind, rtol=1e-12)


def test_wrong_axes_and_counts() -> None:
    x = T.dmatrix("x")
    with pytest.raises(ShapeError, match="axis 2"):
        T.concatenate([x, x], axis=2)
    with pytest.raises(GraphError, match="one tensor or more"):
        T.concatenate([])
    with pytest.raises(GraphError, match="2 splits"):
        T.split(x, [1], 2)
    with pytest.raises(ShapeError, match="vector or a matrix"):
        T.diag(T.dtensor3())
