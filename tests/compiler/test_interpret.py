"""The interpreter beyond the single op: calls, Theano's broadcast rule, errors that tell where."""

from __future__ import annotations

import re
import tracemalloc
import warnings
from collections.abc import Callable

import numpy as np
import pytest

from exprd_compiler.errors import (
    CallError,
    CompilerBug,
    ExprdError,
    IndexOutOfRange,
    MissingInput,
    ShapeError,
)
from exprd_compiler.interpret import evaluate, evaluate_nodes
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.lowering import Expand
from exprd_compiler.ir.node import NO_GRAD, Array, Node, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, cast, mul, second, true_div
from exprd_compiler.ops.creation import alloc
from exprd_compiler.ops.index import NEXT, assign, gather, scatter, subtensor
from exprd_compiler.ops.leaves import const, input_, shared
from exprd_compiler.ops.linalg import dot, gemm
from exprd_compiler.ops.logic import switch
from exprd_compiler.ops.movement import reshape
from exprd_compiler.ops.transcendental import log


def leaf(*shape: int | None, dtype: str = "float64") -> Node:
    return input_(type=TensorType(dtype, shape))


def ones(*shape: int, dtype: str = "float64") -> Array:
    return np.ones(shape, dtype)


# ---- calls
def test_outputs_use_old_values_and_updates_come_in_order() -> None:
    x = leaf(None)
    a, b = (shared(type=TensorType("float64")) for _ in range(2))
    graph = Graph((x,), (add(x, a), x), (a, b), ((1, a), (0, add(b, b))))
    outputs, updates = evaluate(graph, [ones(2)], [np.array(10.0), np.array(20.0)])
    np.testing.assert_array_equal(outputs, [[11, 11], [1, 1]])
    np.testing.assert_array_equal(updates, [10, 40])


def test_results_are_new_arrays() -> None:
    x = leaf(None, None)
    given = ones(2, 3)
    outputs, _ = evaluate(Graph((x,), (x, x, second(x, const(1.0)))), [given])
    for out in outputs:
        out[...] = 5
    assert (given == 1).all()
    assert [out.flags.c_contiguous for out in outputs] == [True] * 3


def test_any_node_may_be_given_a_value() -> None:
    x = leaf()
    y = log(x)
    z = add(y, const(1.0))
    assert evaluate_nodes([z, y], {y: np.array(2.0)}) == [3.0, 2.0]


def test_no_roots_at_all() -> None:
    assert evaluate(Graph((), ()), []) == ([], [])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (ones(2, 2, dtype="float32"), r"a is float64[?,2], got float32[2, 2]"),
        (ones(2), r"got float64[2]"),
        (ones(2, 3), r"got float64[2, 3]"),
        (ones(2, 2).astype(">f8"), r"got float64[2, 2]"),
        ([[1, 2]], r"got int64[1, 2]"),
    ],
)
def test_values_that_do_not_fit(value: object, message: str) -> None:
    x = leaf(None, 2)
    x.name = "a"
    with pytest.raises(CallError, match=re.escape(message)):
        evaluate(Graph((x,), (x,)), [value])


def test_the_number_of_values() -> None:
    x = leaf()
    with pytest.raises(CallError, match="2 values for 1 inputs"):
        evaluate(Graph((x,), (x,)), [ones(), ones()])
    with pytest.raises(CallError, match="1 values for 0 shared variables"):
        evaluate(Graph((x,), (x,)), [ones()], [ones()])


def test_a_leaf_without_a_value() -> None:
    with pytest.raises(MissingInput, match=r"<input float64\[\]> has no value"):
        evaluate_nodes([add(leaf(), const(1.0))], {})


# ---- only axes that are statically 1 broadcast
def test_static_ones_broadcast() -> None:
    x, row = leaf(None, None), leaf(1, None)
    (out,) = evaluate_nodes([add(x, row)], {x: ones(3, 2), row: ones(1, 2)})
    np.testing.assert_array_equal(out, np.full((3, 2), 2.0))


def test_an_extent_that_is_1_by_chance_broadcasts_against_1() -> None:
    x, y = leaf(None), leaf(None)
    assert evaluate_nodes([add(x, y)], {x: ones(1), y: ones(1)}) == [2.0]


