"""The methods of variables that Theano has beyond numpy's."""

from __future__ import annotations

import numpy as np
import pytest

import exprd
import exprd.tensor as T

INSIDE = np.array([0.1, 0.25, 0.5, 0.75])
FUNCTIONS = (
    "sqrt exp log sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arctanh floor ceil trunc"
    " deg2rad rad2deg conjugate zeros_like ones_like"
)


def test_elementary_functions_are_methods(mode: str) -> None:
    x = T.dvector("x")
    names = FUNCTIONS.split()
    got = exprd.function([x], [getattr(x, name)() for name in names])(INSIDE)
    for name, value in zip(names, got, strict=True):
        np.testing.assert_allclose(value, getattr(np, name)(INSIDE), rtol=1e-14, err_msg=name)
    np.testing.assert_allclose(x.arccosh().eval({x: 1 + INSIDE}), np.arccosh(1 + INSIDE))


def test_tensors_like_a_variable() -> None:
    x = T.fmatrix("x")
    assert (x.zeros_like().dtype, x.ones_like("int8").dtype) == ("float32", "int8")
    assert x.expm().ndim == 2
    assert x.transfer("cpu") == x
    with pytest.raises(exprd.errors.DeviceUnavailable, match="gpu"):
        x.transfer("gpu")


def test_the_value_of_a_constant() -> None:
    assert T.constant([[3]]).get_scalar_constant_value() == 3
    with pytest.raises(exprd.errors.GraphError, match="not a constant scalar"):
        T.scalar("x").get_scalar_constant_value()
