"""The builder's arithmetic and conversions against numpy."""

from __future__ import annotations

import operator
import platform
from fractions import Fraction

import numpy as np
import pytest

from exprd_compiler.backends.llvm.scalar import LLVMBuilder
from exprd_compiler.backends.llvm.text import ModuleText, Value, constant
from exprd_compiler.errors import CompilerBug

SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
FLOATS = ("float32", "float64")
NUMBERS = (*SIGNED, *UNSIGNED, *FLOATS)
PREDICATES = {
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "eq": operator.eq,
    "ne": operator.ne,
}


def numbers(dtype: str, seed: int = 0, size: int = 200) -> np.ndarray:
    """Random and awkward values of a dtype."""
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.integers(0, 2, size).astype(bool)
    if dtype in FLOATS:
        odd = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.5, -1.5, 2.5, 0.5, -0.5, 3e9, -3e9, 2.0**63]
        values = np.concatenate([odd, rng.normal(size=size) * 10, rng.normal(size=size) * 1e20])
        return rng.permutation(values).astype(dtype)
    info = np.iinfo(dtype)
    odd = np.array([0, 1, info.max, info.min, info.max - 1, info.min + 1], dtype)
    small = rng.integers(0, 20, size).astype(dtype)
    wide = rng.integers(info.min, info.max, size, dtype, endpoint=True)
    return rng.permutation(np.concatenate([odd, odd, small, wide]))


def pair(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    return numbers(dtype, 1), numbers(dtype, 2)


def check(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("lanes", [1, 16])
@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("name", ["add", "sub", "mul"])
def test_ring_operations_wrap_like_numpy(native, name, dtype, lanes):
    a, b = pair(dtype)
    with np.errstate(all="ignore"):
        expected = getattr(operator, name)(a, b)
    check(native(lambda k, a, b: getattr(k, name)(a, b), dtype, dtype, lanes=lanes)(a, b), expected)


@pytest.mark.parametrize("dtype", FLOATS)
def test_float_division(native, dtype):
    a, b = pair(dtype)
    with np.errstate(all="ignore"):
        expected = a / b
    check(native(lambda k, a, b: k.div(a, b), dtype, dtype)(a, b), expected)


@pytest.mark.parametrize("dtype", [*SIGNED, *UNSIGNED])
def test_integer_division_truncates_and_never_traps(native, dtype):
    a, b = pair(dtype)
    a[:4], b[:4] = (
        [np.iinfo(dtype).min, np.iinfo(dtype).min, 5, 0],
        [np.array(-1).astype(dtype), 0, 0, 0],
    )
    with np.errstate(all="ignore"):
        rest = np.fmod(a, b)
        quotient = np.where(
            b == 0, np.zeros_like(a), (a - rest) // np.where(b == 0, 1, b).astype(dtype)
        )
    check(native(lambda k, a, b: k.div(a, b), dtype, dtype)(a, b), quotient.astype(dtype))
    check(native(lambda k, a, b: k.rem(a, b), dtype, dtype)(a, b), rest)


@pytest.mark.parametrize("dtype", NUMBERS)
def test_extrema_propagate_nan(native, dtype):
    a, b = pair(dtype)
    check(native(lambda k, a, b: k.maximum(a, b), dtype, dtype)(a, b), np.maximum(a, b))
    check(native(lambda k, a, b: k.minimum(a, b), dtype, dtype)(a, b), np.minimum(a, b))


@pytest.mark.parametrize("dtype", [*SIGNED, *FLOATS])
def test_neg_and_abs(native, dtype):
    a = numbers(dtype)
    check(native(lambda k, a: k.neg(a), dtype)(a), -a)
    check(native(lambda k, a: k.abs(a), dtype)(a), np.abs(a))


@pytest.mark.parametrize("dtype", ["bool", *NUMBERS])
@pytest.mark.parametrize("predicate", PREDICATES)
def test_comparisons(native, predicate, dtype):
    a, b = pair(dtype)
    b[::3] = a[::3]
    found = native(lambda k, a, b: k.compare(predicate, a, b), dtype, dtype)(a, b)
    check(found, PREDICATES[predicate](a, b))


@pytest.mark.parametrize("dtype", ["bool", *SIGNED, *UNSIGNED])
def test_logic(native, dtype):
    a, b = pair(dtype)
    for name, numpy in (("and_", operator.and_), ("or_", operator.or_), ("xor", operator.xor)):
        found = native(lambda k, a, b, name=name: getattr(k, name)(a, b), dtype, dtype)(a, b)
        check(found, numpy(a, b))
    check(native(lambda k, a: k.not_(a), dtype)(a), ~a)


@pytest.mark.parametrize("dtype", [*SIGNED, *UNSIGNED])
def test_shifts_of_any_count(native, dtype):
    a = numbers(dtype)
    count = np.resize(np.arange(0, 70), a.size).astype(dtype)
    check(native(lambda k, a, b: k.shl(a, b), dtype, dtype)(a, count), np.left_shift(a, count))
    check(native(lambda k, a, b: k.shr(a, b), dtype, dtype)(a, count), np.right_shift(a, count))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "rint", "sqrt"])
