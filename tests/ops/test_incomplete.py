"""Incomplete gamma functions against arbitrary precision, natively."""

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
from tools.fit_gamma import lower, upper

NAMES = ("gammainc", "gammaincc")


@cache
def compiled(dtype: str) -> Any:
    """P and Q as one native function."""
    given = tuple(input_(type=TensorType(dtype, (None,))) for _ in range(2))
    graph = Graph(given, tuple(find_op(name)(*given) for name in NAMES))
    return compile_graph(graph, CompileOptions()).executable


def both(a: Array, x: Array, dtype: str = "float64") -> list[Array]:
    """P and Q, natively."""
    return list(compiled(dtype)([a, x]))


def exact(a: float, x: float) -> tuple[Any, Any]:
    """P and Q to many digits, the smaller one computed."""
    if x <= max(a, 1.1):
        p = lower(mpmath.mpf(a), mpmath.mpf(x))
        return p, 1 - p
    q = upper(mpmath.mpf(a), mpmath.mpf(x))
    return 1 - q, q


def points(rng: np.random.Generator) -> tuple[Array, Array]:
    """Orders and arguments of every form, and those where one form gives way to another."""
    count = 60
    sizes = (10 ** rng.uniform(-10, 1.3, count), 10 ** rng.uniform(1.3, 3.3, count))
    near = sizes[1] + rng.normal(0, 3, count) * np.sqrt(sizes[1])
    edges = np.array([19.999999, 20.0, 0.9999999, 1.0, 20.0, 20.0])
    a = np.concatenate([*sizes, sizes[1], sizes[0], edges])
    spread = sizes[1] * 10 ** rng.uniform(-1, 0.6, count)
    around = sizes[0] * rng.uniform(0.3, 3, count)
    at = np.array([20.0, 20.0, 1.1, 1.1000001, 20 * 0.1167, 20 * 2.977])
    return a, np.concatenate([10 ** rng.uniform(-8, 2.6, count), spread, np.abs(near), around, at])


def test_errors_stay_below_what_is_promised(rng: np.random.Generator) -> None:
    a, x = points(rng)
    found = both(a, x)
    with mpmath.workdps(60):
        for i, (order, argument) in enumerate(zip(a.tolist(), x.tolist(), strict=True)):
            for got, want in zip((found[0][i], found[1][i]), exact(order, argument), strict=True):
                if want > 1e-305:
                    assert abs(mpmath.mpf(float(got)) - want) <= 3e-15 * want, (order, argument)


def test_of_large_orders(rng: np.random.Generator) -> None:
    a = 10 ** rng.uniform(5, 7, 4)
    x = a + np.array([-6.0, -1.0, 2.0, 8.0]) * np.sqrt(a)
    found = both(a, x)
    with mpmath.workdps(40):
        for i, (order, argument) in enumerate(zip(a.tolist(), x.tolist(), strict=True)):
            for got, want in zip((found[0][i], found[1][i]), exact(order, argument), strict=True):
                bound = 1e-15 * want * (1 - mpmath.log(want))
                assert abs(mpmath.mpf(float(got)) - want) <= bound, (order, argument)


def test_ends() -> None:
    nan, inf = np.nan, np.inf
    a = np.array([1.0, 0.0, inf, 1.0, 0.0, inf, -1.0, 1.0, nan, 1.0])
    x = np.array([0.0, 1.0, 1.0, inf, 0.0, inf, 1.0, -1.0, 1.0, nan])
    p, q = both(a, x)
    np.testing.assert_array_equal(p, [0, 1, 0, 1, nan, nan, nan, nan, nan, nan])
    np.testing.assert_array_equal(q, [1, 0, 1, 0, nan, nan, nan, nan, nan, nan])


def test_a_value_does_not_depend_on_its_neighbours(rng: np.random.Generator) -> None:
    a, x = points(rng)
    together = both(a, x)
    alone = [both(a[i : i + 1], x[i : i + 1]) for i in range(0, a.size, 17)]
    for which in range(2):
        single = np.concatenate([one[which] for one in alone])
        np.testing.assert_array_equal(together[which][::17], single)


def test_float32_is_rounded_once(rng: np.random.Generator) -> None:
    a, x = (rng.uniform(0.1, 60, 200).astype(np.float32) for _ in range(2))
    for single, double in zip(
        both(a, x, "float32"), both(a.astype(np.float64), x.astype(np.float64)), strict=True
    ):
        np.testing.assert_array_equal(single, double.astype(np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_no_gradient_by_the_order(name: str) -> None:
    a, x = (input_(type=TensorType("float64", ())) for _ in range(2))
    cost = find_op(name)(a, x)
    (slope,) = grad(cost, [x])
    (got,) = native(Graph((a, x), (slope,)), [np.array(2.5), np.array(1.5)])
    density = 1.5**1.5 * np.exp(-1.5) / 1.329340388179137
    assert float(got) == pytest.approx(density if name == "gammainc" else -density, rel=1e-14)
    with pytest.raises(NotDifferentiable, match="order"):
        grad(cost, [a])
