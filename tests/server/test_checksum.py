from __future__ import annotations

import numpy as np
import pytest

from exprd_server.checksum import checksum

LARGE = 1 << 16
LANES = 32


def _by_numpy(array):
    """The words of the lanes by the formula, written once more."""
    words = array.reshape(-1).view(np.uint64).reshape(-1, LANES)
    lanes = np.arange(LANES, dtype=np.uint64)
    for row in words:
        lanes = (lanes ^ row) * np.uint64(0x9E3779B97F4A7C15)
        lanes ^= lanes >> np.uint64(32)
    return lanes.tobytes().hex()


def test_lanes_are_those_of_the_formula(rng):
    array = rng.standard_normal((64, 32 * 8))
    assert checksum(array) == f"{_by_numpy(array)}0"  # no bytes are left for the end


@pytest.mark.parametrize("nbytes", [1, 255, LARGE - 1, LARGE, LARGE + 1, LARGE + 255])
def test_each_bit_counts(rng, nbytes):
    array = rng.integers(0, 256, nbytes, np.uint8)
    plain = checksum(array)
    for place in {0, nbytes // 2, nbytes - 1, *rng.integers(0, nbytes, 20).tolist()}:
        for bit in (0, 7):
            other = array.copy()
            other[place] ^= 1 << bit
            assert checksum(other) != plain
            other[place] ^= 1 << bit
            assert checksum(other) == plain


def test_order_and_signs_count(rng):
    array = rng.standard_normal((128, 512))
    turned = array[::-1]
    signs = np.where(np.arange(128) % 2, 1.0, -1.0)[:, None]
    seen = {checksum(x) for x in (array, turned, -array, array * signs, array.T)}
    assert len(seen) == 5
    assert checksum(turned) == checksum(turned.copy())


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1 << 14, 2)])
@pytest.mark.parametrize("dtype", ["bool", "int8", "float16", "bfloat16", "float32", "complex128"])
def test_every_dtype_and_shape(shape, dtype):
    from exprd_compiler.ir.dtype import numpy_dtype

    array = np.ones(shape, numpy_dtype(dtype))
    assert checksum(array) == checksum(array.copy())
    assert array.size == 0 or checksum(array) != checksum(np.zeros_like(array))
