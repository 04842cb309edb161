"""Element types: their names, kinds and promotion.

A dtype is its numpy name as a plain string; promotion is numpy's for arrays. This file holds facts
only: what a python number becomes beside a tensor is the client's policy, not a property of dtypes.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from exprd_compiler.errors import DTypeError, MissingExtra

SIGNED: Final = ("int8", "int16", "int32", "int64")
UNSIGNED: Final = ("uint8", "uint16", "uint32", "uint64")
INTEGERS: Final = SIGNED + UNSIGNED
DISCRETE: Final = ("bool", *INTEGERS)
HALVES: Final = ("float16", "bfloat16")  # computed in float32, rounded after each op
WIDE_FLOATS: Final = ("float32", "float64")  # those that processors and BLAS compute in
FLOATS: Final = HALVES + WIDE_FLOATS
DTYPES: Final = DISCRETE + FLOATS  # the real ones, for which most ops exist
COMPLEX: Final = ("complex64", "complex128")
EVERY: Final = DTYPES + COMPLEX

ITEMSIZE: Final = {name: 2 if name in HALVES else np.dtype(name).itemsize for name in EVERY}


def _bfloat16() -> np.dtype[Any] | None:
    """The dtype that numpy learns by a package, if that is installed."""
    try:
        import ml_dtypes
    except ImportError:
        return None
    found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return found


_BFLOAT16: Final = _bfloat16()

# Theano's upgrade_to_float: the float type that a transcendental function of an integer gives.
_FLOAT_OF: Final = {
    "bool": "float32",
    "int8": "float32",
    "int16": "float32",
    "uint8": "float32",
    "uint16": "float32",
    "int32": "float64",
    "int64": "float64",
    "uint32": "float64",
    "uint64": "float64",
}


def check_dtype(name: str) -> str:
    """The dtype itself, if exprd has it.

    Raises:
        DTypeError: the name is not one of `EVERY`.
    """
    if name not in EVERY:
        raise DTypeError(f"unknown dtype {name!r}", hint=f"one of {', '.join(EVERY)}")
    return name


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The numpy dtype of this name.

    Raises:
        MissingExtra: it is bfloat16, and the package that has it is not installed.
    """
    if name != "bfloat16":
        return np.dtype(name)
    if _BFLOAT16 is None:
        raise MissingExtra(
            "arrays of bfloat16 need the package ml_dtypes",
            hint="pip install 'exprd[bfloat16]', or cast to float32 within the graph",
        )
    return _BFLOAT16


def promote(*names: str) -> str:
    """The smallest dtype that holds all of these, as numpy promotes arrays.

    What numpy says of float16 holds for bfloat16 too; together they are float32.
    """
    out = names[0]
    for name in names[1:]:
        out = out if out == name else _promoted(out, name)
    return out


def _promoted(a: str, b: str) -> str:
    if "bfloat16" not in (a, b):
        return np.promote_types(a, b).name
    other = b if a == "bfloat16" else a
    wide = np.promote_types("float16", other).name
    return {"float16": "float32"}.get(other, "bfloat16" if wide == "float16" else wide)


def float_of(name: str) -> str:
    """The float dtype in which a transcendental function of this dtype is computed."""
    return _FLOAT_OF.get(name, name)


def is_float(name: str) -> bool:
    """Whether the dtype is a real floating-point type."""
    return name in FLOATS


def is_discrete(name: str) -> bool:
    """Whether the dtype is bool or an integer type."""
    return name in DISCRETE


def is_complex(name: str) -> bool:
    """Whether the dtype is a complex floating-point type."""
    return name in COMPLEX


_PART: Final = {"complex64": "float32", "complex128": "float64"}
_COMPLEX_OF: Final = {"float32": "complex64", "float64": "complex128"}


def part_of(name: str) -> str:
    """The dtype of the real and imaginary part of a complex dtype; a real dtype itself."""
    return _PART.get(name, name)


def complex_of(name: str) -> str:
    """The complex dtype whose parts hold values of this dtype."""
    return name if name in COMPLEX else _COMPLEX_OF[promote(float_of(name), "float32")]
