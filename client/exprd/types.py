"""Values against types: which arrays a variable of some type takes, and at what price.

Theano's rules: python numbers and lists are converted when that loses nothing, arrays only upwards;
a downcast is the caller's explicit wish. An axis that is statically 1 must be 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from exprd.config import config
from exprd.convert import is_array, node_of
from exprd_compiler.errors import CallError
from exprd_compiler.ir.dtype import EVERY, is_complex, numpy_dtype, promote
from exprd_compiler.ir.half import converted, widened
from exprd_compiler.ir.type import TensorType

__all__ = ["filter_value"]

_ADVICE = (
    "or allow the loss with allow_input_downcast=True in function(), or In(allow_downcast=True)"
)


def filter_value(
    expected: TensorType, value: object, *, strict: bool = False, allow_downcast: bool | None = None
) -> NDArray[Any]:
    """The array to use for a value of this type; the value itself when it fits already.

    Raises:
        CallError: dtype, rank or a static extent does not fit.
    """
    if is_array(value) and value.dtype.name == expected.dtype and value.dtype.isnative:
        array = value
    elif strict:
        raise CallError(f"strict: needs an array of {expected.dtype}, got {_shown(value)}")
    else:
        array = _converted(expected.dtype, value, allow_downcast)
    if array.shape != expected.shape:
        _check_shape(expected, array)
    return array


def _converted(dtype: str, value: object, allow_downcast: bool | None) -> NDArray[Any]:
    if node_of(value) is not None:
        raise CallError(
            f"expected a value, found the variable {value!r}",
            hint="call with arrays; to replace a variable in the graph use givens",
        )
    floatx = type(value) is float and dtype == config.floatX and allow_downcast is None
    if allow_downcast or floatx:
        return _as(dtype, value)
    if is_array(value):
        return _upcast(dtype, value)
    out = _as(dtype, value)
    given = np.asarray(value)
    if not _same_values(given, out):
        raise CallError(
            f"{dtype} cannot hold {_shown(value)} exactly, it would become {_short(out)}",
            hint=f"convert it with numpy.asarray(value, {dtype!r}), {_ADVICE}",
        )
    return out


def _as(dtype: str, value: object) -> NDArray[Any]:
    try:
        with np.errstate(all="ignore"):
            array = np.asarray(value)
            _check_parts(dtype, array)
            return converted(array, numpy_dtype(dtype).name)
    except CallError:
        raise
    except (TypeError, ValueError):
        raise CallError(
            f"cannot make an array of {dtype} of {_shown(value)}",
            hint="pass a number, an array, or nested lists of one depth",
        ) from None


def _upcast(dtype: str, value: NDArray[Any]) -> NDArray[Any]:
    _check_parts(dtype, value)
    if value.dtype.name in EVERY and promote(dtype, value.dtype.name) == dtype:
        return converted(value, dtype)
    raise CallError(
        f"{dtype} cannot store a value of dtype {value.dtype} without risking loss of precision",
        hint=f"convert it with value.astype({dtype!r}), {_ADVICE}",
    )


def _check_parts(dtype: str, array: NDArray[Any]) -> None:
    """Refuse complex numbers for a real type: no downcast may drop the imaginary part."""
    if array.dtype.kind == "c" and not is_complex(dtype):
        raise CallError(
            f"{dtype} is real and cannot store {_shown(array)}",
            hint="pass value.real or abs(value), or declare the variable complex",
        )


def _same_values(given: NDArray[Any], out: NDArray[Any]) -> bool:
    if given.dtype.kind not in "biufc":
        return given.size == 0
    # both sides as the wider of the two, so that 300 in int8 is seen and 1.0 in int64 is not
    return bool(np.array_equal(given, widened(out), equal_nan=given.dtype.kind in "fc"))


def _check_shape(expected: TensorType, array: NDArray[Any]) -> None:
    if array.ndim != expected.ndim:
        raise CallError(
            f"wrong number of dimensions: expected {expected.ndim}, got {array.ndim}"
            f" with shape {array.shape}",
            hint="reshape the value, or declare the variable with another rank",
        )
    for axis, (want, have) in enumerate(zip(expected.shape, array.shape, strict=True)):
        if want is not None and want != have:
            raise CallError(
                f"axis {axis} of the value has length {have}, but its type {expected} says {want}",
                hint="an axis that is broadcastable has length 1" if want == 1 else "",
            )


def _shown(value: object) -> str:
    if is_array(value):
        return f"an array of {value.dtype} with shape {value.shape}"
    return f"{type(value).__name__} {_short(value)}"


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
