"""Verify: whether a graph keeps the invariants that every floor above relies upon.

Run on every decoded graph and, as an observer, after every pass. It changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from exprd_compiler.errors import CompilerBug, DTypeError, ExprdError, GraphError, MissingInput
from exprd_compiler.ir.dtype import promote
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.type import TensorType


def verify(graph: Graph) -> None:
    """Checks types, leaves and updates.

    Raises:
        MissingInput: a leaf is used that the graph does not list.
        GraphError: the interface or an update does not fit, or an op refuses its inputs.
        CompilerBug: a node's type is not what its op derives.
    """
    _check_leaves("input", graph.inputs)
    _check_leaves("shared", graph.shared)
    known = set(graph.leaves)
    for node in graph.nodes():
        if node.op.name in ("input", "shared") and node not in known:
            raise MissingInput(
                f"the graph uses the leaf {node!r}, which it does not list",
                op=node.op.name,
                hint="make it an input or a shared variable, or give it a value",
            )
        _check_type(node)
    _check_updates(graph)


def _check_leaves(op: str, leaves: Sequence[Node]) -> None:
    for leaf in leaves:
        if leaf.op.name != op:
            raise GraphError(f"{leaf!r} is listed as {op}, but it is computed by {leaf.op.name!r}")
    if len(set(leaves)) != len(leaves):
        raise GraphError(f"a leaf is listed twice as {op}", hint="list each once")


def _check_type(node: Node) -> None:
    try:
        derived = node.op.derive([x.type for x in node.inputs], node.attributes)
    except ExprdError:
        raise
    except Exception as error:
        raise CompilerBug(f"the type rule failed: {error}", op=node.op.name) from error
    if derived != node.type:
        raise CompilerBug(f"a node of type {node.type} should be {derived}", op=node.op.name)


def _check_updates(graph: Graph) -> None:
    slots = [slot for slot, _ in graph.updates]
    if len(set(slots)) != len(slots):
        raise GraphError("a shared variable is updated twice", hint="give each one new value")
    for slot, new in graph.updates:
        if not 0 <= slot < len(graph.shared):
            raise GraphError(f"slot {slot} is updated, but there are {len(graph.shared)} variables")
        _check_update(graph.shared[slot], new.type)


def _check_update(variable: Node, new: TensorType) -> None:
    if variable.type.accepts(new):
        return
    message = f"the new value of {variable!r} has type {new}"
    if variable.dtype != new.dtype:
        narrower = promote(variable.dtype, new.dtype) != variable.dtype
        hint = f"cast it to {variable.dtype}" if narrower else "cast it"
        raise DTypeError(message, hint=hint)
    raise GraphError(message, hint="it must have the variable's rank and broadcast pattern")
