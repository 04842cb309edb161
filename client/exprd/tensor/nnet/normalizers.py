"""Softmax and its relatives, under Theano's names."""

from __future__ import annotations

from exprd import shaping
from exprd.elementwise import apply
from exprd.tensor.functions import arange, batched_dot, dot, einsum, lift
from exprd.tensor.nnet.sigm import floats
from exprd.variable import TensorVariable, as_tensor_variable
from exprd_compiler.errors import ShapeError
from exprd_compiler.ir.node import Node
from exprd_compiler.ops import arithmetic, nnet

__all__ = ["h_softmax", "logsoftmax", "softmax", "softmax_graph", "softmax_with_bias"]


def _last_axis(x: Node, axis: int) -> int:
    return axis + x.ndim if axis < 0 else axis


@lift
def softmax(x: object, axis: int = -1) -> Node:
    """exp(x) over its sum along an axis, the rows of a matrix by default."""
    node = floats(x)
    return nnet.softmax(node, axis=_last_axis(node, axis))


@lift
def logsoftmax(x: object, axis: int = -1) -> Node:
    """The logarithm of softmax, exact also where softmax underflows."""
    node = floats(x)
    return nnet.log_softmax(node, axis=_last_axis(node, axis))


@lift
def softmax_with_bias(x: object, b: object) -> Node:
    """The softmax of the rows of x + b."""
    return nnet.softmax(biased(x, b), axis=1)


@lift
def softmax_graph(c: object) -> Node:
    """The softmax of the last axis: Theano's other form of it, which has second derivatives."""
    node = floats(c)
    return nnet.softmax(node, axis=node.ndim - 1)


def biased(x: object, b: object) -> Node:
    """A matrix and a bias added to each of its rows.

    Raises:
        ShapeError: they are no matrix and vector.
    """
    matrix, bias = floats(x), floats(b)
    if (matrix.ndim, bias.ndim) != (2, 1):
        raise ShapeError(f"needs a matrix and a vector, got {matrix.type} and {bias.type}")
    return apply(arithmetic.add, matrix, shaping.dimshuffle(bias, "x", 0))


def h_softmax(
    x: object,
    batch_size: object,
    n_outputs: object,
    n_classes: object,
    n_outputs_per_class: object,
    W1: object,  # noqa: N803
    b1: object,
    W2: object,  # noqa: N803
    b2: object,
    target: object = None,
) -> TensorVariable:
    """Softmax in two levels: first a class, then an output of that class.

    With targets the cost is of the order of the root of the number of outputs. Goodman: Classes for
    fast maximum entropy training (2001).

    Args:
        x: the input of the layer, (batch_size, features).
        batch_size: cases.
        n_outputs: outputs; at most n_classes * n_outputs_per_class.
        n_classes: classes.
        n_outputs_per_class: outputs of each class.
        W1: weights of the classes, (features, n_classes).
        b1: bias of the classes.
        W2: weights of the outputs, (n_classes, features, n_outputs_per_class).
        b2: bias of the outputs, (n_classes, n_outputs_per_class).
        target: per case, the output of interest, as an integer vector.

    Returns:
        With targets a vector: per case, the probability of its target. Else a matrix of the
        probabilities of all outputs.
    """
    cases, weights, bias = map(as_tensor_variable, (x, W2, b2))
    classes = softmax(dot(cases, W1) + b1)
    if target is None:
        within = softmax(einsum("bf,cfo->bco", cases, weights) + bias.dimshuffle("x", 0, 1))
        joint = classes.dimshuffle(0, 1, "x") * within
        width = as_tensor_variable(n_classes) * n_outputs_per_class
        return joint.reshape((batch_size, width), ndim=2)[:, :n_outputs]
    wanted = as_tensor_variable(target).flatten()
    label, place = wanted // n_outputs_per_class, wanted % n_outputs_per_class
    within = softmax(batched_dot(cases, weights[label]) + bias[label])
    rows = arange(wanted.shape[0])
    return classes[rows, label] * within[rows, place]
