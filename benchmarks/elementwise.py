"""Fused elementwise code and row softmax, against numpy doing the same in several passes.

Both sides return fresh arrays. Sizes: in the first cache, in the second, and beyond all caches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Measurement, measure
from exprd_compiler.driver import compile_graph
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, mul, neg
from exprd_compiler.ops.leaves import input_
from exprd_compiler.ops.nnet import softmax
from exprd_compiler.ops.transcendental import exp, log, sigmoid
from exprd_compiler.options import CompileOptions

Floats = NDArray[np.floating]

SIZES = (1_000, 100_000, 10_000_000)
MATRICES = ((64, 64), (1024, 1024))
SECONDS = 0.35


def _leaf(dtype: str, rank: int) -> Node:
    return input_(type=TensorType(dtype, (None,) * rank))


def _expressions(x: Node, y: Node) -> dict[str, tuple[Node, Callable[[Floats, Floats], Floats]]]:
    """By name: the expression, and what one writes in numpy for it."""
    return {
        "x + y": (add(x, y), lambda a, b: a + b),
        "exp(x)": (exp(x), lambda a, _: np.exp(a)),
        "log(y)": (log(y), lambda _, b: np.log(b)),
        "sigmoid(x)": (sigmoid(x), lambda a, _: 1 / (1 + np.exp(-a))),
        "x exp(-y) + y log(y)": (
            add(mul(x, exp(neg(y))), mul(y, log(y))),
            lambda a, b: a * np.exp(-b) + b * np.log(b),
        ),
    }


def _numpy_softmax(x: Floats) -> Floats:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def _both(
    name: str, ours: Callable[[], object], numpys: Callable[[], object]
) -> Iterator[Measurement]:
    yield measure(f"{name}, exprd", ours, seconds=SECONDS)
    yield measure(f"{name}, numpy", numpys, seconds=SECONDS)


def _elementwise(dtype: str) -> Iterator[Measurement]:
    x, y = _leaf(dtype, 1), _leaf(dtype, 1)
    rng = np.random.default_rng(0)
    for name, (node, numpys) in _expressions(x, y).items():
        function = compile_graph(Graph((x, y), (node,)), CompileOptions()).executable
        for size in SIZES:
            a = rng.normal(size=size).astype(dtype)
            b = rng.uniform(0.1, 2.0, size).astype(dtype)
            yield from _both(
                f"{name}, {dtype}[{size}]",
                lambda f=function, a=a, b=b: f([a, b]),
                lambda f=numpys, a=a, b=b: f(a, b),
            )


def _softmax(dtype: str) -> Iterator[Measurement]:
    x = _leaf(dtype, 2)
    function = compile_graph(Graph((x,), (softmax(x, axis=1),)), CompileOptions()).executable
    rng = np.random.default_rng(0)
    for rows, columns in MATRICES:
        a = rng.normal(size=(rows, columns)).astype(dtype)
        yield from _both(
            f"softmax of rows, {dtype}[{rows}, {columns}]",
            lambda a=a: function([a]),
            lambda a=a: _numpy_softmax(a),
        )


def run() -> list[Measurement]:
    """Every figure of this subject."""
    found: list[Measurement] = []
    for dtype in ("float32", "float64"):
        found += [*_elementwise(dtype), *_softmax(dtype)]
    return found
