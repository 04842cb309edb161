"""Theano's module of products as BLAS has them: functions of values, nothing is overwritten.

The compiler finds these forms in any expression, so they need not be asked for.
"""

from __future__ import annotations

from exprd import housekeeping
from exprd.tensor.functions import batched_dot, lift

__all__ = [
    "batched_dot",
    "gemm",
    "gemm_inplace",
    "gemm_no_inplace",
    "gemv",
    "gemv_inplace",
    "gemv_no_inplace",
    "ger",
]

gemm = gemm_inplace = gemm_no_inplace = lift(housekeeping.gemm)
gemv = gemv_inplace = gemv_no_inplace = lift(housekeeping.gemv)
ger = lift(housekeeping.ger)
