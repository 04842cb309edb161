"""Samples: graphs and arrays made from the examples that each op declares.

One graph holds all examples of an op in one dtype, an output for each, so that a compiler is asked
once. Everything is drawn from the generator that is passed in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from exprd_compiler.ir.dtype import is_complex, is_float, part_of
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.half import converted, widened
from exprd_compiler.ir.lowering import Leaf
from exprd_compiler.ir.node import Array, Example, Node, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.leaves import input_
from exprd_compiler.ops.table import OPS

# Relative to the largest element: sums and products are not associative, polynomials not exact.
# One unit in the last place for 16-bit floats: both sides compute them in a wider one.
TOLERANCE = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2e-6, "float64": 1e-14}

TESTED = tuple(op for op in OPS.values() if not isinstance(op.lowering, Leaf))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """An op applied to leaves, and arrays for them; `signs` is that of its example."""

    node: Node
    arrays: tuple[Array, ...]
    signs: int | None = None

    @property
    def expected(self) -> Array:
        """What the numpy meaning says."""
        return np.asarray(self.node.op.numpy(*self.arrays, **self.node.attributes))


def draw(rng: np.random.Generator, shape: Sequence[int], dtype: str, example: Example) -> Array:
    """Values of a dtype within the range of an example."""
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if is_complex(dtype):
        re, im = (draw(rng, shape, part_of(dtype), example) for _ in range(2))
        return np.asarray(re + 1j * im, dtype)
    if is_float(dtype):
        return converted(np.asarray(rng.uniform(example.low, example.high, shape)), dtype)
    least = np.iinfo(dtype).min
    low, high = max(int(np.ceil(example.low)), least), int(example.high)
    return np.asarray(rng.integers(low, high, shape, endpoint=True), dtype)


def dominant(rng: np.random.Generator, shape: Sequence[int], dtype: str, _: Example) -> Array:
    """Matrices whose diagonal outweighs the rest and rises by 1 from row to row."""
    out = rng.uniform(-0.5, 0.5, shape)
    places = np.arange(min(shape[-2:]))
    out[..., places, places] = max(shape[-2:]) + places
    return out.astype(dtype)


# How the first input of an example is drawn, by its field `values`.
MAKERS = {"uniform": draw, "dominant": dominant}


def leaf(array: Array, *, known: bool) -> Node:
    """An input for an array; an extent of 1 is always known, since it may broadcast."""
    shape = tuple(extent if known or extent == 1 else None for extent in array.shape)
    return input_(type=TensorType(array.dtype.name, shape))


def sample(
    op: Op,
    arrays: Sequence[Array],
    attrs: dict[str, object],
    *,
    known: bool = False,
    signs: int | None = None,
) -> Sample:
    """An op applied to leaves that take these arrays."""
    leaves = [leaf(array, known=known) for array in arrays]
    return Sample(node=op(*leaves, **attrs), arrays=tuple(arrays), signs=signs)


def samples(op: Op, dtype: str, rng: np.random.Generator, *, known: bool) -> list[Sample]:
    """A sample for each example of an op."""
    return [
        sample(
            op,
            list(_arrays(example, dtype, rng)),
            dict(example.attrs),
            known=known,
            signs=example.signs,
        )
        for example in op.examples
        if dtype in example.dtypes
    ]


def _arrays(example: Example, dtype: str, rng: np.random.Generator) -> Iterator[Array]:
    for place, shape in enumerate(example.shapes):
        if place in example.integers:
            yield np.asarray(example.integers[place], "int64")
        elif place == 0:
            yield MAKERS[example.values](rng, shape, dtype, example)
        else:
            yield draw(rng, shape, dtype, example)


def joined(found: Sequence[Sample]) -> tuple[Graph, list[Array]]:
    """One graph of all samples, and its arguments."""
    inputs = tuple(x for one in found for x in one.node.inputs)
    arrays = [array for one in found for array in one.arrays]
    return Graph(inputs, tuple(one.node for one in found)), arrays


def turned(got: Array, want: Array, signs: int | None) -> Array:
    """The value, with the signs of whole lines along an axis as in another."""
    if signs is None or got.shape != want.shape:
        return got
    along = (got * want.conj()).real.sum(axis=signs, keepdims=True)
    return np.asarray(np.where(along < 0, -got, got))


def assert_close(got: Array, want: Array, *, tolerance: float = 1.0, note: str = "") -> None:
    """Equal dtype and shape, equal discrete values, floats within so many times the tolerance."""
    assert (got.dtype, got.shape) == (want.dtype, want.shape), note
    if not (is_float(want.dtype.name) or is_complex(want.dtype.name)):
        np.testing.assert_array_equal(got, want, err_msg=note)
        return
    scale = TOLERANCE[part_of(want.dtype.name)] * tolerance
    got, want = widened(got), widened(want)
    parts = np.ravel(want).view(part_of(want.dtype.name))  # the size of a number may overflow
    finite = np.abs(parts[np.isfinite(parts)])
    bound = scale * float(finite.max()) if finite.size else 0.0
    np.testing.assert_allclose(got, want, rtol=scale, atol=bound, err_msg=note)
