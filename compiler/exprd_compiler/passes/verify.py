"""The verifying observer: after every pass the graph is legal and its interface is the same.

For tests and debugging; production runs without it.
"""

from __future__ import annotations

from exprd_compiler.errors import CompilerBug, ExprdError
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.verify import verify


def verify_types(name: str, before: Graph, after: Graph, _seconds: float) -> None:
    """An observer that refuses what a pass must not do.

    Raises:
        CompilerBug: the pass made an illegal graph, or changed its interface.
    """
    try:
        verify(after)
    except ExprdError as error:
        raise CompilerBug(f"after pass {name!r}: {error}", op=error.op) from error
    same_updates = [slot for slot, _ in before.updates] == [slot for slot, _ in after.updates]
    if before.leaves != after.leaves or not same_updates:
        raise CompilerBug(f"pass {name!r} changed the leaves or the updates")
    for old, new in zip(before.roots, after.roots, strict=True):
        if not old.type.accepts(new.type):
            raise CompilerBug(f"pass {name!r} made {new.type} of {old.type}", op=old.op.name)
