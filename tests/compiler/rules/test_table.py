"""Every rule: it fires on its own left side, keeps type and value, and comes to rest."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from exprd_compiler.interpret import evaluate
from exprd_compiler.ir.dtype import FLOATS, HALVES, is_complex
from exprd_compiler.ir.graph import Graph, toposort
from exprd_compiler.ir.half import converted, widened
from exprd_compiler.ir.node import Array, Node
from exprd_compiler.ops.leaves import input_
from exprd_compiler.passes.levels import LEVELS, optimize
from exprd_compiler.passes.verify import verify_types
from exprd_compiler.rewrite.intern import intern
from exprd_compiler.rewrite.rules import Rule, RuleSet
from exprd_compiler.rules import elementwise, indexing, movement
from tests.compiler.rules.examples import SHAPE, instances
from tests.ops.samples import assert_close

SETS = {step.name: step for level in LEVELS.values() for step in level if isinstance(step, RuleSet)}
RULES = {rule.name: rule for rules in SETS.values() for rule in rules.every}
EXACT = {
    rule.name for rule in (*elementwise.LAWS, *movement.LAWS, *indexing.LAWS, *indexing.SUMS)
} - {
    "the sum of a broadcast scalar",
    "to the power minus one",
}
NARROW = ("float32", "complex64")
SPECIAL = (0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e30, -2.5, 3.0, 1e-30, 7.0)


def graph_of(root: Node) -> Graph:
    leaves = tuple(node for node in toposort([root]) if node.op is input_)
    return Graph(leaves, (root,))


def values(rule: Rule, graph: Graph, rng: np.random.Generator) -> list[Any]:
    return [_value(rule, leaf, rng) for leaf in graph.inputs]


def _value(rule: Rule, leaf: Node, rng: np.random.Generator) -> Any:
    shape = SHAPE[len(SHAPE) - leaf.ndim :]
    if leaf.dtype in FLOATS and rule.name in EXACT:
        picked = rng.permutation(np.resize(SPECIAL, int(np.prod(shape))))
        return converted(picked.reshape(shape), leaf.dtype)
    if leaf.dtype in FLOATS:
        return converted(rng.uniform(0.05, 0.95, shape), leaf.dtype)
    if is_complex(leaf.dtype):
        re, im = (rng.uniform(0.05, 0.95, shape) for _ in range(2))
        return (re + 1j * im).astype(leaf.dtype)
    return rng.integers(0, 2 if leaf.dtype == "bool" else 120, shape).astype(leaf.dtype)


def assert_near(got: Array, want: Array) -> None:
    if got.dtype.name in HALVES:  # each step of them rounds
        assert_close(got, want, tolerance=4)
    else:
        np.testing.assert_allclose(got, want, rtol=1e-5 if got.dtype in NARROW else 1e-12)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_fires_on_its_left_side_and_keeps_the_value(
    rule: Rule, rng: np.random.Generator
) -> None:
    roots = list(instances(rule))
    assert roots
    for root in roots:
        fired: list[str] = []
        graph = intern(graph_of(root))
        rules = RuleSet("one", (rule,), trace=lambda name, *_: fired.append(name))  # noqa: B023
        new = rules(graph)
        assert set(fired) == {rule.name}
        verify_types("one", graph, new, 0.0)
        given = values(rule, graph, rng)
        ((want,), _), ((got,), _) = evaluate(graph, given), evaluate(new, given)
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        if rule.name in EXACT:
            np.testing.assert_array_equal(widened(got), widened(want))
        else:
            assert_near(got, want)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_no_set_runs_in_a_circle_on_it(rule: Rule) -> None:
    for root in instances(rule):
        for rules in SETS.values():
            once = rules(graph_of(root))
            again: list[str] = []
            rules.traced(lambda name, *_: again.append(name))(once)  # noqa: B023
            assert again == [], f"{rules.name} does not come to rest"


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_level_keeps_its_value(rule: Rule, level: str, rng: np.random.Generator) -> None:
    for root in instances(rule):
        graph = graph_of(root)
        new = optimize(graph, level=level, observers=(verify_types,))
        given = values(rule, graph, rng)
        ((want,), _), ((got,), _) = evaluate(graph, given), evaluate(new, given)
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        assert_near(got, want)


def test_names_are_unique_and_tell_something() -> None:
    for rules in SETS.values():
        names = [rule.name for rule in rules.every]
        assert len(set(names)) == len(names)
    assert all(rule.why.endswith(".") for rule in RULES.values())
    assert all(re.fullmatch(r"\w*", rule.theano) for rule in RULES.values())
