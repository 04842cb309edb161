"""Losses of classifiers, under Theano's names.

Those that take scores instead of probabilities stay finite for every score; of the others the
compiler makes such a form where the probabilities are a softmax or a sigmoid.
"""

from __future__ import annotations

from exprd.convert import as_node
from exprd.elementwise import apply
from exprd.reduction import sum_
from exprd.tensor.functions import argmax, cast, concatenate, dot, lift, unique
from exprd.tensor.nnet.normalizers import biased
from exprd.tensor.nnet.sigm import floats
from exprd.variable import TensorVariable, as_tensor_variable, variable_of
from exprd_compiler.errors import ShapeError
from exprd_compiler.ir.node import Node
from exprd_compiler.ops import arithmetic, creation, index, logic, nnet, transcendental
from exprd_compiler.ops.movement import shape_i
from exprd_compiler.ops.reduce import max_

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
    "sigmoid_binary_crossentropy",
]


# ---- of two classes
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


# ---- of many, from probabilities
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
    return arithmetic.neg(_at_labels(transcendental.log(p), truth))


@lift
def crossentropy_categorical_1hot(coding_dist: object, true_one_of_n: object) -> Node:
    """Per row, minus the logarithm of the probability of the label."""
    return arithmetic.neg(_at_labels(transcendental.log(floats(coding_dist)), true_one_of_n))


# ---- of many, from scores
def crossentropy_softmax_1hot(x: object, y_idx: object) -> tuple[TensorVariable, TensorVariable]:
    """Per row of scores, the cross-entropy of its softmax and a label; and the softmax."""
    return _losses(floats(x), y_idx)


def crossentropy_softmax_1hot_with_bias(
    x: object, b: object, y_idx: object
) -> tuple[TensorVariable, TensorVariable]:
    """The same of x + b."""
    return _losses(biased(x, b), y_idx)


def crossentropy_softmax_argmax_1hot_with_bias(
    x: object, b: object, y_idx: object
) -> tuple[TensorVariable, TensorVariable, TensorVariable]:
    """The same, and the position of the largest score of each row, in the dtype of the labels."""
    scores = biased(x, b)
    best = cast(argmax(scores, axis=1), as_node(y_idx).dtype)
    return (*_losses(scores, y_idx), best)


def crossentropy_softmax_max_and_argmax_1hot(
    x: object, y_idx: object
) -> tuple[TensorVariable, TensorVariable, TensorVariable, TensorVariable]:
    """Per row: cross-entropy, softmax, the largest probability and its position."""
    return _with_best(floats(x), y_idx)


def crossentropy_softmax_max_and_argmax_1hot_with_bias(
    x: object, b: object, y_idx: object
) -> tuple[TensorVariable, TensorVariable, TensorVariable, TensorVariable]:
    """The same of x + b."""
    return _with_best(biased(x, b), y_idx)


def _losses(scores: Node, labels: object) -> tuple[TensorVariable, TensorVariable]:
    label = _labels_of(scores, labels)
    loss = arithmetic.neg(_at_labels(nnet.log_softmax(scores, axis=1), label))
    return variable_of(loss), variable_of(nnet.softmax(scores, axis=1))


def _with_best(
    scores: Node, labels: object
) -> tuple[TensorVariable, TensorVariable, TensorVariable, TensorVariable]:
    loss, p = _losses(scores, labels)
    return loss, p, variable_of(max_(p.node, axes=(1,))), argmax(p, axis=1)


def _at_labels(x: Node, labels: object) -> Node:
    """One element of each row of a matrix."""
    label = _labels_of(x, labels)
    return index.gather(x, creation.iota(shape_i(label, axis=0)), label)


def _labels_of(x: Node, labels: object) -> Node:
    """The labels of the rows of a matrix, checked."""
    label = as_node(labels)
    if (x.ndim, label.ndim) != (2, 1):
        raise ShapeError(
            f"needs a matrix and a vector of labels, got {x.type} and {label.type}",
            hint="one row per case; a label is the position of the true class",
        )
    return label


# ---- counts
def confusion_matrix(actual: object, pred: object) -> list[TensorVariable]:
    """How often which label was taken for which.

    Args:
        actual: true labels, a vector of integers.
        pred: predicted labels.

    Returns:
        A matrix of int64, true labels down, predicted ones across; and the labels in order.

    Raises:
        ShapeError: one of them is no vector.
    """
    truth, guess = as_tensor_variable(actual), as_tensor_variable(pred)
    if (truth.ndim, guess.ndim) != (1, 1):
        raise ShapeError(f"needs two vectors of labels, got {truth.type} and {guess.type}")
    order = as_tensor_variable(unique(concatenate([truth, guess])))
    hits = [_hits(labels, order) for labels in (truth, guess)]
    return [dot(hits[0].T, hits[1]), order]


def _hits(labels: TensorVariable, order: TensorVariable) -> TensorVariable:
    """Per case a row that is 1 at its label, else 0."""
    same = logic.eq(labels.dimshuffle(0, "x").node, order.dimshuffle("x", 0).node)
    return cast(variable_of(same), "int64")
