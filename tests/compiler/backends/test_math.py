"""Accuracy, special values and reproducibility of the vector math."""

from __future__ import annotations

import re

import mpmath
import numpy as np
import pytest

from exprd_compiler.backends.llvm.jit import assembly
from exprd_compiler.backends.llvm.math_table import MATH
from exprd_compiler.backends.llvm.scalar import INLINE_LIMIT, LLVMBuilder
from exprd_compiler.backends.llvm.target import LEVELS, supports
from exprd_compiler.backends.llvm.text import ModuleText, Value

# Bounds in ulp for (float32, float64), as documented in the math modules.
BOUNDS = {
    "arccos": (1.0, 1.5),
    "arccosh": (1.0, 1.2),
    "arcsin": (1.0, 1.5),
    "arcsinh": (1.0, 1.2),
    "arctan": (1.5, 1.5),
    "arctanh": (1.0, 1.2),
    "cbrt": (0.51, 0.51),
    "cos": (1.0, 1.0),
    "sin": (1.0, 1.0),
    "tan": (1.0, 1.0),
    "cosh": (1.5, 1.5),
    "exp2": (1.1, 1.1),
    "log10": (1.0, 0.51),
    "log2": (1.0, 0.51),
    "sinh": (1.5, 1.5),
    "exp": (1.1, 1.0),
    "expm1": (1.5, 1.5),
    "log": (1.0, 1.0),
    "log1p": (1.0, 1.0),
    "sigmoid": (2.0, 2.0),
    "softplus": (1.5, 1.5),
    "sqrt": (0.5, 0.5),
    "tanh": (2.0, 2.0),
}
# Tested elsewhere: exact, of two arguments, or without a reference in numpy's long double.
INTEGERS = {"gcd": {"float32": "int32", "float64": "int64"}}
TWO_OPERANDS = (
    *("arctan2", "copysign", "fmod", "gammainc", "gammaincc", "hypot", "iv", "jv", "pow"),
    *INTEGERS,
)
ELSEWHERE = {
    *TWO_OPERANDS,
    *("ceil", "floor", "rint", "trunc"),
    *("erf", "erfc", "erfcinv", "erfcx", "erfinv"),
    *("gamma", "gammaln", "psi", "tri_gamma"),
}
BELOW_ONE = ("arccos", "arcsin", "arctanh")
POSITIVE = ("log", "log2", "log10", "sqrt")
LANES = {"float32": 32, "float64": 16}
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 1e30, -1e30]
LARGEST = {"float32": 104.0, "float64": 746.0}

extended = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 63, reason="needs an 80-bit long double as reference"
)


def reference(name: str, x: np.ndarray) -> np.ndarray:
    """The function in extended precision."""
    with np.errstate(all="ignore"):
        wide = x.astype(np.longdouble)
        if name == "sigmoid":
            power = np.exp(-np.abs(wide))
            return np.where(wide < 0, power, 1) / (1 + power)
        if name == "softplus":
            return np.maximum(wide, 0) + np.log1p(np.exp(-np.abs(wide)))
        return getattr(np, name)(wide)


def arguments(name: str, dtype: str, count: int) -> np.ndarray:
    """Samples over the whole range, dense where the function bends."""
    rng = np.random.default_rng(7)
    edge = LARGEST[dtype]
    if name in POSITIVE:
        parts = [np.exp(rng.uniform(-edge, edge * 0.85, count)), rng.uniform(0.4, 2.2, count)]
    elif name == "arccosh":
        parts = [1 + 10.0 ** rng.uniform(-8, 30, count), rng.uniform(1, 4, count)]
    elif name in BELOW_ONE:
        parts = [rng.uniform(-1, 1, count), 10.0 ** rng.uniform(-12, 0, count)]
    elif name == "log1p":
        parts = [np.expm1(rng.uniform(-16, 80, count)), rng.uniform(-0.9, 1, count)]
        parts.append(10.0 ** rng.uniform(-20, 0, count))
    else:
        parts = [rng.uniform(-edge, edge, count), rng.uniform(-12, 12, count)]
        parts += [rng.uniform(-1, 1, count), 10.0 ** rng.uniform(-12, 0, count)]
    return np.concatenate(parts).astype(dtype)


