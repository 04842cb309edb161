"""Rules as data, and the sets of them that are passes.

A rule is a name, a left side, a right side and a condition. It never says when it is tried: that
is the affair of the pipeline. A replacement has the dtype and the shape of what it replaces; the
engine sees to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, TypeAlias

from exprd_compiler.ir.dtype import DTYPES
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node, Op
from exprd_compiler.rewrite.engine import Context, Step, Sweep
from exprd_compiler.rewrite.pattern import (
    Apply,
    Binding,
    Term,
    instantiate,
    match,
    root_op,
    variants,
)


@dataclass(frozen=True, slots=True)
class Match:
    """A node that a left side fits, what its wildcards stand for, and what is known of them."""

    root: Node
    bound: Mapping[str, Any]
    context: Context

    def __getitem__(self, name: str) -> Node:
        node: Node = self.bound[name]
        return node

    def attr(self, name: str) -> Any:
        """The value of a wildcard that stands for an attribute."""
        return self.bound[name]


Left: TypeAlias = "Apply | tuple[Op, ...]"
Right: TypeAlias = "Term | Callable[[Match], Node | None]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A law by which a value may be computed in another way.

    Attributes:
        name: what the rule says; unique.
        left: the form it applies to, or the ops of which any node may be meant.
        right: the other form, or a function that builds it or gives None.
        over: ops of which at least one operand must be; () if it does not matter.
        why: on what grounds, for the docs page.
        theano: the name under which Theano's users exclude it, several rules may share one; or "".
        when: a further condition.
        dtypes: dtypes of the root for which the law holds.
        mixed: whether wildcards may have other dtypes than the root.
        same_shape: the right side has the shape of the left by construction, perhaps better known.
    """

    name: str
    left: Left
    right: Right
    why: str
    theano: str = ""
    over: tuple[Op, ...] = ()
    when: Callable[[Match], bool] | None = None
    dtypes: tuple[str, ...] = DTYPES
    mixed: bool = False
    same_shape: bool = False

    @property
    def ops(self) -> tuple[Op, ...]:
        """The ops at whose nodes the rule is tried."""
        return (self.left.op,) if isinstance(self.left, Apply) else self.left


def _same_dtype(bound: Binding, dtype: str) -> bool:
    return all(not isinstance(x, Node) or x.dtype == dtype for x in bound.values())


def _binding(rule: Rule, form: Term | None, node: Node) -> Binding | None:
    bound: Binding = {}
    if form is None:
        return bound
    if not match(form, node, bound) or not (rule.mixed or _same_dtype(bound, node.dtype)):
        return None
    return bound


def _apply(rule: Rule, form: Term | None, node: Node, context: Context) -> Node | None:
    if node.dtype not in rule.dtypes:
        return None
    bound = _binding(rule, form, node)
    if bound is None:
        return None
    found = Match(node, bound, context)
    if rule.when is not None and not rule.when(found):
        return None
    if isinstance(rule.right, Term):
        return instantiate(rule.right, bound, node.dtype)
    return rule.right(found)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One form of a rule, with the ops that its operands must have: most nodes fail here."""

    rule: Rule
    form: Term | None
    needs: tuple[tuple[int, Op], ...]


Chosen: TypeAlias = dict[tuple[bool, Op, tuple[Op, ...]], tuple[_Entry, ...]]
Index: TypeAlias = dict[Op, tuple[_Entry, ...]]


@dataclass(frozen=True)
class RuleSet:
    """Rules applied together, bottom-up, until none of them applies: a pass.

    Attributes:
        name: of the pass.
        rules: what it is for.
        tidy: rules for nodes that the pass makes; the others went through them in a pass before.
        sweeps: above 1 for sets whose conditions count clients, which are known afresh per sweep.
        trace: told of every rule that fires.
    """

    name: str
    rules: tuple[Rule, ...]
    tidy: tuple[Rule, ...] = ()
    sweeps: int = 1
    trace: Callable[[str, Node, Node], None] | None = field(default=None, compare=False)

    @property
    def every(self) -> tuple[Rule, ...]:
        """All its rules, those that tidy up first."""
        return (*self.tidy, *self.rules)

    @cached_property
    def _indexes(self) -> tuple[Index, Index]:
        """The forms by root op: for nodes that were there before, and for new ones."""
        return _index(self.rules), _index(self.every)

    def __call__(self, graph: Graph) -> Graph:
        """The graph after the rules, in which none of them applies any more."""
        chosen: Chosen = {}
        for _ in range(self.sweeps):
            sweep = Sweep(graph, partial(self._steps, chosen), self.trace)
            graph = sweep.run()
            if not sweep.fired:
                break
        return graph

    def _steps(self, chosen: Chosen, node: Node, context: Context) -> Iterator[Step]:
        fresh = node not in context.clients
        around = tuple([x.op for x in node.inputs])
        key = (fresh, node.op, around)
        entries = chosen.get(key)
        if entries is None:
            entries = chosen[key] = _choose(self._indexes[fresh].get(node.op, ()), around)
        for entry in entries:
            new = _apply(entry.rule, entry.form, node, context)
            if new is not None:
                yield Step(entry.rule.name, new, entry.rule.same_shape)

    def without(self, names: frozenset[str]) -> RuleSet:
        """The set without the rules of these names."""
        rules, tidy = (
            tuple(rule for rule in some if not names & {rule.name, rule.theano})
            for some in (self.rules, self.tidy)
        )
        return replace(self, rules=rules, tidy=tidy)

    def traced(self, trace: Callable[[str, Node, Node], None]) -> RuleSet:
        """The set, telling of every rule that fires: name, old node, new node."""
        return replace(self, trace=trace)


def _entries(rule: Rule) -> Iterator[_Entry]:
    if not isinstance(rule.left, Apply):
        yield _Entry(rule, None, ())
        return
    for form in variants(rule.left):
        assert isinstance(form, Apply)
        roots = [(place, root_op(arg)) for place, arg in enumerate(form.args)]
        yield _Entry(rule, form, tuple((place, op) for place, op in roots if op is not None))


def _index(rules: tuple[Rule, ...]) -> Index:
    index: dict[Op, list[_Entry]] = {}
    for rule in rules:
        for op in rule.ops:
            index.setdefault(op, []).extend(_entries(rule))
    return {op: tuple(entries) for op, entries in index.items()}


def _choose(entries: tuple[_Entry, ...], below: tuple[Op, ...]) -> tuple[_Entry, ...]:
    """The forms that a node over operands of these ops may have."""
    return tuple(
        entry
        for entry in entries
        if all(place < len(below) and below[place] is op for place, op in entry.needs)
        and (not entry.rule.over or any(op in entry.rule.over for op in below))
    )
