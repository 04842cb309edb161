"""Rows fetched ahead: where code asks for them, and that what is computed does not change."""

from __future__ import annotations

import numpy as np
import pytest

from exprd_compiler.driver import llvm_ir
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.arithmetic import mul
from exprd_compiler.ops.index import gather, scatter, subtensor
from exprd_compiler.ops.leaves import const
from exprd_compiler.options import CompileOptions
from tests.compiler.native import leaf, native, numpys

PREFETCH = "call void @llvm.prefetch"


def code(*inputs: Node, output: Node) -> str:
    return llvm_ir(Graph(inputs, (output,)), CompileOptions())


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_rows_that_an_index_chooses_are_fetched_ahead(dtype: str) -> None:
    x, y, index = leaf(2, "float32"), leaf(2, "float32"), leaf(1, dtype)
    assert PREFETCH in code(x, index, output=gather(x, index))
    assert PREFETCH in code(x, y, index, output=scatter(x, y, index, mode="inc"))


def test_what_lies_in_order_and_what_has_no_rows_is_not() -> None:
    x, v, index = leaf(2), leaf(1), leaf(1, "int64")
    assert PREFETCH not in code(v, index, output=gather(v, index))
    assert PREFETCH not in code(x, output=subtensor(x, index=(("slice", 2, 9, None),)))
    assert PREFETCH not in code(x, index, output=gather(x, index, index))


@pytest.mark.parametrize("columns", [1, 31, 64, 1100])
@pytest.mark.parametrize("count", [0, 1, 3, 90])
def test_rows_of_any_width_are_what_the_graph_means(
    columns: int, count: int, rng: np.random.Generator
) -> None:
    """Also the last ones, behind which there are none to be fetched, and negative indexes."""
    x, y, index = leaf(2, "float32"), leaf(2, "float32"), leaf(1, "int32")
    outputs = [gather(x, index), scatter(x, mul(y, const(2.0, "float32")), index, mode="inc")]
    table, rows = (rng.normal(size=(n, columns)).astype("float32") for n in (50, count))
    values = [table, rows, rng.integers(-50, 50, count, dtype="int32")]
    wanted = numpys([x, y, index], outputs, values)
    for got, want in zip(native([x, y, index], *outputs)(values), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5)
