"""The error functions and the two-argument arctangent, which numpy cannot check in long double."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

LANES = {"float32": 32, "float64": 16}
BOUNDS = {"erf": 1.0, "erfc": 3.0, "arctan2": 1.5}
EDGES = [0.0, 1.0, 0.5, 2.0, 1e-300, 5e-324, 6.0, 26.0, 27.3, 30.0, 1e300, np.inf]


def distance(found: float, exact: mpmath.mpf, dtype: str) -> float:
    unit = float(np.spacing(np.dtype(dtype).type(abs(float(exact)))))
    return float(abs(mpmath.mpf(float(found)) - exact) / unit)


@pytest.mark.parametrize("dtype", LANES)
@pytest.mark.parametrize("name", ["erf", "erfc"])
def test_error_functions_stay_within_the_bound(native, name, dtype):
    rng = np.random.default_rng(13)
    parts = [rng.uniform(-6, 27, 300), rng.uniform(-2, 2, 300), 10.0 ** rng.uniform(-20, 0, 100)]
    x = np.concatenate(parts).astype(dtype)
    found = native(lambda k, x: k.call(name, x), dtype, lanes=LANES[dtype])(x)
    with mpmath.workprec(160):
        for argument, result in zip(x, found, strict=True):
            exact = getattr(mpmath, name)(mpmath.mpf(float(argument)))
            assert distance(result, exact, dtype) <= BOUNDS[name], argument


@pytest.mark.parametrize("name", ["erf", "erfc"])
def test_error_functions_at_the_edges(native, name):
    x = np.array([*EDGES, *[-edge for edge in EDGES], np.nan])
    found = native(lambda k, x: k.call(name, x), "float64")(x)
    expected = np.array([getattr(math, name)(float(v)) for v in x])
    np.testing.assert_allclose(found, expected, rtol=1e-15, atol=5e-324)
    assert np.array_equal(np.signbit(found), np.signbit(expected) | np.isnan(x) & np.signbit(found))


@pytest.mark.parametrize("dtype", LANES)
def test_arctan2_stays_within_the_bound(native, dtype):
    rng = np.random.default_rng(17)
    signs = rng.choice([-1, 1], (2, 400))
    y, x = (signs * 10.0 ** rng.uniform(-6, 6, (2, 400))).astype(dtype)
    found = native(lambda k, y, x: k.call("arctan2", y, x), dtype, dtype, lanes=LANES[dtype])(y, x)
    with mpmath.workprec(160):
        for a, b, result in zip(y, x, found, strict=True):
            exact = mpmath.atan2(mpmath.mpf(float(a)), mpmath.mpf(float(b)))
            assert distance(result, exact, dtype) <= BOUNDS["arctan2"], (a, b)


@pytest.mark.parametrize("dtype", LANES)
def test_arctan2_at_the_edges(native, dtype):
    info = np.finfo(dtype)
    values = [0.0, 1.0, 2.0, np.inf, float(info.max), float(info.tiny)]
    special = np.array([*values, *[-value for value in values], np.nan], dtype)
    y, x = (grid.ravel() for grid in np.meshgrid(special, special))
    found = native(lambda k, y, x: k.call("arctan2", y, x), dtype, dtype)(y, x)
    expected = np.arctan2(y, x)
    np.testing.assert_allclose(found, expected, rtol=4 * info.eps, atol=info.smallest_subnormal)
    defined = ~np.isnan(expected)
    assert np.array_equal(np.signbit(found)[defined], np.signbit(expected)[defined])
