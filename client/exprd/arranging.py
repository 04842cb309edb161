"""Arranging over nodes: joining, splitting, repeating, shifting, scanning, diagonals.

Axes may be negative, as in numpy; None means the flattened tensor. Counts and sizes may be integers
or 0-d integer variables.
"""

from __future__ import annotations

from collections.abc import Sequence

from exprd.convert import as_extent, as_node, cast_to, split_extents
from exprd.shaping import dimshuffle, flatten, float_dtype, reshape, shape_of
from exprd_compiler.errors import GraphError, ShapeError
from exprd_compiler.ir.node import Node, Op
from exprd_compiler.ops import creation, diagonals, joining, repetition, scans

__all__ = [
    "concatenate",
    "cumprod",
    "cumsum",
    "diag",
    "expand_dims",
    "eye",
    "flip",
    "identity_like",
    "join",
    "moveaxis",
    "repeat",
    "roll",
    "split",
    "stack",
    "tile",
    "tri",
    "tril",
    "triu",
]


def _place(axis: int, rank: int, op: str) -> int:
    place = axis + rank if axis < 0 else axis
    if not 0 <= place < rank:
        raise ShapeError(f"axis {axis} is not an axis of rank {rank}", op=op)
    return place


def _flat(x: object, axis: int | None, op: str) -> tuple[Node, int]:
    """The tensor and its axis; the flattened tensor where no axis is given."""
    node = as_node(x)
    if axis is None:
        return flatten(node), 0
    return node, _place(axis, node.ndim, op)


# ---- joining and splitting
def join(axis: int, *tensors: object) -> Node:
    """Tensors one behind the other along an axis (Theano's order of arguments)."""
    return concatenate(tensors, axis)


def concatenate(tensors: Sequence[object], axis: int = 0) -> Node:
    """Tensors of one rank, one behind the other along an axis."""
    nodes = [as_node(x) for x in tensors]
    if not nodes:
        raise GraphError("takes one tensor or more", op="join")
    return joining.join(*nodes, axis=_place(axis, nodes[0].ndim, "join"))


def stack(tensors: Sequence[object], axis: int = 0) -> Node:
    """Tensors of one shape along a new axis."""
    nodes = [as_node(x) for x in tensors]
    if not nodes:
        raise GraphError("takes one tensor or more", op="stack")
    if all(node.ndim == 0 for node in nodes) and axis in (0, -1):
        return creation.make_vector(*nodes)
    return joining.stack(*nodes, axis=_place(axis, nodes[0].ndim + 1, "stack"))


def split(x: object, splits_size: Sequence[object], n_splits: int, axis: int = 0) -> list[Node]:
    """Views of x along an axis, as long as `splits_size` says, one behind the other."""
    node = as_node(x)
    if len(splits_size) != n_splits:
        raise GraphError(f"{n_splits} splits, but {len(splits_size)} sizes", op="split")
    sizes = [as_extent(size, "a size") for size in splits_size]
    return joining.split(node, sizes, _place(axis, node.ndim, "split"))


# ---- repeating and moving
def repeat(x: object, repeats: object, axis: int | None = None) -> Node:
    """Every element so many times, one beside the other; a vector gives each its own count."""
    node, place = _flat(x, axis, "repeat")
    counts = as_node(repeats)
    if counts.ndim:
        return repetition.repeat_each(node, counts, axis=place)
    count = as_extent(repeats, "a count")
    if isinstance(count, int):
        return repetition.repeat(node, repeats=count, axis=place)
    return repetition.repeat(node, count, repeats=None, axis=place)


def tile(x: object, reps: Sequence[object] | int | Node) -> Node:
    """The whole tensor so many times along each axis."""
    node = as_node(x)
    given: Sequence[object] = reps if isinstance(reps, Sequence) else (reps,)
    counts: list[int | Node] = [1] * (node.ndim - len(given))
    counts += [as_extent(count, "a count") for count in given]
    node = dimshuffle(node, *["x"] * (len(counts) - node.ndim), *range(node.ndim))
    spec, integers = split_extents(counts)
    return repetition.tile(node, *integers, reps=spec)


