"""What a user meets beside the large benchmarks, each in turns with numpy: masks, short arrays.

Rounds of the two alternate, and seconds are those that this thread had a core, so that neighbours
on the machine count less. OPENBLAS_NUM_THREADS=1 is set for both, before anything reads it.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Measurement, from_samples, report, write_json
from exprd_compiler.driver import compile_graph
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.leaves import input_
from exprd_compiler.ops.movement import shape_i, specify_shape
from exprd_compiler.ops.table import OPS
from exprd_compiler.options import CompileOptions

Array = NDArray[Any]

ROUNDS = 5
SECONDS = 0.01  # of a round
LONG = 1_000_000
FUNCTIONS = ("exp", "log", "log2", "log10", "tanh", "sin", "tan", "arcsin", "arctan", "cbrt")


def _in_turns(
    name: str, build: Callable[..., Node], arrays: Sequence[Array], numpys: Callable[..., object]
) -> Iterator[Measurement]:
    leaves = [input_(type=TensorType(a.dtype.name, (None,) * a.ndim)) for a in arrays]
    function = compile_graph(Graph(tuple(leaves), (build(*leaves),)), CompileOptions()).executable
    given = list(arrays)
    calls: tuple[Callable[[], object], ...] = (lambda: function(given), lambda: numpys(*given))
    count = max(1, round(SECONDS / max(_seconds(calls[0], 2), 1e-7)))
    laps = [[_seconds(call, count) for call in calls] for _ in range(ROUNDS)]
    for place, who in enumerate(("exprd", "numpy")):
        yield from_samples(f"{name}, {who}", [lap[place] for lap in laps], count)


def _seconds(call: Callable[[], object], count: int) -> float:
    start = time.thread_time()
    for _ in range(count):
        call()
    return (time.thread_time() - start) / count


def _op(name: str, **attrs: object) -> Callable[..., Node]:
    return partial(OPS[name], **attrs)


def _sums(rng: np.random.Generator) -> Iterator[Measurement]:
    for size in (8, 100_000, LONG):
        x = rng.normal(size=size)
        yield from _in_turns(f"x + x, float64[{size}]", _op("add"), [x, x], np.add)


def _at_mask(x: Node, mask: Node) -> Node:
    extents = [shape_i(x, axis=axis) for axis in range(x.ndim)]
    checked = specify_shape(mask, *extents, shape=(None,) * x.ndim)
    return OPS["gather"](x, *[OPS["nonzero"](checked, axis=axis) for axis in range(x.ndim)])


def _masks(rng: np.random.Generator) -> Iterator[Measurement]:
    for share in (0.01, 0.5, 0.99):
        x, mask = rng.normal(size=LONG), rng.random(LONG) < share
        some = f"{share:.0%} true"
        yield from _in_turns(f"flatnonzero, {some}", _op("flatnonzero"), [mask], np.flatnonzero)
        yield from _in_turns(f"x[mask], {some}", _at_mask, [x, mask], lambda x, m: x[m])
        square = [array.reshape(1000, -1) for array in (x, mask)]
        yield from _in_turns(f"x[mask] of a matrix, {some}", _at_mask, square, lambda x, m: x[m])


def _quotients(rng: np.random.Generator) -> Iterator[Measurement]:
    for dtype in ("int32", "int64"):
        a, b = (rng.integers(1, high, 100_000).astype(dtype) for high in (1000, 50))
        for name, call in (("int_div", np.floor_divide), ("mod", np.remainder)):
            yield from _in_turns(f"{name}, {dtype}[100000]", _op(name), [a, b], call)


def _elementary(rng: np.random.Generator) -> Iterator[Measurement]:
    x = rng.uniform(0.01, 0.99, 100_000).astype("float32")
    for name in FUNCTIONS:
        yield from _in_turns(f"{name}, float32[100000]", _op(name), [x], getattr(np, name))


def _orders(rng: np.random.Generator) -> Iterator[Measurement]:
    for size in (10, 100, 1000):
        x, build = rng.normal(size=size), _op("sort", descending=False)
        yield from _in_turns(f"sort, float64[{size}]", build, [x], np.sort)
        stable = partial(np.argsort, kind="stable")
        build = _op("argsort", descending=False)
        yield from _in_turns(f"argsort, float64[{size}], stable", build, [x], stable)
    x, build = rng.normal(size=(1000, 100)), _op("sort", descending=False)
    yield from _in_turns("sort, float64[1000, 100]", build, [x], np.sort)


def _matrices(rng: np.random.Generator) -> Iterator[Measurement]:
    x = rng.normal(size=(4, 4))
    yield from _in_turns("det, float64[4, 4]", _op("det"), [x], np.linalg.det)
    build = _op("svd_values", **dict(OPS["svd_values"].examples[0].attrs))
    values = partial(np.linalg.svd, compute_uv=False)
    yield from _in_turns("singular values, float64[4, 4]", build, [x], values)
    stack, matrix = (rng.normal(size=s).astype("float32") for s in ((64, 128, 256), (256, 256)))
    name = "stack @ matrix, float32[64, 128, 256]"
    yield from _in_turns(name, _op("matmul"), [stack, matrix], np.matmul)
    x = rng.normal(size=(1000, 1000)).astype("float32")
    yield from _in_turns(
        "softmax of columns, float32[1000, 1000]", _op("softmax", axis=0), [x], _of
    )


def _of(x: Array) -> Array:
    e = np.exp(x - x.max(axis=0))
    return np.asarray(e / e.sum(axis=0))


SUBJECTS = (_sums, _masks, _quotients, _elementary, _orders, _matrices)


def run() -> list[Measurement]:
    """Every figure of this subject."""
    rng = np.random.default_rng(0)
    return [figure for subject in SUBJECTS for figure in subject(rng)]


def main() -> None:
    """Run, report, and write the figures where they are asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.details", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures and the machine here")
    options = parser.parse_args()
    found = run()
    print(report(found), flush=True)
    if options.json:
        write_json(options.json, found)


if __name__ == "__main__":
    main()
