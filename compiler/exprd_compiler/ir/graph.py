"""Graph: the unit that is compiled, and the walks over it.

Every walk is iterative: a chain of 100,000 nodes is an ordinary graph. A graph never changes; a
transformation builds a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from exprd_compiler.ir.node import Node


@dataclass(frozen=True, slots=True)
class Graph:
    """Inputs, shared variables, outputs, and the updates of the shared variables.

    Attributes:
        inputs: the leaves that a call supplies, in order.
        shared: the leaves whose values live on the server, in order of their slots.
        outputs: the values a call returns, computed from the old values of the shared variables.
        updates: pairs (slot, new value), each slot at most once, applied simultaneously.
    """

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    shared: tuple[Node, ...] = ()
    updates: tuple[tuple[int, Node], ...] = ()

    @property
    def roots(self) -> tuple[Node, ...]:
        """Everything a call computes: outputs, then new values of updated variables."""
        return (*self.outputs, *(new for _, new in self.updates))

    @property
    def leaves(self) -> tuple[Node, ...]:
        """Everything a call is given: inputs, then shared variables."""
        return (*self.inputs, *self.shared)

    def nodes(self) -> list[Node]:
        """All nodes reachable from leaves and roots, inputs of a node before the node."""
        return toposort((*self.leaves, *self.roots))

    def with_roots(self, roots: Sequence[Node]) -> Graph:
        """The same interface with other values for outputs and updates."""
        count = len(self.outputs)
        updates = tuple(
            (slot, new) for (slot, _), new in zip(self.updates, roots[count:], strict=True)
        )
        return Graph(self.inputs, tuple(roots[:count]), self.shared, updates)


def toposort(roots: Iterable[Node], stop: Callable[[Node], bool] | None = None) -> list[Node]:
    """Nodes in an order in which inputs come first; deterministic in the order of the roots.

    Args:
        roots: where to start.
        stop: nodes for which it is true are listed, their inputs are not walked.
    """
    out: list[Node] = []
    seen: set[Node] = set()
    for root in roots:
        if root in seen:
            continue
        stack: list[tuple[Node, Iterator[Node]]] = [(root, _inputs(root, stop))]
        seen.add(root)
        while stack:
            node, rest = stack[-1]
            for child in rest:
                if child not in seen:
                    seen.add(child)
                    stack.append((child, _inputs(child, stop)))
                    break
            else:
                stack.pop()
                out.append(node)
    return out


def _inputs(node: Node, stop: Callable[[Node], bool] | None) -> Iterator[Node]:
    return iter(()) if stop is not None and stop(node) else iter(node.inputs)


def consumers(nodes: Iterable[Node]) -> dict[Node, list[tuple[Node, int]]]:
    """Per node, who uses it and as which input."""
    out: dict[Node, list[tuple[Node, int]]] = {}
    for node in nodes:
        for position, child in enumerate(node.inputs):
            out.setdefault(child, []).append((node, position))
    return out


def rebuild(node: Node, inputs: tuple[Node, ...]) -> Node:
    """The node over other inputs; itself when they are the same."""
    if inputs == node.inputs:
        return node
    new = Node(node.op, inputs, node.attrs, node.origin)
    new.name = node.name
    return new


def substitute(roots: Sequence[Node], replace: Mapping[Node, Node]) -> tuple[Node, ...]:
    """The roots with nodes replaced, replacements taken as they are."""
    new: dict[Node, Node] = dict(replace)
    for node in toposort(roots, stop=lambda n: n in replace):
        if node not in new:
            new[node] = rebuild(node, tuple([new[x] for x in node.inputs]))
    return tuple(new[root] for root in roots)
