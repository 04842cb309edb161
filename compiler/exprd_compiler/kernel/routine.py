"""Routine calls: a node that a function of our own computes from whole operands, as one step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from exprd_compiler.errors import CompilerBug
from exprd_compiler.ir.lowering import Routine
from exprd_compiler.kernel.form import Buffer, RoutineCall

if TYPE_CHECKING:
    from exprd_compiler.ir.lowering import Extents
    from exprd_compiler.ir.node import Node
    from exprd_compiler.kernel.shapes import Shapes
    from exprd_compiler.kernel.storage import Storage


def routine_call(
    node: Node,
    shapes: Shapes,
    storage: Storage,
    buffer: Callable[[Node], Buffer],
    temporary: Callable[[str, Extents], Buffer],
) -> RoutineCall:
    """The step that computes a node.

    Args:
        node: its lowering is a `Routine`.
        shapes: extents.
        storage: layouts; those of the operands are contiguous.
        buffer: the storage of a node, which is thereby needed.
        temporary: new storage of a dtype and extents for this step alone.
    """
    rule = node.op.lowering
    if not isinstance(rule, Routine):
        raise CompilerBug("not a routine", op=node.op.name)
    operands = node.inputs[: rule.operands]
    extents = [shapes[x] for x in operands]
    dtypes = [x.dtype for x in operands]
    sizes = tuple(rule.sizes(extents, shapes[node]))
    return RoutineCall(
        routine=rule.name,
        attrs=node.attrs,
        operands=tuple((buffer(storage.base(x)), storage.layout(x).offset) for x in operands),
        out=buffer(node),
        scratch=tuple(temporary(d, (n,)) for d, n in rule.scratch(dtypes, sizes)),
        sizes=sizes,
        site=shapes.site("IndexOutOfRange", rule.message, node) if rule.message else 0,
    )
