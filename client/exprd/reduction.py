"""Reductions over nodes with numpy's arguments: axis, keepdims, dtype.

The ops of the table know sorted axes and nothing of kept ones; this is where arguments become that.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TypeAlias

from exprd.convert import as_node, cast_to, dtype_name
from exprd.elementwise import apply, divide
from exprd.shaping import extent, flatten
from exprd_compiler.errors import DTypeError, ShapeError
from exprd_compiler.ir.dtype import is_discrete, promote
from exprd_compiler.ir.node import Node, Op
from exprd_compiler.ops import arithmetic, logic, transcendental
from exprd_compiler.ops import reduce as ops
from exprd_compiler.ops.families import sum_dtype
from exprd_compiler.ops.table import OPS

__all__ = ["all_", "any_", "argmax", "argmin", "max_", "mean", "min_", "std", "sum_", "var"]

Axis: TypeAlias = "int | Sequence[int] | None"


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


def _fold(op: Op, x: Node, axis: Axis, keepdims: bool) -> Node:
    axes = axes_of(x, axis, op.name)
    out = op(x, axes=axes)
    return ops.expand_axes(out, axes) if keepdims else out


def fold_ops() -> dict[str, Op]:
    """The ops of the table that fold axes and need to know nothing else."""
    return {
        op.name: op
        for op in OPS.values()
        if op.examples and all(set(example.attrs) == {"axes"} for example in op.examples)
    }


def fold(op: Op, x: object, axis: Axis = None, keepdims: bool = False) -> Node:
    """A fold of the table over axes, all of them by default."""
    return _fold(op, as_node(x), axis, keepdims)


def sum_(x: object, axis: Axis = None, dtype: str | None = None, keepdims: bool = False) -> Node:
    """The sum over axes, all of them by default."""
    node = as_node(x)
    wanted = sum_dtype(node.dtype) if dtype is None else dtype_name(dtype)
    wide = cast_to(node, wanted) if promote(node.dtype, wanted) == wanted else node
    return cast_to(_fold(ops.sum_, wide, axis, keepdims), wanted)


def mean(x: object, axis: Axis = None, dtype: str | None = None, keepdims: bool = False) -> Node:
    """The mean over axes; of integers in float64."""
    node = as_node(x)
    if dtype is not None and is_discrete(dtype_name(dtype)):
        raise DTypeError(f"the mean has a float dtype, not {dtype}", op="mean")
    wide = node if dtype is None else cast_to(node, promote(node.dtype, dtype_name(dtype)))
    out = _fold(ops.mean, wide, axis, keepdims)
    return out if dtype is None else cast_to(out, dtype)


def max_(x: object, axis: Axis = None, keepdims: bool = False) -> Node:
    """The largest element over axes."""
    return _fold(ops.max_, as_node(x), axis, keepdims)


def _mirrored(x: Node) -> Node:
    """The same elements in the opposite order: negated floats, complemented integers."""
    return logic.invert(x) if is_discrete(x.dtype) else arithmetic.neg(x)


def min_(x: object, axis: Axis = None, keepdims: bool = False) -> Node:
    """The smallest element over axes."""
    return _mirrored(max_(_mirrored(as_node(x)), axis, keepdims))


def argmax(x: object, axis: int | None = None, keepdims: bool = False) -> Node:
    """The position of the first largest element, in the flattened tensor by default."""
    node = as_node(x)
    if axis is not None:
        return _fold(ops.argmax, node, axis, keepdims)
    out = ops.argmax(flatten(node, 1), axes=(0,))
    return ops.expand_axes(out, tuple(range(node.ndim))) if keepdims else out


def argmin(x: object, axis: int | None = None, keepdims: bool = False) -> Node:
    """The position of the first smallest element, in the flattened tensor by default."""
    return argmax(_mirrored(as_node(x)), axis, keepdims)


def any_(x: object, axis: Axis = None, keepdims: bool = False) -> Node:
    """Whether an element over axes is not zero."""
    return apply(logic.gt, sum_(apply(logic.neq, x, 0), axis, keepdims=keepdims), 0)


def all_(x: object, axis: Axis = None, keepdims: bool = False) -> Node:
    """Whether no element over axes is zero."""
    return apply(logic.eq, sum_(apply(logic.eq, x, 0), axis, keepdims=keepdims), 0)


def var(x: object, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Node:
    """The variance over axes: the mean of the squared distances from the mean."""
    node = as_node(x)
    off = arithmetic.sqr(arithmetic.sub(node, mean(node, axis, keepdims=True)))
    if not ddof:
        return mean(off, axis, keepdims=keepdims)
    count = as_node(1)
    for a in axes_of(node, axis, "var"):
        count = arithmetic.mul(count, as_node(extent(node, a)))
    free = cast_to(apply(arithmetic.sub, count, ddof), off.dtype)
    return divide(sum_(off, axis, keepdims=keepdims), free)


def std(x: object, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Node:
    """The standard deviation over axes."""
    return arithmetic.sqrt(var(x, axis, ddof, keepdims))


def norm(x: object, axis: Axis = None) -> Node:
    """The Euclidean norm over axes."""
    return arithmetic.sqrt(sum_(arithmetic.sqr(as_node(x)), axis))


def logsumexp(x: object, axis: Axis = None, keepdims: bool = False) -> Node:
    """The logarithm of the sum of exponentials over axes, without overflow."""
    node = as_node(x)
    top = max_(node, axis, keepdims=True)
    total = sum_(transcendental.exp(arithmetic.sub(node, top)), axis, keepdims=True)
    out = arithmetic.add(transcendental.log(total), top)
    return out if keepdims else sum_(out, axis)
