"""Sorting, selection, sets and masks against numpy.

numpy's own default sort is not stable and uses vector instructions; ours is stable, so numpy's
stable sort stands beside it too.
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
from exprd_compiler.ops.leaves import const, input_
from exprd_compiler.ops.masks import flatnonzero
from exprd_compiler.ops.median import median
from exprd_compiler.ops.sets import counted, distinct_values, searchsorted
from exprd_compiler.ops.sorting import argsort, sort, top
from exprd_compiler.options import CompileOptions

Array = NDArray[Any]
Numpys = dict[str, Callable[..., Array]]

SECONDS = 0.35
SORTED: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("float64", (1_000_000,)),
    ("int32", (1_000_000,)),
    ("float64", (100_000, 10)),
    ("float64", (10_000, 100)),
    ("float64", (100,)),
)


def _draw(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> Array:
    if dtype == "float64":
        return rng.normal(size=shape)
    return rng.integers(-(2**31), 2**31, shape, dtype=dtype)


def _measured(
    name: str, build: Callable[..., Node], arrays: Sequence[Array], numpys: Numpys
) -> Iterator[Measurement]:
    leaves = [input_(type=TensorType(a.dtype.name, (None,) * a.ndim)) for a in arrays]
    graph = Graph(tuple(leaves), (build(*leaves),))
    function = compile_graph(graph, CompileOptions()).executable
    given = list(arrays)
    yield measure(f"{name}, exprd", lambda: function(given), seconds=SECONDS)
    for who, call in numpys.items():
        yield measure(f"{name}, {who}", lambda call=call: call(*given), seconds=SECONDS)


def _orders(rng: np.random.Generator) -> Iterator[Measurement]:
    for dtype, shape in SORTED:
        x = _draw(rng, dtype, shape)
        what = f"{dtype}{list(shape)}"
        yield from _measured(
            f"sort, {what}",
            lambda x: sort(x, descending=False),
            [x],
            {"numpy stable": lambda a: np.sort(a, kind="stable"), "numpy": np.sort},
        )
        yield from _measured(
            f"argsort, {what}",
            lambda x: argsort(x, descending=False),
            [x],
            {"numpy stable": lambda a: np.argsort(a, kind="stable"), "numpy": np.argsort},
        )


def _selections(rng: np.random.Generator) -> Iterator[Measurement]:
    x = rng.normal(size=1_000_000)
    for count in (10, 1000):
        yield from _measured(
            f"largest {count}, float64[1000000]",
            lambda x, count=count: top(x, count=count, descending=True),
            [x],
            {"numpy": lambda a, n=count: np.sort(np.partition(a, len(a) - n)[-n:])[::-1]},
        )
    rows = rng.normal(size=(1000, 1000))
    yield from _measured(
        "median of rows, float64[1000, 1000]",
        lambda x: median(x, axes=(1,)),
        [rows],
        {"numpy": lambda a: np.median(a, axis=1)},
    )


def _sets(rng: np.random.Generator) -> Iterator[Measurement]:
    x = rng.normal(size=1_000_000)
    numbers = rng.integers(0, 1000, 1_000_000)
    yield from _measured("unique, int64[1000000]", distinct_values, [numbers], {"numpy": np.unique})
    yield from _measured(
        "bincount, int64[1000000]",
        lambda x: counted(x, None, const(0)),
        [numbers],
        {"numpy": np.bincount},
    )
    yield from _measured(
        "searchsorted, float64[1000000] in [1000]",
        lambda a, v: searchsorted(a, v, right=False),
        [np.sort(x[:1000]), x],
        {"numpy": np.searchsorted},
    )
    for share in (0.01, 0.5, 0.99):
        yield from _measured(
            f"flatnonzero, bool[1000000], {share:.0%} true",
            flatnonzero,
            [rng.random(1_000_000) < share],
            {"numpy": np.flatnonzero},
        )


def run() -> list[Measurement]:
    """Every figure of this subject."""
    rng = np.random.default_rng(0)
    return [*_orders(rng), *_selections(rng), *_sets(rng)]
