"""Second derivatives of every op: the gradient of its gradient against differences of that."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from exprd_compiler.grad import grad
from exprd_compiler.interpret import evaluate_nodes
from exprd_compiler.ir.node import Array, Node, Op
from exprd_compiler.ops.arithmetic import add, mul
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.reduce import prod, sum_
from exprd_compiler.ops.scans import cumprod
from tests.ops.samples import Sample, sample
from tests.ops.test_gradients import DIFFERENTIABLE, cost_of, differentiable, float_inputs

STEP = 1e-5
ACCURACY = 1e-7


def along(slopes: list[Node], ways: list[Array]) -> Node:
    """The slopes in a direction, as one scalar."""
    total = const(0.0, "float64")
    for slope, way in zip(slopes, ways, strict=True):
        part = mul(slope, const(way, "float64"))
        total = add(total, sum_(part, axes=tuple(range(part.ndim))))
    return total


def check_curvature(one: Sample, rng: np.random.Generator) -> None:
    """The Hessian times a direction, against differences of the gradient in that direction."""
    inputs = float_inputs(one)
    given = dict(zip(one.node.inputs, one.arrays, strict=True))
    ways = [rng.choice([-1.0, 1.0], given[x].shape) for x in inputs]
    slopes = grad(cost_of(one, rng), inputs, disconnected="ignore")
    curves = grad(along(slopes, ways), inputs, disconnected="ignore")
    ahead, behind = (
        evaluate_nodes(
            slopes,
            {**given, **{x: given[x] + step * way for x, way in zip(inputs, ways, strict=True)}},
        )
        for step in (STEP, -STEP)
    )
    for got, more, less in zip(evaluate_nodes(curves, given), ahead, behind, strict=True):
        want = (more - less) / (2 * STEP)
        scale = 1 + np.abs(want).max(initial=0) + np.abs(more).max(initial=0)
        np.testing.assert_allclose(
            got, want, rtol=0, atol=ACCURACY * 20 * scale, err_msg=str(one.node.attrs)
        )


@pytest.mark.parametrize("op", DIFFERENTIABLE, ids=lambda op: op.name)
def test_against_differences_of_the_gradient(op: Op, rng: np.random.Generator) -> None:
    for one in differentiable(op, "float64", rng):
        if one.node.dtype != "float64":
            continue  # a cast to float32 is a staircase for differences
        check_curvature(one, rng)


@pytest.mark.parametrize("op", [prod, cumprod], ids=lambda op: op.name)
def test_of_products_where_factors_are_zero(op: Op, rng: np.random.Generator) -> None:
    attrs = {"axes": (1,)} if op is prod else {"axis": 1}
    rows = np.array(list(itertools.product([0.0, 1.0], repeat=4))) * [1.5, -0.5, 2.0, 0.75]
    check_curvature(sample(op, [rows], attrs), rng)
