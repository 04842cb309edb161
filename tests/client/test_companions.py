"""Functions of numpy that are compositions here, against numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd.errors import DTypeError, ShapeError

pytestmark = pytest.mark.usefixtures("mode")

A = np.random.default_rng(5).normal(size=(4, 3))
PLACES = np.array([-1.0, -0.25, 0.5, 0.75, 2.0])

SAME: dict[str, Callable[[Any, Any], Any]] = {
    # what is written alike for numpy and for us
    "column_stack": lambda m, x: m.column_stack([x[:, 0], x, x[:, 1]]),
    "dstack": lambda m, x: m.dstack([x, x + 1]),
    "dstack of vectors": lambda m, x: m.dstack([x[0], x[1]]),
    "rot90": lambda m, x: m.rot90(x),
    "rot90 twice": lambda m, x: m.rot90(x, 2),
    "rot90 back": lambda m, x: m.rot90(x, -1),
    "rot90 around": lambda m, x: m.rot90(x, 4),
    "rot90 the other way": lambda m, x: m.rot90(x, 1, (1, 0)),
    "rollaxis": lambda m, x: m.rollaxis(x, 1),
    "rollaxis behind": lambda m, x: m.rollaxis(x, 0, 2),
    "cross": lambda m, x: m.cross(m.broadcast_to(x[0], (3,)), m.broadcast_to(x[1], (3,))),
    "gradient of a vector": lambda m, x: m.gradient(x[:, 0]),
    "gradient along one": lambda m, x: m.gradient(x, 0.5, axis=1),
    "gradient along the second": lambda m, x: m.gradient(x, 2)[1],
    "ediff1d": lambda m, x: m.ediff1d(x, to_end=9.0, to_begin=[1.0, 2.0]),
    "ediff1d alone": lambda m, x: m.ediff1d(x[0]),
    "interp": lambda m, x: m.interp(x, PLACES, PLACES**2),
    "interp with ends": lambda m, x: m.interp(x, PLACES, PLACES**2, -7.0, 7.0),
    "interp at the places": lambda m, x: m.interp(PLACES, PLACES, PLACES**2) + 0 * x[0, 0],
    "interp of one": lambda m, x: m.interp(x, [0.5], [3.0]),
    "corrcoef": lambda m, x: m.corrcoef(x),
    "corrcoef of columns": lambda m, x: m.corrcoef(x, rowvar=False),
    "fmod": lambda m, x: m.fmod(x, 0.7),
    "copysign": lambda m, x: m.copysign(2.0, x),
    "signbit": lambda m, x: m.signbit(x),
}


@pytest.mark.parametrize("name", SAME)
def test_as_in_numpy(name: str) -> None:
    x = T.dmatrix("x")
    got = exprd.function([x], SAME[name](T, x))(A)
    want = SAME[name](np, A)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-14, atol=1e-14)


def test_integral_by_trapezes() -> None:
    y, x = T.dmatrix("y"), T.dvector("x")
    at = np.array([0.0, 0.5, 2.0, 2.25])
    outputs = [T.trapz(y), T.trapz(y, dx=0.5, axis=0), T.trapz(y, x=x, axis=0), T.trapz(y, x=y)]
    even, stepped, uneven, own = exprd.function([y, x], outputs)(A, at)
    middle, rows = (A[:, 1:] + A[:, :-1]) / 2, (A[1:] + A[:-1]) / 2
    np.testing.assert_allclose(even, middle.sum(1), rtol=1e-14)
    np.testing.assert_allclose(stepped, 0.5 * rows.sum(0), rtol=1e-14)
    np.testing.assert_allclose(uneven, (np.diff(at)[:, None] * rows).sum(0), rtol=1e-14)
    np.testing.assert_allclose(own, (np.diff(A) * middle).sum(1), rtol=1e-13, atol=1e-15)


def test_cross_products_of_many() -> None:
    a, b = (T.TensorType("float64", (None, 3))() for _ in range(2))
    flat_a, flat_b = (T.TensorType("float64", (2, None))() for _ in range(2))
    outputs = [T.cross(a, b), T.cross(flat_a, flat_b, axis=0)]
    whole, flat = exprd.function([a, b, flat_a, flat_b], outputs)(A, A[::-1], A[:2], A[2:])
    np.testing.assert_allclose(whole, np.cross(A, A[::-1]), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(flat, A[0] * A[3] - A[1] * A[2], rtol=1e-14, atol=1e-15)


def test_cross_products_need_known_lengths() -> None:
    with pytest.raises(ShapeError, match="specify_shape"):
        T.cross(T.dvector(), T.dvector())


def test_extents_of_a_broadcast() -> None:
    a, b = T.TensorType("float64", (None, 1))(), T.dvector()
    sizes = exprd.function([a, b], list(T.broadcast_shape(a, b)))(A[:, :1], A[0])
    assert [int(size) for size in sizes] == [4, 3]


def test_divisors() -> None:
    a, b = T.lvector(), T.lvector()
    given = np.array([12, -12, 0, 7, 2**62]), np.array([18, 18, 5, 0, 2**40 * 3])
    found = exprd.function([a, b], [T.gcd(a, b), T.lcm(a, b)])(*given)
    np.testing.assert_array_equal(found[0], np.gcd(*given))
    np.testing.assert_array_equal(found[1], np.lcm(*given))
    with pytest.raises(DTypeError):
        T.gcd(a, 1.5)


def test_beta_functions() -> None:
    a, b = T.dscalar(), T.dscalar()
    whole, logarithm = exprd.function([a, b], [T.beta(a, b), T.betaln(a, b)])(2.0, 3.0)
    assert float(whole) == pytest.approx(1 / 12, rel=1e-14)
    assert float(logarithm) == pytest.approx(-np.log(12), rel=1e-14)
