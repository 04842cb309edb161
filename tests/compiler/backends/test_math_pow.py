"""Powers: accuracy, the special cases of C99, integers."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from exprd_compiler.backends.llvm.target import LEVELS, supports

LANES = {"float32": 32, "float64": 16}
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def power(native, dtype, **options):
    return native(lambda k, x, y: k.call("pow", x, y), dtype, dtype, **options)


def arguments(dtype: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Bases near 1 and far from it, exponents up to overflow."""
    rng = np.random.default_rng(3)
    limit = 100 if dtype == "float32" else 740
    spread = [rng.uniform(-5, 5, count), rng.uniform(-80, 80, count)]
    near = rng.uniform(0.99, 1.01, count)
    x = np.concatenate([*np.exp(spread), near]).astype(dtype)
    with np.errstate(all="ignore"):
        y = rng.uniform(-limit, limit, x.size) / np.log(x.astype(np.float64))
    y[::7] = np.rint(y[::7])
    y[1::7] = 0.5
    return x, np.clip(y, -1e30, 1e30).astype(dtype)


@pytest.mark.parametrize("dtype", LANES)
def test_error_is_below_one_ulp(native, dtype):
    x, y = arguments(dtype, 300)
    found = power(native, dtype)(x, y)
    with mpmath.workprec(160):
        for base, exponent, result in zip(x, y, found, strict=True):
            exact = mpmath.mpf(float(base)) ** mpmath.mpf(float(exponent))
            if exact <= np.finfo(dtype).max:
                unit = float(np.spacing(np.dtype(dtype).type(float(exact))))
                error = abs(mpmath.mpf(float(result)) - exact)
                assert error <= unit, (base, exponent, error / unit)


@pytest.mark.parametrize("dtype", LANES)
def test_special_cases_are_those_of_numpy(native, dtype):
    info = np.finfo(dtype)
    values = [
        0.0,
        1.0,
        2.0,
        3.0,
        0.5,
        1.5,
        2.5,
        1e30,
        np.inf,
        float(info.max),
        float(info.tiny) / 4,
    ]
    values += [2.0**23 - 1, 2.0**24 + 2, 2.0**52 + 1]
    special = np.array([*values, *[-value for value in values], np.nan], dtype)
    x, y = (grid.ravel() for grid in np.meshgrid(special, special))
    found = power(native, dtype)(x, y)
    with np.errstate(all="ignore"):
        expected = np.power(x, y)
    np.testing.assert_allclose(found, expected, rtol=4 * info.eps, atol=0)
    defined = ~np.isnan(expected)
    assert np.array_equal(np.signbit(found)[defined], np.signbit(expected)[defined])


@pytest.mark.parametrize("lanes", [1, 16])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_wrap_like_numpy(native, dtype, lanes):
    rng, info = np.random.default_rng(5), np.iinfo(dtype)
    x = rng.integers(info.min, info.max, 400, dtype, endpoint=True)
    x[::2] = rng.integers(0, 6, 200)
    y = rng.integers(0, 80, 400).astype(dtype)
    y[::5] = rng.integers(0, info.max, 80, dtype)
    np.testing.assert_array_equal(power(native, dtype, lanes=lanes)(x, y), np.power(x, y))


def test_negative_powers_of_integers(native):
    x = np.array([1, -1, -1, 2, -5, 0], np.int32)
    y = np.array([-3, -3, -2, -1, -2, -1], np.int32)
    assert list(power(native, "int32")(x, y)) == [1, -1, 1, 0, 0, 0]


@pytest.mark.skipif(not supports(LEVELS["v4"]), reason="needs AVX-512")
@pytest.mark.parametrize("dtype", LANES)
def test_levels_and_lanes_do_not_change_bits(native, dtype):
    x, y = arguments(dtype, 300)
    first = power(native, dtype, level=LEVELS["v3"])(x, y)
    for lanes in (1, LANES[dtype]):
        again = power(native, dtype, level=LEVELS["v4"], lanes=lanes)(x, y)
        assert first.tobytes() == again.tobytes()
