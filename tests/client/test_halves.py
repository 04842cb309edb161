"""float16 and bfloat16 through the client: values, state, python numbers, and without ml_dtypes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd.errors import CallError
from exprd_compiler.ir.dtype import numpy_dtype
from exprd_compiler.ir.half import converted, widened

HALVES = pytest.mark.parametrize("dtype", ["float16", "bfloat16"])


def numbers(rng: np.random.Generator, dtype: str, *shape: int) -> np.ndarray:
    return converted(rng.standard_normal(shape), dtype)


@HALVES
def test_arguments_and_results(dtype: str, mode: str, rng: np.random.Generator) -> None:
    x, y = T.matrix("x", dtype=dtype), T.vector("y", dtype=dtype)
    f = exprd.function([x, y], [T.exp(x) + y, T.dot(x, y), x.sum(axis=0), x.T])
    a, b = numbers(rng, dtype, 5, 7), numbers(rng, dtype, 7)
    got = f(a, b)
    assert [value.dtype.name for value in got] == [dtype] * 4
    wide = widened(a)
    for value, want in zip(
        got, (np.exp(wide) + widened(b), wide @ widened(b), wide.sum(0), wide.T), strict=True
    ):
        step = 2.0**-7 if dtype == "bfloat16" else 2.0**-10
        np.testing.assert_allclose(widened(value), want, rtol=2 * step, atol=2 * step)


@HALVES
def test_shared_variables_are_updated(dtype: str, mode: str, rng: np.random.Generator) -> None:
    first = numbers(rng, dtype, 6)
    w = exprd.shared(first, name="w")
    x = T.vector("x", dtype=dtype)
    cost = T.sum((w * x) ** 2)
    slope = exprd.grad(cost, w)
    assert slope.dtype == dtype
    step = T.constant(0.125, dtype=dtype)
    f = exprd.function([x], cost, updates=[(w, w - step * slope)])
    a = numbers(rng, dtype, 6)
    f(a)
    now = w.get_value()
    assert now.dtype.name == dtype
    want = widened(first) - 0.25 * widened(first) * widened(a) ** 2
    np.testing.assert_allclose(widened(now), want, rtol=0.03, atol=0.03)
    w.set_value(first)
    assert w.get_value().tobytes() == first.tobytes()


@HALVES
def test_values_stay_where_they_are_put(dtype: str, mode: str, rng: np.random.Generator) -> None:
    a = numbers(rng, dtype, 40)
    buffer = exprd.put(a)
    x = T.vector("x", dtype=dtype)
    f = exprd.function([x], x + x)
    assert f(buffer).tobytes() == f(a).tobytes()
    assert np.asarray(buffer.get()).tobytes() == a.tobytes()


@HALVES
def test_constants_keep_their_bits(dtype: str, mode: str) -> None:
    special = converted(np.array([np.inf, -np.inf, np.nan, -0.0, 0.1, 1e-7, 3.0, 7.0, 9.0]), dtype)
    for array in (special, special[:4], special[4]):
        x = T.tensor(dtype=dtype, broadcastable=(False,) * array.ndim)
        f = exprd.function([x], T.switch(T.eq(x, x), T.constant(array), T.constant(array)))
        assert f(np.zeros(array.shape, dtype)).tobytes() == array.tobytes()


def test_a_number_that_is_not_held_is_refused(mode: str) -> None:
    x = T.scalar("x", dtype="float16")
    f = exprd.function([x], x)
    assert f(0.5) == np.float16(0.5)
    with pytest.raises(CallError, match="cannot hold"):
        f(0.1)
    with pytest.raises(CallError, match="float32"):
        f(np.array(0.5, "float32"))


@HALVES
def test_numpy_gives_the_same(dtype: str, mode: str, rng: np.random.Generator) -> None:
    x = T.vector("x", dtype=dtype)
    y = T.tanh(x) * T.constant([1.5, 0.1, -2.0] * 5, dtype=dtype) - x
    a = numbers(rng, dtype, 15)
    w = exprd.shared(a)
    native, by_numpy = (
        exprd.function([x], [y, y.sum()], updates=[(w, y)], mode=exprd.Mode(linker=linker))
        for linker in ("cvm", "py")
    )
    for value, want in zip(native(a), by_numpy(a), strict=True):
        assert value.dtype.name == want.dtype.name == dtype
        np.testing.assert_allclose(widened(value), widened(want), rtol=0.01, atol=0.01)
    assert w.get_value().dtype.name == dtype


# ---- python numbers
def test_python_numbers_beside_float16() -> None:
    x = T.vector("x", dtype="float16")
    assert (x * 2).dtype == "float16"
    assert (x * 2.5).dtype == "float32"  # as Theano: float16 only if floatX is
    with exprd.config.change_flags(floatX="float16"):
        assert T.vector().dtype == "float16"
        assert (x * 2.5).dtype == (x / 3).dtype == "float16"
        assert (T.constant(0.1)).dtype == "float16"
        assert (T.vector(dtype="float32") * 0.1).dtype == "float32"


def test_python_numbers_beside_bfloat16() -> None:
    x = T.vector("x", dtype="bfloat16")
    assert (x * 2).dtype == "bfloat16"
    assert (x * T.constant(2.5, dtype="bfloat16")).dtype == "bfloat16"
    assert (x + T.vector(dtype="float16")).dtype == "float32"


# ---- a client without the package
THIN = """
import sys
sys.modules["ml_dtypes"] = None
import numpy as np, exprd, exprd.tensor as T
from exprd.errors import MissingExtra

exprd.connect(sys.argv[1])
x = T.vector("x", dtype="float32")
w = exprd.shared(np.array([1.0, 2.0, 3.0], "float32"))
h = T.cast(x, "bfloat16")
y = T.exp(h * T.constant([0.1, 1.0, 3.0], dtype="bfloat16")) + T.cast(w, "bfloat16")
cost = T.sum(y ** 2)
f = exprd.function([x], [T.cast(y, "float32"), exprd.grad(T.cast(cost, "float32"), x)])
print(*(value.tolist() for value in f(np.array([0.1, -0.5, 0.3], "float32"))), sep=";")

def refused(make):
    try:
        make()
    except MissingExtra as error:
        assert "exprd[bfloat16]" in str(error), error
    else:
        raise AssertionError(make)

z = T.vector("z", dtype="bfloat16")
refused(lambda: exprd.function([z], T.cast(z, "float32")))
refused(lambda: exprd.function([x], h))
"""


def test_bfloat16_within_graphs_needs_no_package(server: str, child_env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", THIN, server],
        env=child_env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    x = T.vector("x", dtype="float32")
    factor = np.array([0.1, 1.0, 3.0]).astype(numpy_dtype("bfloat16"))
    y = T.exp(T.cast(x, "bfloat16") * factor) + T.cast(np.array([1.0, 2.0, 3.0]), "bfloat16")
    cost = T.cast(T.sum(y**2), "float32")
    f = exprd.function([x], [T.cast(y, "float32"), exprd.grad(cost, x)])
    want = ";".join(str(value.tolist()) for value in f(np.array([0.1, -0.5, 0.3], "float32")))
    assert done.stdout.strip() == want
