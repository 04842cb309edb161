"""Theano's module of further operations: the same functions as in `exprd.tensor`."""

from __future__ import annotations

from exprd.tensor.functions import (
    bartlett,
    bincount,
    compress,
    cumprod,
    cumsum,
    diff,
    fill_diagonal,
    fill_diagonal_offset,
    ravel_multi_index,
    repeat,
    searchsorted,
    squeeze,
    to_one_hot,
    unique,
    unravel_index,
)
from exprd.tensor.further import FUNCTIONS

cpu_contiguous = FUNCTIONS["copy"]

__all__ = [
    "bartlett",
    "bincount",
    "compress",
    "cpu_contiguous",
    "cumprod",
    "cumsum",
    "diff",
    "fill_diagonal",
    "fill_diagonal_offset",
    "ravel_multi_index",
    "repeat",
    "searchsorted",
    "squeeze",
    "to_one_hot",
    "unique",
    "unravel_index",
]
