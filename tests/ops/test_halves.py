"""16-bit floats: every number through every elementwise op, conversions, and what accumulates."""

from __future__ import annotations

import bisect
from fractions import Fraction

import numpy as np
import pytest

from exprd_compiler.driver import compile_artifact, compile_graph
from exprd_compiler.ir.dtype import DISCRETE, DTYPES, HALVES, WIDE_FLOATS, is_float, promote
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.half import bfloat16_bits, converted, from_bfloat16_bits, widened
from exprd_compiler.ir.lowering import Scalar
from exprd_compiler.ir.node import Array, Op
from exprd_compiler.ops.arithmetic import add, cast, mul, sub
from exprd_compiler.ops.nnet import softmax
from exprd_compiler.ops.reduce import mean, prod, sum_
from exprd_compiler.ops.scans import cumsum
from exprd_compiler.ops.statistics import std, var
from exprd_compiler.ops.table import OPS
from exprd_compiler.options import CompileOptions
from tests.ops.conftest import RunGraph
from tests.ops.samples import TESTED, assert_close, joined, leaf, sample

ELEMENTWISE = [
    op
    for op in TESTED
    if isinstance(op.lowering, Scalar) and op.name != "cast" and set(HALVES) <= set(op.dtypes)
]
NAMED = pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
MIXED = ("bool", "int8", "uint8", "int16", "int64", "float16", "bfloat16", "float32", "float64")


def every(dtype: str) -> Array:
    return np.arange(2**16, dtype=np.uint16).view(dtype)


def order(x: Array) -> Array:
    """The place of each number among all; both zeros have one, and every NaN has one."""
    bits = x.view(np.int16).astype(np.int32)
    place = np.where(bits < 0, -(bits & 0x7FFF), bits)
    return np.where(np.isnan(widened(x)), 2**16, place)


