"""What random graphs once brought to light, shrunk and kept: values and errors that differed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product

import numpy as np
import pytest

from exprd_compiler.driver import compile_graph
from exprd_compiler.errors import ExprdError, ShapeError
from exprd_compiler.interpret import evaluate
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Array, Node, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add
from exprd_compiler.ops.eigen import eig_values
from exprd_compiler.ops.einsum import einsum
from exprd_compiler.ops.factorizations import householder
from exprd_compiler.ops.index import NEXT, assign, gather, scatter, subtensor
from exprd_compiler.ops.inverses import det, matrix_inverse, solve_triangular
from exprd_compiler.ops.joining import roll
from exprd_compiler.ops.leaves import const, input_
from exprd_compiler.ops.linalg import dot
from exprd_compiler.ops.masks import flatnonzero, nonzero
from exprd_compiler.ops.matrix_functions import expm, squarings
from exprd_compiler.ops.movement import dimshuffle, reshape
from exprd_compiler.ops.nnet import log_softmax, softmax
from exprd_compiler.ops.parts import complex_
from exprd_compiler.ops.products import matmul
from exprd_compiler.ops.repetition import repeat_each
from exprd_compiler.ops.sets import bounded
from exprd_compiler.ops.spectral import eigh_values
from exprd_compiler.ops.statistics import norm
from exprd_compiler.options import LEVELS, CompileOptions

BATCHED = {"operands": ((0, 1, 2), (0, 2, 3)), "result": (0, 1, 3)}


def leaf(rank: int, dtype: str = "float64") -> Node:
    return input_(type=TensorType(dtype, (None,) * rank))


def assert_agree(inputs: Sequence[Node], outputs: Sequence[Node], arrays: Sequence[Array]) -> None:
    """Native code at every level gives numpy's values, or raises numpy's error."""
    graph = Graph(tuple(inputs), tuple(outputs))
    for level in LEVELS:
        executable = compile_graph(graph, CompileOptions(level=level)).executable
        try:
            wanted, _ = evaluate(graph, arrays)
        except ExprdError as error:
            with pytest.raises(type(error)):
                executable(list(arrays))
            continue
        for got, want in zip(executable(list(arrays)), wanted, strict=True):
            assert (got.dtype, got.shape) == (want.dtype, want.shape)
            np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize("shape", [(3, 0), (0, 2, 0)])
def test_no_index_is_looked_at_when_rows_are_empty(shape: tuple[int, ...]) -> None:
    x, places = leaf(len(shape)), leaf(1, "int64")
    outputs = [gather(x, places), scatter(x, const(1.0), places, mode="set")]
    assert_agree([x, places], outputs, [np.zeros(shape), np.array([7, -9])])


@pytest.mark.parametrize("op", [softmax, log_softmax], ids=lambda op: op.name)
def test_nothing_can_be_normalized_over_an_empty_axis(op: Op) -> None:
    x = leaf(2)
    assert_agree([x], [op(x, axis=1)], [np.zeros((3, 0))])
    assert_agree([x], [op(x, axis=0)], [np.zeros((3, 0))])


def test_counts_that_never_fit_are_told_at_once() -> None:
    x, counts = leaf(1), input_(type=TensorType("int64", (4,)))
    with pytest.raises(ShapeError, match="4 counts for 3 elements"):
        repeat_each(const(np.zeros(3)), counts, axis=0)
    assert_agree([x, counts], [repeat_each(x, counts, axis=0)], [np.zeros(3), np.ones(4, "int64")])


@pytest.mark.parametrize(
    "op", [matmul, lambda a, b: einsum(a, b, **BATCHED)], ids=["matmul", "einsum"]
)
def test_factors_do_not_broadcast_where_extents_happen_to_be_1(op: Callable[..., Node]) -> None:
    a, b = leaf(3), leaf(3)
    ones = np.ones
    assert_agree([a, b], [op(a, b)], [ones((2, 3, 3)), ones((1, 3, 3))])
    assert_agree([a, b], [op(a, b)], [ones((2, 3, 3)), ones((2, 3, 3))])
    fixed = input_(type=TensorType("float64", (1, None, None)))
    assert_agree([a, fixed], [op(a, fixed)], [ones((2, 3, 3)), ones((1, 3, 3))])


@pytest.mark.parametrize("shapes", [((5, 3), ()), ((4, 3, 3), (2,)), ((4, 3, 3), (4,))], ids=str)
def test_every_matrix_is_square_and_has_its_count(shapes: tuple[tuple[int, ...], ...]) -> None:
    x, times = leaf(len(shapes[0])), leaf(len(shapes[1]), "int64")
    assert_agree(
        [x, times], [squarings(x, times)], [np.ones(shapes[0]), np.ones(shapes[1], "int64")]
    )


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_a_packed_factorization_has_a_row_of_scales(rows: int) -> None:
    packed = leaf(2)
    assert_agree([packed], [householder(packed, mode="reduced")], [np.zeros((rows, 3))])


@pytest.mark.parametrize("step", [-(2**63), 1 - 2**63, 2**63 - 1])
def test_a_constant_step_may_be_as_long_as_integers_are(step: int) -> None:
    x, every = leaf(1), (("slice", None, None, NEXT),)
    by = const(step, "int64")
    outputs = [subtensor(x, by, index=every), assign(x, const(9.0), by, index=every, mode="set")]
    assert_agree([x], outputs, [np.arange(7.0)])


@pytest.mark.parametrize("length", [-1, 0, 3])
@pytest.mark.parametrize("values", [[], [0, 2]])
def test_no_number_is_below_a_negative_length(values: list[int], length: int) -> None:
    x, limit = leaf(1, "int64"), leaf(0, "int64")
    assert_agree([x, limit], [bounded(x, limit)], [np.array(values, "int64"), np.array(length)])


@pytest.mark.parametrize("order", [np.inf, -np.inf, 1.0])
def test_the_largest_of_nothing_has_no_norm(order: float) -> None:
    x = leaf(2)
    assert_agree([x], [norm(x, axes=(0, 1), order=order)], [np.zeros((0, 3))])


@pytest.mark.parametrize("value", [0.0, np.nan])
@pytest.mark.parametrize("shape", [(3, 5), (3, 3)])
def test_extents_come_before_values(shape: tuple[int, int], value: float) -> None:
    """Of a matrix that is neither square nor finite, it is told that it is not square."""
    x = leaf(2)
    assert_agree([x], [eigh_values(x, lower=True, vectors=False)], [np.full(shape, value)])
    assert_agree([x], [eig_values(x, vectors=False)], [np.full(shape, value)])


def as_long(x: Node, *extents: int) -> Node:
    """x under extents that no type tells, but that the optimizer finds to be constant."""
    return reshape(x, *[const(n, "int64") for n in extents], shape=(None,) * len(extents))


@pytest.mark.parametrize(
    "op",
    [
        partial(eigh_values, lower=True, vectors=False),
        det,
        lambda x: matmul(x, x),
        lambda x: add(x, dimshuffle(x, order=(1, 0))),
        matrix_inverse,
    ],
    ids=["eigh", "det", "matmul", "add", "inv"],
)
def test_what_the_optimizer_learns_of_extents_is_told_by_the_call(op: Callable[..., Node]) -> None:
    x = leaf(1)
    assert_agree([x], [op(as_long(x, 3, 5))], [np.ones(15)])


@pytest.mark.parametrize("dtype", ["float64", "int64", "complex128"])
@pytest.mark.parametrize("rank", [1, 2])
def test_sums_of_products_do_not_broadcast(rank: int, dtype: str) -> None:
    x, one = leaf(rank, dtype), input_(type=TensorType(dtype, (1,)))
    arrays = [np.ones((3,) * rank, dtype), np.ones(1, dtype)]
    assert_agree([x, one], [dot(x, one)], arrays)
    assert_agree([x, one], [dot(one, x)], arrays)


def test_a_square_matrix_of_which_one_side_is_known_has_both() -> None:
    x = input_(type=TensorType("float64", (1, None)))
    assert_agree([x], [expm(x)], [np.ones((1, 1))])


@pytest.mark.parametrize("flags", list(product((False, True), repeat=3)), ids=str)
def test_triangles_are_solved_by_substitution_alone(flags: tuple[bool, ...]) -> None:
    """Neither pivots nor the other triangle nor an implied diagonal decide what is singular."""
    a, b = leaf(3), leaf(3)
    names = ("lower", "trans", "unit_diagonal")
    y = solve_triangular(a, b, **dict(zip(names, flags, strict=True)))
    sample = np.arange(1.0, 10).reshape(3, 3)
    stack = [np.full((3, 3), np.nan), sample + np.diag([np.nan, 0, 0]), sample]
    stack[2][0, 1] = stack[2][1, 0] = np.inf
    assert_agree([a, b], [y], [np.stack(stack), np.ones((3, 3, 2))])
    assert_agree([a, b], [y], [np.stack([sample, np.zeros((3, 3))]), np.ones((2, 3, 2))])


def test_an_extent_that_is_counted_later_does_not_stand_for_an_earlier_one() -> None:
    x = leaf(1)
    array = np.array([1.0, 2.0, 3.0])
    assert_agree([x], [complex_(flatnonzero(x), x)], [array])
    assert_agree([x], [add(x, flatnonzero(x))], [array])


def test_an_axis_of_length_one_rolls_onto_itself() -> None:
    x, by = input_(type=TensorType("float64", (1, None))), leaf(0, "int64")
    assert_agree([x, by], [roll(x, by, axis=0, shift=None)], [np.ones((1, 3)), np.array(-3)])


def test_positions_of_a_mask_beside_others_are_positions_like_any() -> None:
    x, mask = leaf(2), leaf(2)
    columns = input_(type=TensorType("int64", (None,)))
    arrays = [np.arange(6.0).reshape(2, 3), np.array([[0.0, 1, 0], [1, 0, 1]]), np.array([2, 0, 1])]
    rows = nonzero(mask, axis=0)
    assert_agree([x, mask, columns], [gather(x, rows, columns)], arrays)
    assert_agree([x, mask], [gather(x, rows, const([2, 0, 1], "int64"))], arrays[:2])
