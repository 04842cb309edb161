"""Patterns: what they match, what they bind, and what they build."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exprd_compiler.ir.node import Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, cast, mul, neg, sub
from exprd_compiler.ops.leaves import const, input_, scalar_value
from exprd_compiler.ops.reduce import sum_
from exprd_compiler.rewrite.pattern import (
    P,
    Term,
    constants,
    instantiate,
    match,
    variants,
    wild,
    wildcards,
)

x, y, a = wild("x y a")
(c,) = constants("c")
U = input_(type=TensorType("float64", (None,)))
V = input_(type=TensorType("float64", (None,)))


def bindings(term: Term, node: Node) -> dict[str, Any] | None:
    bound: dict[str, Any] = {}
    return bound if match(term, node, bound) else None


def test_wildcards_bind_what_they_stand_for() -> None:
    assert bindings(x - y, sub(U, V)) == {"x": U, "y": V}
    assert bindings(x - y, add(U, V)) is None


def test_a_repeated_wildcard_is_one_node() -> None:
    assert bindings(x * x, mul(U, U)) == {"x": U}
    assert bindings(x * x, mul(U, V)) is None


@pytest.mark.parametrize("value", [1, True, 1.0, [1, 1], [[1.0]]])
def test_a_number_matches_a_constant_of_any_dtype_and_rank(value: Any) -> None:
    assert match(x * 1, mul(U, const(value)), {})


@pytest.mark.parametrize("value", [2, [1, 2], [], np.nan])
def test_a_number_matches_nothing_else(value: Any) -> None:
    assert not match(x * 1, mul(U, const(value, "float64")), {})
    assert not match(x * 1, mul(U, V), {})


def test_a_constant_wildcard_matches_constants() -> None:
    two = const(2.0)
    assert bindings(x * c, mul(U, two)) == {"x": U, "c": two}
    assert bindings(x * c, mul(U, V)) is None


def test_attributes_are_matched_or_bound() -> None:
    node = sum_(U, axes=(0,))
    assert bindings(P.sum(x, axes=(0,)), node) == {"x": U}
    assert bindings(P.sum(x, axes=()), node) is None
    assert bindings(P.sum(x, axes=a), node) == {"x": U, "a": (0,)}
    twice = cast(cast(U, dtype="float32"), dtype="float32")
    assert bindings(P.cast(P.cast(x, dtype=a), dtype=a), twice) == {"x": U, "a": "float32"}


def test_operands_come_in_every_order() -> None:
    forms = list(variants(1 + x * y))
    assert len(forms) == 4
    assert forms[0] == 1 + x * y
    assert len(list(variants(x - y))) == 1


def test_the_terms_print_as_they_are_written() -> None:
    assert repr(P.log(1 + P.exp(-x))) == "log(1 + exp(-x))"
    assert repr(P.sum(x**2, axes=a)) == "sum(x ** 2, axes=a)"
    assert repr((x - y) / -(x * y)) == "(x - y) / (-(x * y))"
    assert repr(x ** (-1)) == "x ** (-1)"
    assert wildcards(P.sum(x**2, axes=a)) == {"x", "a"}


def test_numbers_are_built_in_the_dtype_asked_for() -> None:
    node = instantiate(1 / (2 - x), {"x": U}, "float32")
    one, rest = node.inputs
    assert (one.dtype, scalar_value(one), rest.inputs[1]) == ("float32", 1, U)


def test_an_unknown_op_is_an_error() -> None:
    with pytest.raises(AttributeError):
        P.no_such_op(x)


def test_what_is_built_matches_what_it_was_built_from() -> None:
    term = P.log(1 + P.exp(-x)) * y
    bound: dict[str, Any] = {}
    assert match(term, instantiate(term, {"x": U, "y": neg(V)}, "float64"), bound)
    assert bound["x"] is U
