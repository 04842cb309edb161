"""The engine: one bottom-up sweep that brings every node to a form that no rule changes.

Iterative, so that depth costs nothing. A replacement keeps dtype and shape, and new nodes inherit
the origin of what they replace. Rules that chase each other are a bug and are named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from exprd_compiler.errors import CompilerBug
from exprd_compiler.ir.graph import Graph, toposort
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.arithmetic import cast
from exprd_compiler.ops.creation import alloc
from exprd_compiler.ops.leaves import input_, shared
from exprd_compiler.rewrite.extents import Extents
from exprd_compiler.rewrite.intern import Interner

FUEL: Final = 100  # firings per node of the graph on average
SPARE: Final = 10_000  # and for small graphs at least this many
NAMED: Final = 40  # the last firings, from which the names of a cycle are taken


@dataclass(frozen=True, slots=True)
class Context:
    """What conditions and right sides may ask about the graph.

    `notes` is theirs: what they found out about a node, so that it is found out once per sweep.
    """

    extents: Extents
    clients: dict[Node, int]
    notes: dict[Any, Any] = field(default_factory=dict[Any, Any])

    def single(self, node: Node) -> bool:
        """Whether exactly one input of one node, or one output, uses this value."""
        return self.clients.get(node) == 1


@dataclass(frozen=True, slots=True)
class Step:
    """A rule that applies, and what it puts in the place of the node.

    `same_shape` says that dtype and shape need no second look: the new type may be sharper.
    """

    rule: str
    new: Node
    same_shape: bool = False


Rewrite: TypeAlias = Callable[[Node, Context], Iterator[Step]]
Trace: TypeAlias = Callable[[str, Node, Node], None]


class Sweep:
    """One application of a rewrite to a graph."""

    def __init__(self, graph: Graph, rewrite: Rewrite, trace: Trace | None = None) -> None:
        self._graph, self._rewrite, self._trace = graph, rewrite, trace
        self._pool = Interner()
        self._nodes = toposort(graph.roots)
        for node in self._nodes:  # lengths that are made on the way must not take their place
            self._pool.adopt(node, node.inputs)
        self._context = Context(Extents(self._pool), _clients(graph, self._nodes))
        self._normal: dict[Node, Node] = {leaf: leaf for leaf in graph.leaves}
        self._becomes: dict[Node, Node] = {}
        self._log: list[str] = []

    @property
    def fired(self) -> bool:
        """Whether any rule applied."""
        return bool(self._log)

    def run(self) -> Graph:
        """The rewritten graph."""
        for node in self._nodes:
            if node not in self._normal:
                self._normalize(node)
        return self._graph.with_roots([self._normal[root] for root in self._graph.roots])

    def _normalize(self, start: Node) -> None:
        stack = [start]
        while stack:
            node = stack[-1]
            if node in self._normal:
                stack.pop()
            elif node in self._becomes:
                self._settle(node, stack)
            elif missing := [x for x in node.inputs if x not in self._normal]:
                self._refuse_cycle(missing)
                stack.extend(reversed(missing))
            else:
                self._visit(node, stack)

    def _settle(self, node: Node, stack: list[Node]) -> None:
        target = self._becomes[node]
        if target in self._normal:
            self._normal[node] = self._normal[target]
            del self._becomes[node]
            stack.pop()
        else:
            self._refuse_cycle([target])
            stack.append(target)

    def _visit(self, node: Node, stack: list[Node]) -> None:
        """Intern a node whose inputs are in normal form; note what becomes of it."""
        if node.op in (input_, shared):
            self._normal[node] = node
            return
        same = self._pool.adopt(node, tuple([self._normal[x] for x in node.inputs]))
        new = self._fire(same) if same is node else same
        if new is None:
            self._normal[node] = node
            stack.pop()
        else:
            self._becomes[node] = new

    def _fire(self, node: Node) -> Node | None:
        for step in self._rewrite(node, self._context):
            new = self._inherit(step.new, node)
            if not step.same_shape:
                new = self._inherit(self._fit(new, node), node)
            if new is None or new is node:
                continue
            self._log.append(step.rule)
            self._check_fuel(node)
            if self._trace:
                self._trace(step.rule, node, new)
            return new
        return None

    def _fit(self, new: Node | None, old: Node) -> Node | None:
        """The replacement in the dtype and shape of the old node, or None if that cannot be."""
        if new is None or new.ndim > old.ndim:
            return None
        if new.dtype != old.dtype:
            new = cast(new, dtype=old.dtype)
        extents = self._context.extents
        if extents.equal(new, old):  # but not if it would forget what is known of them
            return new if old.type.accepts(new.type) else None
        spec, dims = extents.spec(old)
        if any(old in dim.inputs for dim in dims):
            return None  # its own length cannot be had without it
        return alloc(new, *dims, shape=spec)

    def _inherit(self, new: Node | None, old: Node) -> Node | None:
        """Intern a replacement; its new nodes come from where the old one came from."""
        if new is None:
            return None
        made: dict[Node, Node] = {}
        for node in toposort([new], stop=lambda n: n in self._normal):
            if node in self._normal:
                made[node] = node
            else:
                inputs = tuple([made[x] for x in node.inputs])
                made[node] = self._pool.adopt(node, inputs, old.origin)
        return made[new]

    def _refuse_cycle(self, nodes: list[Node]) -> None:
        for node in nodes:
            if node in self._becomes:
                self._fail(node)

    def _check_fuel(self, node: Node) -> None:
        if len(self._log) > SPARE + FUEL * len(self._nodes):
            self._fail(node)

    def _fail(self, node: Node) -> None:
        names = ", ".join(sorted(set(self._log[-NAMED:])))
        raise CompilerBug(
            f"rules undo each other: {names}",
            op=node.op.name,
            hint="exclude one of them and report the graph",
        )


def _clients(graph: Graph, nodes: list[Node]) -> dict[Node, int]:
    counts: dict[Node, int] = {}
    for node in (*graph.roots, *[x for user in nodes for x in user.inputs]):
        counts[node] = counts.get(node, 0) + 1
    return counts
