"""Theano's small functions: defaults, devices, gamma functions, products as BLAS has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd import In, function, shared
from exprd.errors import CallError, DeviceUnavailable, DTypeError, GraphError, ShapeError
from exprd.tensor import blas, extra_ops, slinalg

pytestmark = pytest.mark.usefixtures("mode")

X = np.array([0.5, 1.0, 4.0])


def test_div_rounds_only_integers_down() -> None:
    i, x = T.lscalar(), T.dscalar()
    whole, exact = function([i, x], [T.div(i, 2), T.div(x, 2)])(-7, -7.0)
    assert (whole.dtype.name, int(whole), float(exact)) == ("int64", -4, -3.5)


def test_default() -> None:
    x = T.dvector()
    assert T.default(x, T.dvector()) is not None
    assert function([x], [T.default(x, T.dvector()), T.default(None, x)])(X)[1].tolist() == [*X]
    with pytest.raises(DTypeError, match="default"):
        T.default(x, T.lvector())


def test_transfer() -> None:
    x = T.dvector()
    assert function([x], T.transfer(x, "cpu"))(X).tolist() == [*X]
    with pytest.raises(DeviceUnavailable, match="gpu0"):
        T.transfer(x, "gpu0")


def test_product_of_what_is_not_zero() -> None:
    x = T.dmatrix()
    given = np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    assert function([x], T.prod_without_zeros(x, axis=1))(given).tolist() == [6, 1]
    assert float(function([x], T.prod_without_zeros(x))(given)) == 6


def test_gamma_functions() -> None:
    x = T.dvector()
    found = function([x], [T.gammau(2.0, x), T.gammal(2.0, x), T.chi2sf(x, 4.0)])(X)
    upper = (X + 1) * np.exp(-X)
    np.testing.assert_allclose(found[0], upper, rtol=1e-14)
    np.testing.assert_allclose(found[1], 1 - upper, rtol=1e-14)
    np.testing.assert_allclose(found[2], (X / 2 + 1) * np.exp(-X / 2), rtol=1e-14)


def test_gradient_of_gamma_functions() -> None:
    x = T.dvector()
    slopes = [T.grad(y(2.5, x).sum(), x) for y in (T.gammau, T.gammal)]
    upper, lower = function([x], slopes)(X)
    np.testing.assert_allclose(lower, X**1.5 * np.exp(-X), rtol=1e-13)
    np.testing.assert_allclose(upper, -lower, rtol=1e-15)


def test_products_as_blas_has_them(rng: np.random.Generator) -> None:
    a, b = T.dmatrix(), T.dmatrix()
    left, right = rng.normal(size=(2, 4, 4))
    row = rng.normal(size=4)
    outputs = [
        blas.gemm(a, 2.0, a, b, 0.5),
        blas.gemm_inplace(a, 2.0, a, b, 0.5),
        blas.gemv(row, 2.0, a, row, 0.5),
        blas.ger(a, 2.0, row, row),
    ]
    found = function([a, b], outputs)(left, right)
    np.testing.assert_allclose(found[0], 0.5 * left + 2 * left @ right, rtol=1e-12)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(found[2], 0.5 * row + 2 * left @ row, rtol=1e-12)
    np.testing.assert_allclose(found[3], left + 2 * np.outer(row, row), rtol=1e-12)
    with pytest.raises(ShapeError, match="rank 2"):
        blas.gemm(T.dvector(), 1.0, a, b, 1.0)


@pytest.mark.parametrize("lower", [True, False])
def test_gradient_of_cholesky_by_hand(lower: bool, rng: np.random.Generator) -> None:
    x = T.dmatrix()
    root, slope = rng.normal(size=(2, 3, 3))
    given = root @ root.T + np.eye(3)
    factor = slinalg.cholesky(x, lower=lower)
    outputs = [
        T.grad((factor * slope).sum(), x),
        slinalg.cholesky_grad(x, factor, slope, lower=lower),
    ]
    by_graph, by_hand = function([x], outputs)(given)
    np.testing.assert_allclose(by_hand, by_graph, rtol=1e-14, atol=1e-15)


def test_what_needs_nothing_done() -> None:
    x = T.dvector()
    assert function([x], extra_ops.cpu_contiguous(x[::-1]))(X).tolist() == [4, 1, 0.5]
    assert float(function([], T.tensor_power(T.constant(2.0), 3))()) == 8


def test_no_op_is_made_of_a_python_function() -> None:
    with pytest.raises(GraphError, match="server"):
        exprd.as_op(itypes=[T.dvector], otypes=[T.dvector])


def test_a_compilation_is_repeated_from_a_file(tmp_path: Path) -> None:
    w, x = shared(np.ones(3), name="w"), T.dvector("x")
    path = tmp_path / "dump.exprd"
    exprd.function_dump(path, [In(x, value=X)], x * w, updates={w: w + x}, name="step")
    again = function(**exprd.load(path))
    assert again().tolist() == [*X]
    assert again().tolist() == [*(X * (1 + X))]
    assert again.name == "step"
    assert w.get_value().tolist() == [1, 1, 1]
    with pytest.raises(CallError, match="no argument 'depth'"):
        exprd.function_dump(path, [x], x, depth=3)
