"""Theano's module of the functions of neural networks: the same as in `exprd.tensor.nnet`."""

from __future__ import annotations

from exprd.elementwise import apply
from exprd.tensor.functions import alloc, cast, concatenate, lift
from exprd.tensor.nnet.crossentropy import (
    binary_crossentropy,
    categorical_crossentropy,
    confusion_matrix,
    crossentropy_categorical_1hot,
    crossentropy_softmax_1hot,
    crossentropy_softmax_1hot_with_bias,
    crossentropy_softmax_argmax_1hot_with_bias,
    crossentropy_softmax_max_and_argmax_1hot,
    crossentropy_softmax_max_and_argmax_1hot_with_bias,
    sigmoid_binary_crossentropy,
)
from exprd.tensor.nnet.normalizers import (
    h_softmax,
    logsoftmax,
    softmax,
    softmax_graph,
    softmax_with_bias,
)
from exprd.tensor.nnet.rectifiers import elu, relu, selu, softsign
from exprd.tensor.nnet.sigm import hard_sigmoid, sigmoid, softplus, ultra_fast_sigmoid
from exprd.variable import TensorVariable, as_tensor_variable
from exprd_compiler.errors import ShapeError
from exprd_compiler.ir.node import Node
from exprd_compiler.ops import transcendental

__all__ = [
    "binary_crossentropy",
    "categorical_crossentropy",
    "confusion_matrix",
    "crossentropy_categorical_1hot",
    "crossentropy_softmax_1hot",
    "crossentropy_softmax_1hot_with_bias",
    "crossentropy_softmax_argmax_1hot_with_bias",
    "crossentropy_softmax_max_and_argmax_1hot",
    "crossentropy_softmax_max_and_argmax_1hot_with_bias",
    "elu",
    "h_softmax",
    "hard_sigmoid",
    "logsoftmax",
    "prepend_0_to_each_row",
    "prepend_1_to_each_row",
    "prepend_scalar_to_each_row",
    "relu",
    "selu",
    "sigmoid",
    "sigmoid_binary_crossentropy",
    "softmax",
    "softmax_graph",
    "softmax_with_bias",
    "softplus",
    "softsign",
    "tanh",
    "ultra_fast_sigmoid",
]


@lift
def tanh(x: object) -> Node:
    """The hyperbolic tangent."""
    return apply(transcendental.tanh, x)


def prepend_scalar_to_each_row(val: object, mat: object) -> TensorVariable:
    """A matrix with one more column in front, filled with a value.

    Raises:
        ShapeError: it is no matrix and no single value.
    """
    matrix, value = as_tensor_variable(mat), as_tensor_variable(val)
    if (matrix.ndim, value.ndim) != (2, 0):
        raise ShapeError(f"needs a value and a matrix, got {value.type} and {matrix.type}")
    column = alloc(cast(value, matrix.dtype), matrix.shape[0], 1)
    return concatenate([column, matrix], axis=1)


def prepend_0_to_each_row(mat: object) -> TensorVariable:
    """A matrix with a column of zeros in front."""
    return prepend_scalar_to_each_row(0, mat)


def prepend_1_to_each_row(mat: object) -> TensorVariable:
    """A matrix with a column of ones in front."""
    return prepend_scalar_to_each_row(1, mat)