def roll(x: object, shift: object, axis: int | None = None) -> Node:
    """The elements moved along an axis, those that leave coming in at the other end."""
    whole = as_node(x)
    node, place = _flat(whole, axis, "roll")
    count = as_extent(shift, "a shift")
    if isinstance(count, int):
        moved = joining.roll(node, shift=count, axis=place)
    else:
        moved = joining.roll(node, count, shift=None, axis=place)
    return moved if axis is not None else _like(moved, whole)


def _like(flat: Node, whole: Node) -> Node:
    return reshape(flat, shape_of(whole), ndim=whole.ndim) if whole.ndim != 1 else flat


def flip(x: object, axis: int | Sequence[int] | None = None) -> Node:
    """The order along axes reversed; along all when none is given. A view."""
    node = as_node(x)
    given = range(node.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
    return scans.flip(node, sorted({_place(a, node.ndim, "flip") for a in given}))


def expand_dims(x: object, axis: int) -> Node:
    """With an axis of length 1 at a place."""
    node = as_node(x)
    place = _place(axis, node.ndim + 1, "expand_dims")
    pattern: list[object] = list(range(node.ndim))
    pattern.insert(place, "x")
    return dimshuffle(node, *pattern)


def moveaxis(x: object, source: int, destination: int) -> Node:
    """One axis at another place, the others in their order."""
    node = as_node(x)
    start = _place(source, node.ndim, "moveaxis")
    order = [axis for axis in range(node.ndim) if axis != start]
    order.insert(_place(destination, node.ndim, "moveaxis"), start)
    return dimshuffle(node, *order)


# ---- scans
def cumsum(x: object, axis: int | None = None) -> Node:
    """At each place, the sum of the elements up to it."""
    node, place = _flat(x, axis, "cumsum")
    return scans.cumsum(node, axis=place)


def cumprod(x: object, axis: int | None = None) -> Node:
    """At each place, the product of the elements up to it."""
    node, place = _flat(x, axis, "cumprod")
    return scans.cumprod(node, axis=place)


# ---- diagonals and triangles
def _made(op: Op, n: object, m: object, k: int, dtype: str | None) -> Node:
    rows = as_extent(n, "a number of rows")
    columns = rows if m is None else as_extent(m, "a number of columns")
    spec, integers = split_extents((rows, columns))
    return op(*integers, shape=spec, offset=k, dtype=float_dtype(dtype))


def eye(n: object, m: object = None, k: int = 0, dtype: str | None = None) -> Node:
    """Ones on the diagonal k of an n x m matrix, zeros elsewhere."""
    return _made(diagonals.eye, n, m, k, dtype)


def tri(n: object, m: object = None, k: int = 0, dtype: str | None = None) -> Node:
    """Ones on and below the diagonal k of an n x m matrix, zeros above."""
    return _made(diagonals.tri, n, m, k, dtype)


def tril(x: object, k: int = 0) -> Node:
    """The matrix with zeros above its diagonal k."""
    return diagonals.tril(as_node(x), offset=k)


def triu(x: object, k: int = 0) -> Node:
    """The matrix with zeros below its diagonal k."""
    return diagonals.triu(as_node(x), offset=k)


def diag(x: object, k: int = 0) -> Node:
    """The diagonal k of a matrix, or the matrix with a vector as its diagonal k."""
    node = as_node(x)
    if node.ndim == 1:
        return diagonals.diag(node, offset=k)
    if node.ndim != 2:
        raise ShapeError(f"takes a vector or a matrix, got {node.type}", op="diag")
    return diagonals.diagonal(node, offset=k, axis1=0, axis2=1)


def identity_like(x: object, dtype: str | None = None) -> Node:
    """The identity matrix in the shape of a matrix, in its dtype unless told otherwise."""
    made = diagonals.identity_like(as_node(x))
    return made if dtype is None else cast_to(made, dtype)
