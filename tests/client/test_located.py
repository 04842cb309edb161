"""Errors of a run name the op, the extents, and the user's line, in this process and remotely."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd.errors import ExprdError, IndexOutOfRange, ShapeError

X, Y = T.matrix("x"), T.matrix("y")
V, K, N = T.vector("v"), T.lvector("i"), T.lscalar("n")
M = np.ones((2, 3))

Case = tuple[list[Any], Callable[[], Any], list[Any], type[ExprdError], str]

CASES: dict[str, Case] = {
    "add": ([X, V], lambda: T.exp(X + V), [M, np.ones(4)], ShapeError, "3 and 4"),
    "one at run time": ([X, Y], lambda: X * Y, [M, M[:1]], ShapeError, "2 and 1"),
    "in a fold": ([X, Y], lambda: (X * Y).sum(), [M, M[:1]], ShapeError, "2 and 1"),
    "matrix vector": ([X, V], lambda: T.dot(X, V) + 1, [M, np.ones(4)], ShapeError, "3 and 4"),
    "matrix matrix": ([X, Y], lambda: T.dot(X, Y), [M, M], ShapeError, "3 and 2"),
    "rows": ([X, K], lambda: X[K], [M, [5]], IndexOutOfRange, "5 is out of range.*2"),
    "row": ([X, N], lambda: X[N], [M, -3], IndexOutOfRange, "-3 is out of range.*2"),
    "reshape": ([X, N], lambda: X.reshape((N, N)), [M, 5], ShapeError, "6 elements into 25"),
    "alloc": ([N], lambda: T.zeros((N, 2)), [-5], ShapeError, "-5 is negative"),
    "max of nothing": ([X], lambda: X.max(), [M[:0]], ShapeError, "no elements"),
    "argmax of nothing": ([X], lambda: X.argmax(0), [M[:0]], ShapeError, "no elements"),
    "write": ([X, V], lambda: T.set_subtensor(X[0], V), [M, np.ones(4)], ShapeError, "3 and 4"),
    "gradient": (
        [X, V],
        lambda: T.grad(T.exp(X + V).sum(), V),
        [M, np.ones(4)],
        ShapeError,
        "3 and 4",
    ),
    "labels": (
        [X, K],
        lambda: T.nnet.categorical_crossentropy(T.nnet.softmax(X), K),
        [M, [0, 3]],
        IndexOutOfRange,
        "3 is out of range.*3",
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("mode")
def test_an_error_of_a_run_is_located(name: str) -> None:
    inputs, build, values, kind, text = CASES[name]
    f = exprd.function(inputs, build(), on_unused_input="ignore")
    with pytest.raises(kind, match=text) as caught:
        f(*values)
    error = caught.value
    assert error.op
    assert "test_located.py" in error.fields["built_at"]
    assert "lambda:" in str(error)
