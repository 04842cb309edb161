"""Groups: which computations share one kernel.

Nodes are met in topological order. A group has loop axes and a level; a node may join when every
value it reads from outside comes from a lower level, so no cycle can arise. Values inside a group
are tied to its loop axes dimension by dimension; folds of a group run over one set of row axes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from exprd_compiler.ir.integer import IntExpr
from exprd_compiler.ir.lowering import Generate, Host, Leaf, Scalar, View
from exprd_compiler.ir.node import Node
from exprd_compiler.kernel.access import (
    Labels,
    domain,
    elementwise,
    folding,
    moves_axes,
    operands,
)
from exprd_compiler.kernel.shapes import Shapes, value_inputs
from exprd_compiler.kernel.storage import Storage

# Nodes of one kernel: beyond it registers spill and compile time grows faster than linearly.
SIZE_LIMIT: Final = 160
# How deep a chain of cheap operations may be repeated in each of its consumers.
INLINE_DEPTH: Final = 3
# How many recent groups over the same data are tried for horizontal fusion.
NEIGHBOURS: Final = 4

Read: TypeAlias = tuple[Node, Labels | None]


@dataclass(slots=True, eq=False)
class Group:
    """Nodes that one kernel computes.

    Attributes:
        level: above that of everything it reads.
        axes: extents of the loop axes.
        row: the loop axes its folds run over; None while it has no fold.
        members: per node the loop axis of each dimension, None for one element.
        domains: per node the loop axis of each entry of its domain (a fold's input).
        sources: the stored nodes outside that members read.
        below: the lowest level that anything which reads a member was given.
    """

    level: int
    axes: tuple[IntExpr, ...]
    row: frozenset[int] | None = None
    members: dict[Node, Labels] = field(default_factory=dict[Node, Labels])
    domains: dict[Node, Labels] = field(default_factory=dict[Node, Labels])
    sources: dict[Node, None] = field(default_factory=dict[Node, None])
    below: int = sys.maxsize


class Grouping:
    """The groups of a graph, and the level of every stored node that is in none.

    Attributes:
        groups: in order of creation.
        group_of: the group of each member.
        level_of: the level of the other stored nodes; leaves have level 0.
    """

    def __init__(
        self, shapes: Shapes, storage: Storage, order: Sequence[Node], roots: Iterable[Node]
    ) -> None:
        self.groups: list[Group] = []
        self.group_of: dict[Node, Group] = {}
        self.level_of: dict[Node, int] = {}
        self._shapes, self._storage = shapes, storage
        self._inline: dict[Node, int | None] = {}
        self._readers: dict[Node, list[Group]] = {}
        self._kept = self._needed_in_memory(order, roots)
        for node in order:
            self._meet(node)

    def level(self, node: Node) -> int:
        """The level at which a stored node exists."""
        group = self.group_of.get(node)
        return self.level_of[node] if group is None else group.level

    def virtual(self, node: Node) -> bool:
        """Whether consumers compute the node themselves: moved axes and cheap operations."""
        if node in self.group_of or node in self._storage.copies:
            return False
        return moves_axes(node) or (elementwise(node) and self._inline[node] is not None)

    def _needed_in_memory(self, order: Sequence[Node], roots: Iterable[Node]) -> frozenset[Node]:
        base = self._storage.base
        needed = {base(root) for root in roots} | {base(n) for n in self._shapes.fetched}
        for node in order:
            for child, labels in operands(node, domain(node, self._shapes), self._shapes):
                if labels is None:
                    needed.add(base(child))
        return frozenset(needed)

    # ---- cheap operations stay virtual
    def _repeatable(self, node: Node) -> int | None:
        """How deep the node is as an expression that is repeated, or None if it must not be."""
        rule = node.op.lowering
        if isinstance(rule, Leaf | Host):
            return 0
        if node in self._storage.copies or node in self._kept:
            return None
        if moves_axes(node):
            return self._depth(node.inputs[0])
        if isinstance(rule, View):
            return 0 if isinstance(self._storage.base(node).op.lowering, Leaf) else None
        if not (isinstance(rule, Generate) or (isinstance(rule, Scalar) and rule.cheap)):
            return None
        depths = [self._depth(x) for x in value_inputs(node)]
        deep = 1 + max((d for d in depths if d is not None), default=0)
        return deep if None not in depths and deep <= INLINE_DEPTH else None

    def _depth(self, node: Node) -> int | None:
        """How deep an operand is as an expression; what lies in memory anyway is just loaded."""
        return 0 if self._storage.base(node) in self._kept else self._inline[node]

    # ---- meeting nodes in order
    def _meet(self, node: Node) -> None:
        rule = node.op.lowering
        self._inline[node] = self._repeatable(node)
        seen = isinstance(rule, Host) and node in self._kept  # its element is read from memory
        if isinstance(rule, Leaf | Host) and not seen:
            self.level_of[node] = 0
        elif seen or node in self._storage.copies:
            self._join_or_open(node)
        elif isinstance(rule, View) or self._inline[node] is not None:
            return
        elif elementwise(node) or folding(node):
            self._join_or_open(node)
        else:
            reads = self._reads(node)
            self.level_of[node] = 1 + self._highest(reads)
            self._hold(reads, self.level_of[node])

    def _highest(self, reads: Iterable[Read]) -> int:
        return max((self.level(node) for node, _ in reads), default=0)

    def _reads(self, node: Node) -> list[Read]:
        """Stored nodes that the node reads, its domain as labels; virtual ones walked through."""
        out: dict[Read, None] = {}
        stack: list[tuple[Node, Labels]] = [(node, domain(node, self._shapes))]
        seen: set[tuple[Node, Labels]] = set()
        while stack:
            item, here = stack.pop()
            out.update(dict.fromkeys(self._waits(item)))
            for child, labels in operands(item, here, self._shapes):
                if labels is not None and self.virtual(child):
                    if (child, labels) not in seen:
                        seen.add((child, labels))
                        stack.append((child, labels))
                    continue
                base = self._storage.base(child)
                out[(base, labels if base is child else None)] = None
                out.update(dict.fromkeys(self._waits(child)))
        return list(out)

    def _waits(self, node: Node) -> Iterator[Read]:
        """Nodes whose integers must have been fetched before extents and layout are known."""
        if self._shapes.fetched:
            layout = self._storage.layout(node)
            exprs = [*self._shapes[node], layout.offset, *layout.strides]
            if isinstance(node.op.lowering, Host):
                exprs.append(self._shapes.host(node))
            for expr in exprs:
                for number in expr.numbers:
                    yield self._storage.base(self._shapes.fetched[number]), None

    # ---- joining
    def _join_or_open(self, node: Node) -> None:
        reads = self._reads(node)
        highest = self._highest(reads)
        self._unite(reads, highest)
        self._lift(node, reads)
        highest = self._highest(reads)
        for group in self._candidates(reads, highest):
            if self._join(node, group, reads):
                return
        labels = domain(node, self._shapes)
        extents = self._shapes[node.inputs[0]] if folding(node) else self._shapes[node]
        used = [label for label in labels if label is not None]
        group = Group(highest + 1, tuple(extents[label] for label in used))
        self.groups.append(group)
        if not self._join(node, group, reads):
            raise AssertionError(f"{node.op.name} cannot start a group")

    def _candidates(self, reads: Sequence[Read], highest: int) -> Iterator[Group]:
        """Groups that the node may extend, those it reads from first."""
        found: dict[int, Group] = {}
        for node, labels in reads:
            group = self.group_of.get(node)
            if group is not None and labels is not None and group.level == highest:
                found[id(group)] = group
        yield from found.values()
        for node, _ in reads:
            for group in self._readers.get(node, ())[-NEIGHBOURS:]:
                if group.level > highest and id(group) not in found:
                    found[id(group)] = group
                    yield group

    def _join(self, node: Node, group: Group, reads: Sequence[Read]) -> bool:
        if len(group.members) >= SIZE_LIMIT:
            return False
        for source, labels in reads:
            mine = self.group_of.get(source) is group
            if (mine and labels is None) or (not mine and self.level(source) >= group.level):
                return False  # it would wait for what this very kernel makes
        place = self._place(node, group, reads)
        row = None if place is None else self._row(node, group, place)
        if place is None or row is None:
            return False
        kept = [label for label in range(len(place)) if label not in folded_axes(node)]
        group.members[node] = tuple(place[label] for label in kept)
        group.domains[node] = place
        group.row = row or group.row
        self.group_of[node] = group
        for source, _ in reads:
            if self.group_of.get(source) is not group and source not in group.sources:
                group.sources[source] = None
                self._readers.setdefault(source, []).append(group)
        self._hold([read for read in reads if read[0] in group.sources], group.level)
        return True

    def _hold(self, reads: Iterable[Read], level: int) -> None:
        """Note that what is read must stay below a level."""
        for source, _ in reads:
            group = self.group_of.get(source)
            if group is not None:
                group.below = min(group.below, level)

    # ---- lifting
    def _lift(self, node: Node, reads: Sequence[Read]) -> None:
        """Raise a group above all else that a node reads, so that the node may join it."""
        found = {self.group_of[s]: s for s, labels in reads if labels and s in self.group_of}
        for group in sorted(found, key=lambda group: -len(group.axes)):
            others = [read for read in reads if self.group_of.get(read[0]) is not group]
            needed = 1 + self._highest(others)
            if needed <= group.level:
                return
            place = self._place(node, group, reads)
            fits = place is not None and self._row(node, group, place) is not None
            if fits and needed < group.below and len(group.members) < SIZE_LIMIT:
                group.level = needed
                return

    # ---- uniting
    def _unite(self, reads: Sequence[Read], highest: int) -> None:
        """Make one group of those of the highest level that a node reads element by element."""
        if any(labels is None and self.level(source) == highest for source, labels in reads):
            return
        loop_of: dict[Group, dict[int, int]] = {}
        for source, labels in reads:
            group = self.group_of.get(source)
            if group is not None and group.level == highest:
                loops = loop_of.setdefault(group, {})
                for loop, label in zip(group.members[source], labels or (), strict=True):
                    if loop is not None and label is not None:
                        loops.setdefault(label, loop)
        if len(loop_of) > 1:
            widest = max(loop_of, key=lambda group: len(group.axes))
            for group in [group for group in loop_of if group is not widest]:
                self._absorb(widest, group, _matched(loop_of[group], loop_of[widest]))

    def _absorb(self, into: Group, group: Group, onto: dict[int, int]) -> None:
        """Move the members of a group of the same level, its loop axes becoming those in `onto`."""
        row = _united_row(into, group, onto)
        if row is None or len(into.members) + len(group.members) > SIZE_LIMIT:
            return
        for node, place in group.members.items():
            into.members[node] = _mapped(place, onto)
            into.domains[node] = _mapped(group.domains[node], onto)
            self.group_of[node] = into
        into.row = row or None
        into.below = min(into.below, group.below)
        for source in group.sources:
            into.sources[source] = None
            readers = [reader for reader in self._readers[source] if reader is not group]
            self._readers[source] = readers if into in readers else [*readers, into]
        self.groups.remove(group)

    def _place(self, node: Node, group: Group, reads: Sequence[Read]) -> Labels | None:
        """The loop axis of each dimension of the node's domain, or None if there is no way."""
        axis_of: dict[int, int] = {}
        inside = False
        for source, labels in reads:
            if labels is None or self.group_of.get(source) is not group:
                continue
            inside = True
            for loop, label in zip(group.members[source], labels, strict=True):
                if loop is None or label is None:
                    continue
                if axis_of.setdefault(label, loop) != loop:
                    return None
        labels_ = domain(node, self._shapes)
        extents = self._shapes[node.inputs[0]] if folding(node) else self._shapes[node]
        for label in labels_:
            if label is None or label in axis_of:
                continue
            free = self._free_axis(group, extents[label], axis_of)
            if free is None:
                return None
            axis_of[label] = free
        used = set(axis_of.values())
        whole = len(used) == len(axis_of) and (inside or len(used) == len(group.axes))
        return tuple(None if x is None else axis_of[x] for x in labels_) if whole else None

    @staticmethod
    def _free_axis(group: Group, extent: IntExpr, axis_of: dict[int, int]) -> int | None:
        taken = set(axis_of.values())
        free = (i for i, e in enumerate(group.axes) if e is extent and i not in taken)
        return next(free, None)

    @staticmethod
    def _row(node: Node, group: Group, place: Labels) -> frozenset[int] | None:
        """The row axes after joining (empty: none yet), or None if the node does not fit them."""
        if not folding(node):
            used = {loop for loop in place if loop is not None}
            row = group.row or frozenset()
            return row if row <= used or not row & used else None
        row = frozenset(loop for label in folded_axes(node) if (loop := place[label]) is not None)
        if not row:
            return group.row or frozenset()
        if group.row is not None:
            return row if row == group.row else None
        for member in group.members.values():
            used = {loop for loop in member if loop is not None}
            if not row <= used and row & used:
                return None
        return row


def _matched(loops: dict[int, int], wanted: dict[int, int]) -> dict[int, int]:
    """Loop axes of one group to those of another, where a node reads both under one label."""
    return {loop: wanted[label] for label, loop in loops.items() if label in wanted}


def _mapped(place: Labels, onto: dict[int, int]) -> Labels:
    return tuple(None if loop is None else onto[loop] for loop in place)


def _united_row(into: Group, group: Group, onto: dict[int, int]) -> frozenset[int] | None:
    """The row axes of two groups in one (empty: none), or None if they do not fit together."""
    same = all(into.axes[new] is group.axes[old] for old, new in onto.items())
    whole = len(set(onto.values())) == len(onto) == len(group.axes)
    mine = into.row or frozenset()
    # what lacks a grid axis would be repeated along it
    missing = frozenset(range(len(into.axes))) - frozenset(onto.values())
    if not (same and whole and missing <= mine):
        return None
    theirs = frozenset(onto[loop] for loop in group.row or ())
    if mine and theirs and mine != theirs:
        return None
    row = mine or theirs
    places = [*into.members.values(), *(_mapped(p, onto) for p in group.members.values())]
    used = [frozenset(loop for loop in place if loop is not None) for place in places]
    return row if all(row <= loops or not row & loops for loops in used) else None


def folded_axes(node: Node) -> tuple[int, ...]:
    """The axes that a fold removes; none for other nodes."""
    axes: tuple[int, ...] = node["axes"] if folding(node) else ()
    return axes
