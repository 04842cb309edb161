"""The tensor namespace: `import exprd.tensor as T`.

Constructors and elementwise functions come from tables, so an op of the table is here by itself;
what takes axes, shapes or indexes is written out in `functions`.
"""

from __future__ import annotations

from typing import Any as _Any

from exprd.gradient import (
    Lop,
    Rop,
    consider_constant,
    grad,
    hessian,
    jacobian,
    numeric_grad,
    verify_grad,
)
from exprd.shared import TensorSharedVariable

# modules that a star import leaves out, since they would hide Python's names
from exprd.tensor import basic as basic
from exprd.tensor import constructors, extra_ops, further, nlinalg, nnet, slinalg, table
from exprd.tensor import sharedvar as sharedvar
from exprd.tensor import subtensor as subtensor
from exprd.tensor import type as type
from exprd.tensor import xlogx as xlogx
from exprd.tensor.constructors import tensor
from exprd.tensor.functions import (
    alloc,
    arange,
    argmax,
    argmin,
    as_tensor,
    bartlett,
    batched_dot,
    batched_tensordot,
    bincount,
    cast,
    choose,
    clip,
    compress,
    concatenate,
    cov,
    cumprod,
    cumsum,
    diag,
    diff,
    dimshuffle,
    dot,
    einsum,
    expand_dims,
    eye,
    fill,
    fill_diagonal,
    fill_diagonal_offset,
    flatnonzero,
    flatten,
    flip,
    full,
    identity_like,
    inc_subtensor,
    inner,
    join,
    kron,
    matmul,
    max_and_argmax,
    mean,
    moveaxis,
    nonzero,
    nonzero_values,
    norm,
    ones,
    ones_like,
    outer,
    percentile,
    prod,
    quantile,
    ravel_multi_index,
    repeat,
    reshape,
    roll,
    round,
    searchsorted,
    set_subtensor,
    shape,
    shape_padaxis,
    shape_padleft,
    shape_padright,
    split,
    squeeze,
    stack,
    std,
    sum,
    swapaxes,
    take,
    take_along_axis,
    tensordot,
    tile,
    to_one_hot,
    transpose,
    tri,
    tril,
    triu,
    unique,
    unravel_index,
    var,
    vdot,
    zeros,
    zeros_like,
)
from exprd.tensor.nlinalg import trace
from exprd.tensor.nnet import sigmoid, softplus
from exprd.tensor.sort import argsort, argtopk, sort, topk, topk_and_argtopk
from exprd.variable import (
    TensorConstant,
    TensorType,
    TensorVariable,
    Variable,
    as_tensor_variable,
    constant,
)

__all__ = [
    "Lop",
    "Rop",
    "TensorConstant",
    "TensorSharedVariable",
    "TensorType",
    "TensorVariable",
    "Variable",
    "alloc",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "argtopk",
    "as_tensor",
    "as_tensor_variable",
    "bartlett",
    "batched_dot",
    "batched_tensordot",
    "bincount",
    "cast",
    "choose",
    "clip",
    "compress",
    "concatenate",
    "consider_constant",
    "constant",
    "cov",
    "cumprod",
    "cumsum",
    "diag",
    "diff",
    "dimshuffle",
    "dot",
    "einsum",
    "expand_dims",
    "extra_ops",
    "eye",
    "fill",
    "fill_diagonal",
    "fill_diagonal_offset",
    "flatnonzero",
    "flatten",
    "flip",
    "full",
    "grad",
    "hessian",
    "identity_like",
    "inc_subtensor",
    "inner",
    "jacobian",
    "join",
    "kron",
    "matmul",
    "max_and_argmax",
    "mean",
    "moveaxis",
    "nlinalg",
    "nnet",
    "nonzero",
    "nonzero_values",
    "norm",
    "numeric_grad",
    "ones",
    "ones_like",
    "outer",
    "percentile",
    "prod",
    "quantile",
    "ravel_multi_index",
    "repeat",
    "reshape",
    "roll",
    "round",
    "searchsorted",
    "set_subtensor",
    "shape",
    "shape_padaxis",
    "shape_padleft",
    "shape_padright",
    "sigmoid",
    "slinalg",
    "softplus",
    "sort",
    "split",
    "squeeze",
    "stack",
    "std",
    "sum",
    "swapaxes",
    "take",
    "take_along_axis",
    "tensor",
    "tensordot",
    "tile",
    "to_one_hot",
    "topk",
    "topk_and_argtopk",
    "trace",
    "transpose",
    "tri",
    "tril",
    "triu",
    "unique",
    "unravel_index",
    "var",
    "vdot",
    "verify_grad",
    "zeros",
    "zeros_like",
]

_TABLE: dict[str, _Any] = {**further.FUNCTIONS, **constructors.FUNCTIONS, **table.FUNCTIONS}
_NAMED: dict[str, _Any] = {**_TABLE, **globals()}
_TABLE.update({new: _NAMED[old] for new, old in further.ALIASES.items()})

# names from the tables; pyright reads only the list above
__all__ += sorted(set(_TABLE) - set(__all__))  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> _Any:
    try:
        return _TABLE[name]
    except KeyError:
        text = f"exprd.tensor has no {name!r}; docs/coverage.md lists Theano's missing names"
        raise AttributeError(text) from None


def __dir__() -> list[str]:
    return sorted(__all__)
