"""debugprint, pp, min_informative_str, pydotprint: text and pictures of graphs."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import exprd
import exprd.tensor as T
from exprd import function, shared
from exprd.errors import CallError, MissingExtra
from exprd.printing import (
    debugprint,
    drawing,
    min_informative_str,
    pp,
    pydotprint,
    var_descriptor,
)

LONG = 10_000


def tree(*args: object, **kwargs: object) -> list[str]:
    """The lines of debugprint."""
    text = debugprint(*args, file="str", **kwargs)  # type: ignore[arg-type]
    assert isinstance(text, str)
    return [line.rstrip() for line in text.splitlines()]


def test_a_tree_in_theanos_form() -> None:
    x, y = T.dvectors("x", "y")
    z = x + y * 2
    z.name = "z"
    assert tree(T.exp(z)) == [
        "Elemwise{exp,no_inplace} [id A] ''",
        " |Elemwise{add,no_inplace} [id B] 'z'",
        "   |x [id C]",
        "   |Elemwise{mul,no_inplace} [id D] ''",
        "     |y [id E]",
        "     |TensorConstant{2} [id F]",
    ]


def test_what_repeats_is_printed_once() -> None:
    x = T.dmatrix("x")
    y = T.exp(x)
    assert tree([y * y, x]) == [
        "Elemwise{mul,no_inplace} [id A] ''",
        " |Elemwise{exp,no_inplace} [id B] ''",
        " | |x [id C]",
        " |Elemwise{exp,no_inplace} [id B] ''",
        "x [id C]",
    ]


def test_options_of_the_tree() -> None:
    x = T.row("x", dtype="float32")
    w = shared([1.0, 2.0], name="w")
    y = x * w
    y.name = "y"
    z = y.sum(axis=1)
    assert len(tree(z, depth=1)) == 1
    assert len(tree(z, depth=2)) == 2
    assert [line.strip() for line in tree(z, stop_on_name=True)][-1].endswith("'y'")
    assert tree(x, print_type=True) == ["x [id A] <TensorType(float32, row)>"]
    assert tree(x, ids="") == ["x"]
    assert tree([x, z], ids="int")[1].startswith("Sum{axes=(1,)} [id 1]")
    assert tree(x, ids="id")[0].startswith("x [id ")
    assert any("w [id D] [[1. 2.]]" in line for line in tree(z, print_storage=True))
    assert "clients:[output]" in tree(z, print_clients=True)[0]
    assert "clients:[(Sum{axes=(1,)}, 0)]" in tree(z, print_clients=True)[1]
    done: dict[object, str] = {}
    tree(x, done=done)
    assert tree(z, done=done)[0].startswith("Sum{axes=(1,)} [id B]")
    with pytest.raises(CallError, match="ids is one of"):
        debugprint(x, ids="letters")
    with pytest.raises(CallError, match="cannot print"):
        debugprint(3)


def test_where_a_tree_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    x = T.dscalar("x")
    assert debugprint(x) is sys.stdout
    assert capsys.readouterr().out == "x [id A]\n"
    file = io.StringIO()
    assert debugprint(x, file=file) is file
    assert file.getvalue() == "x [id A]\n"


@pytest.mark.usefixtures("mode")
def test_the_tree_of_a_function_is_the_optimized_graph() -> None:
    x, w = T.dmatrix("x"), shared([1.0, 2.0], name="w")
    f = function([x], T.log(1 + T.dot(x, w)), updates={w: w * 2})
    lines = tree(f)
    assert lines == tree(f.maker.fgraph)
    assert lines[0].startswith("Elemwise{log1p,no_inplace} [id A] ''")
    assert any("Gemv" in line and line.endswith("0") for line in lines)
    assert any(line.startswith("Elemwise{mul,no_inplace}") for line in lines)


def test_formulas() -> None:
    x, y = T.dmatrices("x", "y")
    i = T.lscalar("i")
    assert pp(x + y * 2) == "(x + (y * TensorConstant{2}))"
    assert pp(T.exp(-x.T)) == "exp((-x.T))"
    assert pp(x[1:, ::2, None], x[i, 0:i]) == ("DimShuffle{0,1,x}(x[1:, ::2]), x[i, 0:i]")
    assert pp(T.dot(x, y).sum(axis=0)) == "sum((x \\dot y), axes=(0,))"
    assert pp(T.cast(x, "float32")) == "Cast{float32}(x)"
    named = x**2
    named.name = "square"
    assert pp(named + 1) == "(square + TensorConstant{1})"
    slope: Any = T.grad(x.sum(), x)
    assert pp(slope).startswith("fill(x, ")


def test_indented_lists() -> None:
    x = T.dscalar("x")
    y = T.exp(x)
    assert min_informative_str(y + y) == (
        "A. Elemwise{add,no_inplace}\n B. Elemwise{exp,no_inplace}\n  C. x\n <B>"
    )


def test_variables_as_text() -> None:
    x, y = T.dvectors("x", None)
    assert str(x) == "x"
    assert str(y) == "<TensorType(float64, vector)>"
    assert str(x + y) == "Elemwise{add,no_inplace}.0"
    assert str(T.constant([1.0, 1.0])) == "TensorConstant{(2,) of 1.0}"
    assert str(T.constant(list(range(500)))).startswith("TensorConstant{[ 0 1 2")
    assert len(str(T.constant([i * 0.123456789 for i in range(15)]))) < 100


def test_long_chains_print_without_recursion() -> None:
    x = T.dscalar("x")
    y = x
    for _ in range(LONG):
        y = y + 1
    lines = tree(y)
    assert len(lines) == 2 * LONG + 1
    assert max(map(len, lines)) < 250
    assert min_informative_str(y).count("\n") == 2 * LONG
    assert pp(y).endswith("...") or pp(y).count("+") == LONG


def test_formulas_that_would_be_too_long_end() -> None:
    x = T.dscalar("x")
    for _ in range(100):
        x = x + x
    assert pp(x).endswith("...")


# ---- pictures
def test_pictures_are_described_for_graphviz(tmp_path: Path) -> None:
    x = T.dvector('a "name"')
    y = T.exp(x)
    y.name = "y"
    source = drawing.dot_source([y * 2, x])
    assert source.startswith("digraph exprd {")
    assert 'label="a \\"name\\" TensorType(float64, vector)"' in source
    assert "Elemwise{exp,no_inplace}" in source
    assert source.count("shape=ellipse") == 2
    assert source.count("shape=box") == 4
    assert drawing.dot_source(y * 2, compact=False).count("shape=box") == 4
    assert 'label="y"' in drawing.dot_source(y, types=False)
    assert "id=1" in drawing.dot_source(y, with_ids=True)
    assert "fillcolor" not in drawing.dot_source(y, filled=False)
    assert "red" in drawing.dot_source(y, colors={"Elemwise": "red"})
    assert 'label="Tenso..ctor)"' in drawing.dot_source(y, longest=12)
    target = tmp_path / "graph.dot"
    pydotprint(y * 2, target, format="dot")
    assert target.read_text() == drawing.dot_source(y * 2)


@pytest.mark.usefixtures("mode")
def test_pictures_of_functions() -> None:
    x, w = T.dmatrix("x"), shared([1.0, 2.0], name="w")
    f = function([x], T.dot(x, w))
    picture = pydotprint(f, format="dot", return_image=True)
    assert picture is not None
    assert b"Gemv" in picture


def test_without_graphviz_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingExtra, match="install the package graphviz"):
        pydotprint(T.dscalar("x"))


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs the program dot of Graphviz")
@pytest.mark.parametrize(("form", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_pictures_are_laid_out(form: str, start: bytes, tmp_path: Path) -> None:
    x = T.dvector("x")
    target = tmp_path / f"graph.{form}"
    pydotprint(T.exp(x) * 2, target, format=form)
    assert target.read_bytes().startswith(start)
    with pytest.raises(CallError, match="dot failed"):
        pydotprint(x, target, format="nonsense")


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs the program dot of Graphviz")
def test_graphviz_reads_every_description() -> None:
    x = T.dvector('x\\n"{}<>')
    source = drawing.dot_source(T.exp(x) + exprd.shared([1.0], name="<b>"))
    done = subprocess.run(["dot", "-Tplain"], input=source.encode(), capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_descriptors_are_equal_for_equal_expressions() -> None:
    x, y = T.dvector("x"), T.dvector("y")
    text = var_descriptor(T.exp(x) * 2 + y)
    assert text == var_descriptor(T.exp(y) * 2 + x)
    assert "exp(input0:float64[?])" in text
    assert "\n" not in text
    assert text != var_descriptor(T.exp(x) * 2 + x)
    assert text != var_descriptor(T.exp(x) * 3 + y)
    assert var_descriptor([x, y]) == "input0:float64[?], input1:float64[?]"


def test_descriptors_of_large_expressions_are_digests() -> None:
    x = T.dvector("x")
    deep = x
    for _ in range(2000):
        deep = deep * x + 1
    assert len(var_descriptor(deep)) < 1000
    assert var_descriptor(deep) != var_descriptor(deep + 1)