def errors_in_ulp(found: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Distance to the exact result in units of its last place; 0 where that overflows."""
    info = np.finfo(found.dtype)
    size = np.abs(exact)
    with np.errstate(all="ignore"):
        unit = np.exp2(np.floor(np.log2(np.maximum(size, info.tiny))) - info.nmant)
        distance = np.abs(found.astype(np.longdouble) - exact) / unit
    return np.where(size <= info.max, distance, 0)


def math_loop(native, name, dtype, **options):
    return native(lambda k, x: k.call(name, x), dtype, **options)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays agree in every bit; the payload of a NaN is nobody's promise."""
    undefined = np.isnan(a)
    return (
        np.array_equal(undefined, np.isnan(b))
        and a[~undefined].tobytes() == b[~undefined].tobytes()
    )


def test_every_function_has_a_bound():
    assert BOUNDS.keys() | ELSEWHERE == MATH.keys()


@extended
@pytest.mark.parametrize("dtype", LANES)
@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_error_stays_within_the_bound(native, name, dtype):
    x = arguments(name, dtype, 20_000)
    error = errors_in_ulp(math_loop(native, name, dtype)(x), reference(name, x))
    worst = error.argmax()
    assert error[worst] <= BOUNDS[name][dtype == "float64"], f"{name}({x[worst]!r})"


@extended
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_error_stays_within_the_bound_over_all_of_float32(native, name):
    run = math_loop(native, name, "float32", lanes=32)
    for start in range(0, 1 << 32, 1 << 28):
        bits = np.arange(start, start + (1 << 28), 997, dtype=np.uint64).astype(np.uint32)
        x = bits.view(np.float32)
        exact, found = reference(name, x), run(x)
        with np.errstate(all="ignore"):
            undefined = np.isnan(exact)
            assert np.array_equal(np.isnan(found), undefined)
            error = errors_in_ulp(found[~undefined], exact[~undefined])
        assert error.max(initial=0) <= max(BOUNDS[name][0], 1.1)


def high_precision(name: str, x: float) -> mpmath.mpf:
    number = mpmath.mpf(x)
    if name == "exp2":
        return mpmath.mpf(2) ** number
    if name == "log2":
        return mpmath.log(number, 2)
    if name == "sigmoid":
        return 1 / (1 + mpmath.exp(-number))
    if name == "softplus":
        return mpmath.log1p(mpmath.exp(number))
    if name == "cbrt":
        return mpmath.sign(number) * mpmath.cbrt(abs(number))
    return getattr(mpmath, name.replace("arc", "a"))(number)


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_float64_agrees_with_arbitrary_precision(native, name):
    x = arguments(name, "float64", 60)
    found = math_loop(native, name, "float64")(x)
    with mpmath.workprec(160):
        for argument, result in zip(x, found, strict=True):
            exact = high_precision(name, float(argument))
            if abs(exact) < np.finfo(np.float64).max:
                unit = float(np.spacing(abs(float(exact))))
                assert abs(mpmath.mpf(float(result)) - exact) <= 2 * unit, (name, argument)


@pytest.mark.parametrize("dtype", LANES)
@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_special_values(native, name, dtype):
    info = np.finfo(dtype)
    edges = [info.max, -info.max, info.tiny, -info.tiny, info.smallest_subnormal]
    x = np.array([*SPECIAL, *edges, -info.smallest_subnormal], dtype)
    found = math_loop(native, name, dtype)(x)
    with np.errstate(all="ignore"):
        expected = reference(name, x).astype(dtype)
    np.testing.assert_allclose(found, expected, rtol=4 * info.eps, atol=0)
    zero = expected == 0
    assert np.array_equal(np.signbit(found[zero]), np.signbit(expected[zero]))


@pytest.mark.parametrize("dtype", LANES)
@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_lanes_do_not_change_bits(native, name, dtype):
    x = np.concatenate([arguments(name, dtype, 500), np.array(SPECIAL, dtype)])
    wide = math_loop(native, name, dtype, lanes=LANES[dtype])(x)
    assert same_bits(wide, math_loop(native, name, dtype, lanes=1)(x))
    assert same_bits(wide, math_loop(native, name, dtype, lanes=8)(x))


@pytest.mark.skipif(not supports(LEVELS["v4"]), reason="needs AVX-512")
@pytest.mark.parametrize("dtype", LANES)
@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_levels_do_not_change_bits(native, name, dtype):
    x = np.concatenate([arguments(name, dtype, 5_000), np.array(SPECIAL, dtype)])
    first = math_loop(native, name, dtype, level=LEVELS["v3"])(x)
    assert same_bits(first, math_loop(native, name, dtype, level=LEVELS["v4"])(x))


@pytest.mark.parametrize("dtype", LANES)
def test_calls_of_internal_functions_give_the_bits_of_inlined_ones(native, dtype):
    x = arguments("tanh", dtype, 500)

    def last_of_many(k, x):
        for _ in range(INLINE_LIMIT):
            k.call("tanh", x)
        return k.call("tanh", x)

    assert same_bits(math_loop(native, "tanh", dtype)(x), native(last_of_many, dtype)(x))


def test_logarithms_of_whole_powers_are_exact(native):
    two = np.exp2(np.arange(-1074.0, 1024.0))
    np.testing.assert_array_equal(math_loop(native, "log2", "float64")(two), np.arange(-1074, 1024))
    ten = np.array([float(f"1e{n}") for n in range(23)])
    np.testing.assert_array_equal(math_loop(native, "log10", "float64")(ten), np.arange(23))
    whole = np.arange(-1074.0, 1024.0)
    np.testing.assert_array_equal(math_loop(native, "exp2", "float64")(whole), two)


def module_of_all(dtype: str) -> str:
    """A module with one function for every name in the table."""
    module = ModuleText()
    for name in sorted(MATH):
        arity = 2 if name in TWO_OPERANDS else 1
        kind = INTEGERS.get(name, {}).get(dtype, dtype)
        operands = [Value(f"%x{i}", kind, 4) for i in range(arity)]
        function = module.function(name, operands, result=operands[0].type)
        function.line(f"ret {LLVMBuilder(function, 4).call(name, *operands).typed}")
    return module.text()


@pytest.mark.parametrize("dtype", LANES)
@pytest.mark.parametrize("name", ["v3", "neon"])
def test_no_function_calls_a_library(name, dtype):
    """What LLVM cannot expand it calls from libm, slowly and with other bits."""
    text = assembly(module_of_all(dtype), LEVELS[name])
    called = set(re.findall(r"\t(?:callq?|bl)\t(\S+)", text))
    assert called
    assert all(symbol.startswith("exprd.math.") for symbol in called), called
