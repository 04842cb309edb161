"""Rule sets: fixed point, shape and dtype of replacements, clients, origins, circles."""

from __future__ import annotations

import pytest

from exprd_compiler.errors import CompilerBug
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import abs_, add, cast, mul, neg, second, sqr
from exprd_compiler.ops.creation import alloc
from exprd_compiler.ops.leaves import const, input_
from exprd_compiler.ops.movement import dimshuffle, shape_i
from exprd_compiler.ops.transcendental import exp, tanh
from exprd_compiler.rewrite.pattern import P, Term, wild
from exprd_compiler.rewrite.rules import Match, Right, Rule, RuleSet

x, y = wild("x y")


def leaf(dtype: str = "float64", rank: int = 1) -> Node:
    return input_(type=TensorType(dtype, (None,) * rank))


def law(name: str, left: Term, right: Right) -> Rule:
    return Rule(name=name, left=left, right=right, why="A test.")  # type: ignore[arg-type]


def run(rules: RuleSet, *roots: Node) -> tuple[Node, ...]:
    return rules(Graph((), roots)).outputs


MINUS = RuleSet("minus", (law("twice", P.neg(-x), x),))
NEUTRAL = RuleSet("neutral", (law("one", x * 1, x),))


def test_rules_apply_until_none_does() -> None:
    v = leaf()
    node = v
    for _ in range(101):
        node = neg(node)
    (out,) = run(MINUS, exp(node))
    assert (out.inputs[0].op, out.inputs[0].inputs[0]) == (neg, v)


def test_what_a_right_side_makes_is_rewritten_too() -> None:
    rules = RuleSet("both", (*MINUS.rules, law("square", P.sqr(x), P.neg(P.neg(x * x)))))
    v = leaf()
    (out,) = run(rules, sqr(v))
    assert (out.op, out.inputs) == (mul, (v, v))


def test_operands_may_come_in_either_order() -> None:
    v = leaf()
    assert run(NEUTRAL, mul(v, const(1.0)), mul(const(1.0), v)) == (v, v)


def test_a_replacement_keeps_the_dtype() -> None:
    mixed = Rule(name="one", left=x * 1, right=x, why="A test.", mixed=True)
    v = leaf("float32")
    (out,) = run(RuleSet("mixed", (mixed,)), mul(v, const(1.0, "float64")))
    assert (out.op, out.inputs, out.dtype) == (cast, (v,), "float64")


def test_a_rule_refuses_operands_of_another_dtype() -> None:
    node = mul(leaf("float32"), const(1.0, "float64"))
    assert run(NEUTRAL, node) == (node,)


def test_a_replacement_keeps_the_shape() -> None:
    v, ones = leaf(), const([[1.0], [1.0]])
    (out,) = run(NEUTRAL, mul(v, ones))
    assert out.op is alloc
    assert out.inputs[0] is v
    assert out.type == TensorType("float64", (2, None))
    assert (out.inputs[1].op, out.inputs[1].inputs) == (shape_i, (v,))


def test_equal_shapes_are_known_through_elementwise_ops() -> None:
    u, v = leaf(), leaf()
    fill = RuleSet("fill", (law("fill", P.second(x, y), y),))
    model = exp(add(u, v))
    (out,) = run(fill, add(second(model, tanh(v)), u))
    assert out.inputs[0].op is tanh


def test_a_replacement_of_higher_rank_is_refused() -> None:
    wrong = RuleSet("wrong", (law("up", P.exp(x), lambda m: dimshuffle(m["x"], order=(-1, 0))),))
    node = exp(leaf())
    assert run(wrong, node) == (node,)


def test_a_function_may_decline() -> None:
    rules = RuleSet("none", (Rule(name="no", left=(exp,), right=lambda _: None, why="A test."),))
    node = exp(leaf())
    assert run(rules, node) == (node,)


def test_conditions_see_the_match() -> None:
    def small(m: Match) -> bool:
        return m["x"].dtype == "float32"

    rule = Rule(name="even", left=P.abs(-x), right=P.abs(x), when=small, why="A test.")
    rules = RuleSet("even", (rule,))
    for dtype, fires in (("float32", True), ("float64", False)):
        fired: list[str] = []
        run(rules.traced(lambda name, *_: fired.append(name)), abs_(neg(leaf(dtype))))  # noqa: B023
        assert bool(fired) == fires


def test_new_nodes_come_from_where_the_old_one_came_from() -> None:
    v = leaf()
    node = sqr(v)
    node.origin = "model.py:7"
    rules = RuleSet("cube", (law("square", P.sqr(x), P.exp(x * x)),))
    (out,) = run(rules, node)
    assert (out.origin, out.inputs[0].origin) == ("model.py:7", "model.py:7")


def test_the_trace_tells_what_became_of_what() -> None:
    told: list[tuple[str, Node, Node]] = []
    v = leaf()
    run(MINUS.traced(lambda *what: told.append(what)), neg(neg(v)))
    ((name, old, new),) = told
    assert (name, old.op, new) == ("twice", neg, v)


def test_rules_that_undo_each_other_are_named() -> None:
    rules = RuleSet("circle", (law("there", x + x, x * 2), law("back", x * 2, x + x), *MINUS.rules))
    v = leaf()
    with pytest.raises(CompilerBug, match="back, there"):
        run(rules, add(v, v))


def test_rules_that_grow_without_end_are_named() -> None:
    rules = RuleSet("growth", (law("more", P.exp(x), P.exp(P.exp(x))),))
    with pytest.raises(CompilerBug, match="more"):
        run(rules, exp(leaf()))


def test_rules_can_count_clients() -> None:
    def alone(m: Match) -> Node | None:
        inner = m.root.inputs[0]
        return tanh(inner.inputs[0]) if inner.op is exp and m.context.single(inner) else None

    rules = RuleSet("alone", (Rule(name="alone", left=(neg,), right=alone, why="A test."),))
    v = leaf()
    once, shared = exp(v), exp(exp(v))
    assert [n.op for n in run(rules, neg(once))] == [tanh]
    assert [n.op for n in run(rules, neg(shared), neg(neg(shared)))] == [neg, neg]
    assert [n.op for n in run(rules, neg(shared), shared)] == [neg, exp]


def test_a_graph_at_rest_keeps_its_nodes() -> None:
    u, v = leaf(), leaf()
    length = shape_i(v, axis=0)
    root = mul(add(u, v), cast(length, dtype="float64"))
    new = MINUS(Graph((u, v), (root, neg(neg(u)))))
    assert new.outputs == (root, u)


def test_a_set_without_some_rules() -> None:
    v = leaf()
    node = mul(neg(neg(v)), const(1.0))
    rules = RuleSet("both", (*MINUS.rules, *NEUTRAL.rules))
    assert run(rules, node) == (v,)
    (out,) = run(rules.without(frozenset({"one"})), node)
    assert out.inputs[0] is v
