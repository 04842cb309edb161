"""Products of stacked matrices and of tensors, against numpy with the same BLAS settings.

Both sides use one thread. Shapes: a few hundred matrices of 64, very many of 4, and contractions of
several axes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Measurement, measure
from exprd_compiler.driver import compile_graph
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.einsum import einsum
from exprd_compiler.ops.leaves import input_
from exprd_compiler.ops.products import matmul, tensordot
from exprd_compiler.options import CompileOptions

Array = NDArray[Any]
Shape = tuple[int, ...]

SECONDS = 0.7

# By name: shapes, the expression, and what one writes in numpy for it.
_CASES: dict[str, tuple[Sequence[Shape], Callable[..., Node], Callable[..., Array]]] = {
    "500 products of 64 x 64": (((500, 64, 64), (500, 64, 64)), matmul, np.matmul),
    "10000 products of 4 x 4": (((10_000, 4, 4), (10_000, 4, 4)), matmul, np.matmul),
    "10000 products of 16 x 16": (((10_000, 16, 16), (10_000, 16, 16)), matmul, np.matmul),
    "20 products of 300 x 300": (((20, 300, 300), (20, 300, 300)), matmul, np.matmul),
    "stacked rows by one matrix": (((500, 64, 64), (64, 64)), matmul, np.matmul),
    "einsum bij,bjk->bik": (
        ((500, 64, 64), (500, 64, 64)),
        lambda a, b: einsum(a, b, operands=((0, 1, 2), (0, 2, 3)), result=(0, 1, 3)),
        lambda a, b: np.einsum("bij,bjk->bik", a, b, optimize=True),
    ),
    "einsum bij,bkj->bik": (
        ((500, 64, 64), (500, 64, 64)),
        lambda a, b: einsum(a, b, operands=((0, 1, 2), (0, 3, 2)), result=(0, 1, 3)),
        lambda a, b: np.einsum("bij,bkj->bik", a, b, optimize=True),
    ),
    "einsum ij,jk,kl->il": (
        ((40, 2000), (2000, 50), (50, 600)),
        lambda a, b, c: einsum(a, b, c, operands=((0, 1), (1, 2), (2, 3)), result=(0, 3)),
        lambda a, b, c: np.einsum("ij,jk,kl->il", a, b, c, optimize=True),
    ),
    "tensordot of two axes": (
        ((100, 40, 50), (40, 50, 120)),
        lambda a, b: tensordot(a, b, left=(1, 2), right=(0, 1)),
        lambda a, b: np.tensordot(a, b, ((1, 2), (0, 1))),
    ),
    "tensordot of the first axes": (
        ((40, 50, 100), (40, 50, 120)),
        lambda a, b: tensordot(a, b, left=(0, 1), right=(0, 1)),
        lambda a, b: np.tensordot(a, b, ((0, 1), (0, 1))),
    ),
}


def _case(name: str, dtype: str) -> Iterator[Measurement]:
    shapes, build, numpys = _CASES[name]
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    leaves = tuple(input_(type=TensorType(dtype, (None,) * len(shape))) for shape in shapes)
    function = compile_graph(Graph(leaves, (build(*leaves),)), CompileOptions()).executable
    yield measure(f"{name}, {dtype}: exprd", lambda: function(arrays), seconds=SECONDS)
    yield measure(f"{name}, {dtype}: numpy", lambda: numpys(*arrays), seconds=SECONDS)


def run() -> list[Measurement]:
    """Every figure of this subject."""
    return [m for dtype in ("float32", "float64") for name in _CASES for m in _case(name, dtype)]