INDEX = (("slice", None, NEXT, None),)
REFUSED: dict[str, tuple[Callable[..., Node], tuple[Array, ...]]] = {
    "elementwise": (add, (ones(3), ones(1))),
    "lower rank": (add, (ones(3, 4), ones(1))),
    "third operand": (switch, (ones(3), ones(3), ones(1))),
    "extents that differ": (add, (ones(3), ones(4))),
    "gather": (gather, (ones(4, 4), ones(2, dtype="int64"), ones(1, dtype="int64"))),
    "scatter": (
        lambda x, y, i: scatter(x, y, i, mode="inc"),
        (ones(4, 4), ones(2, 1), ones(2, dtype="int64")),
    ),
    "scatter row": (
        lambda x, y, i: scatter(x, y, i, mode="set"),
        (ones(4, 4), ones(3), ones(2, dtype="int64")),
    ),
    "assign": (
        lambda x, y, n: assign(x, y, n, index=INDEX, mode="set"),
        (ones(4), ones(1), np.array(2)),
    ),
    "assign other": (
        lambda x, y, n: assign(x, y, n, index=INDEX, mode="inc"),
        (ones(4), ones(3), np.array(2)),
    ),
    "alloc": (lambda x, n: alloc(x, n, shape=(2, None)), (ones(1), np.array(3))),
    "gemm": (
        lambda a, b, c: gemm(a, b, c, alpha=1.0, beta=1.0),
        (ones(2, 3), ones(3, 4), ones(1, 4)),
    ),
    "dot": (dot, (ones(2, 3), ones(1, 4))),
    "reshape": (lambda x: reshape(x, shape=(2, -1)), (ones(3),)),
    "negative extent": (lambda x, n: reshape(x, n, shape=(None,)), (ones(1), np.array(-1))),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_numpy_might_take_is_refused(case: str) -> None:
    build, arrays = REFUSED[case]
    leaves = [leaf(*[None] * a.ndim, dtype=a.dtype.name) for a in arrays]
    with pytest.raises(ShapeError) as error:
        evaluate_nodes([build(*leaves)], dict(zip(leaves, arrays, strict=True)))
    assert error.value.op


def test_the_message_of_a_mismatch() -> None:
    x, y = leaf(None, None), leaf(None)
    message = (
        "add: input dimension mis-match of shapes (2, 3) and (4,): extents 3 and 4 on axis 1 "
        "differ; only axes that are statically 1 broadcast"
    )
    with pytest.raises(ShapeError, match=re.escape(message)):
        evaluate_nodes([add(x, y)], {x: ones(2, 3), y: ones(4)})


# ---- errors and warnings
def failing(origin: object) -> ExprdError:
    x = leaf(None)
    y = subtensor(x, index=(("at", 3),))
    y.origin = origin
    with pytest.raises(IndexOutOfRange, match="subtensor: index 3") as error:
        evaluate_nodes([mul(y, y)], {x: ones(3)})
    return error.value


def test_an_error_tells_where_its_node_was_built() -> None:
    assert failing(17).nodes == (17,)
    assert failing("line 3 of the script").__notes__ == ["line 3 of the script"]
    assert failing(None).nodes == ()


def test_nothing_warns() -> None:
    x = leaf(None)
    y = cast(log(true_div(x, x)), dtype="int8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate_nodes([y], {x: np.array([0.0, -1.0, np.inf, np.nan])})


@pytest.mark.parametrize("meaning", [lambda: 1 / 0, lambda: np.ones(3), lambda: np.float32(1)])
def test_a_wrong_meaning_is_our_bug(meaning: Callable[[], object]) -> None:
    op = Op(
        name="wrong",
        type=lambda: TensorType("float64"),
        numpy=meaning,
        grad=NO_GRAD,
        lowering=Expand(lambda: const(1.0)),
        dtypes=(),
        examples=(),
        theano="Wrong",
        doc="Wrong.",
    )
    with pytest.raises(CompilerBug, match="wrong"):
        evaluate_nodes([add(op(), const(1.0))], {})


def test_a_long_chain_holds_few_values() -> None:
    x = leaf(None)
    y = x
    for _ in range(1000):
        y = add(y, const(1.0))
    value = np.zeros(10_000)
    tracemalloc.start()
    (out,) = evaluate_nodes([y], {x: value})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert out[0] == 1000
    assert peak < 20 * value.nbytes
