"""Batch normalization against its formulas, in both layouts of the parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd.tensor.nnet import bn

CASES = {
    "per-activation": ((5, 3), (0,)),
    "spatial": ((4, 3, 2, 6), (0, 2, 3)),
    "axes": ((4, 3, 5), (2, 0)),
}


def expected(x: Any, gamma: Any, beta: Any, axes: tuple[int, ...], epsilon: float) -> list[Any]:
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    invstd = 1 / np.sqrt(var + epsilon)
    return [(x - mean) * gamma * invstd + beta, mean, invstd, var]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_a_batch_is_normalized_by_its_own_values(
    mode: str, name: str, whole: bool, rng: np.random.Generator
) -> None:
    shape, axes = CASES[name]
    kept = [1 if i in axes else n for i, n in enumerate(shape)]
    outer = kept if whole else [n for i, n in enumerate(shape) if i not in axes]
    values = rng.standard_normal(shape) * 3 + 1
    gamma, beta, running, square = (rng.uniform(1, 2, kept) for _ in range(4))
    parameters = [exprd.shared(p.reshape(outer)) for p in (gamma, beta, running, square)]
    x = T.TensorType("float64", [False] * len(shape))("x")
    chosen = axes if name == "axes" else name
    outputs = bn.batch_normalization_train(x, *parameters[:2], chosen, 1e-3, 0.25, *parameters[2:])
    cost = (outputs[0] ** 3).sum()
    updates = list(zip(parameters[2:], outputs[3:], strict=True))
    f = exprd.function([x], [*outputs, T.grad(cost, parameters[0])], updates=updates)
    got = f(values)
    out, mean, invstd, var = expected(values, gamma, beta, axes, 1e-3)
    n = values.size / mean.size
    wanted = [mean, invstd, running * 0.75 + mean * 0.25, square * 0.75 + var * n / (n - 1) * 0.25]
    np.testing.assert_allclose(got[0], out)
    for value, right in zip(got[1:5], wanted, strict=True):
        assert list(value.shape) == outer
        np.testing.assert_allclose(value, right.reshape(outer))
    slope = (3 * out**2 * (values - mean) * invstd).sum(axes).reshape(outer)
    np.testing.assert_allclose(got[5], slope)
    np.testing.assert_allclose(parameters[2].get_value(), wanted[2].reshape(outer))

    test = bn.batch_normalization_test(x, *parameters, chosen, 1e-3)
    after = (values - wanted[2]) * gamma / np.sqrt(wanted[3] + 1e-3) + beta
    np.testing.assert_allclose(exprd.function([x], test)(values), after)


def test_the_plain_formula(mode: str, rng: np.random.Generator) -> None:
    x = T.dmatrix("x")
    gamma, beta, mean, std = (rng.uniform(1, 2, 3) for _ in range(4))
    values = rng.standard_normal((4, 3))
    rows = [value[None] for value in (gamma, beta, mean, std)]
    for way in ("low_mem", "high_mem"):
        f = exprd.function([x], T.nnet.batch_normalization(x, *rows, mode=way))
        np.testing.assert_allclose(f(values), (values - mean) / std * gamma + beta)


def test_gradients_are_slopes(rng: np.random.Generator) -> None:
    def out(x: Any, gamma: Any, beta: Any) -> Any:
        return bn.batch_normalization_train(x, gamma, beta)[0]

    points = [rng.standard_normal(shape) for shape in ((5, 3), (3,), (3,))]
    exprd.gradient.verify_grad(out, points, rng=rng)


def test_float32_stays_float32() -> None:
    x, p = T.fmatrix("x"), T.fvector("p")
    outputs = bn.batch_normalization_train(x, p, p, running_mean=p, running_var=p)
    outputs = (*outputs, bn.batch_normalization_test(x, p, p, p, p))
    assert {v.dtype for v in outputs} == {"float32"}


def test_what_does_not_fit_is_refused() -> None:
    x, p, m = T.dmatrix("x"), T.dvector("p"), T.dtensor3("m")
    with pytest.raises(ValueError, match="no axes"):
        bn.batch_normalization_train(x, p, p, axes=(0, 2))
    with pytest.raises(ValueError, match="no axes"):
        bn.batch_normalization_train(x, p, p, axes="everywhere")
    with pytest.raises(ValueError, match="gamma has 3 axes"):
        bn.batch_normalization_train(x, m, m)
    with pytest.raises(ValueError, match="lay all of them out alike"):
        bn.batch_normalization_test(x, p, p, x, x)
    with pytest.raises(ValueError, match="epsilon"):
        bn.batch_normalization_train(x, p, p, epsilon=0)
    with pytest.raises(ValueError, match="both or not at all"):
        bn.batch_normalization_train(x, p, p, running_mean=p)
    with pytest.raises(ValueError, match="low_mem or high_mem"):
        bn.batch_normalization(x, p, p, p, p, mode="no_mem")
