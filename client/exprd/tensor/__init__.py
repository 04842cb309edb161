"""The tensor namespace: `import exprd.tensor as T`.

Constructors and elementwise functions come from tables, so an op of the table is here by itself;
what takes axes, shapes or indexes is written out in `functions`.
"""

from __future__ import annotations

from collections.abc import Callable as _Callable
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
from exprd.tensor import constructors, nnet, table
from exprd.tensor.constructors import tensor
from exprd.tensor.functions import (
    alloc,
    arange,
    argmax,
    argmin,
    as_tensor,
    batched_dot,
    batched_tensordot,
    cast,
    choose,
    clip,
    concatenate,
    cumprod,
    cumsum,
    diag,
    dimshuffle,
    dot,
    einsum,
    expand_dims,
    eye,
    fill,
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
    prod,
    repeat,
    reshape,
    roll,
    round,
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
    transpose,
    tri,
    tril,
    triu,
    var,
    vdot,
    zeros,
    zeros_like,
)
from exprd.tensor.nnet import sigmoid, softplus
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
    "as_tensor",
    "as_tensor_variable",
    "batched_dot",
    "batched_tensordot",
    "cast",
    "choose",
    "clip",
    "concatenate",
    "consider_constant",
    "constant",
    "cumprod",
    "cumsum",
    "diag",
    "dimshuffle",
    "dot",
    "einsum",
    "expand_dims",
    "eye",
    "fill",
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
    "nnet",
    "nonzero",
    "nonzero_values",
    "norm",
    "numeric_grad",
    "ones",
    "ones_like",
    "outer",
    "prod",
    "repeat",
    "reshape",
    "roll",
    "round",
    "set_subtensor",
    "shape",
    "shape_padaxis",
    "shape_padleft",
    "shape_padright",
    "sigmoid",
    "softplus",
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
    "transpose",
    "tri",
    "tril",
    "triu",
    "var",
    "vdot",
    "verify_grad",
    "zeros",
    "zeros_like",
]

_ALIASES = {
    "where": "switch",
    "inv": "reciprocal",
    "sgn": "sign",
    "floor_div": "int_div",
    "bitwise_and": "and_",
    "bitwise_or": "or_",
    "bitwise_xor": "xor_",
    "bitwise_not": "invert",
    "xor": "xor_",
}
_TABLE: dict[str, _Callable[..., _Any]] = {**constructors.FUNCTIONS, **table.FUNCTIONS}
_TABLE.update({new: _TABLE[old] for new, old in _ALIASES.items() if old in _TABLE})

# names from the tables; pyright reads only the list above
__all__ += sorted(set(_TABLE) - set(__all__))  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> _Callable[..., _Any]:
    try:
        return _TABLE[name]
    except KeyError:
        raise AttributeError(f"exprd.tensor has no {name!r}") from None


def __dir__() -> list[str]:
    return sorted(__all__)
