"""Random graphs: whatever is built, every level computes what the graph as built computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest

from exprd_compiler.errors import ExprdError
from exprd_compiler.grad import grad
from exprd_compiler.interpret import evaluate
from exprd_compiler.ir.dtype import is_float
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Array, Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops import index, linalg, movement, nnet, reduce
from exprd_compiler.ops.arithmetic import add, cast, mul, neg, second, sub, true_div
from exprd_compiler.ops.creation import alloc, make_vector
from exprd_compiler.ops.leaves import const, input_
from exprd_compiler.ops.table import OPS
from exprd_compiler.ops.transcendental import exp, log, pow_, sigmoid
from exprd_compiler.passes.levels import optimize
from exprd_compiler.passes.verify import verify_types

Random = np.random.Generator
EXTENTS: Final = {"n": 3, "m": 4, "one": 1}
LEAVES: Final = (
    ("float64", ("n", "m")),
    ("float64", ("n", "m")),
    ("float64", ("m",)),
    ("float64", ("n", "one")),
    ("float64", ()),
    ("int32", ("n", "m")),
    ("int64", ("m",)),
    ("bool", ("n", "m")),
)
UNARY: Final = ("neg", "exp", "log", "log1p", "sqr", "sqrt", "sigmoid", "softplus", "tanh", "abs")
BINARY: Final = ("add", "sub", "mul", "true_div", "maximum", "minimum", "lt", "ge", "pow", "second")


def pick(rng: Random, items: Any) -> Any:
    return items[int(rng.integers(len(items)))]


def any_of(rng: Random, nodes: list[Node]) -> Node:
    """A node, more often than not a young one: so chains grow."""
    young = nodes[-6:] if rng.integers(3) else nodes
    node: Node = pick(rng, young)
    return node


def _unary(rng: Random, nodes: list[Node]) -> Node:
    return OPS[pick(rng, UNARY)](any_of(rng, nodes))


def _binary(rng: Random, nodes: list[Node]) -> Node:
    return OPS[pick(rng, BINARY)](any_of(rng, nodes), any_of(rng, nodes))


def _with_constant(rng: Random, nodes: list[Node]) -> Node:
    x, c = any_of(rng, nodes), const(pick(rng, (0, 1, -1, 2, 0.5)), pick(rng, ("int8", "float64")))
    pair = (x, c) if rng.integers(2) else (c, x)
    return OPS[pick(rng, BINARY)](*pair)


def _switch(rng: Random, nodes: list[Node]) -> Node:
    return OPS["switch"](any_of(rng, nodes), any_of(rng, nodes), any_of(rng, nodes))


def _reduce(rng: Random, nodes: list[Node]) -> Node:
    x = any_of(rng, nodes)
    axes = tuple(axis for axis in range(x.ndim) if rng.integers(2))
    folded = pick(rng, (reduce.sum_, reduce.max_, reduce.mean))(x, axes=axes)
    return reduce.expand_axes(folded, axes) if rng.integers(2) else folded


def _shuffle(rng: Random, nodes: list[Node]) -> Node:
    x = any_of(rng, nodes)
    order = [axis for axis in rng.permutation(x.ndim).tolist() if x.type.shape[axis] != 1]
    for _ in range(int(rng.integers(3 - len(order)) if len(order) < 3 else 0)):
        order.insert(int(rng.integers(len(order) + 1)), movement.NEW_AXIS)
    return movement.dimshuffle(x, order=tuple(order))


def _alloc(rng: Random, nodes: list[Node]) -> Node:
    like, value = any_of(rng, nodes), any_of(rng, nodes)
    dims = [movement.shape_i(like, axis=axis) for axis in range(like.ndim)]
    return alloc(value, *dims, shape=(None,) * like.ndim)


def _view(rng: Random, nodes: list[Node]) -> Node:
    x = any_of(rng, nodes)
    start = const(int(rng.integers(-3, 3)), "int64")
    entry = pick(rng, (("at", 0), ("at", -1), ("slice", index.NEXT, None, None)))
    bounds = (start,) if index.NEXT in entry else ()
    return index.subtensor(x, *bounds, index=(entry,))


def _reshape(rng: Random, nodes: list[Node]) -> Node:
    x = any_of(rng, nodes)
    dims = [movement.shape_i(x, axis=axis) for axis in range(x.ndim)]
    spec = pick(rng, ((-1,), (None,) * x.ndim, (1, -1)))
    return movement.reshape(x, *dims[: spec.count(None)], shape=spec)


def _softmax(rng: Random, nodes: list[Node]) -> Node:
    x = any_of(rng, nodes)
    op = pick(rng, (nnet.softmax, nnet.log_softmax))
    return op(x, axis=int(rng.integers(max(1, x.ndim))))


def _dot(rng: Random, nodes: list[Node]) -> Node:
    a, b = any_of(rng, nodes), any_of(rng, nodes)
    return linalg.dot(a, linalg.transpose(b) if b.ndim == 2 and rng.integers(2) else b)


def _extents(rng: Random, nodes: list[Node]) -> Node:
    x = any_of(rng, nodes)
    vector = make_vector(*[movement.shape_i(x, axis=axis) for axis in range(x.ndim)])
    return index.subtensor(vector, index=(("at", -1),))


def _cast(rng: Random, nodes: list[Node]) -> Node:
    return cast(any_of(rng, nodes), dtype=pick(rng, ("float64", "bool")))


def _gradient(rng: Random, nodes: list[Node]) -> Node:
    cost, wrt = any_of(rng, nodes), any_of(rng, nodes)
    total = reduce.sum_(cast(cost, dtype="float64"), axes=tuple(range(cost.ndim)))
    (found,) = grad(total, [wrt], disconnected="ignore")
    return second(wrt, found)


ONE: Final = const(1.0)
FORMULAS: Final[tuple[Callable[[Node, Node], Node], ...]] = (
    lambda x, _: log(add(ONE, exp(x))),
    lambda x, y: true_div(y, add(ONE, exp(neg(x)))),
    lambda x, _: true_div(exp(x), add(exp(x), ONE)),
    lambda x, y: mul(y, sub(ONE, sigmoid(x))),
    lambda x, y: log(sub(ONE, true_div(ONE, add(ONE, exp(sub(x, y)))))),
    lambda x, y: sub(mul(neg(y), log(sigmoid(x))), mul(sub(ONE, y), log(sub(ONE, sigmoid(x))))),
    lambda x, y: mul(y, mul(sigmoid(neg(x)), exp(x))),
    lambda x, _: true_div(exp(x), reduce.expand_axes(reduce.sum_(exp(x), axes=(1,)), (1,))),
    lambda x, y: log(mul(sigmoid(x), sigmoid(y))),
    lambda x, y: true_div(mul(x, sigmoid(y)), sigmoid(y)),
    lambda x, y: add(linalg.dot(x, linalg.transpose(x)), mul(const(0.5), linalg.dot(x, y))),
    lambda x, y: sub(y, mul(const(0.5), linalg.dot(linalg.transpose(x), x))),
    lambda x, y: mul(const(-2.0), linalg.transpose(linalg.dot(x, y))),
    lambda x, y: mul(x, pow_(sigmoid(y), const(-2, "int8"))),
)


def _formula(rng: Random, nodes: list[Node]) -> Node:
    node: Node = pick(rng, FORMULAS)(any_of(rng, nodes), any_of(rng, nodes))
    return node


GROW: Final[tuple[Callable[[Random, list[Node]], Node], ...]] = (
    *(_unary, _unary, _unary, _binary, _binary, _binary, _binary),
    *(_with_constant, _with_constant, _with_constant, _with_constant, _switch),
    *(_reduce, _reduce, _shuffle, _shuffle, _alloc, _view, _reshape, _softmax, _dot, _extents),
    *(_cast, _gradient, _gradient, _gradient),
    *(_formula, _formula, _formula, _formula),
)


def random_graph(rng: Random, size: int) -> tuple[Graph, list[Array]]:
    """A graph of some nodes over the leaves, of which those come to values that can be compared."""
    shapes = [tuple(EXTENTS[name] for name in names) for _, names in LEAVES]
    leaves = [
        input_(type=TensorType(dtype, tuple(1 if name == "one" else None for name in names)))
        for dtype, names in LEAVES
    ]
    values = [
        rng.uniform(0.1, 2, shape) if is_float(dtype) else rng.integers(0, 2, shape).astype(dtype)
        for (dtype, _), shape in zip(LEAVES, shapes, strict=True)
    ]
    nodes = list(leaves)
    while len(nodes) < len(leaves) + size:
        try:
            node = pick(rng, GROW)(rng, nodes)
            ((value,), _) = evaluate(Graph(tuple(leaves), (node,)), values)
        except ExprdError:
            continue
        if np.all(np.isfinite(value)) and np.all(np.abs(value) < 1e4):
            nodes.append(node)
    return Graph(tuple(leaves), tuple(nodes[len(leaves) :])), values


@pytest.mark.parametrize("seed", range(60))
def test_every_level_keeps_the_values(seed: int) -> None:
    graph, values = random_graph(np.random.default_rng(seed), 25)
    want, _ = evaluate(graph, values)
    for level in ("none", "fast_compile", "fast_run"):
        got, _ = evaluate(optimize(graph, level=level, observers=(verify_types,)), values)
        for node, a, b in zip(graph.outputs, got, want, strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape), node
            np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9, err_msg=repr(node))
