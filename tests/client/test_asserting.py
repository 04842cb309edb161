"""Assert: conditions that are checked where the function runs."""

from __future__ import annotations

import numpy as np
import pytest

import exprd.tensor as T
from exprd import function, shared
from exprd.errors import ArgumentError, AssertionFailed, ExprdError
from exprd.tensor.opt import Assert, assert_op
from exprd.vectorize import vectorize_graph

pytestmark = pytest.mark.usefixtures("mode")


def test_a_value_under_conditions() -> None:
    x = T.dvector("x")
    f = function([x], Assert("not {positive}")(x * 2, x > 0, x.sum() < 10))
    assert f([1.0, 2.0]).tolist() == [2, 4]
    for bad in ([1.0, -2.0], [20.0, 1.0]):
        with pytest.raises(AssertionError, match=r"not \{positive\}") as caught:
            f(bad)
        assert isinstance(caught.value, AssertionFailed)
        assert isinstance(caught.value, ExprdError)
        assert "test_asserting.py" in str(caught.value)
    assert f([1.0, 2.0]).tolist() == [2, 4]


def test_of_extents() -> None:
    x = T.dmatrix()
    f = function([x], Assert("not square")(x, T.eq(x.shape[0], x.shape[1])).sum())
    assert float(f(np.ones((2, 2)))) == 4
    with pytest.raises(AssertionFailed, match="not square"):
        f(np.ones((2, 3)))


def test_conditions_that_are_constants() -> None:
    x = T.dscalar()
    assert float(function([x], assert_op(x, True, 1))(3.0)) == 3
    with pytest.raises(AssertionFailed, match="Theano Assert failed!"):
        function([x], assert_op(x, 0))(3.0)
    assert float(function([x], assert_op(x))(3.0)) == 3


def test_nothing_changes_where_it_fails() -> None:
    total, x = shared(0.0), T.dscalar()
    f = function([x], updates={total: total + Assert("negative")(x, x >= 0)})
    f(2.0)
    with pytest.raises(AssertionFailed, match="negative"):
        f(-1.0)
    assert float(total.get_value()) == 2


def test_the_gradient_goes_through() -> None:
    x = T.dvector()
    f = function([x], T.grad(Assert("large")((x**2).sum(), x < 5), x))
    assert f([1.0, 3.0]).tolist() == [2, 6]
    checked = function([x], T.grad((Assert("large")(x, x < 5) ** 2).sum(), x))
    assert checked([1.0, 3.0]).tolist() == [2, 6]
    with pytest.raises(AssertionFailed, match="large"):
        checked([1.0, 7.0])


def test_over_a_batch_every_item_is_checked() -> None:
    x, many = T.dvector(), T.dmatrix()
    y = Assert("negative")(x.sum(), x >= 0)
    f = function([many], vectorize_graph(y, {x: many}))
    assert f([[1.0, 2.0], [3.0, 4.0]]).tolist() == [3, 7]
    with pytest.raises(AssertionFailed, match="negative"):
        f([[1.0, 2.0], [3.0, -4.0]])


def test_a_message_is_a_text() -> None:
    with pytest.raises(ArgumentError, match="text"):
        Assert(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
