"""Scheduling: the order of a kernel's loops, which one is in vectors, and which are one loop.

Decides from strides alone, so the plan is the same for every machine: bits do not depend on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from exprd_compiler.ir.integer import IntExpr
from exprd_compiler.kernel.form import (
    Access,
    Apply,
    Fold,
    Kernel,
    Load,
    Position,
    Store,
    Value,
)
from exprd_compiler.kernel.keep import keep


def schedule(
    axes: Sequence[IntExpr],
    row: frozenset[int],
    values: Sequence[Value],
    stores: Sequence[Store],
    label: str,
    vectors: frozenset[int] | None = None,
) -> Kernel:
    """The kernel with ordered, merged loops.

    Args:
        axes: extents of the loop axes as the accesses know them.
        row: the axes over which folds run.
        values: in SSA order.
        stores: in program order.
        label: for people.
        vectors: the axes that may be in vectors; all when not given.
    """
    allowed = frozenset(range(len(axes))) if vectors is None else vectors
    chosen = _vector_axis(row, allowed, list(_accesses(values, stores)))
    grid = [axis for axis in range(len(axes)) if axis not in row and axis != chosen]
    rows = [axis for axis in range(len(axes)) if axis in row and axis != chosen]
    if chosen is not None:
        (rows if chosen in row else grid).append(chosen)
    order = [*grid, *rows]
    kernel = Kernel(
        axes=tuple(axes[axis] for axis in order),
        grid=len(grid),
        vector=-1 if chosen is None else order.index(chosen),
        values=tuple(_moved(value, order) for value in values),
        stores=tuple(replace(s, access=_moved_access(s.access, order)) for s in stores),
        label=label,
    )
    return keep(_merged(kernel))


def _accesses(values: Sequence[Value], stores: Sequence[Store]) -> Iterator[Access]:
    yield from (value.access for value in values if isinstance(value, Load))
    yield from (store.access for store in stores)


def _vector_axis(
    row: frozenset[int], allowed: frozenset[int], accesses: Sequence[Access]
) -> int | None:
    """The axis along which most accesses step by one element; row axes and later ones first."""

    def score(axis: int) -> tuple[int, bool, int]:
        steps = [access.strides[axis].known for access in accesses]
        units = sum(step == 1 for step in steps)
        return units - sum(step not in (0, 1) for step in steps), axis in row, axis

    return max(allowed, key=score, default=None)


# ---- renumbering
def _moved_access(access: Access, order: Sequence[int]) -> Access:
    return replace(access, strides=tuple(access.strides[axis] for axis in order))


def _moved(value: Value, order: Sequence[int]) -> Value:
    match value:
        case Load():
            return replace(value, access=_moved_access(value.access, order))
        case Position():
            return replace(value, axis=order.index(value.axis))
        case Apply() if value.domain:
            domain = [order.index(axis) for axis in value.domain if axis in order]
            return replace(value, domain=tuple(sorted(domain)))
        case Fold() if value.position >= 0:
            return replace(value, position=order.index(value.position))
        case _:
            return value


# ---- merging
def _merged(kernel: Kernel) -> Kernel:
    """Neighbouring loops of one kind as one, wherever every access steps evenly through both."""
    named = {v.axis for v in kernel.values if isinstance(v, Position)}
    named |= {v.position for v in kernel.values if isinstance(v, Fold)}
    for axis in range(len(kernel.axes) - 2, -1, -1):
        same_kind = (axis < kernel.grid) == (axis + 1 < kernel.grid)
        free = not named & {axis, axis + 1} and _both(kernel, axis)
        if same_kind and free and _even(kernel, axis):
            return _merged(_merge(kernel, axis))
    return kernel


def _even(kernel: Kernel, axis: int) -> bool:
    extent = kernel.axes[axis + 1]
    return all(
        access.strides[axis] is access.strides[axis + 1] * extent
        for access in _accesses(kernel.values, kernel.stores)
    )


def _both(kernel: Kernel, axis: int) -> bool:
    """Whether whatever counts elements along one of two neighbouring loops does so along both."""
    applied = (value for value in kernel.values if isinstance(value, Apply))
    return all(len({axis, axis + 1} & {*value.domain}) != 1 for value in applied)


def _merge(kernel: Kernel, axis: int) -> Kernel:
    """Loops `axis` and `axis + 1` as one; the strides of the inner one remain."""
    order = [i for i in range(len(kernel.axes)) if i != axis]
    both = kernel.axes[axis] * kernel.axes[axis + 1]
    axes = tuple(both if i == axis + 1 else kernel.axes[i] for i in order)
    return Kernel(
        axes=axes,
        grid=kernel.grid - (axis < kernel.grid),
        vector=kernel.vector - (kernel.vector > axis),
        values=tuple(_moved(value, order) for value in kernel.values),
        stores=tuple(replace(s, access=_moved_access(s.access, order)) for s in kernel.stores),
        label=kernel.label,
    )