def assert_next(got: Array, want: Array, note: str) -> None:
    """Equal, or neighbours where one side is exact and the other halfway; that is rare."""
    assert got.dtype == want.dtype, note
    if got.dtype.name not in HALVES:
        assert_close(got, want, note=note)
        return
    away = np.abs(order(got) - order(want))
    worst = int(away.argmax())
    assert away[worst] <= 1, f"{note}: {got[worst]} instead of {want[worst]} at {worst}"
    # most: half of all subnormal numbers, in functions that are nearly x / 2
    assert np.count_nonzero(away) <= max(4, away.size // 50), note


# ---- values
@NAMED
def test_every_number(op: Op, rng: np.random.Generator) -> None:
    count = len(op.examples[0].shapes)
    found = [
        sample(op, [every(dtype), *(rng.permutation(every(dtype)) for _ in range(count - 1))], {})
        for dtype in HALVES
    ]
    graph, arrays = joined(found)
    for got, one in zip(
        compile_graph(graph, CompileOptions()).executable(arrays), found, strict=True
    ):
        assert_next(got, one.expected, f"{op.name} {one.node.inputs[0].dtype}")


@pytest.mark.parametrize("op", [add, OPS["pow"], OPS["true_div"], OPS["maximum"]], ids=str)
def test_mixed_dtypes(op: Op, run_graph: RunGraph, rng: np.random.Generator) -> None:
    found = []
    for half in HALVES:
        for other in MIXED:
            if other in op.dtypes:
                a, b = (converted(rng.integers(0, 2, 19), dtype) for dtype in (half, other))
                found.append(sample(op, [a, b], {}))
    for got, one in zip(run_graph(*joined(found)), found, strict=True):
        assert_close(got, one.expected, note=f"{one.node.inputs}")


def test_each_op_rounds(run_graph: RunGraph, rng: np.random.Generator) -> None:
    """In one kernel as well, no sum keeps more bits than its dtype has."""
    for dtype in HALVES:
        x, y, z = (converted(rng.standard_normal(999), dtype) for _ in range(3))
        want = converted(widened(x) * widened(y), dtype)
        want = converted(widened(want) + widened(z), dtype)
        want = converted(widened(want) - widened(z), dtype)
        a, b, c = (leaf(array, known=False) for array in (x, y, z))
        (got,) = run_graph(Graph((a, b, c), (sub(add(mul(a, b), c), c),)), [x, y, z])
        assert got.tobytes() == want.tobytes()


# ---- conversions
def near_midpoints(dtype: str) -> Array:
    """Every float64 halfway between neighbours, those next to it, and the numbers themselves."""
    with np.errstate(invalid="ignore"):  # some NaNs signal
        numbers = widened(every(dtype)).astype("float64")
    upward = np.sort(numbers[np.isfinite(numbers) & ~np.signbit(numbers)])
    middle = (upward[1:] + upward[:-1]) / 2
    beyond = upward[-1] + (upward[-1] - upward[-2]) / 2  # from here on it is infinity
    middle = np.append(middle, beyond)
    sizes = np.concatenate([middle, np.nextafter(middle, 0), np.nextafter(middle, np.inf)])
    return np.concatenate([numbers, sizes, -sizes, [1e300, -1e300, 5e-324]])


def nearest(values: list[Fraction], wanted: Fraction) -> int:
    """The number of the nearest value, of two the even one."""
    above = bisect.bisect(values, wanted)
    left, right = wanted - values[above - 1], values[above] - wanted
    return above - (left < right or (left == right and above % 2 == 1))


def test_bfloat16_is_the_nearest_number(rng: np.random.Generator) -> None:
    numbers = from_bfloat16_bits(np.arange(0x7F80, dtype=np.uint16))
    values = [Fraction(float(x)) for x in numbers]
    wholes = rng.integers(2**53, 2**63 - 1, 200).tolist()
    near = [(1 << high) + odd * (1 << high - 8) for high in range(54, 63) for odd in (1, 3)]
    wholes += [whole + step for whole in near for step in (-1, 0, 1)]
    for whole in wholes:
        for dtype in ("int64", "uint64"):
            bits = bfloat16_bits(np.array(whole, dtype))
            assert int(bits) == nearest(values, Fraction(whole)), whole
        assert int(bfloat16_bits(np.array(-whole, "int64"))) == 0x8000 + nearest(values, whole)
    for x in near_midpoints("bfloat16")[-130_000::997].tolist():
        if abs(x) < float(values[-1]):
            assert int(bfloat16_bits(np.array(abs(x)))) == nearest(values, Fraction(abs(x)))


@pytest.mark.parametrize("machine", ["v3", "v4"])
@pytest.mark.parametrize("dtype", HALVES)
def test_floats_are_rounded_once(dtype: str, machine: str) -> None:
    x = near_midpoints(dtype)
    a = leaf(x, known=False)
    compiled = compile_graph(Graph((a,), (cast(a, dtype=dtype),)), CompileOptions(machine=machine))
    (got,) = compiled.executable([x])
    np.testing.assert_array_equal(order(got), order(converted(x, dtype)))
    (one,) = compiled.executable([x[-1:]])
    assert one.tobytes() == got[-1:].tobytes()


@pytest.mark.parametrize("source", DISCRETE)
def test_integers_are_rounded_once(source: str, rng: np.random.Generator) -> None:
    if source == "bool":
        x = np.array([False, True])
    else:
        info = np.iinfo(source)
        wide = rng.integers(info.min, info.max, 5000, source, endpoint=True)
        shifted = wide >> rng.integers(0, info.bits, 5000).astype(source)
        x = np.append(shifted, np.array([info.min, info.max], source))
    found = [sample(cast, [x], {"dtype": dtype}) for dtype in HALVES]
    graph, arrays = joined(found)
    for got, one in zip(
        compile_graph(graph, CompileOptions()).executable(arrays), found, strict=True
    ):
        assert got.tobytes() == one.expected.tobytes()


@pytest.mark.parametrize("source", HALVES)
def test_every_number_in_every_dtype(source: str) -> None:
    found = [sample(cast, [every(source)], {"dtype": dtype}) for dtype in DTYPES]
    graph, arrays = joined(found)
    for got, one in zip(
        compile_graph(graph, CompileOptions()).executable(arrays), found, strict=True
    ):
        if one.node.dtype in HALVES:
            np.testing.assert_array_equal(order(got), order(one.expected))
        else:
            np.testing.assert_array_equal(got, one.expected)


@pytest.mark.parametrize("machine", ["v3", "v4"])
def test_no_conversion_is_a_call(machine: str) -> None:
    """LLVM knows library functions for these; they are nowhere to be found."""
    inputs = [leaf(np.zeros((), d), known=True) for d in DTYPES]
    inputs += [leaf(np.zeros(2, d), known=False) for d in DTYPES]
    outputs = [cast(x, dtype=dtype) for x in inputs for dtype in HALVES]
    outputs += [cast(x, dtype=dtype) for x in inputs if x.dtype in HALVES for dtype in DTYPES]
    graph = Graph(tuple(inputs), tuple(outputs))
    image = compile_artifact(graph, CompileOptions(machine=machine)).image
    assert not any(name in image for name in (b"__trunc", b"__extend", b"__gnu", b"__float"))


# ---- folds
def test_folds_accumulate_in_float32(run_graph: RunGraph) -> None:
    x = np.full(1000, 1, "bfloat16")  # alone, 256 + 1 is 256
    a = leaf(x, known=False)
    total, running = run_graph(Graph((a,), (sum_(a, axes=(0,)), cumsum(a, axis=0))), [x])
    assert float(total) == 1000
    assert float(running[-1]) == 256  # a scan gives what it has, element by element
    y = np.array([300, 300, 1 / 256, 1 / 256], "float16")
    b = leaf(y, known=False)
    (product,) = run_graph(Graph((b,), (prod(b, axes=(0,)),)), [y])
    assert float(product) == float(np.float16(300 * 300 / 256 / 256))


@pytest.mark.parametrize("dtype", HALVES)
def test_statistics_do_not_overflow_on_the_way(dtype: str, run_graph: RunGraph) -> None:
    x = converted(np.tile([40000.0, 40200.0], 40_000), dtype)
    a = leaf(x, known=False)
    outputs = (mean(a, axes=(0,)), std(a, axes=(0,), ddof=0), var(a, axes=(0,), ddof=1))
    got = run_graph(Graph((a,), outputs), [x])
    wide = x.astype("float64")
    for value, want in zip(got, (wide.mean(), wide.std(), wide.var(ddof=1)), strict=True):
        assert_close(value, converted(np.asarray(want), dtype))


def test_softmax_is_rounded_once(run_graph: RunGraph, rng: np.random.Generator) -> None:
    x = rng.uniform(-9, 9, (7, 300)).astype("float16")
    a = leaf(x, known=False)
    (got,) = run_graph(Graph((a,), (softmax(a, axis=1),)), [x])
    wide = np.exp(x.astype("float64"))
    want = (wide / wide.sum(axis=1, keepdims=True)).astype("float16")
    assert int(np.abs(order(got) - order(want)).max()) <= 1


# ---- promotion
NATIVE = [dtype for dtype in DTYPES if dtype != "bfloat16"]


@pytest.mark.parametrize("a", NATIVE)
def test_promotion_is_that_of_numpy(a: str) -> None:
    for b in NATIVE:
        assert promote(a, b) == np.promote_types(a, b).name


BESIDE_BFLOAT16 = {
    "bool": "bfloat16",
    "int8": "bfloat16",
    "uint8": "bfloat16",
    "int16": "float32",
    "uint16": "float32",
    "int32": "float64",
    "uint32": "float64",
    "int64": "float64",
    "uint64": "float64",
    "float16": "float32",
    "bfloat16": "bfloat16",
    "float32": "float32",
    "float64": "float64",
    "complex64": "complex64",
    "complex128": "complex128",
}


@pytest.mark.parametrize("other", BESIDE_BFLOAT16)
def test_promotion_with_bfloat16(other: str) -> None:
    assert promote(other, "bfloat16") == promote("bfloat16", other) == BESIDE_BFLOAT16[other]


def test_what_holds_what() -> None:
    """A promoted dtype holds every number of both."""
    for a in (*HALVES, "int8", "uint8", "bool"):
        for b in (*HALVES, *WIDE_FLOATS):
            numbers = every(a) if is_float(a) else np.arange(2**7).astype(a)
            back = converted(converted(numbers, promote(a, b)), a)
            same = np.isnan(widened(numbers)) | (widened(back) == widened(numbers))
            assert same.all()
