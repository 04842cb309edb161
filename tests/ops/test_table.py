"""Every op of the table against its own numpy meaning, on the examples that it declares."""

from __future__ import annotations

import numpy as np
import pytest

from exprd_compiler.interpret import evaluate_nodes
from exprd_compiler.ir.lowering import Scalar
from exprd_compiler.ir.node import Op
from exprd_compiler.ir.text import parse_graph, print_graph
from exprd_compiler.ir.verify import verify
from exprd_compiler.ops.table import find_op
from tests.ops.conftest import RunGraph
from tests.ops.samples import TESTED, assert_close, joined, samples, turned

CASES = [pytest.param(op, dtype, id=f"{op.name}-{dtype}") for op in TESTED for dtype in op.dtypes]
# Of elementwise ops, test_special_values tries every dtype; here it is shapes that matter. Of the
# others, complex64 takes the code of complex128, and test_complex tries it.
SOME = ("bool", "int8", "int64", "float32", "float64", "complex64")
SHAPED = [
    pytest.param(op, dtype, id=f"{op.name}-{dtype}")
    for op in TESTED
    for dtype in op.dtypes
    if (dtype in SOME if isinstance(op.lowering, Scalar) else dtype != "complex64")
]
# Known extents choose other code, but no other arithmetic: fewer dtypes will do.
KNOWN = [case for case in SHAPED if case.values[1] in ("bool", "int8", "float32")]


@pytest.mark.parametrize(("op", "dtype"), SHAPED)
def test_unknown_extents(op: Op, dtype: str, run_graph: RunGraph, rng: np.random.Generator) -> None:
    found = samples(op, dtype, rng, known=False)
    for got, one in zip(run_graph(*joined(found)), found, strict=True):
        want = one.expected
        assert_close(turned(got, want, one.signs), want)


@pytest.mark.parametrize(("op", "dtype"), KNOWN)
def test_known_extents(op: Op, dtype: str, run_graph: RunGraph, rng: np.random.Generator) -> None:
    found = samples(op, dtype, rng, known=True)
    for got, one in zip(run_graph(*joined(found)), found, strict=True):
        want = one.expected
        assert_close(turned(got, want, one.signs), want)


@pytest.mark.parametrize(("op", "dtype"), CASES)
def test_the_type_rule_tells_what_the_meaning_gives(
    op: Op, dtype: str, rng: np.random.Generator
) -> None:
    for known in (False, True):
        for one in samples(op, dtype, rng, known=known):
            value, given = one.expected, one.node.type
            assert value.dtype == given.dtype
            assert value.ndim == given.ndim
            pairs = zip(given.shape, value.shape, strict=True)
            assert all(static in (None, extent) for static, extent in pairs)


@pytest.mark.parametrize("op", TESTED, ids=lambda op: op.name)
def test_text_round_trip(op: Op, rng: np.random.Generator) -> None:
    for known in (False, True):
        graph, arrays = joined(samples(op, op.dtypes[-1], rng, known=known))
        text = print_graph(graph)
        parsed = parse_graph(text, find_op)
        verify(parsed)
        assert print_graph(parsed) == text
        assert [node.attrs for node in parsed.outputs] == [node.attrs for node in graph.outputs]
        again = evaluate_nodes(parsed.outputs, dict(zip(parsed.inputs, arrays, strict=True)))
        for one, other in zip(
            again,
            evaluate_nodes(graph.outputs, dict(zip(graph.inputs, arrays, strict=True))),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)
