"""Counting: which values of a plan count events, and over which elements.

A node counts each of its elements once, however often fusion repeats its computation: of all places
where it is computed, the first in order of execution counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from exprd_compiler.ir.lowering import Event, Scalar
from exprd_compiler.ir.node import Attrs, Node, Op
from exprd_compiler.kernel.form import Apply, Counter, Kernel, Step, Value


def events_of(op: Op, attrs: Attrs, operands: Sequence[str]) -> tuple[Event, ...]:
    """The events that an op can meet on operands of these dtypes."""
    rule = op.lowering
    if not isinstance(rule, Scalar):
        return ()
    return tuple(event for event in rule.events if event.possible(operands, dict(attrs)))


class Counters:
    """The counters of a plan in the making.

    Attributes:
        made: in order of their numbers.
    """

    def __init__(self) -> None:
        self.made: list[Counter] = []
        self._numbers: dict[Node, tuple[int, ...]] = {}

    def of(self, node: Node, operands: Sequence[str]) -> tuple[int, ...]:
        """The numbers of a node's counters, one per event that it can meet."""
        if node not in self._numbers:
            found = events_of(node.op, node.attrs, operands)
            first = len(self.made)
            origin = node.origin if isinstance(node.origin, int) else -1
            self.made += [Counter(event.kind, node.op.name, origin) for event in found]
            self._numbers[node] = tuple(range(first, len(self.made)))
        return self._numbers[node]


def counted_once(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps, every counter left to the first value that has it."""
    seen: set[int] = set()
    for step in steps:
        if isinstance(step, Kernel):
            values = tuple([_counting(value, seen) for value in step.values])
            yield step if values == step.values else replace(step, values=values)
        else:
            yield step


def _counting(value: Value, seen: set[int]) -> Value:
    if not isinstance(value, Apply) or not value.counters:
        return value
    if seen.issuperset(value.counters):
        return replace(value, counters=(), domain=())
    seen.update(value.counters)
    return value
