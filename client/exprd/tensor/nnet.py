"""Functions of neural networks under Theano's names."""

from __future__ import annotations

from exprd.convert import as_node, cast_to
from exprd.elementwise import apply, divide
from exprd.reduction import sum_
from exprd.tensor.functions import lift
from exprd_compiler.errors import ShapeError
from exprd_compiler.ir.dtype import float_of
from exprd_compiler.ir.node import Node
from exprd_compiler.ops import arithmetic, creation, index, logic, nnet, transcendental
from exprd_compiler.ops.movement import shape_i

__all__ = [
    "binary_crossentropy",
    "categorical_crossentropy",
    "elu",
    "logsoftmax",
    "relu",
    "sigmoid",
    "sigmoid_binary_crossentropy",
    "softmax",
    "softplus",
    "tanh",
]


def _floats(x: object) -> Node:
    node = as_node(x)
    return cast_to(node, float_of(node.dtype))


def _last_axis(x: Node, axis: int) -> int:
    return axis + x.ndim if axis < 0 else axis


@lift
def sigmoid(x: object) -> Node:
    """1 / (1 + exp(-x))."""
    return apply(transcendental.sigmoid, x)


@lift
def softplus(x: object) -> Node:
    """log(1 + exp(x))."""
    return apply(transcendental.softplus, x)


@lift
def tanh(x: object) -> Node:
    """The hyperbolic tangent."""
    return apply(transcendental.tanh, x)


@lift
def softmax(x: object, axis: int = -1) -> Node:
    """exp(x) over its sum along an axis, the rows of a matrix by default."""
    node = _floats(x)
    return nnet.softmax(node, axis=_last_axis(node, axis))


@lift
def logsoftmax(x: object, axis: int = -1) -> Node:
    """The logarithm of softmax, exact also where softmax underflows."""
    node = _floats(x)
    return nnet.log_softmax(node, axis=_last_axis(node, axis))


@lift
def relu(x: object, alpha: float = 0) -> Node:
    """x where it is positive, else alpha * x."""
    node = as_node(x)
    if alpha == 0:
        return apply(logic.maximum, node, 0)
    scaled = apply(arithmetic.mul, node, alpha)
    return apply(logic.switch, apply(logic.gt, node, 0), node, scaled)


@lift
def elu(x: object, alpha: float = 1) -> Node:
    """x where it is positive, else alpha * (exp(x) - 1)."""
    node = _floats(x)
    negative = apply(logic.minimum, node, 0)
    below = apply(arithmetic.sub, transcendental.exp(negative), 1)
    return apply(logic.switch, apply(logic.gt, node, 0), node, apply(arithmetic.mul, below, alpha))


@lift
def binary_crossentropy(output: object, target: object) -> Node:
    """-(t log(o) + (1 - t) log(1 - o)), element by element."""
    o, t = as_node(output), as_node(target)
    hit = arithmetic.mul(t, transcendental.log(o))
    miss = arithmetic.mul(
        apply(arithmetic.sub, 1, t), transcendental.log(apply(arithmetic.sub, 1, o))
    )
    return arithmetic.neg(arithmetic.add(hit, miss))


@lift
def sigmoid_binary_crossentropy(output: object, target: object) -> Node:
    """The binary cross-entropy of sigmoid(output), finite for every output."""
    o, t = as_node(output), as_node(target)
    return arithmetic.sub(transcendental.softplus(o), arithmetic.mul(t, o))


@lift
def categorical_crossentropy(coding_dist: object, true_dist: object) -> Node:
    """Per row, the cross-entropy of a matrix of probabilities and the truth.

    Args:
        coding_dist: probabilities, one row per case.
        true_dist: a matrix of probabilities, or an integer vector of labels.

    Raises:
        ShapeError: the truth is neither.
    """
    p, truth = as_node(coding_dist), as_node(true_dist)
    if truth.ndim == p.ndim:
        weighted = arithmetic.mul(truth, transcendental.log(p))
        return arithmetic.neg(sum_(weighted, axis=p.ndim - 1))
    if truth.ndim != 1 or p.ndim != 2:
        raise ShapeError(f"needs a matrix and labels, got {p.type} and {truth.type}")
    rows = creation.iota(shape_i(truth, axis=0))
    return arithmetic.neg(index.gather(transcendental.log(p), rows, truth))


@lift
def softsign(x: object) -> Node:
    """x / (1 + |x|)."""
    node = _floats(x)
    return divide(node, apply(arithmetic.add, 1, arithmetic.abs_(node)))
