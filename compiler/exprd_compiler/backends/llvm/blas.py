"""Addresses of the matrix routines that native code calls: OpenBLAS, else numpy.

Both providers have the C signature of CBLAS with 32-bit integers, row-major, positive strides, and
are bound to the same symbols ``exprd_{s,d}{gemm,gemv,ger,dot}``. The caller never passes an extent
of 0: routines differ in whether they then still apply beta.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from exprd_compiler.backends.llvm.lapack_symbols import numpy_callbacks, open_symbols

ROW_MAJOR: Final = 101
NO_TRANSPOSE: Final = 111
TRANSPOSE: Final = 112

ROUTINES: Final = ("gemm", "gemv", "ger", "dot")

# Below this many multiplications a second thread costs more than it brings (n = 256 for gemm).
_PARALLEL_WORK: Final = 256**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Blas:
    """One provider of the routines.

    Attributes:
        name: who it is, as shown in a server's information and part of cache keys.
        symbols: address by symbol, to be given to the linker.
        set_threads: choose the number of threads of later calls, for the whole process.
        keep: what must live as long as the addresses are used.
    """

    name: str
    symbols: Mapping[str, int]
    set_threads: Callable[[int], None]
    keep: tuple[object, ...]


def threads_for(multiplications: int, available: int) -> int:
    """How many threads a product of this size deserves."""
    return available if multiplications >= _PARALLEL_WORK else 1


def _signature(routine: str, dtype: str) -> Any:
    real = ctypes.c_float if dtype == "float32" else ctypes.c_double
    i, p = ctypes.c_int32, ctypes.c_void_p
    return {
        "gemm": ctypes.CFUNCTYPE(None, i, i, i, i, i, i, real, p, i, p, i, real, p, i),
        "gemv": ctypes.CFUNCTYPE(None, i, i, i, i, real, p, i, p, i, real, p, i),
        "ger": ctypes.CFUNCTYPE(None, i, i, i, real, p, i, p, i, p, i),
        "dot": ctypes.CFUNCTYPE(real, i, p, i, p, i),
    }[routine]


def _symbol(routine: str, dtype: str) -> str:
    return f"exprd_{'s' if dtype == 'float32' else 'd'}{routine}"


# --- OpenBLAS -----------------------------------------------------------------------------------


def open_blas() -> Blas | None:
    """The OpenBLAS of the package `scipy-openblas32`, or None when it is not installed."""
    try:
        import scipy_openblas32  # pyright: ignore[reportMissingTypeStubs]
    except ImportError:
        return None
    folder = Path(str(scipy_openblas32.get_lib_dir()))
    for path in sorted(folder.glob("libscipy_openblas*.so")):
        return _open_blas_at(path)
    return None


def _open_blas_at(path: Path) -> Blas:
    library = ctypes.CDLL(str(path))
    symbols = {
        _symbol(routine, dtype): _address(
            getattr(library, f"scipy_cblas_{'s' if dtype == 'float32' else 'd'}{routine}")
        )
        for routine in ROUTINES
        for dtype in ("float32", "float64")
    }
    symbols |= open_symbols(library)
    library.scipy_openblas_get_config.restype = ctypes.c_char_p
    configuration = library.scipy_openblas_get_config().decode()

    def set_threads(count: int) -> None:
        library.scipy_openblas_set_num_threads(ctypes.c_int(count))

    set_threads(1)
    return Blas(
        name=" ".join(configuration.split()[:2]),
        symbols=MappingProxyType(symbols),
        set_threads=set_threads,
        keep=(library,),
    )


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


# --- numpy --------------------------------------------------------------------------------------


def _matrix(address: int, shape: tuple[int, int], step: int, dtype: str) -> np.ndarray[Any, Any]:
    rows, columns = shape
    size = np.dtype(dtype).itemsize
    memory = (ctypes.c_char * (((rows - 1) * step + columns) * size)).from_address(address)
    return np.ndarray(shape, dtype, memoryview(memory), strides=(step * size, size))


def _vector(address: int, count: int, step: int, dtype: str) -> np.ndarray[Any, Any]:
    size = np.dtype(dtype).itemsize
    memory = (ctypes.c_char * (((count - 1) * step + 1) * size)).from_address(address)
    return np.ndarray((count,), dtype, memoryview(memory), strides=(step * size,))


def _operand(
    address: int, shape: tuple[int, int], step: int, flag: int, dtype: str
) -> np.ndarray[Any, Any]:
    """The matrix of the given shape after the transposition that the flag asks for."""
    if flag == NO_TRANSPOSE:
        return _matrix(address, shape, step, dtype)
    return _matrix(address, (shape[1], shape[0]), step, dtype).T


def _update(target: np.ndarray[Any, Any], product: Any, alpha: float, beta: float) -> None:
    # beta = 0 means that the target is not read: it may hold NaN
    scaled = product if alpha == 1.0 else target.dtype.type(alpha) * product
    target[...] = scaled if beta == 0.0 else scaled + target.dtype.type(beta) * target


def _gemm(dtype: str, *call: Any) -> None:
    _, flag_a, flag_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc = call
    left = _operand(a, (m, k), lda, flag_a, dtype)
    right = _operand(b, (k, n), ldb, flag_b, dtype)
    _update(_matrix(c, (m, n), ldc, dtype), left @ right, alpha, beta)


def _gemv(dtype: str, *call: Any) -> None:
    _, flag, m, n, alpha, a, lda, x, step_x, beta, y, step_y = call
    matrix = _matrix(a, (m, n), lda, dtype)
    matrix = matrix if flag == NO_TRANSPOSE else matrix.T
    product = matrix @ _vector(x, matrix.shape[1], step_x, dtype)
    _update(_vector(y, matrix.shape[0], step_y, dtype), product, alpha, beta)


def _ger(dtype: str, *call: Any) -> None:
    _, m, n, alpha, x, step_x, y, step_y, a, lda = call
    outer = np.multiply.outer(_vector(x, m, step_x, dtype), _vector(y, n, step_y, dtype))
    _update(_matrix(a, (m, n), lda, dtype), outer, alpha, 1.0)


def _dot(dtype: str, *call: Any) -> float:
    count, x, step_x, y, step_y = call
    return float(_vector(x, count, step_x, dtype) @ _vector(y, count, step_y, dtype))


_NUMPY: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {"gemm": _gemm, "gemv": _gemv, "ger": _ger, "dot": _dot}
)


def numpy_blas() -> Blas:
    """Callbacks into numpy: slower per call, but always there."""
    callbacks = {
        _symbol(routine, dtype): _signature(routine, dtype)(_bound(_NUMPY[routine], dtype))
        for routine in ROUTINES
        for dtype in ("float32", "float64")
    }
    callbacks |= numpy_callbacks()
    return Blas(
        name=f"numpy {np.__version__}",
        symbols=MappingProxyType({name: _address(call) for name, call in callbacks.items()}),
        set_threads=lambda count: None,
        keep=tuple(callbacks.values()),
    )


def _bound(routine: Callable[..., Any], dtype: str) -> Callable[..., Any]:
    return lambda *call: routine(dtype, *call)


@cache
def host_blas() -> Blas:
    """The provider of this process: OpenBLAS with one thread if installed, else numpy."""
    return open_blas() or numpy_blas()
