"""Where integers end: division by zero, the least integer by -1, shifts beyond the width, casts.

Every way to run a graph gives the same values, which docs/accuracy.md lists; those that numpy
defines are numpy's.
"""

from __future__ import annotations

import numpy as np
import pytest

from exprd_compiler.ir.dtype import INTEGERS, SIGNED, UNSIGNED
from exprd_compiler.ir.node import Array
from exprd_compiler.ops.table import OPS
from tests.ops.conftest import RunGraph
from tests.ops.samples import joined, sample

BITS = {dtype: np.iinfo(dtype).bits for dtype in INTEGERS}


def apply(run_graph: RunGraph, name: str, *arrays: Array, **attrs: object) -> list[int]:
    (found,) = run_graph(*joined([sample(OPS[name], arrays, dict(attrs))]))
    return [int(value) for value in found]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_by_zero_both_are_zero(dtype: str, run_graph: RunGraph) -> None:
    info = np.iinfo(dtype)
    a = np.array([info.min, 0, 1, 5, info.max], dtype)
    for name in ("int_div", "mod"):
        assert apply(run_graph, name, a, np.zeros(5, dtype)) == [0] * 5


@pytest.mark.parametrize("dtype", SIGNED)
def test_the_least_integer_by_minus_one(dtype: str, run_graph: RunGraph) -> None:
    least = np.iinfo(dtype).min
    a, b = np.array([least, least + 1], dtype), np.full(2, -1, dtype)
    assert apply(run_graph, "int_div", a, b) == [least, -(least + 1)]
    assert apply(run_graph, "mod", a, b) == [0, 0]


@pytest.mark.parametrize("dtype", SIGNED)
def test_the_signs_of_python(dtype: str, run_graph: RunGraph) -> None:
    pairs = [(a, b) for a in (-7, -6, -1, 0, 1, 6, 7) for b in (-3, -2, 2, 3)]
    a, b = np.array(pairs, dtype).T
    assert apply(run_graph, "int_div", a, b) == [x // y for x, y in pairs]
    assert apply(run_graph, "mod", a, b) == [x % y for x, y in pairs]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_quotients_over_the_whole_range(
    dtype: str, run_graph: RunGraph, rng: np.random.Generator
) -> None:
    info = np.iinfo(dtype)
    a, b = rng.integers(info.min, info.max, (2, 500), dtype, endpoint=True)
    b[::2] = b[::2] >> (BITS[dtype] // 2)
    a[::5] = (a[::5] // np.where(b[::5] == 0, 1, b[::5])) * b[::5]
    with np.errstate(all="ignore"):
        assert apply(run_graph, "int_div", a, b) == list(map(int, a // b))
        assert apply(run_graph, "mod", a, b) == list(map(int, a % b))


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
@pytest.mark.parametrize("bits", [3, 52, 53, 54, 63])
def test_quotients_of_wide_numbers_are_exact(
    bits: int, dtype: str, run_graph: RunGraph, rng: np.random.Generator
) -> None:
    """Whether or not a vector of them fits into floats, and next to where the quotient changes."""
    b = rng.integers(1, np.uint64(1) << rng.integers(1, bits + 1, 200, "uint64"), dtype="uint64")
    near = rng.integers(0, 2**bits // b, dtype="uint64", endpoint=True) * b
    a = np.minimum(near + rng.integers(-1, 2, 200).astype("uint64"), 2**bits - 1).astype(dtype)
    b = b.astype(dtype)
    if dtype == "int64":
        a, b = a * rng.choice((-1, 1), 200), b * rng.choice((-1, 1), 200)
    wanted = [divmod(int(x), int(y)) for x, y in zip(a, b, strict=True)]
    assert apply(run_graph, "int_div", a, b) == [quotient for quotient, _ in wanted]
    assert apply(run_graph, "mod", a, b) == [rest for _, rest in wanted]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_shifts_beyond_the_width(dtype: str, run_graph: RunGraph) -> None:
    bits = BITS[dtype]
    counts = [0, 1, bits - 1, bits, bits + 1, 100]
    a, b = np.ones(6, dtype), np.array(counts, dtype)
    with np.errstate(over="ignore"):
        top = int(np.array(1 << (bits - 1), f"uint{bits}").astype(dtype))
    assert apply(run_graph, "left_shift", a, b) == [1, 2, top, 0, 0, 0]
    highest = np.full(6, np.iinfo(dtype).max, dtype)
    largest = np.iinfo(dtype).max
    wanted = [largest >> min(count, bits) for count in counts]
    assert apply(run_graph, "right_shift", highest, b) == wanted


@pytest.mark.parametrize("dtype", SIGNED)
def test_shifts_of_and_by_negative_numbers(dtype: str, run_graph: RunGraph) -> None:
    a, b = np.array([-5, -5, -5, 5], dtype), np.array([1, 100, -1, -1], dtype)
    assert apply(run_graph, "right_shift", a, b) == [-3, -1, -1, 0]
    assert apply(run_graph, "left_shift", a, b) == [-10, 0, 0, 0]


@pytest.mark.parametrize("source", ["float32", "float64"])
@pytest.mark.parametrize("dtype", [*SIGNED, *UNSIGNED])
def test_floats_that_no_integer_holds(dtype: str, source: str, run_graph: RunGraph) -> None:
    """NaN and what is too large: the least integer of the 32 or 64 bits through which it goes."""
    x = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30], source)
    least = {"int32": -(2**31), "int64": -(2**63), "uint64": 2**63}.get(dtype, 0)
    wanted = [least] * 5
    if dtype == "uint64":  # above 2**63 the top bit is flipped
        wanted[1] = wanted[3] = 0
    assert apply(run_graph, "cast", x, dtype=dtype) == wanted


def test_wrapping_is_that_of_the_width(run_graph: RunGraph) -> None:
    x = np.array([300.0, -1.0, 70000.0, -32769.0])
    assert apply(run_graph, "cast", x, dtype="uint8") == [44, 255, 112, 255]
    assert apply(run_graph, "cast", x, dtype="int16") == [300, -1, 4464, 32767]
