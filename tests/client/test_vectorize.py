"""vectorize_graph: expressions over a batch."""

from __future__ import annotations

import numpy as np
import pytest

import exprd.tensor as T
from exprd import function, grad, vectorize_graph
from exprd.errors import ArgumentError, NotVectorizable, ShapeError

behaviour = pytest.mark.usefixtures("mode")


@behaviour
def test_a_model_over_a_batch(rng: np.random.Generator) -> None:
    x, w = T.vector("x"), T.matrix("w")
    many = T.matrix("many")
    y = T.nnet.softmax(T.dot(w, x).dimshuffle("x", 0))[0]
    (over,) = vectorize_graph([y], {x: many})
    f, one = function([many, w], over), function([x, w], y)
    xs, ws = rng.standard_normal((5, 3)), rng.standard_normal((4, 3))
    np.testing.assert_allclose(f(xs, ws), [one(row, ws) for row in xs])


@behaviour
def test_gradients_of_each_element_and_through_the_batch(rng: np.random.Generator) -> None:
    x, w, many = T.vector("x"), T.vector("w"), T.matrix("many")
    cost = T.tanh(T.dot(w, x)) ** 2
    each = vectorize_graph(grad(cost, w), {x: many})
    whole = grad(vectorize_graph(cost, {x: many}).sum(), w)
    rows, total = function([many, w], [each, whole])(
        rng.standard_normal((6, 3)), rng.standard_normal(3)
    )
    assert rows.shape == (6, 3)
    np.testing.assert_allclose(rows.sum(axis=0), total)


def test_what_is_refused() -> None:
    x, many = T.vector("x"), T.matrix("many")
    with pytest.raises(ShapeError, match="with one axis more"):
        vectorize_graph(x * 2, {x: x})
    with pytest.raises(ArgumentError, match="expected a variable"):
        vectorize_graph(x, {3: many})
    with pytest.raises(TypeError, match="is a dict"):
        vectorize_graph(x, [(x, many)])  # type: ignore[arg-type]
    with pytest.raises(NotVectorizable, match="no batch rule"):
        vectorize_graph(x.nonzero()[0], {x: many})
