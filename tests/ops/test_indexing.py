"""Mixed indexes, masks and choices: what is refused, and what only a call can refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from exprd_compiler.errors import DTypeError, GraphError, IndexOutOfRange, ShapeError
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.choice import choose
from exprd_compiler.ops.index import NEXT, subtensor
from exprd_compiler.ops.leaves import const, input_
from exprd_compiler.ops.masks import flatnonzero, nonzero
from exprd_compiler.ops.mixed import pick, put
from tests.ops.conftest import RunGraph

X = input_(type=TensorType("float64", (None, 3)))
PLACES = input_(type=TensorType("int64", (None,)))
NUMBER = input_(type=TensorType("int64"))
ARRAY, REST, EVERY = ("array",), ("rest",), ("slice", None, None, None)

WRONG: list[Any] = [
    *[(), None, 5, (5,), "array", ("array",), ((),), (ARRAY, 3), (EVERY,), (("at", 1), ARRAY)],
    *[(ARRAY, REST, REST), (("array", 0),), (ARRAY,) * 2, (EVERY, EVERY, ARRAY), (["array"],)],
    *[(("slice", *parts), ARRAY) for parts in ((NEXT, None, None), (None, None, 0), (None, None))],
    *[(("slice", part, None, None), ARRAY) for part in (True, 1.0, "x", 2**62 + 1)],
]


@pytest.mark.parametrize("index", WRONG, ids=repr)
def test_malformed_indexes(index: Any) -> None:
    with pytest.raises(GraphError):
        pick(X, PLACES, index=index)
    with pytest.raises(GraphError):
        put(X, NUMBER, PLACES, index=index, mode="set")


@pytest.mark.parametrize("index", [None, 5, (5,), ("at",)], ids=repr)
def test_malformed_views(index: Any) -> None:
    with pytest.raises(GraphError):
        subtensor(X, index=index)


def test_operands_of_the_wrong_kind() -> None:
    index = (EVERY, ARRAY)
    with pytest.raises(DTypeError, match="integers"):
        pick(X, X, index=index)
    with pytest.raises(DTypeError, match="cast the value"):
        put(PLACES, X, PLACES, index=(ARRAY,), mode="set")
    with pytest.raises(ShapeError, match="cannot write"):
        put(X, input_(type=TensorType("float64", (2, None, None))), PLACES, index=index, mode="set")
    with pytest.raises(GraphError, match="mode"):
        put(X, X, PLACES, index=index, mode="add")
    for axis in (2, -1, 1.0, True):
        with pytest.raises(GraphError):
            nonzero(X, axis=axis)
    with pytest.raises(GraphError, match="choose"):
        choose(PLACES)
    with pytest.raises(DTypeError, match="integers"):
        choose(X, X)


def failing(node: Node, kind: type[Exception], text: str, run: RunGraph, *arrays: Any) -> None:
    inputs = tuple(dict.fromkeys(node.inputs))
    with pytest.raises(kind, match=text):
        run(Graph(inputs, (node,)), [np.asarray(a) for a in arrays])


def test_what_a_call_refuses(run_graph: RunGraph) -> None:
    x = np.zeros((2, 3))
    picked = pick(X, PLACES, index=(EVERY, ARRAY))
    failing(picked, IndexOutOfRange, "3.*3", run_graph, x, np.array([0, 3]))
    written = put(X, NUMBER, PLACES, index=(("slice", 1, None, None), ARRAY), mode="inc")
    failing(written, IndexOutOfRange, "-4.*3", run_graph, x, 0, np.array([-4]))
    stepped = subtensor(X, NUMBER, index=(("slice", None, None, NEXT),))
    failing(stepped, ShapeError, "step", run_graph, x, 0)
    for wrong in ([0, 2], [-1, 0]):
        failing(choose(PLACES, NUMBER, PLACES), IndexOutOfRange, "2", run_graph, np.array(wrong), 0)
    failing(choose(PLACES, NUMBER), IndexOutOfRange, "1", run_graph, np.array([0, 1]), 0)


def test_a_large_mask(run_graph: RunGraph, rng: np.random.Generator) -> None:
    mask = rng.integers(0, 3, (129, 1031)) == 0
    x = input_(type=TensorType("bool", (None, None)))
    outputs = (flatnonzero(x), nonzero(x, axis=0), nonzero(x, axis=1))
    for got, want in zip(
        run_graph(Graph((x,), outputs), [mask]),
        (np.flatnonzero(mask), *np.nonzero(mask)),
        strict=True,
    ):
        np.testing.assert_array_equal(got, want)


# ---- an extent that is 1 by chance broadcasts nowhere
def _leaf(array: np.ndarray) -> Node:
    return input_(type=TensorType(array.dtype.name, (None,) * array.ndim))


_I, _ONE = np.array([0, 2]), np.array([1])
_TABLE = np.arange(12.0).reshape(4, 3)
BY_CHANCE: dict[str, tuple[Callable[..., Node], tuple[np.ndarray, ...]]] = {
    "pick": (
        lambda x, i, j: pick(x, i, j, index=(ARRAY, ("new",), ARRAY)),
        (_TABLE, _I, _ONE),
    ),
    "put index": (
        lambda x, i, j: put(x, X0, i, j, index=(ARRAY, ("new",), ARRAY), mode="set"),
        (_TABLE, _I, _ONE),
    ),
    "put value": (
        lambda x, y, i: put(x, y, i, index=(EVERY, ARRAY), mode="inc"),
        (_TABLE, np.ones((4, 1)), _I),
    ),
    "put row": (
        lambda x, y, i: put(x, y, i, index=(EVERY, ARRAY), mode="set"),
        (_TABLE, np.ones(1), _I),
    ),
    "choose": (choose, (_I % 2, np.ones(2), np.ones(1))),
    "choose number": (choose, (np.array([0]), np.ones(2), np.ones(2))),
    "choose of one": (choose, (np.array([0, 0]), np.ones(1))),
}
X0 = const(0.0, "float64")


@pytest.mark.parametrize("case", BY_CHANCE)
def test_an_extent_of_1_that_only_a_call_knows(case: str, run_graph: RunGraph) -> None:
    build, arrays = BY_CHANCE[case]
    leaves = [_leaf(array) for array in arrays]
    graph = Graph(tuple(leaves), (build(*leaves),))
    with pytest.raises(ShapeError, match="only axes that are statically 1 broadcast"):
        run_graph(graph, arrays)
