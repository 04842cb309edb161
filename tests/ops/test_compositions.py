"""Folds, scans, joins and creation in random compositions: native code against the interpreter.

Alone every op is tested from the table; what is tried here is how they share kernels and views.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from exprd_compiler.driver import compile_graph
from exprd_compiler.grad import grad
from exprd_compiler.interpret import evaluate
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.arithmetic import add, cast, mul, neg, sub, true_div
from exprd_compiler.ops.diagonals import diag, diagonal, tril
from exprd_compiler.ops.joining import join, roll, stack
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import gt
from exprd_compiler.ops.movement import ANY, dimshuffle, specify_shape
from exprd_compiler.ops.reduce import any_, argmin, expand_axes, mean, min_, prod, sum_
from exprd_compiler.ops.repetition import extend, pad, repeat, tile
from exprd_compiler.ops.scans import cumprod, cumsum, flip
from exprd_compiler.ops.statistics import logsumexp, norm, ptp, std
from exprd_compiler.ops.transcendental import tanh
from exprd_compiler.options import CompileOptions
from tests.ops.samples import assert_close, leaf

LEVELS = ("none", "fast_compile", "fast_run")
MODES = ("edge", "reflect", "symmetric", "wrap")
LARGEST_RANK = 3

Rng = np.random.Generator
Build = Callable[[Rng, Node, int], Node]


def some(rng: Rng, least: int, most: int, count: int) -> tuple[int, ...]:
    return tuple(int(n) for n in rng.integers(least, most, count, endpoint=True))


def standardized(x: Node, axis: int) -> Node:
    off = sub(x, expand_axes(mean(x, axes=(axis,)), (axis,)))
    spread = expand_axes(std(x, axes=(axis,), ddof=0), (axis,))
    return true_div(off, add(spread, const(1.0)))


# Of a value of rank 1 or more, along one of its axes.
STEPS: tuple[Build, ...] = (
    lambda _, x, axis: join(x, neg(x), axis=axis),
    lambda _, x, axis: stack(x, tanh(x), axis=axis),
    lambda rng, x, axis: roll(x, shift=some(rng, -3, 3, 1)[0], axis=axis),
    lambda _, x, axis: cumsum(x, axis=axis),
    lambda _, x, axis: cumprod(tanh(x), axis=axis),
    lambda rng, x, axis: repeat(x, repeats=some(rng, 1, 3, 1)[0], axis=axis),
    lambda rng, x, _: tile(x, reps=some(rng, 1, 2, x.ndim)),
    lambda rng, x, _: pad(x, const(0.5), widths=some(rng, 0, 2, 2 * x.ndim)),
    lambda rng, x, _: extend(
        x, widths=some(rng, 0, 2, 2 * x.ndim), mode=MODES[rng.integers(len(MODES))]
    ),
    lambda _, x, axis: standardized(x, axis),
    lambda _, x, axis: expand_axes(logsumexp(x, axes=(axis,)), (axis,)),
    lambda _, x, axis: norm(x, axes=(axis,), order=2.0),
    lambda _, x, axis: prod(tanh(x), axes=(axis,)),
    lambda _, x, axis: min_(x, axes=(axis,)),
    lambda _, x, axis: ptp(x, axes=(axis,)),
    lambda _, x, axis: cast(argmin(x, axes=(axis,)), dtype="float64"),
    lambda _, x, axis: cast(any_(gt(x, const(0.7)), axes=(axis,)), dtype="float64"),
    lambda rng, x, _: dimshuffle(x, order=tuple(int(i) for i in rng.permutation(x.ndim))),
    lambda _, x, axis: flip(x, (axis,)),
    lambda _, x, __: specify_shape(x, shape=(ANY,) * x.ndim),
    lambda _, x, __: mul(x, tanh(x)),
    lambda _, x, __: tril(x, offset=1) if x.ndim > 1 else diag(x, offset=1),
    lambda _, x, __: diagonal(x, offset=0, axis1=0, axis2=1) if x.ndim > 1 else x,
)


def composed(rng: Rng) -> tuple[Graph, np.ndarray]:
    """A graph of a few steps, sometimes with a gradient, and a value for its input."""
    array = rng.normal(size=rng.choice([1, 2, 3, 17, 37], rng.integers(1, 3)))
    x = leaf(array, known=rng.random() < 0.3)
    pool = [x]
    for _ in range(rng.integers(2, 8)):
        source = pool[rng.integers(len(pool))]
        if source.ndim:
            axis = int(rng.integers(source.ndim))
            made = STEPS[rng.integers(len(STEPS))](rng, source, axis)
            pool += [made] if made.ndim <= LARGEST_RANK else []
    last = tanh(pool[-1])
    cost = sum_(last, axes=tuple(range(last.ndim)))
    outputs = (*pool[-3:], *(grad(cost, [x], disconnected="ignore") if rng.random() < 0.4 else ()))
    return Graph((x,), outputs), array


@pytest.mark.parametrize("seed", range(60))
def test_native_code_means_what_numpy_means(seed: int) -> None:
    graph, array = composed(np.random.default_rng(seed))
    wanted, _ = evaluate(graph, [array])
    options = CompileOptions(level=LEVELS[seed % len(LEVELS)])
    for got, want in zip(compile_graph(graph, options).executable([array]), wanted, strict=True):
        # differences of nearly equal numbers are divided by small ones, here and there
        assert_close(got, want, tolerance=1e4)
