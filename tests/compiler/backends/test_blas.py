"""Both providers of matrix routines against numpy, called as native code calls them."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from exprd_compiler.backends.llvm import blas
from exprd_compiler.backends.llvm.blas import NO_TRANSPOSE, ROW_MAJOR, TRANSPOSE
from exprd_compiler.backends.llvm.jit import Linked, compile_ir
from exprd_compiler.backends.llvm.target import host_level

DTYPES = ("float32", "float64")
TOLERANCE = {"float32": 1e-4, "float64": 1e-12}


@pytest.fixture(params=["openblas", "numpy"], scope="module")
def provider(request):
    found = blas.open_blas() if request.param == "openblas" else blas.numpy_blas()
    if found is None:
        pytest.skip("scipy-openblas32 is not installed")
    return found


def routine(provider, name, dtype):
    symbol = blas._symbol(name, dtype)
    return blas._signature(name, dtype)(provider.symbols[symbol])


def array(shape, dtype, seed, pad=0):
    """A random matrix that is a window of a wider one, and its row step."""
    rng = np.random.default_rng(seed)
    wide = rng.normal(size=(shape[0], shape[1] + pad)).astype(dtype)
    return wide[:, : shape[1]], wide.shape[1]


def stored(matrix, step, flag):
    """The matrix as it must lie in memory for the flag."""
    if flag == NO_TRANSPOSE:
        return matrix, step
    rows, columns = matrix.shape
    wide = np.zeros((columns, rows + 2), matrix.dtype)
    wide[:, :rows] = matrix.T
    return wide, wide.shape[1]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("flags", [(a, b) for a in (111, 112) for b in (111, 112)])
@pytest.mark.parametrize("sizes", [(3, 4, 5), (1, 1, 1), (1, 7, 3), (33, 17, 64)])
def test_gemm(provider, sizes, flags, dtype):
    m, n, k = sizes
    a, step_a = array((m, k), dtype, 1, pad=3)
    b, step_b = array((k, n), dtype, 2)
    for alpha, beta in ((1.0, 0.0), (1.0, 1.0), (0.5, -2.0)):
        c, step_c = array((m, n), dtype, 3, pad=1)
        expected = alpha * (a @ b) + (beta * c if beta else 0)
        if not beta:
            c[...] = np.nan
        left, lda = stored(a, step_a, flags[0])
        right, ldb = stored(b, step_b, flags[1])
        routine(provider, "gemm", dtype)(
            ROW_MAJOR, *flags, m, n, k, alpha, left.ctypes.data, lda, right.ctypes.data, ldb,
            beta, c.ctypes.data, step_c,
        )  # fmt: skip
        np.testing.assert_allclose(c, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
        assert np.isfinite(c.base[:, n:]).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("flag", [NO_TRANSPOSE, TRANSPOSE])
@pytest.mark.parametrize("steps", [(1, 1), (3, 2)])
def test_gemv(provider, steps, flag, dtype):
    a, step = array((4, 6), dtype, 1, pad=2)
    matrix = a if flag == NO_TRANSPOSE else a.T
    x = np.random.default_rng(2).normal(size=(matrix.shape[1], steps[0])).astype(dtype)[:, 0]
    y = np.full((matrix.shape[0], steps[1]), np.nan, dtype)[:, 0]
    call = routine(provider, "gemv", dtype)
    for alpha, beta, expected in ((1.0, 0.0, matrix @ x), (2.0, 1.0, 3 * (matrix @ x))):
        call(ROW_MAJOR, flag, 4, 6, alpha, a.ctypes.data, step, x.ctypes.data, steps[0], beta,
             y.ctypes.data, steps[1])  # fmt: skip
        np.testing.assert_allclose(y, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_ger(provider, dtype):
    a, step = array((4, 6), dtype, 1, pad=2)
    x = np.arange(8, dtype=dtype)[::2]
    y = np.arange(18, dtype=dtype)[::3]
    expected = a + 0.5 * np.outer(x, y)
    routine(provider, "ger", dtype)(
        ROW_MAJOR, 4, 6, 0.5, x.ctypes.data, 2, y.ctypes.data, 3, a.ctypes.data, step
    )
    np.testing.assert_allclose(a, expected, rtol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_dot(provider, dtype):
    x, y = np.arange(20, dtype=dtype)[::2], np.arange(10, dtype=dtype)
    found = routine(provider, "dot", dtype)(10, x.ctypes.data, 2, y.ctypes.data, 1)
    assert found == float(x @ y)


def test_native_code_calls_it(provider):
    text = """
declare double @exprd_ddot(i32, ptr, i32, ptr, i32)
define double @f(ptr %x, i32 %n) {
  %r = call double @exprd_ddot(i32 %n, ptr %x, i32 1, ptr %x, i32 1)
  ret double %r
}
"""
    linked = Linked(compile_ir(text, host_level()), ["f"], provider.symbols)
    call = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_void_p, ctypes.c_int32)(linked.address("f"))
    x = np.arange(5.0)
    assert call(x.ctypes.data, 5) == 30.0


def test_small_products_stay_on_one_thread():
    assert blas.threads_for(100**3, 8) == 1
    assert blas.threads_for(512**3, 8) == 8


def test_a_provider_says_who_it_is(provider):
    provider.set_threads(1)
    assert provider.name.split()[0] in ("OpenBLAS", "numpy")
    assert blas.host_blas().symbols.keys() == provider.symbols.keys()
