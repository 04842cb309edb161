"""clone, eval and OrderedUpdates."""

from __future__ import annotations

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd import OrderedUpdates, clone, function, shared
from exprd.errors import CallError, GraphError, MissingInput


@pytest.mark.usefixtures("mode")
def test_clone_replaces_any_variable() -> None:
    x, y, z = T.dscalars("x", "y", "z")
    inner = x + y
    out = inner * 2
    assert function([z, y], clone(out, replace={x: z}))(1, 2) == 6
    assert function([z], clone(out, replace=[(inner, z**2)]))(3) == 18
    assert function([y], clone(out, replace={x: 5}))(1) == 12
    w = shared(3.0)
    assert function([y], clone(out, {x: w}))(1) == 8
    assert function([x, y], out)(1, 2) == 6  # the original is as it was


def test_clone_gives_what_it_got() -> None:
    x, z = T.dscalars("x", "z")
    assert isinstance(clone([x + 1], {x: z}), list)
    assert isinstance(clone((x + 1, x), {x: z}), tuple)
    assert clone({"a": x}, {x: z}) == {"a": z}
    assert clone(x) is x


def test_clone_checks_types() -> None:
    x, v = T.dscalar("x"), T.fscalar("v")
    with pytest.raises(TypeError, match="strict=False"):
        clone(x + 1, {x: v})
    assert clone(T.exp(x), {x: v}, strict=False).dtype == "float32"
    with pytest.raises(ValueError, match="strict=False"):
        clone(x + 1, {x: T.dvector()})
    with pytest.raises(CallError, match="replaces variables"):
        clone(x, {"x": x})


def test_clone_with_new_inputs() -> None:
    x = T.dscalar("x")
    other = clone(x * 2, share_inputs=False)
    with pytest.raises(MissingInput):
        function([x], other)
    assert other.owner is not None
    leaf = other.owner.inputs[0]
    assert (leaf.name, leaf == x) == ("x", False)


@pytest.mark.usefixtures("mode")
def test_eval_by_variable_and_by_name() -> None:
    x, y = T.dscalars("x", "y")
    z = x + y * 10
    assert z.eval({x: 1, y: 2}) == z.eval({x: 1}, y=2) == z.eval(x=1, y=2) == 21
    assert shared(4.0).eval() == 4
    assert (x * 2).eval({x: 3}, mode="FAST_COMPILE") == 6
    with pytest.raises(MissingInput):
        z.eval({x: 1})
    with pytest.raises(CallError, match="there are: x, y"):
        z.eval(w=1)
    with pytest.raises(CallError, match="values of variables"):
        z.eval({"x": 1})


@pytest.mark.usefixtures("mode")
def test_eval_compiles_once() -> None:
    x = T.dvector("x")
    y = x.sum()
    y.eval({x: [1.0]})
    (made,) = y.node.origin.functions.values()
    assert y.eval({x: [1.0, 2.0]}) == 3
    assert list(y.node.origin.functions.values()) == [made]


@pytest.mark.usefixtures("mode")
def test_ordered_updates() -> None:
    a, b = shared(1.0), shared(2.0)
    updates = OrderedUpdates({a: b}) + OrderedUpdates([(b, a)])
    function([], [], updates=updates)()
    assert (a.get_value(), b.get_value()) == (2, 1)
    with pytest.raises(CallError, match="SharedVariable"):
        updates[T.dscalar()] = a
    with pytest.raises(GraphError, match="two updates"):
        updates.update({a: a + 1})
    joined = {a: b} + OrderedUpdates({b: np.float64(3)})
    assert list(joined) == [a, b]
    assert isinstance(joined, exprd.OrderedUpdates)
