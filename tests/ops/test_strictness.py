"""What the numpy meanings refuse, native code refuses, and the other way round.

Each op is compiled once for unknown extents and called with its examples, one extent at a time made
1, where numpy would broadcast and nothing here does, or one longer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pytest

from exprd_compiler.driver import Function, compile_graph
from exprd_compiler.errors import ExprdError, GraphError
from exprd_compiler.interpret import evaluate
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Array, Node, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.leaves import input_
from exprd_compiler.options import CompileOptions
from tests.ops.samples import TESTED, assert_close, samples

MOST_EXAMPLES: Final = 12
PREFERRED: Final = ("float64", "int64")
SEVERAL = [op for op in TESTED if any(len(example.shapes) > 1 for example in op.examples)]


def unknown(node: Node) -> Node:
    """A leaf of the same dtype and rank of which no extent is known, but for those that are 1."""
    shape = tuple(1 if extent == 1 else None for extent in node.type.shape)
    return input_(type=TensorType(node.dtype, shape))


def resized(array: Array, axis: int, extent: int) -> Array:
    """The array with another extent on one axis, elements repeated where there are too few."""
    return np.asarray(np.take(array, np.arange(extent) % array.shape[axis], axis=axis))


def changed(arrays: Sequence[Array]) -> Iterator[tuple[str, list[Array]]]:
    """The arrays with one extent changed."""
    for place, array in enumerate(arrays):
        for axis, extent in enumerate(array.shape):
            for other in {1, extent + 1} if extent > 1 else set[int]():
                new = resized(array, axis, other)
                yield (
                    f"axis {axis} of operand {place}: {extent} to {other}",
                    [new if i == place else old for i, old in enumerate(arrays)],
                )


def interpreted(graph: Graph, arrays: Sequence[Array]) -> Array | ExprdError:
    """What numpy says, be it an error."""
    try:
        return evaluate(graph, arrays)[0][0]
    except ExprdError as error:
        return error


def native(executable: Function, arrays: Sequence[Array]) -> Array | ExprdError:
    """What native code says, be it an error."""
    try:
        return executable(arrays)[0]
    except ExprdError as error:
        return error


@pytest.mark.parametrize("op", SEVERAL, ids=lambda op: op.name)
def test_extents_that_do_not_fit_are_refused_alike(op: Op, rng: np.random.Generator) -> None:
    dtype = next((name for name in PREFERRED if name in op.dtypes), op.dtypes[-1])
    for one in samples(op, dtype, rng, known=False)[:MOST_EXAMPLES]:
        leaves = [unknown(x) for x in one.node.inputs]
        try:
            node = op(*leaves, **one.node.attributes)
        except GraphError:  # an extent has to be known
            continue
        graph = Graph(tuple(leaves), (node,))
        executable = compile_graph(graph, CompileOptions(level="none")).executable
        for what, arrays in changed(one.arrays):
            note = f"{one.node.attributes}, {what}"
            want, got = interpreted(graph, arrays), native(executable, arrays)
            if isinstance(want, ExprdError) or isinstance(got, ExprdError):
                assert type(got) is type(want), f"{note}: {got!r}, numpy says {want!r}"
            else:
                assert_close(got, want, tolerance=100, note=note)
