"""Calls of LAPACK: copies that the routine may overwrite, then one step for the whole stack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from exprd_compiler.errors import CompilerBug
from exprd_compiler.ir.integer import const, less, product
from exprd_compiler.ir.lowering import Lapack, Layout
from exprd_compiler.kernel.form import Buffer, Kernel, LapackCall, Step
from exprd_compiler.ops.movement import contiguous_strides

if TYPE_CHECKING:
    from exprd_compiler.ir.integer import IntExpr
    from exprd_compiler.ir.lowering import Extents
    from exprd_compiler.ir.node import Node
    from exprd_compiler.kernel.shapes import Shapes
    from exprd_compiler.kernel.storage import Storage

_LIMIT = 2**31 - 1  # LAPACK counts in 32 bits


def items_of(rule: Lapack, extents: Sequence[Extents]) -> list[Extents]:
    """Per input, the extents of one item of the stack."""
    return [tuple(e[len(e) - n :]) for e, n in zip(extents, rule.core, strict=True)]


def by_columns(extents: Extents) -> Layout:
    """The layout of matrices whose columns lie one after the other."""
    strides = list(contiguous_strides(extents))
    strides[-2:] = [const(1), extents[-2]]
    return Layout(const(0), tuple(extents), tuple(strides))


def by_rows(extents: Extents) -> Layout:
    """The layout of a C-contiguous value."""
    return Layout(const(0), tuple(extents), contiguous_strides(extents))


_ORDERS: dict[str, Callable[[Extents], Layout]] = {
    "result": by_rows,
    "rows": by_rows,
    "columns": by_columns,
}


def lapack_steps(
    node: Node,
    shapes: Shapes,
    storage: Storage,
    buffer: Callable[[Node], Buffer],
    temporary: Callable[[str, Extents], Buffer],
    copied: Callable[[Node, Buffer, Layout], Kernel],
) -> list[Step]:
    """The steps that compute a node.

    Args:
        node: its lowering is a `Lapack`.
        shapes: extents.
        storage: layouts; of what is read in place they are contiguous.
        buffer: the storage of a node, which is thereby needed.
        temporary: new storage of a dtype and extents for this step alone.
        copied: the kernel that writes a node into a buffer under a layout.
    """
    rule = node.op.lowering
    if not isinstance(rule, Lapack):
        raise CompilerBug("not a routine of LAPACK", op=node.op.name)
    items = items_of(rule, [shapes[x] for x in node.inputs])
    sizes = tuple(rule.sizes(*items, **node.attributes))
    out = buffer(node)
    before: list[Step] = []
    operands: list[tuple[Buffer, IntExpr]] = []
    for x, place in zip(node.inputs, rule.places, strict=True):
        if place == "read":
            operands.append((buffer(storage.base(x)), storage.layout(x).offset))
            continue
        target = out if place == "result" else temporary(x.dtype, shapes[x])
        before.append(copied(x, target, _ORDERS[place](shapes[x])))
        operands.append((target, const(0)))
    call = LapackCall(
        routine=rule.routine,
        attrs=node.attrs,
        operands=tuple(operands),
        out=out,
        scratch=_scratch(node, rule, sizes, shapes, temporary),
        stack=product(shapes[node.inputs[0]][: node.inputs[0].ndim - rule.core[0]]),
        lengths=tuple(product(x) for x in (rule.extents(*items, **node.attributes), *items)),
        sizes=sizes,
        sites=tuple(shapes.site("LinAlgError", text, node) for text in rule.failures),
    )
    return [*before, call]


def _scratch(
    node: Node,
    rule: Lapack,
    sizes: tuple[IntExpr, ...],
    shapes: Shapes,
    temporary: Callable[[str, Extents], Buffer],
) -> tuple[Buffer, ...]:
    made: list[Buffer] = []
    text = "{} is beyond what LAPACK counts"
    for dtype, length in rule.scratch(*sizes):
        shapes.require_for(node, less(length, _LIMIT), "LimitExceeded", text, length)
        made.append(temporary(node.dtype if dtype == "real" else dtype, (length,)))
    return tuple(made)
