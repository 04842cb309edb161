"""Bessel functions against arbitrary precision, natively."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.leaves import input_
from exprd_compiler.ops.table import find_op
from tests.ops.conftest import native

EXACT = {
    "i0": lambda x: mpmath.besseli(0, x),
    "i1": lambda x: mpmath.besseli(1, x),
    "j0": lambda x: mpmath.besselj(0, x),
    "j1": lambda x: mpmath.besselj(1, x),
}
ZEROS = (2.404825557695773, 5.520078110286311, 3.8317059702075125, 7.015586669815619)


@pytest.mark.parametrize("name", EXACT)
def test_errors_stay_below_what_is_promised(name: str, rng: np.random.Generator) -> None:
    near = np.concatenate([rng.uniform(-8, 8, 150), 10 ** rng.uniform(-12, 0, 50), [*ZEROS, 8.0]])
    far = np.concatenate([rng.uniform(8, 60, 80), [8.0 + 1e-12, 300.0, 700.0]])
    x = input_(type=TensorType("float64", (None,)))
    points = np.concatenate([near, far])
    (got,) = native(Graph((x,), (find_op(name)(x),)), [points])
    with mpmath.workdps(40):
        want = [EXACT[name](mpmath.mpf(float(p))) for p in points]
        error = np.array([float(abs(g - w)) for g, w in zip(got.tolist(), want, strict=True)])
        size = np.array([float(abs(w)) for w in want])
    inside = np.arange(points.size) < near.size
    assert (error[inside] <= 1e-14 * size[inside]).all()
    height = np.sqrt(2 / (np.pi * far)) if name[0] == "j" else size[~inside]
    assert (error[~inside] <= (6e-16 if name[0] == "j" else 3e-15) * height).all()


@pytest.mark.parametrize("name", EXACT)
def test_ends(name: str) -> None:
    x = input_(type=TensorType("float64", (None,)))
    (got,) = native(Graph((x,), (find_op(name)(x),)), [np.array([np.inf, np.nan, 0.0, 713.0])])
    assert got[0] == (np.inf if name[0] == "i" else 0)
    assert np.isnan(got[1])
    assert got[2] == (1 if name[1] == "0" else 0)
    assert np.isfinite(got[3])


@pytest.mark.parametrize("name", ["i1", "j1"])
def test_zeros_keep_their_sign(name: str) -> None:
    x = input_(type=TensorType("float64", (None,)))
    (got,) = native(Graph((x,), (find_op(name)(x),)), [np.array([-0.0, 0.0, -1e-300])])
    assert np.signbit(got).tolist() == [True, False, True]
    assert got[:2].tolist() == [0, 0]
