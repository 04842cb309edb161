"""Functions of neural networks: values, gradients, and scores where a careless form overflows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd.tensor import nnet
from exprd.tensor.nnet import nnet as theanos_module
from exprd.tensor.nnet import sigm

EXTREME = np.array([[1e4, -1e4, 0.0], [1.0, 2.0, 3.0], [-1e4, -1e4, -1e4], [0.0, -0.0, 750.0]])
LABELS = np.array([1, 0, 2, 0])


def _softmax(x: Any) -> Any:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _tanh_in_pieces(x: float) -> float:
    u = abs(0.5 * x)
    z = 1.5 * u / (1 + u) if u < 1.7 else 0.935409070603099 + 0.0458812946797165 * (u - 1.7)
    return 0.5 * (1 + np.copysign(z if u < 3 else 0.99505475368673, x))


ELEMENTWISE: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "sigmoid": (nnet.sigmoid, lambda x: 1 / (1 + np.exp(-x))),
    "hard_sigmoid": (nnet.hard_sigmoid, lambda x: np.clip(0.2 * x + 0.5, 0, 1)),
    "ultra_fast_sigmoid": (nnet.ultra_fast_sigmoid, np.vectorize(_tanh_in_pieces)),
    "softplus": (nnet.softplus, lambda x: np.logaddexp(x, 0)),
    "softsign": (nnet.softsign, lambda x: x / (1 + np.abs(x))),
    "relu": (nnet.relu, lambda x: np.maximum(x, 0)),
    "leaky": (lambda x: nnet.relu(x, 0.1), lambda x: np.where(x > 0, x, 0.1 * x)),
    "elu": (lambda x: nnet.elu(x, 2), lambda x: np.where(x > 0, x, 2 * np.expm1(x))),
    "selu": (
        nnet.selu,
        lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    ),
    "softmax": (nnet.softmax, _softmax),
    "softmax_graph": (nnet.softmax_graph, _softmax),
    "logsoftmax": (nnet.logsoftmax, lambda x: np.log(_softmax(x))),
}
LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "categorical_crossentropy": lambda x, y: nnet.categorical_crossentropy(nnet.softmax(x), y),
    "of 1 hot rows": lambda x, y: nnet.categorical_crossentropy(
        nnet.softmax(x), T.extra_ops.to_one_hot(y, 3)
    ),
    "categorical_1hot": lambda x, y: nnet.crossentropy_categorical_1hot(nnet.softmax(x), y),
    "softmax_1hot": lambda x, y: nnet.crossentropy_softmax_1hot(x, y)[0],
    "softmax_1hot_with_bias": lambda x, y: nnet.crossentropy_softmax_1hot_with_bias(
        x, T.zeros((3,)), y
    )[0],
    "written out": lambda x, y: -T.log(nnet.softmax_graph(x))[T.arange(y.shape[0]), y],
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_values(mode: str, name: str, rng: np.random.Generator) -> None:
    build, expected = ELEMENTWISE[name]
    x = T.dmatrix("x")
    values = rng.standard_normal((5, 7)) * 4
    out = exprd.function([x], build(x))(values)
    np.testing.assert_allclose(out, expected(values), rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_gradients_are_slopes_and_finite_far_out(name: str, rng: np.random.Generator) -> None:
    build, _ = ELEMENTWISE[name]
    exprd.gradient.verify_grad(build, [rng.standard_normal((3, 4)) * 2 + 0.05], rng=rng)
    x = T.dmatrix("x")
    value, slope = exprd.function([x], [build(x), T.grad(build(x).sum(), x)])(EXTREME)
    assert np.isfinite(value).all()
    assert np.isfinite(slope).all()


def test_float32_stays_float32() -> None:
    x = T.fmatrix("x")
    assert {build(x).dtype for build, _ in ELEMENTWISE.values()} == {"float32"}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_labels_are_finite_at_extreme_scores(mode: str, name: str) -> None:
    x, y = T.dmatrix("x"), T.lvector("y")
    loss = LOSSES[name](x, y)
    value, slope = exprd.function([x, y], [loss, T.grad(loss.sum(), x)])(EXTREME, LABELS)
    np.testing.assert_allclose(value, [2e4, np.log(1 + np.e + np.e**2), np.log(3), 750])
    one_hot = np.eye(3)[LABELS]
    np.testing.assert_allclose(slope, _softmax(EXTREME) - one_hot, rtol=1e-12, atol=1e-15)


def test_losses_of_two_classes_are_finite_at_extreme_scores(mode: str) -> None:
    x, t = T.dvector("x"), T.dvector("t")
    score, truth = np.array([1e4, -1e4, 0.0, 800.0]), np.array([0.0, 1.0, 1.0, 1.0])
    for loss in (
        nnet.binary_crossentropy(nnet.sigmoid(x), t),
        nnet.sigmoid_binary_crossentropy(x, t),
    ):
        value, slope = exprd.function([x, t], [loss, T.grad(loss.sum(), x)])(score, truth)
        np.testing.assert_allclose(value, [1e4, 1e4, np.log(2), 0], atol=1e-300)
        np.testing.assert_allclose(slope, [1, -1, -0.5, 0], atol=1e-300)


def test_losses_with_softmax_and_best_class(mode: str, rng: np.random.Generator) -> None:
    x, b, y = T.dmatrix("x"), T.dvector("b"), T.ivector("y")
    scores, bias = rng.standard_normal((4, 3)), rng.standard_normal(3)
    labels = LABELS.astype("int32")
    p = _softmax(scores + bias)
    outputs = [
        *nnet.crossentropy_softmax_argmax_1hot_with_bias(x, b, y),
        *theanos_module.crossentropy_softmax_max_and_argmax_1hot_with_bias(x, b, y),
        nnet.softmax_with_bias(x, b),
    ]
    got = exprd.function([x, b, y], outputs)(scores, bias, labels)
    loss, best = -np.log(p[np.arange(4), labels]), p.argmax(axis=1)
    for found, expected in zip(got, [loss, p, best, loss, p, p.max(axis=1), best, p], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert got[2].dtype == "int32"


def test_what_is_no_matrix_with_labels_is_refused() -> None:
    x, y = T.dmatrix("x"), T.lvector("y")
    with pytest.raises(ValueError, match="a matrix and a vector of labels"):
        nnet.crossentropy_softmax_1hot(y, y)
    with pytest.raises(ValueError, match="a matrix and a vector"):
        nnet.softmax_with_bias(x, x)
    with pytest.raises(ValueError, match="two vectors of labels"):
        nnet.confusion_matrix(x, y)
    with pytest.raises(ValueError, match="a value and a matrix"):
        nnet.prepend_scalar_to_each_row(x, x)


def test_a_confusion_matrix_counts_pairs_of_labels(mode: str) -> None:
    actual, predicted = T.lvectors("actual", "predicted")
    matrix, order = exprd.function([actual, predicted], nnet.confusion_matrix(actual, predicted))(
        [7, 1, 2, 1, 7], [7, 1, 2, 0, 1]
    )
    assert order.tolist() == [0, 1, 2, 7]
    assert matrix.dtype == "int64"
    assert matrix.tolist() == [[0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 1]]


def test_columns_in_front(mode: str) -> None:
    x = T.fmatrix("x")
    f = exprd.function(
        [x],
        [
            nnet.prepend_0_to_each_row(x),
            nnet.prepend_1_to_each_row(x),
            nnet.prepend_scalar_to_each_row(2.5, x),
        ],
    )
    for value, first in zip(f(np.ones((2, 3), "float32")), [0, 1, 2.5], strict=True):
        assert value.dtype == "float32"
        assert value.tolist() == [[first, 1, 1, 1]] * 2
    assert f(np.ones((2, 0), "float32"))[1].tolist() == [[1]] * 2


def test_softmax_in_two_levels(mode: str, rng: np.random.Generator) -> None:
    batch, features, classes, each, outputs = 4, 5, 3, 2, 6
    x, target = T.dmatrix("x"), T.lvector("target")
    shapes = [(features, classes), (classes,), (classes, features, each), (classes, each)]
    parameters = [exprd.shared(rng.standard_normal(shape)) for shape in shapes]
    sizes = (batch, outputs, classes, each)
    everything = nnet.h_softmax(x, *sizes, *parameters)
    wanted = nnet.h_softmax(x, *sizes, *parameters, target=target)
    cost = -T.log(wanted).mean()
    labels, cases = np.array([0, 5, 2, 3]), rng.standard_normal((batch, features))
    full, some, *slopes = exprd.function(
        [x, target], [everything, wanted, *T.grad(cost, parameters)]
    )(cases, labels)
    np.testing.assert_allclose(full.sum(axis=1), 1)
    np.testing.assert_allclose(some, full[np.arange(batch), labels])
    assert [slope.shape for slope in slopes] == shapes
    assert exprd.function([x], nnet.h_softmax(x, batch, 4, *sizes[2:], *parameters))(
        cases
    ).shape == (4, 4)


def test_theanos_modules_have_the_same_functions() -> None:
    assert theanos_module.softmax is nnet.softmax
    assert sigm.sigmoid is nnet.sigmoid is T.nnet.sigmoid
