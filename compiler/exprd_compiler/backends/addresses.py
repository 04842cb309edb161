"""Addresses of array data, read from the array object itself where that is known to be right.

numpy's own ways to an address build a dictionary or an object per call. The place of the pointer
in the object is part of numpy's ABI; a test at import decides whether this interpreter agrees.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Final

import numpy as np

from exprd_compiler.ir.node import Array

_DATA_OFFSET: Final = 2 * ctypes.sizeof(ctypes.c_void_p)  # behind reference count and type
_pointer_at = ctypes.c_void_p.from_address


def _announced(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _read(array: Array) -> int:
    return _pointer_at(id(array) + _DATA_OFFSET).value or 0


def _agree() -> bool:
    base = np.arange(24.0).reshape(2, 3, 4)
    samples = (base, base[1], base[1:, 1:], base[::-1], np.zeros(()), np.zeros((0, 3)))
    return all(_read(sample) == _announced(sample) for sample in samples)


# The address of the first element of an array: an ndarray itself, not a scalar.
data_address: Final[Callable[[Array], int]] = _read if _agree() else _announced
