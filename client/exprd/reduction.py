"""Reductions over nodes with numpy's arguments: axis, keepdims, dtype.

The ops of the table know sorted axes and nothing of kept ones; this is where arguments become that.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from exprd.convert import as_node, cast_to, dtype_name
from exprd.shaping import flatten
from exprd_compiler.errors import DTypeError, ShapeError
from exprd_compiler.ir.dtype import is_discrete, promote
from exprd_compiler.ir.node import Node, Op
from exprd_compiler.ops import reduce as ops
from exprd_compiler.ops import statistics
from exprd_compiler.ops.families import sum_dtype
from exprd_compiler.ops.table import OPS

__all__ = ["Axis", "argmax", "argmin", "fold", "fold_ops", "mean", "norm", "prod", "std", "sum_"]

Axis: TypeAlias = "int | Sequence[int] | None"
_INNER: Final = frozenset(("highest",))  # folds that others are made of


def axes_of(x: Node, axis: Axis, op: str) -> tuple[int, ...]:
    """The sorted non-negative axes that the argument `axis` names.

    Raises:
        ShapeError: one is out of range or named twice.
    """
    if axis is None:
        return tuple(range(x.ndim))
    given = tuple(axis) if isinstance(axis, Sequence) else (axis,)
    places = sorted(operator.index(a) + (x.ndim if a < 0 else 0) for a in given)
    if len(set(places)) != len(places) or not all(0 <= a < x.ndim for a in places):
        raise ShapeError(f"axis {axis!r} does not fit {x.type}", op=op)
    return tuple(places)


def fold_ops() -> dict[str, Op]:
    """The ops of the table that fold axes and need to know nothing else."""
    return {
        op.name: op
        for op in OPS.values()
        if op.name not in _INNER
        and op.examples
        and all(set(example.attrs) == {"axes"} for example in op.examples)
    }


def fold(op: Op, x: object, axis: Axis = None, keepdims: bool = False, **attrs: Any) -> Node:
    """A fold of the table over axes, all of them by default."""
    node = as_node(x)
    axes = axes_of(node, axis, op.name)
    out = op(node, axes=axes, **attrs)
    return ops.expand_axes(out, axes) if keepdims else out


def _in_dtype(op: Op, x: object, axis: Axis, dtype: str | None, keepdims: bool) -> Node:
    """A sum or product in a dtype: a wider one is taken before the fold, a narrower one after."""
    node = as_node(x)
    wanted = sum_dtype(node.dtype) if dtype is None else dtype_name(dtype)
    wide = cast_to(node, wanted) if promote(node.dtype, wanted) == wanted else node
    return cast_to(fold(op, wide, axis, keepdims), wanted)


def sum_(x: object, axis: Axis = None, dtype: str | None = None, keepdims: bool = False) -> Node:
    """The sum over axes, all of them by default."""
    return _in_dtype(ops.sum_, x, axis, dtype, keepdims)


def prod(x: object, axis: Axis = None, dtype: str | None = None, keepdims: bool = False) -> Node:
    """The product over axes, all of them by default."""
    return _in_dtype(ops.prod, x, axis, dtype, keepdims)


def mean(x: object, axis: Axis = None, dtype: str | None = None, keepdims: bool = False) -> Node:
    """The mean over axes; of integers in float64."""
    node = as_node(x)
    if dtype is None:
        return fold(ops.mean, node, axis, keepdims)
    wanted = dtype_name(dtype)
    if is_discrete(wanted):
        raise DTypeError(f"the mean has a float dtype, not {wanted}", op="mean")
    wide = cast_to(node, promote(node.dtype, wanted))
    return cast_to(fold(ops.mean, wide, axis, keepdims), wanted)


def var(x: object, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Node:
    """The variance over axes: squared distances from the mean over their number less ddof."""
    return fold(statistics.var, x, axis, keepdims, ddof=ddof)


def std(x: object, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Node:
    """The standard deviation over axes."""
    return fold(statistics.std, x, axis, keepdims, ddof=ddof)


def norm(x: object, ord: float = 2, axis: Axis = None, keepdims: bool = False) -> Node:
    """The vector norm of an order over axes, Euclid's by default."""
    return fold(statistics.norm, x, axis, keepdims, order=float(ord))


def _position(op: Op, x: object, axis: int | None, keepdims: bool) -> Node:
    node = as_node(x)
    if axis is not None:
        return fold(op, node, axis, keepdims)
    out = op(flatten(node, 1), axes=(0,))
    return ops.expand_axes(out, tuple(range(node.ndim))) if keepdims else out


def argmax(x: object, axis: int | None = None, keepdims: bool = False) -> Node:
    """The position of the first largest element, in the flattened tensor by default."""
    return _position(ops.argmax, x, axis, keepdims)


def argmin(x: object, axis: int | None = None, keepdims: bool = False) -> Node:
    """The position of the first smallest element, in the flattened tensor by default."""
    return _position(ops.argmin, x, axis, keepdims)
