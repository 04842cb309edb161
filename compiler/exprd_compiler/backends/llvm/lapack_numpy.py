"""The LAPACK routines that native code calls, by numpy: for processes without OpenBLAS.

Slower per call, but the same meaning: matrices by columns at addresses, results in place, and a
code that is 0 for success. Each takes its dtype first, then the arguments of the C function.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from exprd_compiler.ir.node import Array

_UNIT: Final = 132
_LOWER: Final = 122
_TRANSPOSE: Final = 112


def _strided(address: int, shape: tuple[int, ...], steps: tuple[int, ...], dtype: str) -> Array:
    """Memory as an array; steps in elements."""
    size = np.dtype(dtype).itemsize
    if 0 in shape:
        return np.empty(shape, dtype)
    count = sum((n - 1) * step for n, step in zip(shape, steps, strict=True)) + 1
    memory = (ctypes.c_char * (count * size)).from_address(address)
    return np.ndarray(shape, dtype, memoryview(memory), strides=tuple(s * size for s in steps))


def _columns(address: int, rows: int, columns: int, lead: int, dtype: str) -> Array:
    return _strided(address, (rows, columns), (1, lead), dtype)


def _rows(address: int, rows: int, columns: int, lead: int, dtype: str) -> Array:
    return _strided(address, (rows, columns), (lead, 1), dtype)


def _vector(address: int, count: int, dtype: str) -> Array:
    return _strided(address, (count,), (1,), dtype)


def _coded(routine: Callable[..., int]) -> Callable[..., int]:
    """A failure of numpy as a code, since nothing may be raised through native code."""

    def run(*call: Any) -> int:
        try:
            with np.errstate(all="ignore"):
                return routine(*call)
        except np.linalg.LinAlgError:
            return 1

    return run


def _potrf(dtype: str, *call: Any) -> int:
    _, flag, n, address, lead = call
    a, upper = _columns(address, n, n, lead, dtype), flag == ord("U")
    found = np.linalg.cholesky(a.T if upper else a)
    keep = np.tri(n, dtype=bool)
    a[...] = np.where(keep.T, found.T, a) if upper else np.where(keep, found, a)
    return 0


def _getrf(dtype: str, *call: Any) -> int:
    """Gaussian elimination with the largest element of each column as pivot."""
    _, n, _, address, lead, places = call
    a, pivots, code = _columns(address, n, n, lead, dtype), _vector(places, n, "int32"), 0
    for j in range(n):
        pivot = j + int(np.argmax(np.abs(a[j:, j])))
        pivots[j] = pivot + 1
        a[[j, pivot]] = a[[pivot, j]]
        if a[j, j] == 0:
            code = code or j + 1
            continue
        a[j + 1 :, j] /= a[j, j]
        a[j + 1 :, j + 1 :] -= np.multiply.outer(a[j + 1 :, j], a[j, j + 1 :])
    return code


def _getri(dtype: str, *call: Any) -> int:
    _, n, address, lead, places, *_ = call
    a = _columns(address, n, n, lead, dtype)
    factors = np.linalg.inv(np.triu(a)) @ np.linalg.inv(np.tril(a, -1) + np.eye(n, dtype=dtype))
    for j in range(n - 1, -1, -1):
        pivot = int(_vector(places, n, "int32")[j]) - 1
        factors[:, [j, pivot]] = factors[:, [pivot, j]]
    a[...] = factors
    return 0


def _getrs(dtype: str, *call: Any) -> int:
    """With the transpose of the matrix that was factored."""
    _, _, n, count, address, lead, places, b, lead_b = call
    a, right = _columns(address, n, n, lead, dtype), _columns(b, n, count, lead_b, dtype)
    half = np.linalg.solve(np.triu(a).T, right)
    found = np.linalg.solve((np.tril(a, -1) + np.eye(n, dtype=dtype)).T, half)
    for j in range(n - 1, -1, -1):
        pivot = int(_vector(places, n, "int32")[j]) - 1
        found[[j, pivot]] = found[[pivot, j]]
    right[...] = found
    return 0


def _gelqf(dtype: str, *call: Any) -> int:
    _, m, n, address, lead, tau, *_ = call
    a = _columns(address, m, n, lead, dtype)
    found, scales = np.linalg.qr(a.T, mode="raw")
    a[...] = found
    _vector(tau, min(m, n), dtype)[...] = scales
    return 0


def _orglq(dtype: str, *call: Any) -> int:
    _, m, n, k, address, lead, tau, *_ = call
    a, scales = _columns(address, m, n, lead, dtype), _vector(tau, k, dtype)
    out = np.eye(n, m, dtype=dtype)
    for i in range(k - 1, -1, -1):
        mirror = np.concatenate([np.zeros(i, dtype), np.ones(1, dtype), a[i, i + 1 :]])
        out -= scales[i] * np.multiply.outer(mirror, mirror @ out)
    a[...] = out.T
    return 0


def _gesdd(dtype: str, *call: Any) -> int:
    _, job, m, n, address, lead, values, left, lead_left, right, lead_right, *_ = call
    a, least = _columns(address, m, n, lead, dtype), min(m, n)
    if job == ord("N"):
        _vector(values, least, dtype)[...] = np.linalg.svd(a, compute_uv=False)
        return 0
    u, s, v = np.linalg.svd(a, full_matrices=job == ord("A"))
    _vector(values, least, dtype)[...] = s
    _columns(left, u.shape[0], u.shape[1], lead_left, dtype)[...] = u
    _columns(right, v.shape[0], v.shape[1], lead_right, dtype)[...] = v
    return 0


def _syevd(dtype: str, *call: Any) -> int:
    _, job, triangle, n, address, lead, values, *_ = call
    a = _columns(address, n, n, lead, dtype)
    found, vectors = np.linalg.eigh(a, UPLO="L" if triangle == ord("L") else "U")
    _vector(values, n, dtype)[...] = found
    if job == ord("V"):
        a[...] = vectors
    return 0


def _geev(dtype: str, *call: Any) -> int:
    """Vectors of a conjugate pair are given as the real and the imaginary part of the first."""
    _, _, job, n, address, lead, real, imaginary, _, _, right, lead_right, *_ = call
    values, vectors = np.linalg.eig(_columns(address, n, n, lead, dtype))
    _vector(real, n, dtype)[...] = np.real(values)
    _vector(imaginary, n, dtype)[...] = np.imag(values)
    if job == ord("V"):
        before = np.roll(np.imag(vectors), 1, axis=1)
        packed = np.where(np.imag(values) < 0, before, np.real(vectors))
        _columns(right, n, n, lead_right, dtype)[...] = packed
    return 0


def _trsm(dtype: str, *call: Any) -> None:
    _, _, triangle, flag, unit, n, k, _, a, lead, b, lead_b = call
    matrix, right = _rows(a, n, n, lead, dtype), _rows(b, n, k, lead_b, dtype)
    kept = np.tril(matrix) if triangle == _LOWER else np.triu(matrix)
    if unit == _UNIT:
        np.fill_diagonal(kept, 1)
    with np.errstate(all="ignore"):
        right[...] = np.linalg.solve(kept.T if flag == _TRANSPOSE else kept, right)


def _swap(dtype: str, *call: Any) -> None:
    count, x, _, y, _ = call
    first, second = _vector(x, count, dtype), _vector(y, count, dtype)
    first[...], second[...] = second.copy(), first.copy()


ROUTINES: Final[Mapping[str, Callable[..., Any]]] = MappingProxyType(
    {
        "potrf": _coded(_potrf),
        "getrf": _coded(_getrf),
        "getri": _coded(_getri),
        "getrs": _coded(_getrs),
        "gelqf": _coded(_gelqf),
        "orglq": _coded(_orglq),
        "gesdd": _coded(_gesdd),
        "syevd": _coded(_syevd),
        "geev": _coded(_geev),
        "trsm": _trsm,
        "swap": _swap,
    }
)
