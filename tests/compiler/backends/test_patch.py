"""Patches: updates that write into a part of their variable, against the meaning of the graph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from exprd_compiler.backends.patch import Patch
from exprd_compiler.driver import Artifact, Function, compile_artifact, compile_graph, link
from exprd_compiler.errors import IndexOutOfRange, ShapeError
from exprd_compiler.interpret import evaluate
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.kernel.writes import split_writes
from exprd_compiler.ops.arithmetic import mul
from exprd_compiler.ops.index import NEXT, assign, gather, scatter, subtensor
from exprd_compiler.ops.leaves import const, input_, shared
from exprd_compiler.options import CompileOptions
from tests.compiler.native import leaf

ROWS = 37
BATCH = (("slice", NEXT, NEXT, None),)


def table(dtype: str = "float64") -> Node:
    return shared(type=TensorType(dtype, (None, None)))


def updated(new: Callable[..., Node], *inputs: Node) -> tuple[Graph, Function]:
    """A graph that updates a table, compiled, from its bytes."""
    w = table()
    graph = Graph(inputs, (), (w,), ((0, new(w, *inputs)),))
    data = compile_artifact(graph, CompileOptions()).to_bytes()
    return graph, link(Artifact.from_bytes(data))


def the_patch(function: Function, *arguments: np.ndarray) -> Patch:
    (found,), _ = function.changes(arguments)
    assert isinstance(found, Patch)
    return found


def written_twice(w: Node, i: Node, y: Node) -> Node:
    """Adds to rows, then sets rows that may be the same ones."""
    return scatter(scatter(w, y, i, mode="inc"), mul(y, const(2.0)), mul(i, const(-1)), mode="set")


def of_old_rows(w: Node, i: Node, y: Node) -> Node:
    """Rows that decay: what is written is made of the old value."""
    return scatter(w, mul(gather(w, i), y), i, mode="set")


FORMS = {
    "inc": lambda w, i, y: scatter(w, y, i, mode="inc"),
    "set": lambda w, i, y: scatter(w, y, i, mode="set"),
    "twice": written_twice,
    "old rows": of_old_rows,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", [0, 1, 5, 200])
def test_rows_become_what_the_graph_means(form: str, count: int) -> None:
    """Index sets with duplicates and negative indexes, and the empty one."""
    random = np.random.default_rng(count)
    graph, function = updated(FORMS[form], leaf(1, "int64"), leaf(2))
    index = random.integers(-ROWS + 1, ROWS, count)
    rows, w = random.standard_normal((count, 5)), random.standard_normal((ROWS, 5))
    before = w.copy()
    (want,) = evaluate(graph, [index, rows], [w])[1]
    (whole,) = function([index, rows, w])
    np.testing.assert_array_equal(whole, want)
    np.testing.assert_array_equal(w, before)
    patch = the_patch(function, index, rows, w)
    patch.write(w)
    np.testing.assert_array_equal(w, want)
    patch.restore(w)
    np.testing.assert_array_equal(w, before)


@pytest.mark.parametrize("mode", ["set", "inc"])
@pytest.mark.parametrize("start", [0, 3, -4, 90])
def test_batches_become_what_the_graph_means(mode: str, start: int) -> None:
    graph, function = updated(
        lambda w, a, b, y: assign(w, y, a, b, index=BATCH, mode=mode),
        leaf(0, "int64"),
        leaf(0, "int64"),
        leaf(0),
    )
    w = np.random.default_rng(0).standard_normal((ROWS, 5))
    arguments = [np.array(start), np.array(start + 3), np.array(2.0)]
    (want,) = evaluate(graph, arguments, [w])[1]
    before = w.copy()
    patch = the_patch(function, *arguments, w)
    patch.write(w)
    np.testing.assert_array_equal(w, want)
    patch.restore(w)
    np.testing.assert_array_equal(w, before)


@pytest.mark.parametrize("bad", [ROWS, -ROWS - 1])
def test_a_bad_index_writes_nothing(bad: int) -> None:
    """Also when it stands behind good ones, in the second write."""
    _, function = updated(
        lambda w, i, j, y: scatter(scatter(w, y, i, mode="inc"), y, j, mode="set"),
        leaf(1, "int64"),
        leaf(1, "int64"),
        leaf(2),
    )
    w = np.zeros((ROWS, 5))
    good, last = np.array([1, 2]), np.array([3, bad])
    with pytest.raises(IndexOutOfRange, match=rf"index {bad} is out of range") as caught:
        the_patch(function, good, last, np.ones((2, 5)), w)
    assert caught.value.op == "scatter"
    assert not w.any()


def test_values_that_do_not_fit_write_nothing() -> None:
    _, function = updated(FORMS["set"], leaf(1, "int64"), leaf(2))
    w = np.zeros((ROWS, 5))
    patch = the_patch(function, np.array([1, 2]), np.ones((3, 5)), w)
    with pytest.raises(ShapeError):
        patch.write(w)
    assert not w.any()


def test_operands_that_lie_in_the_value_are_read_first() -> None:
    _, function = updated(FORMS["set"], leaf(1, "int64"), leaf(2))
    w = np.arange(ROWS * 5.0).reshape(ROWS, 5)
    want = w.copy()
    want[[1, 0]] = w[:2]
    the_patch(function, np.array([1, 0]), w[:2], w).write(w)
    np.testing.assert_array_equal(w, want)


# ---- which updates are patches
def split_count(w: Node, new: Node, *outputs: Node) -> int:
    return len(split_writes(Graph((), outputs, (w,), ((0, new),))).writers)


def test_new_values_that_are_read_are_computed_whole() -> None:
    w = table()
    new = scatter(w, const(1.0), const([1]), mode="inc")
    assert split_count(w, new) == 1
    assert split_count(w, new, w) == 1
    assert split_count(w, new, new) == 0
    assert split_count(w, new, mul(new, new)) == 0


def test_writes_of_something_else_are_computed_whole() -> None:
    w, v = table(), table()
    of_other = scatter(v, const(1.0), const([1]), mode="inc")
    assert not split_writes(Graph((), (), (w, v), ((0, of_other),))).writers
    assert split_count(w, scatter(mul(w, w), const(1.0), const([1]), mode="inc")) == 0


@pytest.mark.parametrize(
    ("entry", "narrow"),
    [
        (("at", 3), True),
        (("slice", 0, 4, None), True),
        (("slice", -3, None, None), True),
        (("slice", None, None, None), False),
        (("slice", 1, None, None), False),
        (("slice", None, -1, None), False),
        (("slice", None, None, -1), False),
    ],
)
def test_writes_of_nearly_everything_are_computed_whole(entry: tuple, narrow: bool) -> None:
    w = table()
    assert split_count(w, assign(w, const(1.0), index=(entry,), mode="inc")) == narrow


def test_a_value_read_by_another_patch_is_computed_whole() -> None:
    w, v = table(), table()
    new = scatter(w, const(1.0), const([1]), mode="inc")
    row = subtensor(new, index=(("at", 1),))
    other = scatter(v, row, const([2]), mode="set")
    split = split_writes(Graph((), (), (w, v), ((0, new), (1, other))))
    assert [writer.update for writer in split.writers] == [1]
    function = compile_graph(Graph((), (), (w, v), ((0, new), (1, other))), CompileOptions())
    values = [np.zeros((3, 2)), np.zeros((3, 2))]
    one, two = function.executable(values)
    np.testing.assert_array_equal(one, [[0, 0], [1, 1], [0, 0]])
    np.testing.assert_array_equal(two, [[0, 0], [0, 0], [1, 1]])


# ---- what was written
def test_dirty_ranges_hold_all_that_is_written() -> None:
    random = np.random.default_rng(0)
    _, function = updated(FORMS["inc"], leaf(1, "int64"), leaf(2))
    w = np.zeros((50_000, 8))
    index = random.integers(-50_000, 50_000, 40)
    patch = the_patch(function, index, np.ones((40, 8)), w)
    ranges = patch.dirty(w)
    patch.write(w)
    inside = np.zeros(w.nbytes, bool)
    for start, stop in ranges:
        inside[start:stop] = True
    assert not w.view(np.uint8).reshape(-1)[~inside].any()
    assert len(ranges) > 10
    assert list(ranges) == sorted(ranges)


def test_dirty_ranges_of_a_column_are_one() -> None:
    _, function = updated(
        lambda w, y: assign(w, y, index=(("slice", 2, 9, None), ("at", 1)), mode="set"), leaf(0)
    )
    w = np.zeros((ROWS, 5))
    patch = the_patch(function, np.array(1.0), w)
    assert patch.dirty(w) == ((8 * 11, 8 * 42),)


def test_no_rows_make_nothing_dirty() -> None:
    _, function = updated(FORMS["inc"], leaf(1, "int64"), leaf(2))
    w = np.zeros((ROWS, 5))
    assert the_patch(function, np.array([], int), np.ones((0, 5)), w).dirty(w) == ()


def test_inputs_are_typed_leaves() -> None:
    """What the writer takes has the types of what it stands for."""
    w = table("float32")
    i, y = leaf(1, "int32"), input_(type=TensorType("float32", (None, 5)))
    (writer,) = split_writes(Graph((i, y), (), (w,), ((0, scatter(w, y, i, mode="set")),))).writers
    assert [x.type for x in writer.graph.inputs] == [i.type, y.type]
    assert writer.operands == (0, 1)
    assert writer.old == (-1,)
