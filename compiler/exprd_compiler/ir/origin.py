"""Origin: how an error tells where the node that caused it was built.

An integer origin is a wire index, which the client maps to its user's line; any other origin speaks
for itself. Nothing here decides what an origin is.
"""

from __future__ import annotations

from typing import TypeVar

from exprd_compiler.errors import ExprdError
from exprd_compiler.ir.node import Node

E = TypeVar("E", bound=ExprdError)


def blame(error: E, node: Node) -> E:
    """The error itself, with the op and the origin of a node unless it knows better."""
    error.op = error.op or node.op.name
    if isinstance(node.origin, int):
        error.nodes = error.nodes or (node.origin,)
    elif node.origin is not None:
        error.add_note(str(node.origin))
    return error
