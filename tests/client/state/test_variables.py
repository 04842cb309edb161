"""Paths of variables: which attributes count, in which order, and what is not looked into."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from exprd import nn, shared
from exprd.errors import CallError
from exprd.state.variables import named_leaves


class Plain:
    """An object of the user's, with the attributes of a call."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


class Slotted:
    """One without a dict."""

    __slots__ = ("bias", "missing", "weight")

    def __init__(self) -> None:
        self.weight, self.bias = shared(1.0), shared(2.0)


def paths(value: object) -> list[str]:
    return list(named_leaves(value))


def test_own_variables_come_before_those_of_parts() -> None:
    part = Plain(w=shared(1.0), b=shared(2.0))
    assert paths(Plain(first=part, own=shared(3.0))) == ["own", "first.w", "first.b"]


def test_lists_and_dicts_are_parts() -> None:
    layers = [Plain(w=shared(1.0)), (shared(2.0), {"x": shared(3.0), 7: shared(4.0)})]
    assert paths(Plain(layers=layers)) == [
        *("layers.0.w", "layers.1.0", "layers.1.1.x", "layers.1.1.7"),
    ]
    assert paths([shared(1.0)]) == ["0"]
    assert paths({"a": shared(1.0), (1, 2): shared(2.0)}) == ["a"]


def test_what_an_attribute_names_has_no_second_name_in_a_list() -> None:
    """Theano's tutorials keep `self.params` beside the attributes."""
    layer = Plain()
    layer.params = []
    layer.W, layer.b = shared(1.0), shared(2.0)
    layer.params += [layer.W, layer.b]
    net = Plain(params=[*layer.params], layers=[layer], layer=layer, extra=[shared(3.0)])
    assert paths(net) == ["layer.W", "layer.b", "extra.0"]


def test_an_attribute_twice_has_two_names() -> None:
    tied, part = shared(1.0), nn.Linear(1, 1, bias=False)
    assert paths(Plain(a=tied, b=tied, c=part, d=part)) == ["a", "b", "c.weight", "d.weight"]


def test_circles_end() -> None:
    parent = Plain(w=shared(1.0))
    parent.child = Plain(parent=parent, v=shared(2.0))
    parent.everything = [parent, parent.child]
    assert paths(parent) == ["w", "child.v"]


def test_a_long_chain_of_objects() -> None:
    head = Plain(w=shared(1.0))
    for _ in range(300):
        head = Plain(next=head)
    assert paths(head) == ["next." * 300 + "w"]


def test_slots() -> None:
    assert sorted(paths(Slotted())) == ["bias", "weight"]
    assert sorted(paths(Plain(part=Slotted()))) == ["part.bias", "part.weight"]


def test_what_is_no_part() -> None:
    w = shared(1.0)
    holder = Plain(
        log=logging.getLogger("x"),
        rng=np.random.default_rng(0),
        kind=Plain,
        expression=w * 2,
        text="text",
        call=lambda: w,
        function=np.exp,
    )
    assert paths(holder) == []


def test_two_variables_of_one_path() -> None:
    with pytest.raises(CallError, match=r"two variables have the path 'a\.b'"):
        named_leaves({"a": {"b": shared(1.0)}, "a.b": shared(2.0)})
