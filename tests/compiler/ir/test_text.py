"""Graphs as text: what it looks like, that it comes back, and that a wrong one is told where."""

from __future__ import annotations

import time

import numpy as np
import pytest

from exprd_compiler.errors import GraphError, UnsupportedVersion
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.text import parse_graph, print_graph
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, mul
from exprd_compiler.ops.index import subtensor
from exprd_compiler.ops.leaves import const, input_, shared
from exprd_compiler.ops.reduce import sum_
from exprd_compiler.ops.table import find_op

MATRIX = TensorType("float32", (None, 3))


def named(node: Node, name: str) -> Node:
    node.name = name
    return node


def training_step() -> Graph:
    x = named(input_(type=MATRIX), "x")
    w = named(shared(type=TensorType("float32", (3,))), "w")
    scaled = mul(add(x, w), const(0.1, "float32"))
    scaled.origin = 12
    total = sum_(scaled, axes=(0,))
    row = subtensor(x, index=(("at", 2), ("slice", None, None, -1)))
    return Graph((x,), (row, row), (w,), ((0, total),))


TRAINING_STEP = """\
%0 "x" = input {type=float32[?,3]}
%1 "w" = shared {type=float32[3]}
%2 = subtensor(%0) {index=(("at", 2), ("slice", none, none, -1))} : float32[3]
%3 = add(%0, %1) : float32[?,3]
%4 = constant {value=float32[]{0.1}}
%5 = mul(%3, %4) : float32[?,3] @ 12
%6 = sum(%5) {axes=(0,)} : float32[3]
inputs %0
shared %1
outputs %2 %2
update 0 %6
"""


def test_what_a_graph_looks_like() -> None:
    assert print_graph(training_step(), origins=True) == TRAINING_STEP


def test_what_is_printed_comes_back() -> None:
    graph = parse_graph(TRAINING_STEP, find_op)
    assert print_graph(graph, origins=True) == TRAINING_STEP
    assert graph.outputs[0] is graph.outputs[1]
    assert graph.updates[0][1].inputs[0].origin == 12
    assert [leaf.name for leaf in graph.leaves] == ["x", "w"]


def test_origins_that_are_no_numbers_stay_here() -> None:
    graph = training_step()
    graph.outputs[0].origin = object()
    assert print_graph(graph, origins=True) == TRAINING_STEP


def test_without_names_and_origins_the_text_is_canonical() -> None:
    graph, other = training_step(), training_step()
    other.inputs[0].name = "something else"
    other.outputs[0].name = 'a "name"\nof two lines'
    assert print_graph(graph, names=False) == print_graph(other, names=False)
    assert print_graph(graph) != print_graph(other)
    assert print_graph(parse_graph(print_graph(other), find_op)) == print_graph(other)


def test_equal_nodes_stay_apart() -> None:
    x = input_(type=MATRIX)
    graph = Graph((x,), (add(x, x), add(x, x)))
    parsed = parse_graph(print_graph(graph), find_op)
    assert parsed.outputs[0] is not parsed.outputs[1]


def test_the_types_may_be_left_out_and_blank_lines_put_in() -> None:
    text = TRAINING_STEP.replace(" : float32[?,3]", "").replace("inputs", "\ninputs")
    assert print_graph(parse_graph(text, find_op)) == print_graph(training_step())


@pytest.mark.parametrize(
    ("line", "wrong", "message"),
    [
        (3, "%2 = subtensor(%9) {index=()}", "%9 is not defined above"),
        (3, "%2 = subtensor(%0) {index=()", "'}' expected"),
        (3, "%2 = subtensor(%0) {index=[]}", "cannot read"),
        (3, "%2 = subtensor(%0) {index=(), index=()}", "not the name of a further attribute"),
        (3, "%2 = subtensor(%0) {index=}", "'}' is not a value"),
        (3, "%2 = subtensor(%0)", "index"),
        (3, "%2 = subtensor(%0) {index=3}", ""),
        (3, "%2 = subtensor(%0) {index=()} nonsense", "cannot read ' nonsense'"),
        (3, f"%2 = subtensor(%0) {{index={'(' * 99}}}", "not a value"),
        (4, "%3 = add(%0, %1) : float64[?,3]", r"add gives float32\[\?,3\], not float64\[\?,3\]"),
        (4, "%3 = add(%0) : float32[?,3]", "takes 2 inputs"),
        (4, "%1 = add(%0, %1)", "%1 is defined already"),
        (4, "3 = add(%0, %1)", "not understood"),
        (4, "%3 + add(%0, %1)", "not a node"),
        (5, "%4 = constant {value=float32[2]{0.1}}", "not the elements of"),
        (5, "%4 = constant {value=float32[?]{0.1}}", "no definite shape"),
        (5, '%4 = constant {value=float32[2]"AAAA"}', "not the elements of"),
        (5, '%4 = constant {value=bool[3]"AAEC"}', "a bool is 0 or 1"),
        (5, "%4 = constant {value=int8[]{128}}", "not the elements of"),
        (5, "%4 = constant {value=int8[]{1.5}}", "not the elements of"),
        (5, "%4 = constant {value=bool[]{2}}", "not the elements of"),
        (1, '%0 "x" = input {type=float32[-1]}', "'float32' is not a value"),
        (1, '%0 "x" = input {type=float32[,]}', "is not a type"),
        (1, '%0 "x" = input {type=float32[4611686018427387905]}', "extent"),
        (8, "inputs 0", "'0' is not a reference"),
        (8, "inputs %0\ninputs %0", "not understood"),
        (11, "update x %6", "invalid literal"),
        (11, "update 0", "not understood"),
    ],
)
def test_wrong_text_is_told_by_its_line(line: int, wrong: str, message: str) -> None:
    lines = TRAINING_STEP.splitlines()
    lines[line - 1] = wrong
    last = line + wrong.count("\n")
    with pytest.raises(GraphError, match=rf"^line {last}: .*{message}") as error:
        parse_graph("\n".join(lines), find_op)
    assert error.value.fields["line"] == str(last)


def test_text_that_ends_early() -> None:
    with pytest.raises(GraphError, match="ends before the line 'inputs'"):
        parse_graph("%0 = input {type=bool[]}", find_op)


def test_an_op_that_is_not_known() -> None:
    with pytest.raises(UnsupportedVersion, match="frobnicate"):
        parse_graph("%0 = frobnicate", find_op)


def test_a_hundred_thousand_nodes() -> None:
    x = input_(type=MATRIX)
    y = x
    for _ in range(100_000):
        y = add(y, x)
    start = time.perf_counter()
    text = print_graph(Graph((x,), (y,)))
    assert print_graph(parse_graph(text, find_op)) == text
    assert time.perf_counter() - start < 30


def test_large_constants_keep_their_bytes(rng: np.random.Generator) -> None:
    value = rng.standard_normal((17, 5))
    graph = Graph((), (const(value),))
    (parsed,) = parse_graph(print_graph(graph), find_op).outputs
    assert parsed["value"] == graph.outputs[0]["value"]
