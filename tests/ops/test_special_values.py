"""Elementwise ops where numbers end: not-a-numbers, infinities, zeros with a sign, extremes."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from exprd_compiler.errors import DTypeError
from exprd_compiler.ir.dtype import DISCRETE, DTYPES, HALVES, is_complex, is_float, promote
from exprd_compiler.ir.lowering import Scalar
from exprd_compiler.ir.node import Array, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.table import OPS
from tests.ops.conftest import RunGraph
from tests.ops.samples import TESTED, Sample, assert_close, draw, joined, leaf, sample

ELEMENTWISE = [op for op in TESTED if isinstance(op.lowering, Scalar)]
# A function of floats sees integers only through a cast: some dtypes do for it.
CONVERTED = ("bool", "int8", "int64", "uint64", "float32", "float64")


def tried(op: Op, dtype: str) -> bool:
    if dtype in CONVERTED or op.name == "cast":
        return True
    operands = [TensorType("int8", ())] * len(op.examples[0].shapes)
    return not is_float(op.type(*operands).dtype)


CASES = [
    pytest.param(op, dtype, id=f"{op.name}-{dtype}")
    for op in ELEMENTWISE
    for dtype in op.dtypes
    if not is_complex(dtype) and dtype not in HALVES  # see test_complex and test_halves
    if tried(op, dtype)
]
BINARY = [op for op in ELEMENTWISE if len(op.examples[0].shapes) == 2]
# One dtype of each kind and some widths; every pair of them is tried, in turns from both sides.
MIXED = ("bool", "int8", "uint8", "int32", "int64", "uint64", "float32", "float64", "complex64")


def extremes(dtype: str) -> Array:
    if dtype == "bool":
        return np.array([False, True])
    if is_complex(dtype):
        return np.array([0, complex(-0.0, 0), 1j, 1, complex(0, np.nan), complex(np.inf, 0)], dtype)
    if not is_float(dtype):
        info = np.iinfo(dtype)
        near = (info.min, info.min + 1, -3, -2, -1, 0, 1, 2, 3, 7, info.max - 1, info.max)
        return np.array([n for n in near if n >= info.min], dtype)
    info = np.finfo(dtype)
    sizes = (0, info.smallest_subnormal, info.tiny, 0.3, 1, 1.5, 2, 3, 88.5, info.max, np.inf)
    return np.array([*sizes, *(-x for x in sizes), np.nan], dtype)


def every_tuple(arity: int, dtype: str) -> list[Array]:
    values = extremes(dtype)
    columns = np.array(list(itertools.product(range(len(values)), repeat=arity))).T
    return [values[column] for column in columns]


def at_extremes(op: Op, dtype: str) -> list[Sample]:
    if op.name == "cast":
        return [sample(op, [extremes(dtype)], {"dtype": target}) for target in DTYPES]
    arity = len(op.examples[0].shapes)
    if arity == 3:
        a, b = every_tuple(2, dtype)
        return [sample(op, [np.roll(a, 1), a, b], {})]
    return [sample(op, every_tuple(arity, dtype), {})]


def differing(got: Array, want: Array) -> list[int]:
    """The places where elements differ in their bits; the others are equal, zeros' signs too."""
    pairs = zip(got, want, strict=True)
    return [place for place, (a, b) in enumerate(pairs) if a.tobytes() != b.tobytes()]


@pytest.mark.parametrize(("op", "dtype"), CASES)
def test_extremes(op: Op, dtype: str, run_graph: RunGraph) -> None:
    found = at_extremes(op, dtype)
    for got, one in zip(run_graph(*joined(found)), found, strict=True):
        want = one.expected
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        for place in differing(got, want):
            value, wanted = got[place], want[place]
            note = f"{one.node} of {', '.join(str(x[place]) for x in one.arrays)}"
            assert_close(np.asarray(value), np.asarray(wanted), note=note)
            for part in (np.real, np.imag) if is_complex(want.dtype.name) else (np.asarray,):
                same = np.signbit(part(value)) == np.signbit(part(wanted))
                assert part(wanted) != 0 or same, note


@pytest.mark.parametrize("op", BINARY, ids=lambda op: op.name)
def test_mixed_dtypes(op: Op, run_graph: RunGraph, rng: np.random.Generator) -> None:
    """Operands meet in the promoted dtype, whatever their own."""
    example = replace(op.examples[0], low=max(op.examples[0].low, 0.0))
    pairs = itertools.combinations([dtype for dtype in MIXED if dtype in op.dtypes], 2)
    found = [
        sample(op, [draw(rng, (19,), a, example), draw(rng, (19,), b, example)], {})
        for a, b in (pair[:: (-1) ** place] for place, pair in enumerate(pairs))
        if "float64" in op.dtypes or promote(a, b) in DISCRETE
    ]
    for got, one in zip(run_graph(*joined(found)), found, strict=True):
        assert_close(got, one.expected, note=f"{one.node.inputs}")


@pytest.mark.parametrize("condition", MIXED)
def test_switch_takes_any_condition(condition: str, run_graph: RunGraph) -> None:
    values = extremes(condition)
    a, b = (np.full(values.shape, x, "int8") for x in (1, 2))
    one = sample(OPS["switch"], [values, a, b], {})
    (got,) = run_graph(*joined([one]))
    np.testing.assert_array_equal(got, np.where(values != 0, 1, 2))


@pytest.mark.parametrize("name", ["and", "or", "xor", "left_shift"])
def test_there_are_no_bits_of_a_promoted_float(name: str) -> None:
    a, b = (leaf(np.zeros(3, dtype), known=False) for dtype in ("int64", "uint64"))
    with pytest.raises(DTypeError, match="float64, in which int64 and uint64 meet"):
        OPS[name](a, b)
