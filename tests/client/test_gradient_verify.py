"""verify_grad and numeric_grad."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import exprd.tensor as T
from exprd.errors import GradientError
from exprd.gradient import grad_scale, numeric_grad, verify_grad

behaviour = pytest.mark.usefixtures("mode")
STATE = np.random.RandomState  # Theano's users have these


@behaviour
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_right_gradients_are_accepted(dtype: str, rng: np.random.Generator) -> None:
    x, w = (rng.uniform(0.5, 1.5, shape).astype(dtype) for shape in ((3,), (2, 3)))
    verify_grad(lambda x, w: T.tanh(T.dot(w, x)), [x, w], rng=STATE(3))
    verify_grad(T.log, [w], rng=rng, n_tests=1, mode="FAST_COMPILE")


@behaviour
def test_a_wrong_gradient_is_found(rng: np.random.Generator) -> None:
    at = rng.uniform(0.5, 1.5, (2, 2))
    with pytest.raises(verify_grad.E_grad, match="differences give") as error:  # type: ignore[attr-defined]
        verify_grad(lambda x: grad_scale(x, 1.5) ** 2, [at], rng=rng)
    assert isinstance(error.value, GradientError)
    assert error.value.fields["arg"] == "0"
    verify_grad(lambda x: grad_scale(x, 1.5) ** 2, [at], rng=rng, abs_tol=10.0)


def test_what_cannot_be_verified(rng: np.random.Generator) -> None:
    with pytest.raises(TypeError, match="random generator"):
        verify_grad(T.exp, [np.ones(2)])
    with pytest.raises(TypeError, match="dtype int64"):
        verify_grad(T.exp, [np.ones(2, "int64")], rng=rng)
    with pytest.raises(NotImplementedError):
        verify_grad(lambda x: [x, x], [np.ones(2)], rng=rng)


def test_slopes_by_differences() -> None:
    def cost(x: Any, y: Any) -> Any:
        return (x**2).sum() + 3 * y.sum()

    x, y = np.array([1.0, -2.0]), np.ones((1, 2))
    found = numeric_grad(cost, [x, y])
    np.testing.assert_allclose(found.gf[0], 2 * x, rtol=1e-6)
    np.testing.assert_allclose(found.gf[1], [[3.0, 3.0]], rtol=1e-6)
    np.testing.assert_allclose(numeric_grad(lambda x: (x**2).sum(), x).gf, 2 * x, rtol=1e-6)
    assert numeric_grad.type_eps["float32"] > numeric_grad.type_eps["float64"]


def test_the_worst_element_exceeds_both_tolerances_most() -> None:
    x = np.array([1.0, 100.0])
    found = numeric_grad(lambda x: (x**2).sum(), x)
    arg, place, absolute, relative = found.max_err([np.array([2.1, 200.1])], 1e-3, 1e-3)
    assert (arg, place) == (0, 0)
    assert absolute == pytest.approx(0.1, rel=1e-4)
    assert relative == pytest.approx(0.1 / 4.1, rel=1e-4)
    nan = found.max_err([np.array([2.0, np.nan])], 1e-3, 1e-3)
    assert nan[1] == 1
    with pytest.raises(ValueError, match="shapes"):
        found.max_err([np.zeros(3)], 1e-3, 1e-3)


def test_a_gradient_that_is_nan_is_wrong(rng: np.random.Generator) -> None:
    with pytest.raises(GradientError):
        verify_grad(lambda x: T.sqrt(x**2) + 0 * x, [np.zeros(2)], rng=rng)
