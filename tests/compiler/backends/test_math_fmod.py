"""The float remainder: every bit of C's fmod, however far apart the two numbers are."""

from __future__ import annotations

import numpy as np
import pytest

LANES = {"float32": 32, "float64": 16}


def pairs(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of any size, near multiples, and everything special against everything special."""
    rng, info = np.random.default_rng(23), np.finfo(dtype)
    bits = rng.integers(0, 1 << info.bits, (2, 4000), f"uint{info.bits}", endpoint=False)
    x, y = bits.view(dtype)
    near = rng.uniform(-9, 9, 500) * 10.0 ** rng.integers(-9, 9, 500)
    whole = rng.integers(1, 1000, 500)
    special = [0.0, 1.0, 3.0, 0.1, info.tiny, info.smallest_subnormal, info.max, np.inf, np.nan]
    special += [-value for value in special]
    a, b = (grid.ravel() for grid in np.meshgrid(special, special))
    return (
        np.concatenate([x, near * whole, np.nextafter(near * whole, 0), a]).astype(dtype),
        np.concatenate([y, near, near, b]).astype(dtype),
    )


@pytest.mark.parametrize("lanes", [1, None], ids=["scalar", "vector"])
@pytest.mark.parametrize("dtype", LANES)
def test_every_bit_is_that_of_fmod(native, dtype, lanes):
    with np.errstate(all="ignore"):
        x, y = pairs(dtype)
        expected = np.fmod(x, y)
    run = native(lambda k, x, y: k.call("fmod", x, y), dtype, dtype, lanes=lanes or LANES[dtype])
    found = run(x, y)
    np.testing.assert_array_equal(found, expected)
    defined = ~np.isnan(expected)
    assert np.array_equal(np.signbit(found)[defined], np.signbit(expected)[defined])
