"""Batch rules: an op over a batch gives what it gives for each element, for every op."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from exprd_compiler.errors import ArgumentError, NotVectorizable, ShapeError
from exprd_compiler.interpret import evaluate_nodes
from exprd_compiler.ir.graph import toposort
from exprd_compiler.ir.lowering import Generate, Host
from exprd_compiler.ir.node import Array, Node, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, cast, mul
from exprd_compiler.ops.index import NEXT, subtensor
from exprd_compiler.ops.leaves import const, input_
from exprd_compiler.ops.linalg import dot
from exprd_compiler.ops.masks import flatnonzero
from exprd_compiler.ops.movement import shape_i
from exprd_compiler.ops.positions import iota
from exprd_compiler.ops.products import matmul
from exprd_compiler.ops.reduce import sum_
from exprd_compiler.vectorize import vectorize
from exprd_compiler.vectorize.table import rule_of
from tests.ops.samples import TESTED, Sample, assert_close, samples

COUNT = 3
COARSE = ("float16", "bfloat16")  # results of casts
BATCHED = [op for op in TESTED if not isinstance(op.lowering, Generate | Host)]


def leaf(*shape: int | None, dtype: str = "float64") -> Node:
    return input_(type=TensorType(dtype, shape))


def masks(one: Sample) -> list[tuple[bool, ...]]:
    """Which inputs are batched: all, only the first, only the last."""
    count = len(one.arrays)
    found = [(True,) * count]
    if count > 1:
        found += [(True, *[False] * (count - 1)), (*[False] * (count - 1), True)]
    return found


def stacked(array: Array, rng: np.random.Generator) -> Array:
    """Values for a batch: floats differ, whole numbers change places, so that they stay indexes."""
    copies = np.stack([array] * COUNT)
    if array.dtype.kind != "f":
        return rng.permuted(copies, axis=-1) if array.ndim else copies
    scale = np.linspace(0.5, 1, COUNT).reshape(-1, *[1] * array.ndim)
    return (copies * scale).astype(array.dtype)


def check_over_batch(one: Sample, mask: Sequence[bool], rng: np.random.Generator) -> None:
    """The op over a batch against the op on each element."""
    given: dict[Node, Array] = {}
    replace: dict[Node, Node] = {}
    rows: list[list[Array]] = [[] for _ in range(COUNT)]
    for x, array, batched in zip(one.node.inputs, one.arrays, mask, strict=True):
        values = stacked(array, rng) if batched else array
        if batched:
            replace[x] = leaf(None, *x.type.shape, dtype=x.dtype)
        given[replace.get(x, x)] = values
        for number, row in enumerate(rows):
            row.append(values[number] if batched else values)
    (out,) = vectorize([one.node], replace)
    assert out.ndim == one.node.ndim + 1
    (got,) = evaluate_nodes([out], given)
    attrs = one.node.attributes
    want = np.stack([np.asarray(one.node.op.numpy(*row, **attrs)) for row in rows])
    assert_close(got, want, tolerance=8, note=f"{attrs} {mask}")


@pytest.mark.parametrize("op", BATCHED, ids=lambda op: op.name)
def test_an_op_over_a_batch(op: Op, rng: np.random.Generator) -> None:
    dtype = "float64" if "float64" in op.dtypes else op.dtypes[-1]
    for one in samples(op, dtype, rng, known=False):
        if one.node.dtype in COARSE:
            continue
        whole = [x.ndim == 0 and x.dtype == "int64" for x in one.node.inputs]
        for some in masks(one):
            mask = [chosen and not number for chosen, number in zip(some, whole, strict=True)]
            if not any(mask):
                continue
            try:
                check_over_batch(one, mask, rng)
            except NotVectorizable:
                assert rule_of(op) is None, "a rule refuses what it is for"


# ---- what stands between the ops
def test_what_does_not_depend_on_the_batch_is_computed_once() -> None:
    x, w = leaf(None), leaf(None)
    shared_part = sum_(mul(w, w), axes=(0,))
    batched = leaf(None, None)
    (out,) = vectorize([add(x, shared_part)], {x: batched})
    assert shared_part in toposort([out])


def test_a_root_that_does_not_depend_on_the_batch_is_repeated() -> None:
    x, w, batched = leaf(None), leaf(2), leaf(3, None)
    (out,) = vectorize([w], {x: batched})
    given = {w: np.array([1.0, 2.0]), batched: np.zeros((3, 4))}
    np.testing.assert_array_equal(evaluate_nodes([out], given)[0], [[1.0, 2.0]] * 3)


def test_extents_are_those_of_one_element() -> None:
    x, batched = leaf(None), leaf(None, None)
    (out,) = vectorize([mul(x, cast(shape_i(x, axis=0), dtype="float64"))], {x: batched})
    (got,) = evaluate_nodes([out], {batched: np.ones((3, 5))})
    np.testing.assert_array_equal(got, np.full((3, 5), 5.0))


def test_two_values_are_batched_together(rng: np.random.Generator) -> None:
    a, b = leaf(None, None), leaf(None, None)
    many_a, many_b = leaf(None, None, None), leaf(None, None, None)
    (out,) = vectorize([dot(a, b)], {a: many_a, b: many_b})
    left, right = rng.standard_normal((4, 2, 3)), rng.standard_normal((4, 3, 5))
    (got,) = evaluate_nodes([out], {many_a: left, many_b: right})
    np.testing.assert_allclose(got, left @ right)


@pytest.mark.parametrize("swapped", [False, True])
def test_vectors_over_a_batch_meet_a_matrix_in_one_product(
    swapped: bool, rng: np.random.Generator
) -> None:
    w, x, many = leaf(None, None), leaf(None), leaf(None, None)
    (out,) = vectorize([dot(x, w) if swapped else dot(w, x)], {x: many})
    products = [node.op for node in toposort([out]) if node.op in (dot, matmul)]
    assert products == [dot]
    ws, xs = rng.standard_normal((3, 3)), rng.standard_normal((5, 3))
    (got,) = evaluate_nodes([out], {w: ws, many: xs})
    np.testing.assert_allclose(got, xs @ ws if swapped else xs @ ws.T)


def test_what_carries_no_batch_axis_says_so() -> None:
    n, many = leaf(dtype="int64"), leaf(None, dtype="int64")
    x = leaf(None)
    with pytest.raises(NotVectorizable, match="iota: has no batch rule"):
        vectorize([iota(n)], {n: many})
    with pytest.raises(NotVectorizable, match="subtensor: an extent or a bound differs"):
        vectorize([subtensor(x, n, index=(("at", NEXT),))], {n: many})
    batched = leaf(None, None)
    with pytest.raises(NotVectorizable, match="true_positions: has no batch rule"):
        vectorize([flatnonzero(x)], {x: batched})


def test_what_is_no_batch_of_a_value() -> None:
    x = leaf(None)
    with pytest.raises(ShapeError, match="is not float64"):
        vectorize([x], {x: leaf(None)})
    with pytest.raises(ArgumentError, match="nothing is replaced"):
        vectorize([x], {})


def test_a_long_chain_is_walked_without_recursion() -> None:
    x, batched = leaf(), leaf(None)
    y = x
    for _ in range(20_000):
        y = add(y, const(1.0))
    (out,) = vectorize([y], {x: batched})
    assert out.type.shape == (None,)
