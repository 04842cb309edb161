"""Functions that numpy cannot check in long double: error functions, gamma and its like, arctan2.

How exact they are is measured by tools/accuracy.py and held by test_accuracy.
"""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

LANES = {"float32": 32, "float64": 16}
BOUNDS = {"erf": 1.0, "erfc": 1.5, "arctan2": 1.5}
SPECIAL = ("erfcinv", "erfcx", "erfinv", "gamma", "gammaln", "psi", "tri_gamma", "cbrt")
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


def values(dtype: str) -> np.ndarray:
    """Arguments of every kind for functions of one operand."""
    rng = np.random.default_rng(19)
    parts = [rng.uniform(-200, 200, 200), rng.uniform(-3, 3, 200), 10.0 ** rng.uniform(-30, 30, 96)]
    return np.concatenate([*parts, EDGES]).astype(dtype)


@pytest.mark.parametrize("dtype", LANES)
@pytest.mark.parametrize("name", SPECIAL)
def test_lanes_and_levels_do_not_change_bits(native, name, dtype, level):
    with np.errstate(over="ignore"):
        x = values(dtype)
    scalar = native(lambda k, x: k.call(name, x), dtype, lanes=1)(x)
    wide = native(lambda k, x: k.call(name, x), dtype, lanes=LANES[dtype], level=level)(x)
    defined = ~np.isnan(scalar)
    assert np.array_equal(np.isnan(wide), ~defined)
    assert wide[defined].tobytes() == scalar[defined].tobytes()


def test_values_that_are_known_exactly(native):
    def of(name, *xs):
        return native(lambda k, *xs: k.call(name, *xs), *["float64"] * len(xs))(*map(np.array, xs))

    whole = np.arange(1.0, 24.0)
    factorials = [float(math.factorial(n)) for n in range(23)]
    np.testing.assert_array_equal(of("gamma", whole), factorials)
    np.testing.assert_array_equal(of("gammaln", [1.0, 2.0]), 0)
    np.testing.assert_array_equal(of("cbrt", (whole - 9) ** 3), whole - 9)
    np.testing.assert_array_equal(of("hypot", 3 * whole, 4 * whole), 5 * whole)
    np.testing.assert_array_equal(of("erfinv", [-1.0, 0.0, 1.0]), [-np.inf, 0, np.inf])
    np.testing.assert_array_equal(of("erfcinv", [0.0, 1.0, 2.0]), [np.inf, 0, -np.inf])
    np.testing.assert_array_equal(of("erfcx", [0.0, -30.0, np.inf]), [1, np.inf, 0])


def value_of(native, name: str, x: np.ndarray) -> np.ndarray:
    return native(lambda k, x: k.call(name, x), "float64")(x)


def test_poles_of_the_gamma_family(native):
    x = np.array([0.0, -0.0, -1.0, -2.0, -1e300, -np.inf, np.inf, np.nan])
    found = {name: value_of(native, name, x) for name in SPECIAL}
    inf, nan = np.inf, np.nan
    np.testing.assert_array_equal(found["gamma"], [inf, -inf, nan, nan, nan, nan, inf, nan])
    np.testing.assert_array_equal(found["gammaln"], [inf, inf, inf, inf, inf, inf, inf, nan])
    np.testing.assert_array_equal(found["psi"], [-inf, inf, nan, nan, nan, nan, inf, nan])
    np.testing.assert_array_equal(found["tri_gamma"], [inf, inf, inf, inf, inf, nan, 0, nan])


@pytest.mark.parametrize("dtype", LANES)
def test_hypotenuses_at_the_edges(native, dtype):
    info = np.finfo(dtype)
    legs = [0.0, 1.0, float(info.tiny), float(info.smallest_subnormal), float(info.max) / 2]
    special = np.array([*legs, np.inf, -np.inf, np.nan, -3.0], dtype)
    x, y = (grid.ravel() for grid in np.meshgrid(special, special))
    found = native(lambda k, x, y: k.call("hypot", x, y), dtype, dtype)(x, y)
    np.testing.assert_allclose(found, np.hypot(x, y), rtol=2 * info.eps, atol=0)


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
