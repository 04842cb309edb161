"""The gradient of every op: against differences of its numpy meaning, and natively."""

from __future__ import annotations

import numpy as np
import pytest

from exprd_compiler.grad import grad
from exprd_compiler.interpret import evaluate, evaluate_nodes
from exprd_compiler.ir.dtype import FLOATS, WIDE_FLOATS, is_float
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import NO_GRAD, NO_PATH, ZERO_GRAD, Node, Op, Undefined
from exprd_compiler.ops.arithmetic import cast, mul
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.reduce import sum_
from tests.ops.conftest import native
from tests.ops.samples import TESTED, Sample, assert_close, samples

DIFFERENTIABLE = [
    op
    for op in TESTED
    if op.grad not in (NO_GRAD, ZERO_GRAD, NO_PATH) and any(dtype in FLOATS for dtype in op.dtypes)
]
TRIED = ("float16", *WIDE_FLOATS)  # bfloat16 differs in nothing but its rounding
# By the dtype of the result, which is a staircase for differences: how far to step, how exact.
STEPS = {"float64": (1e-5, 1e-7), "float32": (1e-1, 1e-5), "float16": (4.0, 1e-2)}


def cost_of(one: Sample, rng: np.random.Generator) -> Node:
    """A scalar in which every element of the value has a weight of its own."""
    y = one.node if one.signs is None else mul(one.node, one.node)
    weights = const(rng.uniform(0.5, 1.5, one.expected.shape), "float64")
    return sum_(mul(cast(y, dtype="float64"), weights), axes=tuple(range(y.ndim)))


def float_inputs(one: Sample) -> list[Node]:
    """The inputs by which the op can be differentiated."""
    node, rule = one.node, one.node.op.grad
    parts = rule(node, node, *node.inputs, **node.attributes) if callable(rule) else node.inputs
    pairs = zip(node.inputs, parts, strict=True)
    return [x for x, part in pairs if is_float(x.dtype) and not isinstance(part, Undefined)]


def differentiable(
    op: Op, dtype: str, rng: np.random.Generator, *, known: bool = False
) -> list[Sample]:
    found = samples(op, dtype, rng, known=known)
    return [one for one in found if is_float(one.node.dtype)]


@pytest.mark.parametrize("op", DIFFERENTIABLE, ids=lambda op: op.name)
def test_against_central_differences(op: Op, rng: np.random.Generator) -> None:
    for one in differentiable(op, "float64", rng):
        if one.node.dtype not in STEPS:
            continue  # what differs from float16 in nothing but its rounding
        distance, accuracy = STEPS[one.node.dtype]
        cost, inputs = cost_of(one, rng), float_inputs(one)
        given = dict(zip(one.node.inputs, one.arrays, strict=True))
        slopes = evaluate_nodes(grad(cost, inputs, disconnected="ignore"), given)
        for x, slope in zip(inputs, slopes, strict=True):
            if not slope.size:
                continue
            way = rng.choice([-1.0, 1.0], slope.shape)
            ahead, behind = (
                evaluate_nodes([cost], {**given, x: given[x] + step * way})[0]
                for step in (distance, -distance)
            )
            scale = 1 + float(np.abs(slope).sum()) + abs(float(ahead))
            want = (ahead - behind) / (2 * distance)
            assert abs(float((slope * way).sum() - want)) <= accuracy * scale, one.node.attrs


@pytest.mark.parametrize("op", DIFFERENTIABLE, ids=lambda op: op.name)
@pytest.mark.parametrize("known", [False, True], ids=["unknown", "known"])
def test_a_gradient_has_the_type_of_its_value(
    op: Op, known: bool, rng: np.random.Generator
) -> None:
    for dtype in set(TRIED) & set(op.dtypes):
        for one in differentiable(op, dtype, rng, known=known):
            inputs = float_inputs(one)
            for x, slope in zip(
                inputs, grad(cost_of(one, rng), inputs, disconnected="ignore"), strict=True
            ):
                assert slope.dtype == x.dtype
                assert slope.type.broadcastable == x.type.broadcastable


@pytest.mark.parametrize(
    ("op", "dtype"),
    [
        pytest.param(op, dtype, id=f"{op.name}-{dtype}")
        for op in DIFFERENTIABLE
        for dtype in TRIED
        if dtype in op.dtypes
    ],
)
def test_native_gradients(op: Op, dtype: str, rng: np.random.Generator) -> None:
    inputs: list[Node] = []
    outputs: list[Node] = []
    arrays: list[np.ndarray] = []
    for one in differentiable(op, dtype, rng):
        inputs.extend(one.node.inputs)
        arrays.extend(one.arrays)
        outputs.extend(grad(cost_of(one, rng), float_inputs(one), disconnected="ignore"))
    graph = Graph(tuple(inputs), tuple(outputs))
    wanted, _ = evaluate(graph, arrays)
    # the slopes of squares of unit vectors are small differences
    tolerance = 4 if all(example.signs is None for example in op.examples) else 64
    for got, want in zip(native(graph, arrays), wanted, strict=True):
        assert_close(got, want, tolerance=tolerance)
