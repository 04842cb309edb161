"""Shapes over nodes: extents, reshape, dimshuffle, broadcasting, ranges.

Known extents become static entries, so that types say as much as can be known; unknown ones become
0-d integer nodes.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from exprd.config import config
from exprd.convert import (
    as_extent,
    as_node,
    cast_to,
    is_array,
    is_sequence,
    node_of,
    split_extents,
    static_int,
)
from exprd_compiler.errors import GraphError, ShapeError
from exprd_compiler.ir.dtype import INTEGERS, is_discrete
from exprd_compiler.ir.node import Node
from exprd_compiler.ops import arithmetic, creation, movement
from exprd_compiler.ops.index import subtensor
from exprd_compiler.ops.leaves import const, constant_value

__all__ = [
    "alloc",
    "arange",
    "axis_of",
    "dimshuffle",
    "extent",
    "flatten",
    "reshape",
    "shape_of",
    "size_of",
    "transpose",
]


def extent(x: Node, axis: int) -> int | Node:
    """The length of an axis: an integer where the type knows it, else a node."""
    known = x.type.shape[axis]
    return movement.shape_i(x, axis=axis) if known is None else known


def shape_of(x: object) -> Node:
    """The extents as an int64 vector."""
    node = as_node(x)
    return creation.shape(node) if node.ndim else const(np.zeros(0, "int64"))


def size_of(x: object) -> Node:
    """The number of elements, as an int64."""
    node = as_node(x)
    out = const(1, "int64")
    for axis in range(node.ndim):
        out = arithmetic.mul(out, as_node(extent(node, axis)))
    return out


def extents_from(value: object, ndim: int | None = None) -> tuple[int | Node, ...]:
    """The extents that a shape argument names: a sequence, an integer, or an integer vector.

    Raises:
        GraphError: it is a vector whose length is not known, and `ndim` was not given.
    """
    node = node_of(value)
    if node is None:
        given = value.tolist() if is_array(value) else value
        items: Iterable[Any] = given if is_sequence(given) else (given,)
        return tuple(as_extent(item, "an extent") for item in items)
    if node.ndim == 0:
        return (as_extent(node, "an extent"),)
    return _vector_entries(node, ndim)


def _vector_entries(node: Node, ndim: int | None) -> tuple[int | Node, ...]:
    if node.ndim != 1 or node.dtype not in INTEGERS:
        raise GraphError(f"a shape is a vector of integers, got {node.type}")
    if node.op is creation.shape:
        return tuple(extent(node.inputs[0], axis) for axis in range(node.inputs[0].ndim))
    if node.op is creation.make_vector:
        return tuple(as_extent(entry, "an extent") for entry in node.inputs)
    array = constant_value(node)
    if array is not None:
        return tuple(int(entry) for entry in array)
    count = ndim if ndim is not None else node.type.shape[0]
    if count is None:
        raise GraphError(
            "the length of this shape is not known, so neither is the rank of the result",
            hint="give ndim=",
        )
    return tuple(subtensor(node, index=(("at", place),)) for place in range(count))


def reshape(x: object, newshape: object, ndim: int | None = None) -> Node:
    """The elements in row-major order under another shape; one -1 is inferred."""
    spec, integers = split_extents(extents_from(newshape, ndim))
    if ndim is not None and len(spec) != ndim:
        raise ShapeError(f"shape {spec} does not have ndim={ndim}", op="reshape")
    return movement.reshape(as_node(x), *integers, shape=spec)


def flatten(x: object, ndim: int = 1) -> Node:
    """The tensor with its trailing axes joined so that `ndim` are left."""
    node = as_node(x)
    if not 1 <= ndim <= max(node.ndim, 1):
        raise ShapeError(f"cannot flatten {node.type} to rank {ndim}", op="flatten")
    if node.ndim == ndim:
        return node
    kept = tuple(extent(node, axis) for axis in range(ndim - 1))
    return reshape(node, (*kept, -1))


def dimshuffle(x: object, *pattern: Any) -> Node:
    """The axes in another order; "x" inserts one of length 1."""
    node = as_node(x)
    if len(pattern) == 1 and isinstance(pattern[0], list | tuple):
        pattern = tuple(pattern[0])  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    order = tuple(_axis_or_new(node, entry) for entry in pattern)
    return movement.dimshuffle(node, order=order)


def _axis_or_new(node: Node, entry: object) -> int:
    if entry == "x":
        return movement.NEW_AXIS
    if isinstance(entry, str):
        raise ShapeError(f"pattern entry {entry!r}", op="dimshuffle", hint="axes are ints or 'x'")
    return axis_of(node, operator.index(entry), "dimshuffle")  # type: ignore[arg-type]


def axis_of(node: Node, axis: int, op: str) -> int:
    """The place of an axis, which may be counted from the end.

    Raises:
        ShapeError: there is no such axis.
    """
    place = axis + node.ndim if axis < 0 else axis
    if not 0 <= place < node.ndim:
        raise ShapeError(f"axis {axis} is not an axis of {node.type}", op=op)
    return place


def transpose(x: object, axes: Sequence[int] | None = None) -> Node:
    """The axes permuted; reversed when no order is given."""
    node = as_node(x)
    return dimshuffle(node, list(reversed(range(node.ndim))) if axes is None else list(axes))


def swapaxes(x: object, axis1: int, axis2: int) -> Node:
    """Two axes exchanged."""
    node = as_node(x)
    a, b = axis_of(node, axis1, "swapaxes"), axis_of(node, axis2, "swapaxes")
    order = list(range(node.ndim))
    order[a], order[b] = b, a
    return dimshuffle(node, order)


def squeeze(x: object) -> Node:
    """Without the axes that are statically 1."""
    node = as_node(x)
    return dimshuffle(node, [axis for axis, n in enumerate(node.type.shape) if n != 1])


def shape_padleft(x: object, n_ones: int = 1) -> Node:
    """With axes of length 1 in front."""
    node = as_node(x)
    return dimshuffle(node, ["x"] * n_ones + list(range(node.ndim)))


def shape_padright(x: object, n_ones: int = 1) -> Node:
    """With axes of length 1 behind."""
    node = as_node(x)
    return dimshuffle(node, [*range(node.ndim), *["x"] * n_ones])


def shape_padaxis(x: object, axis: int) -> Node:
    """With an axis of length 1 at a place."""
    node = as_node(x)
    place = axis + node.ndim + 1 if axis < 0 else axis
    if not 0 <= place <= node.ndim:
        raise ShapeError(f"no place {axis} in {node.type}", op="shape_padaxis")
    order: list[object] = list(range(node.ndim))
    return dimshuffle(node, [*order[:place], "x", *order[place:]])


# ---- values from shapes
def alloc(value: object, *shape: object) -> Node:
    """A value broadcast to a shape."""
    entries = tuple(e for part in shape for e in extents_from(part))
    spec, integers = split_extents(entries)
    return creation.alloc(as_node(value), *integers, shape=spec)


def full(shape: object, value: object, dtype: str | None = None) -> Node:
    """A tensor of one value."""
    node = as_node(value)
    return alloc(node if dtype is None else cast_to(node, dtype), shape)


def filled_like(x: object, value: float, dtype: str | None = None) -> Node:
    """One value in the shape of x, in the dtype of x unless told otherwise."""
    node = as_node(x)
    name = node.dtype if dtype is None else dtype
    return arithmetic.second(node, cast_to(const(value, "int8"), name))


def arange(start: object, stop: object = None, step: object = 1, dtype: str | None = None) -> Node:
    """The numbers from start (0) up to, and without, stop.

    Raises:
        GraphError: the step is symbolic, or a symbolic bound is not an integer.
    """
    if stop is None:
        start, stop = 0, start
    known = [_known(v) for v in (start, stop, step)]
    if None not in known:
        values = np.arange(*known)  # type: ignore[arg-type]
        made = const(values)
        return cast_to(made, dtype or ("int64" if is_discrete(made.dtype) else made.dtype))
    return cast_to(_integer_range(start, stop, step), dtype or "int64")


def _known(value: object) -> float | None:
    """The number, if it is one now."""
    node = node_of(value)
    if node is None:
        return value if isinstance(value, int | float) else static_int(value)
    array = constant_value(node)
    return None if array is None or array.ndim else array.item()


def _integer_range(start: object, stop: object, step: object) -> Node:
    stride = static_int(step)
    if not stride:
        raise GraphError("the step is a constant other than 0", op="arange")
    first, last = (cast_to(as_node(as_extent(v, "a bound")), "int64") for v in (start, stop))
    distance = arithmetic.sub(last, first) if stride > 0 else arithmetic.sub(first, last)
    out = creation.iota(last if static_int(start) == 0 and stride > 0 else distance)
    if abs(stride) > 1:
        out = subtensor(out, index=(("slice", None, None, abs(stride)),))
    if stride < 0:
        return arithmetic.sub(first, out)
    return out if static_int(start) == 0 else arithmetic.add(first, out)


def float_dtype(dtype: str | None) -> str:
    """The dtype asked for, or the configured float type."""
    return config.floatX if dtype is None else dtype
