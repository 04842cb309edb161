"""What the native entry checks at run time, and that nothing it meets brings the process down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from exprd_compiler.backends.executable import Executable
from exprd_compiler.errors import ExprdError, IndexOutOfRange, LimitExceeded, ShapeError
from exprd_compiler.ir.graph import Graph, toposort
from exprd_compiler.ir.node import Array, Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.kernel.form import Blas, Check, Fetch, Kernel
from exprd_compiler.kernel.plan import make_plan
from exprd_compiler.ops.arithmetic import add, mul, sub
from exprd_compiler.ops.creation import alloc, iota
from exprd_compiler.ops.index import NEXT, assign, gather, scatter, subtensor
from exprd_compiler.ops.leaves import const, input_
from exprd_compiler.ops.linalg import dot
from exprd_compiler.ops.movement import reshape, shape_i
from exprd_compiler.ops.reduce import argmax, max_, mean, sum_
from exprd_compiler.ops.transcendental import exp
from exprd_compiler.passes.levels import optimize
from tests.compiler.native import leaf, native, numpys


def integer() -> Node:
    return leaf(0, "int64")


def numbered(node: Node) -> Node:
    """The node, everything under it numbered as if it had come over the wire."""
    for place, item in enumerate(toposort([node])):
        item.origin = place
    return node


def failure(inputs: Sequence[Node], output: Node, *values: Any) -> ExprdError:
    """The error of a call that must fail; the function works again right after."""
    function = native(inputs, numbered(output))
    with pytest.raises(ExprdError) as caught:
        function([np.asarray(v) for v in values])
    return caught.value


# ---- extents
SHAPES: dict[str, tuple[Callable[[Node, Node], Node], tuple[int, ...], tuple[int, ...], str]] = {
    "add": (add, (3,), (4,), "extents 3 and 4 on axis 0 differ"),
    "mul": (mul, (2, 3), (2, 5), "extents 3 and 5 on axis 1 differ"),
    "gemm": (dot, (2, 3), (4, 5), "the inner extents 3 and 4 of a product differ"),
    "gemv": (dot, (2, 3), (2,), "the inner extents 3 and 2 of a product differ"),
    "scatter": (
        lambda x, y: scatter(x, y, const([0, 1], "int64"), mode="inc"),
        (4, 3),
        (3, 3),
        "extents 2 and 3 on axis 0 differ",
    ),
    "assign": (
        lambda x, y: assign(x, y, index=(("slice", 1, None, None),), mode="set"),
        (4,),
        (4,),
        "extents 3 and 4 on axis 0 differ",
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_extents_that_differ_name_the_op_the_extents_and_the_node(name: str) -> None:
    make, first, second, message = SHAPES[name]
    x, y = leaf(len(first)), leaf(len(second))
    out = make(x, y)
    error = failure([x, y], out, np.zeros(first), np.zeros(second))
    assert isinstance(error, ShapeError)
    assert error.message.startswith(message)
    assert error.op in (name, "mul", "dot")
    assert error.nodes == (out.origin,)


def test_one_unknown_extent_does_not_broadcast() -> None:
    x, y = leaf(1), leaf(1)
    error = failure([x, y], add(x, y), np.zeros(1), np.zeros(5))
    assert "only axes that are statically 1 broadcast" in error.message


@pytest.mark.parametrize("op", [max_, argmax])
def test_there_is_nothing_to_choose_from_an_empty_axis(op: Any) -> None:
    x = leaf(2)
    for axes, shape in (((1,), (3, 0)), ((0,), (0, 3))):
        error = failure([x], op(x, axes=axes), np.zeros(shape))
        assert isinstance(error, ShapeError)
        assert error.op == op.name
        (fine,) = native([x], op(x, axes=axes))([np.zeros(shape[::-1])])
        assert fine.shape == (0,)


def test_sums_of_nothing_are_zero_and_means_are_not_numbers() -> None:
    x, w = leaf(2), leaf(2)
    outputs = [sum_(x, axes=(0,)), sum_(x, axes=(0, 1)), mean(x, axes=(0, 1)), dot(w, x)]
    values = [np.zeros((0, 3)), np.zeros((2, 0))]
    for got, want in zip(
        native([x, w], *outputs)(values), numpys([x, w], outputs, values), strict=True
    ):
        np.testing.assert_array_equal(got, want)


# ---- indexes
@pytest.mark.parametrize("count", [1, 5, 16, 37])
@pytest.mark.parametrize("bad", [4, -5, 2**62, -(2**63)])
def test_a_gathered_index_out_of_range_is_named(count: int, bad: int) -> None:
    x, index = leaf(1), leaf(1, "int64")
    for place in {0, count // 2, count - 1}:
        indexes = np.zeros(count, "int64")
        indexes[place] = bad
        error = failure([x, index], exp(gather(x, index)), np.zeros(4), indexes)
        assert isinstance(error, IndexOutOfRange)
        assert error.message == f"index {bad} is out of range for an axis of 4"
        assert error.op == "gather"


@pytest.mark.parametrize("mode", ["set", "inc"])
@pytest.mark.parametrize("bad", [3, -4])
def test_a_scattered_index_out_of_range_is_named(mode: str, bad: int) -> None:
    x, index = leaf(2), leaf(1, "int64")
    out = scatter(x, const(1.0), index, mode=mode)
    error = failure([x, index], out, np.zeros((3, 20)), np.array([0, bad]))
    assert isinstance(error, IndexOutOfRange)
    assert (error.op, error.nodes) == ("scatter", (out.origin,))
    assert error.message == f"index {bad} is out of range for an axis of 3"


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32"])
def test_indexes_of_every_integer_type_are_checked(dtype: str) -> None:
    x, index = leaf(1), leaf(1, dtype)
    function = native([x, index], gather(x, index))
    np.testing.assert_array_equal(function([np.arange(3.0), np.array([2, 0], dtype)])[0], [2, 0])
    with pytest.raises(IndexOutOfRange):
        function([np.arange(3.0), np.array([np.iinfo(dtype).max], dtype)])


def test_nothing_is_out_of_range_among_no_indexes() -> None:
    x, index = leaf(1), leaf(1, "int64")
    (got,) = native([x, index], gather(x, index))([np.zeros(0), np.zeros(0, "int64")])
    assert got.shape == (0,)


@pytest.mark.parametrize("at", [3, -4, 2**63 - 1, -(2**63)])
def test_a_position_out_of_range_is_named(at: int) -> None:
    x, i = leaf(1), integer()
    error = failure([x, i], subtensor(x, i, index=(("at", NEXT),)), np.zeros(3), np.int64(at))
    assert isinstance(error, IndexOutOfRange)
    assert error.message == f"index {at} is out of range for an axis of 3"


@pytest.fixture(scope="module", params=[1, 3, -1, -2])
def sliced(request: pytest.FixtureRequest) -> tuple[int, Executable]:
    """A step, and a function of x, start and stop."""
    x, i, j = leaf(1), integer(), integer()
    entry = ("slice", NEXT, NEXT, request.param)
    return request.param, native([x, i, j], subtensor(x, i, j, index=(entry,)))


@pytest.mark.parametrize("start", [0, 2, -2, 99, -99, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("stop", [0, 5, -1, 99, 2**63 - 1, -(2**63)])
def test_slices_clamp_their_bounds_as_numpy_does(
    sliced: tuple[int, Executable], start: int, stop: int
) -> None:
    step, function = sliced
    data = np.arange(7.0)
    (got,) = function([data, np.array(start), np.array(stop)])
    np.testing.assert_array_equal(got, data[start:stop:step])


# ---- sizes
def vast(rows: int, columns: int) -> tuple[list[Node], list[Array], Node]:
    """A value of unknown extents without data: what the inputs say it is."""
    m, n = integer(), integer()
    cells = alloc(const(1.0), m, n, shape=(None, None))
    return [m, n], [np.array(rows), np.array(columns)], cells


@pytest.mark.parametrize(
    ("rows", "columns"),
    [(2**40, 2**40), (2**62, 4), (2**63 - 1, 2**63 - 1), (2**31, 2**31), (2**33, 2**31)],
)
def test_a_buffer_beyond_all_memory_is_refused(rows: int, columns: int) -> None:
    inputs, values, cells = vast(rows, columns)
    for out in (cells, exp(add(cells, const(1.0))), sum_(exp(cells), axes=(0,))):
        function = native(inputs, out)
        if out.ndim == 1 and rows * columns > 2**32:
            continue  # the sum itself needs little memory, only time
        with pytest.raises(LimitExceeded):
            function(values)
        np.testing.assert_allclose(
            function([np.array(2), np.array(3)])[0],
            numpys(inputs, [out], [np.array(2), np.array(3)])[0],
        )


@pytest.mark.parametrize("extent", [-1, -(2**63)])
def test_a_negative_extent_is_refused(extent: int) -> None:
    m = integer()
    for out in (alloc(const(1.0), m, shape=(None,)), reshape(iota(m), shape=(-1, 1))):
        if out.op is alloc:
            assert isinstance(failure([m], out, np.array(extent)), ShapeError)
        else:
            assert native([m], out)([np.array(extent)])[0].shape == (0, 1)


@pytest.mark.parametrize(
    ("size", "shape", "values", "fine"),
    [
        (6, (None, -1), (3,), True),
        (6, (None, -1), (4,), False),
        (6, (None, -1), (0,), False),
        (6, (None, None), (2, 3), True),
        (6, (None, None), (2, 4), False),
        (6, (None, None), (-2, -3), False),
        (0, (None, None), (2**32, 2**32), False),
    ],
)
def test_a_reshape_keeps_the_number_of_elements(
    size: int, shape: tuple[Any, ...], values: tuple[int, ...], fine: bool
) -> None:
    x, dims = leaf(1), [integer() for _ in values]
    function = native([x, *dims], reshape(x, *dims, shape=shape))
    arguments = [np.arange(float(size)), *map(np.array, values)]
    if fine:
        want = arguments[0].reshape(values[0], -1)
        np.testing.assert_array_equal(function(arguments)[0], want)
    else:
        with pytest.raises(ShapeError):
            function(arguments)


def test_blas_takes_no_more_than_its_integers_hold() -> None:
    x, n = leaf(2), integer()
    column = alloc(const(1.0), n, shape=(None,))
    error = failure([x, n], dot(x, column), np.zeros((0, 2**31)), np.array(2**31))
    assert isinstance(error, LimitExceeded)


# ---- order of steps
def test_checks_come_before_kernels_and_fetches_before_what_needs_them() -> None:
    x, count = leaf(1), leaf(1, "int64")
    bound = sum_(count, axes=(0,))
    out = add(subtensor(x, bound, index=(("slice", None, NEXT, None),)), const(1.0))
    plan = make_plan(optimize(Graph((x, count), (out, sub(x, x)))))
    kinds = [type(step) for step in plan.steps]
    assert kinds.count(Fetch) == 1
    assert kinds.index(Fetch) > kinds.index(Kernel)
    assert Blas not in kinds


def test_an_extent_is_checked_once() -> None:
    x, y, z = (leaf(1) for _ in range(3))
    plan = make_plan(optimize(Graph((x, y, z), (mul(add(x, y), add(y, z)), sub(z, x)))))
    assert sum(isinstance(step, Check) for step in plan.steps) == 2


def test_extents_known_statically_need_no_check() -> None:
    x, y = (input_(type=TensorType("float64", (3,))) for _ in range(2))
    plan = make_plan(optimize(Graph((x, y), (add(x, y), shape_i(x, axis=0)))))
    assert not any(isinstance(step, Check) for step in plan.steps)
