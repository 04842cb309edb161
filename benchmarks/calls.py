"""What a call costs that computes next to nothing, and what compiling costs, layer by layer.

The executable is native code behind its argument checks; the function is what a user calls.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import exprd
import exprd.tensor as T
from benchmarks.harness import Measurement, from_samples, measure
from exprd_compiler.driver import compile_artifact, compile_graph
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add
from exprd_compiler.ops.leaves import input_
from exprd_compiler.ops.linalg import dot
from exprd_compiler.ops.nnet import softmax
from exprd_compiler.ops.transcendental import tanh
from exprd_compiler.options import CompileOptions

COMPILATIONS = 9


def _leaf(rank: int) -> Node:
    return input_(type=TensorType("float64", (None,) * rank))


def calls() -> Iterator[Measurement]:
    """Two vectors of 8 elements in, their sum out."""
    x, y = _leaf(1), _leaf(1)
    executable = compile_graph(Graph((x, y), (add(x, y),)), CompileOptions()).executable
    a, b = T.dvectors("a", "b")
    function = exprd.function([a, b], a + b)
    value = np.arange(8.0)
    yield measure("x + y of 8 elements: numpy", lambda: value + value)
    yield measure("x + y of 8 elements: executable", lambda: executable([value, value]))
    yield measure("x + y of 8 elements: function, embedded", lambda: function(value, value))


def _network() -> Graph:
    x, w1, b1, w2, b2 = _leaf(2), _leaf(2), _leaf(1), _leaf(2), _leaf(1)
    hidden = tanh(add(dot(x, w1), b1))
    return Graph((x, w1, b1, w2, b2), (softmax(add(dot(hidden, w2), b2), axis=1),))


def compilation() -> Iterator[Measurement]:
    """The stages of compiling a two-layer network's prediction, and all of it from the cache."""
    laps = [
        compile_graph(_network(), CompileOptions()).artifact.timings for _ in range(COMPILATIONS)
    ]
    for stage in laps[0]:
        yield from_samples(f"two layers: {stage}", [lap[stage] for lap in laps])
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "objects"
        compile_artifact(_network(), CompileOptions(), cache)
        yield measure(
            "two layers: compile, object cached",
            lambda: compile_artifact(_network(), CompileOptions(), cache),
        )


def run() -> list[Measurement]:
    """Every figure of this subject."""
    return [*calls(), *compilation()]
