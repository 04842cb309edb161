"""Scans: the kernel that runs a fold along one axis of a buffer, in place.

The axis goes in order, one place after the other; only axes that lie behind it in memory go in
vectors, so that every combination happens in the order of the axis, whatever the machine.
"""

from __future__ import annotations

from exprd_compiler.errors import CompilerBug
from exprd_compiler.ir.integer import IntExpr, const, maximum
from exprd_compiler.ir.lowering import Extents, Scan
from exprd_compiler.ir.node import Node
from exprd_compiler.kernel.access import Labels
from exprd_compiler.kernel.form import Access, Apply, Buffer, Kernel, Load, Position, Store, Value
from exprd_compiler.kernel.schedule import schedule
from exprd_compiler.ops.movement import contiguous_strides


def later_places(target: Buffer, axis: int) -> Extents:
    """The extents of a buffer without the first place of an axis."""
    extents = list(target.extents)
    extents[axis] = maximum(extents[axis] - 1, 0)
    return tuple(extents)


def scan(node: Node, target: Buffer, axes: tuple[IntExpr, ...], loops: Labels) -> Kernel:
    """The kernel that combines each place of an axis, but the first, with the one before it.

    Args:
        node: the scan.
        target: its buffer, which holds the elements that are to be combined.
        axes: extents of the loop axes over the later places.
        loops: the loop axis of each dimension.
    """
    rule = node.op.lowering
    along: int = node["axis"]
    scanned = loops[along]
    if not isinstance(rule, Scan):
        raise CompilerBug("not a scan", op=node.op.name)
    strides = contiguous_strides(target.extents)
    steps = [const(0)] * len(axes)
    for stride, loop in zip(strides, loops, strict=True):
        if loop is not None:
            steps[loop] = stride
    before = Access(target, const(0), tuple(steps))
    here = Access(target, strides[along], tuple(steps))
    dtype = target.dtype
    values: list[Value] = [
        Load(before, dtype),
        Load(here, dtype),
        Apply(rule.step, (), (0, 1), (dtype, dtype), dtype),
    ]
    if scanned is not None:
        values.append(Position(scanned))  # a loop whose position counts is never merged
    behind = frozenset(loop for loop in loops[along + 1 :] if loop is not None)
    label = node.op.name
    return schedule(axes, frozenset(), values, [Store(2, here)], label, behind)
