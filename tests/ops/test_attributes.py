"""Attributes come from strangers: what is not of the expected kind is refused at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exprd_compiler.errors import GraphError, ShapeError
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add
from exprd_compiler.ops.index import NEXT
from exprd_compiler.ops.leaves import const, input_
from exprd_compiler.ops.movement import reshape
from exprd_compiler.ops.positions import iota
from exprd_compiler.ops.table import OPS
from tests.ops.conftest import RunGraph

X = input_(type=TensorType("float64", (None, 3)))
SQUARE = input_(type=TensorType("float64", (3, 3)))
POINT = input_(type=TensorType("float64"))
HUGE = 2**62 + 1

WRONG: list[tuple[str, tuple[Node, ...], dict[str, Any]]] = [
    *[("sum", (X,), {"axes": axes}) for axes in ((0.0,), (True,), (1, 0), (2,), (HUGE,))],
    *[("argmax", (X,), {"axes": axes}) for axes in ((1.0,), (), (0, 1))],
    *[("dimshuffle", (X,), {"order": order}) for order in ((1.0, 0), (0, 0), ("a", 0), (1,))],
    *[("shape_i", (X,), {"axis": axis}) for axis in (1.0, True, None, 2, "1")],
    *[("softmax", (X,), {"axis": axis}) for axis in (1.0, True, None, 2, "1")],
    *[
        ("reshape", (X,), {"shape": shape})
        for shape in ((1.0,), (True,), ("a",), (-2,), (-1, -1), (None,), (2**40, 2**40))
    ],
    *[
        ("alloc", (POINT,), {"shape": shape})
        for shape in ((1.5,), (True,), (-1,), (None,), (2**62, 2**62), (HUGE,))
    ],
    *[("iota", (), {"length": length}) for length in (1.0, -1, True, "a", HUGE, None)],
    *[("subtensor", (X,), {"index": (("at", at),)}) for at in (1.0, None, "first", True, HUGE)],
    *[
        ("subtensor", (X,), {"index": (("slice", *bounds),)})
        for bounds in (
            (1.0, None, None),
            (None, "x", None),
            (True, None, None),
            (HUGE, None, None),
            (None, None, 0),
            (None, None, True),
            (None, None, HUGE),
            (None, None, NEXT),
            (None, NEXT, None),
            (None, None),
        )
    ],
    *[("subtensor", (X,), {"index": index}) for index in (((),), (("every", 1),))],
    ("subtensor", (SQUARE,), {"index": (("at", 3),)}),
    *[
        (name, (SQUARE, SQUARE), {"alpha": alpha, "beta": 0.0})
        for name, alpha in (("gemm", "1.0"), ("gemm", 1), ("gemm", None), ("gemv", 1.0))
    ],
    *[("cast", (X,), {"dtype": dtype}) for dtype in (3, None, "float", "float65")],
    ("assign", (X, POINT), {"index": (), "mode": "multiply"}),
    *[("sort", (X,), {"descending": descending}) for descending in (0, None, "no")],
    ("argsort", (POINT,), {"descending": False}),
    *[
        ("top", (X,), {"count": count, "descending": True})
        for count in (-1, 1.0, True, "1", None, HUGE, 4)
    ],
    ("searchsorted", (X, X), {"right": True}),
    ("searchsorted", (iota(length=3), POINT), {"right": False}),
    ("searchsorted", (iota(length=3), iota(length=3)), {"right": 1}),
    *[("bincount", (x, const(3)), {}) for x in (X, POINT, const([1], "uint64"))],
    ("bincount", (iota(length=3), POINT), {}),
    ("bincount_weighted", (iota(length=3), X, const(3)), {}),
    *[("true_positions", (x, const(3)), {}) for x in (X, iota(length=3), const(0, "bool"))],
    ("bounded", (iota(length=3), const(3, "int32")), {}),
    ("input", (), {"type": "float64[3]"}),
]


@pytest.mark.parametrize(
    ("name", "inputs", "attrs"), [pytest.param(*case, id=f"{case[0]}-{case[2]}") for case in WRONG]
)
def test_a_wrong_attribute_makes_no_node(
    name: str, inputs: tuple[Node, ...], attrs: dict[str, Any]
) -> None:
    # a rule may also trip over what it never expects; whoever decodes turns that into an error
    with pytest.raises((GraphError, TypeError, IndexError)):
        OPS[name](*inputs, **attrs)


@pytest.mark.parametrize("sides", [(2**32, 2**32), (2**62, 4), (2**31, 2**31, 4)])
def test_a_number_of_elements_that_wraps_around_does_not_fit(
    sides: tuple[int, ...], run_graph: RunGraph
) -> None:
    x = input_(type=TensorType("float64", (None,)))
    dims = [input_(type=TensorType("int64")) for _ in sides]
    y = add(reshape(x, *dims, shape=(None,) * len(sides)), const(1.0))
    with pytest.raises(ShapeError):
        run_graph(Graph((x, *dims), (y,)), [np.zeros(0), *map(np.int64, sides)])


def test_nothing_may_be_reshaped_to_nothing(run_graph: RunGraph) -> None:
    x = input_(type=TensorType("float64", (None,)))
    dims = [input_(type=TensorType("int64")) for _ in range(3)]
    y = reshape(x, *dims, shape=(None, None, None))
    sides = [np.array(side) for side in (2**20, 0, 2**20)]
    (got,) = run_graph(Graph((x, *dims), (y,)), [np.zeros(0), *sides])
    assert got.shape == (2**20, 0, 2**20)
