"""Addresses of the LAPACK routines that native code calls, bound to ``exprd_{s,d}<routine>``.

The signatures are those of LAPACKE's functions with caller's workspace, 32-bit integers, and of
CBLAS. Matrices go by columns, flags of LAPACK as the code of a letter.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from exprd_compiler.backends.llvm import lapack_numpy

PREFIX: Final = {"float32": "s", "float64": "d"}

# Arguments: i integer or flag, p address, r a number of the routine's dtype; all of LAPACK return a
# code, those of BLAS nothing.
SIGNATURES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "potrf": "iiipi",
        "getrf": "iiipip",
        "getri": "iipippi",
        "getrs": "iiiipippi",
        "gelqf": "iiipippi",
        "orglq": "iiiipippi",
        "gesdd": "iiiipippipipip",
        "syevd": "iiiipippipi",
        "geev": "iiiipipppipipi",
        "trsm": "iiiiiiirpipi",
        "swap": "ipipi",
    }
)
_BLAS: Final = ("trsm", "swap")


def open_symbols(library: Any) -> dict[str, int]:
    """The routines of an OpenBLAS library."""
    return {
        f"exprd_{letter}{routine}": _address(getattr(library, _spelled(routine, letter)))
        for routine in SIGNATURES
        for letter in PREFIX.values()
    }


def _spelled(routine: str, letter: str) -> str:
    if routine in _BLAS:
        return f"scipy_cblas_{letter}{routine}"
    return f"scipy_LAPACKE_{letter}{routine}_work"


def numpy_callbacks() -> dict[str, Any]:
    """The routines as callbacks into numpy."""
    return {
        f"exprd_{letter}{routine}": _signature(routine, dtype)(_bound(routine, dtype))
        for routine in SIGNATURES
        for dtype, letter in PREFIX.items()
    }


def _signature(routine: str, dtype: str) -> Any:
    kinds = {
        "i": ctypes.c_int32,
        "p": ctypes.c_void_p,
        "r": ctypes.c_float if dtype == "float32" else ctypes.c_double,
    }
    result = None if routine in _BLAS else ctypes.c_int32
    return ctypes.CFUNCTYPE(result, *(kinds[kind] for kind in SIGNATURES[routine]))


def _bound(routine: str, dtype: str) -> Callable[..., Any]:
    function = lapack_numpy.ROUTINES[routine]
    return lambda *call: function(dtype, *call)


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0
