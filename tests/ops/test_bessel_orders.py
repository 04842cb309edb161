"""Bessel functions of real order against arbitrary precision, natively."""

from __future__ import annotations

from functools import cache
from typing import Any

import mpmath
import numpy as np
import pytest

from exprd_compiler.driver import compile_graph
from exprd_compiler.errors import NotDifferentiable
from exprd_compiler.grad import grad
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Array
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.leaves import input_
from exprd_compiler.ops.table import find_op
from exprd_compiler.options import CompileOptions
from tests.ops.conftest import native


@cache
def compiled() -> Any:
    """Both functions as one native function."""
    given = tuple(input_(type=TensorType("float64", (None,))) for _ in range(2))
    graph = Graph(given, tuple(find_op(name)(*given) for name in ("jv", "iv")))
    return compile_graph(graph, CompileOptions()).executable


def both(v: Array, x: Array) -> list[Array]:
    """J and I, natively."""
    return list(compiled()([v, x]))


def height(v: float, x: float) -> float:
    """The size of the wave of J, 0 where there is none."""
    return 0.0 if abs(x) <= max(abs(v), 1) else float(np.sqrt(2 / (np.pi * abs(x))))


def places(rng: np.random.Generator) -> tuple[Array, Array]:
    """Orders and arguments of every form, and where one gives way to another."""
    v = np.concatenate(
        [
            rng.uniform(0, 50, 60),
            rng.uniform(-8, 2, 40),
            rng.integers(-50, 51, 30),
            [0.0, 0.5, 50.0, -0.5, 49.999, 0.0, 1.0, 50.0, -7.5, 3.0],
        ]
    )
    x = np.concatenate(
        [
            rng.uniform(0.5, 690, 60),
            10 ** rng.uniform(-2, 2, 40),
            rng.uniform(-60, 60, 30),
            [1.414, 1.7, 10.0, 1.4142, 1300.0, 1300.001, 1e6, 1e4, 5.0, -7.0],
        ]
    )
    return v, x


def test_errors_stay_below_what_is_promised(rng: np.random.Generator) -> None:
    v, x = places(rng)
    found = both(v, x)
    with mpmath.workdps(40):
        for order, argument, j, i in zip(v.tolist(), x.tolist(), *found, strict=True):
            exact = mpmath.besselj(mpmath.mpf(order), mpmath.mpf(argument))
            size = max(float(abs(exact)), height(order, argument))
            assert abs(mpmath.mpf(float(j)) - exact) <= 2e-13 * size, (order, argument)
            if abs(argument) < 700:
                exact = mpmath.besseli(mpmath.mpf(order), mpmath.mpf(argument))
                assert abs(mpmath.mpf(float(i)) - exact) <= 5e-14 * abs(exact), (order, argument)


def test_of_negative_orders(rng: np.random.Generator) -> None:
    v, x = -rng.uniform(8, 50, 40), rng.uniform(0.5, 60, 40)
    j, i = both(v, x)
    assert np.isnan(i).all()
    with mpmath.workdps(40):
        for order, argument, got in zip(v.tolist(), x.tolist(), j, strict=True):
            exact = mpmath.besselj(mpmath.mpf(order), mpmath.mpf(argument))
            size = max(float(abs(exact)), height(order, argument))
            assert abs(mpmath.mpf(float(got)) - exact) <= 2e-13 * size, (order, argument)


def test_ends() -> None:
    inf, nan = np.inf, np.nan
    v = np.array([0.0, 2.5, 1.0, 1.0, 2.5, 51.0, 2.5, nan, 1.0, -1.5, 0.0])
    x = np.array([0.0, 0.0, inf, -inf, inf, 1.0, -1.0, 1.0, nan, 0.0, 800.0])
    j, i = both(v, x)
    np.testing.assert_array_equal(j[:-1], [1, 0, 0, 0, 0, nan, nan, nan, nan, -inf])
    np.testing.assert_array_equal(i, [1, 0, inf, -inf, inf, nan, nan, nan, nan, -inf, inf])


def test_a_value_does_not_depend_on_its_neighbours(rng: np.random.Generator) -> None:
    v, x = places(rng)
    together = both(v, x)
    for place in range(0, v.size, 9):
        alone = both(v[place : place + 1], x[place : place + 1])
        for whole, one in zip(together, alone, strict=True):
            np.testing.assert_array_equal(whole[place], one[0])


@pytest.mark.parametrize("name", ["iv", "jv"])
def test_no_gradient_by_the_order(name: str) -> None:
    v, x = (input_(type=TensorType("float64", ())) for _ in range(2))
    cost = find_op(name)(v, x)
    (slope,) = grad(cost, [x])
    (got,) = native(Graph((v, x), (slope,)), [np.array(0.5), np.array(1.5)])
    function = mpmath.besseli if name == "iv" else mpmath.besselj
    assert float(got) == pytest.approx(float(function(0.5, 1.5, derivative=1)), rel=1e-13)
    with pytest.raises(NotDifferentiable, match="order"):
        grad(cost, [v])