def test_rounding_and_root(native, name, dtype):
    a = numbers(dtype)
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(a)
    check(native(lambda k, a: getattr(k, name)(a), dtype)(a), expected)


@pytest.mark.parametrize("dtype", FLOATS)
def test_fma_rounds_once(native, dtype):
    step = np.finfo(dtype).eps
    a = np.array([1 + step, 1 - step, 3.0], dtype)
    c = np.array([-1, -1, 2.0], dtype)
    exact = [float(Fraction(float(x)) ** 2 + Fraction(float(y))) for x, y in zip(a, c, strict=True)]
    check(native(lambda k, a, c: k.fma(a, a, c), dtype, dtype)(a, c), np.array(exact, dtype))


@pytest.mark.parametrize("dtype", FLOATS)
def test_select_copysign_and_bits(native, dtype):
    a, b = pair(dtype)
    c = a > b
    check(
        native(lambda k, c, a, b: k.select(c, a, b), "bool", dtype, dtype)(c, a, b),
        np.where(c, a, b),
    )
    check(native(lambda k, a, b: k.copysign(a, b), dtype, dtype)(a, b), np.copysign(a, b))
    whole = np.dtype(f"i{np.dtype(dtype).itemsize}")
    check(native(lambda k, a: k.bits(a), dtype)(a), a.view(whole))
    check(native(lambda k, a: k.from_bits(a, dtype), whole.name)(a.view(whole)), a)


x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="numpy's values on x86")


@x86
@pytest.mark.parametrize("target", ["bool", *NUMBERS])
@pytest.mark.parametrize("source", ["bool", *NUMBERS])
def test_casts_give_what_numpy_gives_on_x86(native, level, source, target):
    a = numbers(source)
    if source in FLOATS:  # every power of two is a limit of some integer
        limits = np.exp2(np.arange(0, 66)).astype(source)
        a = np.concatenate([a, limits, -limits, np.nextafter(limits, 0), np.nextafter(-limits, 0)])
    with np.errstate(all="ignore"):
        # numpy's contiguous float -> uint32 differs from its own strided one beyond 2**32
        expected = np.repeat(a, 2)[::2].astype(target)
    for lanes in (1, 16):
        run = native(lambda k, a: k.cast(a, target), source, lanes=lanes, level=level)
        check(run(a), expected)


def test_constants_are_exact(native):
    for dtype, value in (("float32", 0.1), ("float64", 0.1), ("int8", -128), ("uint64", 2**64 - 1)):
        found = native(lambda k, x, v=value, d=dtype: k.const(v, d), "int8")(np.zeros(3, np.int8))
        check(found, np.full(3, value, dtype))


def test_one_lane_broadcasts():
    function = ModuleText().function("f", ())
    k = LLVMBuilder(function, 8)
    wide = k.broadcast(constant(3, "int32"))
    assert (wide.lanes, k.broadcast(wide)) == (8, wide)


def test_operands_of_two_types_are_a_bug():
    k = LLVMBuilder(ModuleText().function("f", ()), 4)
    with pytest.raises(CompilerBug, match="must agree"):
        k.add(k.const(1, "int32"), k.const(1, "int64"))


def test_an_unknown_function_is_a_bug():
    k = LLVMBuilder(ModuleText().function("f", ()), 1)
    with pytest.raises(CompilerBug, match="no function 'frobnicate'"):
        k.call("frobnicate", Value("%x", "float32", 1))
