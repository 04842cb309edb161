"""Derivatives that a Compile request asks for, put in where the graph wants them.

Invariant: a placeholder lies after its cost and all its wrt, so one pass in node
order meets every derivative with its operands already decoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exprd_compiler.errors import GraphError
from exprd_compiler.grad import grad

if TYPE_CHECKING:
    from collections.abc import Sequence

    import exprd_proto as wire
    from exprd_compiler.ir.node import Node


class Gradients:
    """The gradient requests of one graph."""

    def __init__(self, requests: Sequence[wire.GradientRequest]) -> None:
        self._requests = requests
        self._place = {
            position: (request, which)
            for request in requests
            for which, position in enumerate(request.placeholders)
        }
        self._found: dict[int, tuple[Node, ...]] = {}

    def check(self, count: int) -> None:
        """Returns if the requests fit a graph of `count` nodes."""
        for request in self._requests:
            if not request.wrt or max(request.cost, *request.wrt) >= count:
                raise GraphError(
                    f"a gradient names node {max((request.cost, *request.wrt))} of {count}"
                    if request.wrt
                    else "a gradient without wrt"
                )
            self._check_placeholders(request)

    def derivative(self, position: int, nodes: Sequence[Node]) -> Node:
        """The node for which the placeholder at `position` stands."""
        if position not in self._place:
            raise GraphError(
                "no gradient request names this placeholder",
                hint="list its position in GradientRequest.placeholders",
            )
        request, which = self._place[position]
        return self._derive(request, nodes)[which]

    def appended(self, nodes: Sequence[Node]) -> tuple[Node, ...]:
        """The derivatives that become outputs: those of requests without placeholders."""
        return tuple(
            node
            for request in self._requests
            if not request.placeholders
            for node in self._derive(request, nodes)
        )

    def _derive(self, request: wire.GradientRequest, nodes: Sequence[Node]) -> tuple[Node, ...]:
        if id(request) not in self._found:
            cost, wrt = nodes[request.cost], [nodes[index] for index in request.wrt]
            self._found[id(request)] = tuple(grad(cost, wrt))
        return self._found[id(request)]

    def _check_placeholders(self, request: wire.GradientRequest) -> None:
        places = request.placeholders
        if places and len(places) != len(request.wrt):
            raise GraphError(f"{len(places)} placeholders for {len(request.wrt)} derivatives")
        if places and min(places) <= max(request.cost, *request.wrt):
            raise GraphError("a placeholder comes before what it is derived from")
