"""Print: what a running function shows, in this process and from a server."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd import function, shared
from exprd.printing import Print, debugprint

pytestmark = pytest.mark.usefixtures("mode")


def test_a_print_shows_the_value(capsys: pytest.CaptureFixture[str]) -> None:
    x = T.dvector("x")
    f = function([x], Print("doubled")(x * 2).sum())
    assert f([1.0, 2.0]) == 6
    assert capsys.readouterr().out == "doubled __str__ = [2. 4.]\n"


def test_attributes_and_methods(capsys: pytest.CaptureFixture[str]) -> None:
    x = T.dmatrix("x")
    attrs = ("shape", "max", "dtype", "ndim", "tolist", "T")
    f = function([x], Print("x", attrs=attrs)(x) * 1)
    f(np.ones((1, 2)))
    assert capsys.readouterr().out.splitlines() == [
        "x shape = (1, 2)",
        "x max = 1.0",
        "x dtype = float64",
        "x ndim = 2",
        "x tolist = [[1.0, 1.0]]",
        "x T = [[1.]",
        " [1.]]",
    ]


def test_a_function_instead_of_printing() -> None:
    x = T.dvector("x")
    seen: list[object] = []
    printer = Print("m", global_fn=lambda op, value: seen.append((op.message, value.tolist())))
    f = function([x], [printer(x), x], updates=None)
    f([1.0])
    f([2.0, 3.0])
    assert seen == [("m", [1.0]), ("m", [2.0, 3.0])]


def test_prints_are_in_order_and_each_happens_once(capsys: pytest.CaptureFixture[str]) -> None:
    x = T.dscalar("x")
    first = Print("first")(x)
    second = Print("second")(first + 1)
    f = function([x], [second * second, first * 0, second - second])
    assert [float(v) for v in f(1.0)] == [4, 0, 0]
    assert capsys.readouterr().out == "first __str__ = 1.0\nsecond __str__ = 2.0\n"


def test_prints_in_updates_show_old_values(capsys: pytest.CaptureFixture[str]) -> None:
    w = shared(1.0)
    f = function([], [], updates={w: Print("w")(w) + 1})
    assert (f(), f()) == ([], [])
    assert capsys.readouterr().out == "w __str__ = 1.0\nw __str__ = 2.0\n"


def test_gradients_pass_through() -> None:
    x = T.dscalar("x")
    seen: list[float] = []
    y = Print(global_fn=lambda _, value: seen.append(float(value)))(x**2) * 3
    slope: Any = T.grad(y, x)
    assert function([x], slope)(5.0) == 30
    assert function([x], [y, slope])(2.0) == [12.0, 12.0]
    assert seen.count(4.0) == 1


def test_outputs_kept_and_arranged(capsys: pytest.CaptureFixture[str]) -> None:
    x = T.dvector("x")
    f = function([x], {"a": Print("p")(x) + 1, "b": x})
    assert f([1.0])["a"].tolist() == [2.0]
    kept = f.keep([2.0])
    assert kept["a"].get().tolist() == [3.0]
    assert capsys.readouterr().out == "p __str__ = [1.]\np __str__ = [2.]\n"
    assert len(f.maker.fgraph.outputs) == 2
    g = f.copy()
    g([5.0])
    assert capsys.readouterr().out == "p __str__ = [5.]\n"


def test_a_failed_call_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    x = T.dvector("x")
    f = function([x], Print("p")(x)[3])
    with pytest.raises(IndexError):
        f([1.0])
    assert capsys.readouterr().out == ""


def test_a_print_in_a_tree() -> None:
    x = T.dvector("x")
    text = debugprint(Print("message")(x), file="str")
    assert isinstance(text, str)
    assert text.startswith("Print{attrs=('__str__',), message=message} [id A]")
    assert repr(Print("m")) == "Print('m', attrs=('__str__',))"
    assert exprd.clone(Print("m")(x), {x: x + 1}).node.origin.note is not None
