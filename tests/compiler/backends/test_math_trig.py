"""Angles of every size, against arbitrary precision."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

LANES = {"float32": 32, "float64": 16}


def far_angles(dtype: str) -> np.ndarray:
    """Angles over the whole range, the worst cases of reduction, and neighbours of the branch."""
    rng = np.random.default_rng(11)
    top = np.log2(float(np.finfo(dtype).max))
    spread = np.exp2(rng.uniform(0, top, 300))
    # nearest float64 to a multiple of pi/2: 61 bits cancel; and its like for float32
    worst = [5.319372648326541e255, 16367173 * 2.0**72, 6381956970095103 * 2.0**797]
    edge = [2.0**40, np.nextafter(2.0**40, 0), 2.0**52, 2.0**63, float(np.finfo(dtype).max)]
    near = np.arange(1, 60) * (np.pi / 2)
    with np.errstate(over="ignore"):
        x = np.concatenate([spread, worst, edge, near, -near, -spread[:50]]).astype(dtype)
    return x[np.isfinite(x)]


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
@pytest.mark.parametrize("dtype", LANES)
def test_angles_of_every_size(native, dtype, name):
    x = far_angles(dtype)
    found = native(lambda k, x: k.call(name, x), dtype, lanes=LANES[dtype])(x)
    with mpmath.workprec(1400):
        for angle, result in zip(x, found, strict=True):
            exact = getattr(mpmath, name)(mpmath.mpf(float(angle)))
            unit = float(np.spacing(np.dtype(dtype).type(abs(float(exact)))))
            error = abs(mpmath.mpf(float(result)) - exact)
            assert error <= unit, (name, angle, float(error) / unit)


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
@pytest.mark.parametrize("dtype", LANES)
def test_one_far_lane_leaves_its_neighbours_alone(native, dtype, name):
    run = native(lambda k, x: k.call(name, x), dtype, lanes=LANES[dtype])
    x = np.linspace(-3, 3, LANES[dtype]).astype(dtype)
    mixed = x.copy()
    mixed[3], mixed[5], mixed[6] = 1e30, np.inf, np.nan
    alone, beside = run(x), run(mixed)
    kept = np.ones(x.size, bool)
    kept[[3, 5, 6]] = False
    assert np.array_equal(alone[kept], beside[kept])
    assert np.isnan(beside[[5, 6]]).all()
    assert beside[3] == run(mixed[3:4])[0]
