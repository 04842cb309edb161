"""Theano's further functions over nodes: differences, diagonals, choices by condition, coordinates.

Each is a composition of ops of the table; axes may be negative.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from exprd.arranging import concatenate
from exprd.convert import as_extent, as_node, cast_to, is_sequence
from exprd.indexing import flatnonzero, take
from exprd.linear import dot
from exprd.reduction import mean, sum_
from exprd.shaping import (
    arange,
    axis_of,
    dimshuffle,
    extent,
    extents_from,
    float_dtype,
    full,
    squeeze,
    transpose,
)
from exprd_compiler.errors import DTypeError, GraphError, ShapeError
from exprd_compiler.ir.dtype import INTEGERS
from exprd_compiler.ir.node import Node
from exprd_compiler.ops import diagonals, index, sets
from exprd_compiler.ops.arithmetic import abs_, add, mul, sub, true_div
from exprd_compiler.ops.division import int_div, mod
from exprd_compiler.ops.joining import between
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import eq, maximum, minimum, neq, switch
from exprd_compiler.ops.movement import shape_i, specify_shape
from exprd_compiler.ops.positions import iota

__all__ = [
    "bartlett",
    "compress",
    "cov",
    "diff",
    "fill_diagonal",
    "fill_diagonal_offset",
    "ravel_multi_index",
    "to_one_hot",
    "unravel_index",
]


def diff(x: object, n: int = 1, axis: int = -1) -> Node:
    """The n-th differences of neighbours along an axis; of truth values, whether they differ."""
    node = as_node(x)
    place = axis_of(node, axis, "diff")
    if n < 0:
        raise GraphError(f"differences are taken 0 times or more, not {n}", op="diff")
    less = neq if node.dtype == "bool" else sub
    for _ in range(n):
        node = less(between(node, 1, None, place), between(node, None, -1, place))
    return node


def compress(condition: object, x: object, axis: int | None = None) -> Node:
    """The elements, rows or columns of x whose place in a vector is true.

    Args:
        condition: a vector; a shorter one leaves out what it does not speak of.
        x: what to choose from.
        axis: along which; the elements in row-major order when None.
    """
    chosen = as_node(condition)
    if chosen.ndim != 1:
        raise ShapeError(f"the condition is a vector, not {chosen.type}", op="compress")
    return take(x, flatnonzero(chosen), axis)


# ---- diagonals
def _fills(a: Node, val: object, op: str) -> Node:
    value = as_node(val)
    if value.ndim:
        raise ShapeError(f"a diagonal is filled with one value, not {value.type}", op=op)
    return value


def fill_diagonal(a: object, val: object) -> Node:
    """A copy with one value on the main diagonal of a matrix, or of a tensor of equal extents."""
    node = as_node(a)
    value = _fills(node, val, "fill_diagonal")
    if node.ndim < 2:
        raise ShapeError(f"{node.type} has no diagonal", op="fill_diagonal")
    if node.ndim == 2:
        return diagonals.assign_diagonal(node, value, offset=0, axis1=0, axis2=1, mode="set")
    side = extent(node, 0)
    if isinstance(side, int):
        same = specify_shape(node, shape=(side,) * node.ndim)
        places = iota(length=side)
    else:
        same = specify_shape(node, *[side] * node.ndim, shape=(None,) * node.ndim)
        places = iota(side)
    return index.scatter(same, value, *[places] * node.ndim, mode="set")


def fill_diagonal_offset(a: object, val: object, offset: object) -> Node:
    """A copy of a matrix with one value on the diagonal so many columns to the right."""
    node = as_node(a)
    value = _fills(node, val, "fill_diagonal_offset")
    if node.ndim != 2:
        raise ShapeError(f"takes a matrix, not {node.type}", op="fill_diagonal_offset")
    known = as_extent(offset, "an offset")
    if isinstance(known, int):
        return diagonals.assign_diagonal(node, value, offset=known, axis1=0, axis2=1, mode="set")
    rows, columns = (iota(shape_i(node, axis=axis)) for axis in (0, 1))
    right = sub(dimshuffle(columns, "x", 0), dimshuffle(rows, 0, "x"))
    return switch(eq(right, cast_to(known, "int64")), cast_to(value, node.dtype), node)


def to_one_hot(y: object, nb_class: object, dtype: str | None = None) -> Node:
    """A row per element of a vector of class numbers: 1 at its class, 0 elsewhere.

    Args:
        y: the classes, from 0 to below `nb_class`; negative ones count back.
        nb_class: the number of classes.
        dtype: that of the result; the configured float type when None.
    """
    node = as_node(y)
    if node.ndim != 1 or node.dtype not in INTEGERS:
        raise DTypeError(f"classes are a vector of integers, not {node.type}", op="to_one_hot")
    count = extent(node, 0)
    blank = full((count, as_extent(nb_class, "the number of classes")), 0, float_dtype(dtype))
    rows = iota(length=count) if isinstance(count, int) else iota(count)
    return index.scatter(blank, const(1, blank.dtype), rows, node, mode="set")


# ---- coordinates
def _sides(dims: object) -> list[Node]:
    """The extents of a grid as 0-d int64 nodes."""
    given = extents_from(dims)
    return [const(d, "int64") if isinstance(d, int) else cast_to(d, "int64") for d in given]


def _strides(sides: Sequence[Node], order: str, op: str) -> list[Node]:
    """For each axis of a grid, the distance in elements of two neighbours."""
    if order not in ("C", "F"):
        raise GraphError(f"order {order!r} is not one of C, F", op=op)
    strides: list[Node] = []
    step = const(1, "int64")
    for side in reversed(sides) if order == "C" else sides:
        strides.append(step)
        step = mul(step, side)
    return [*reversed(strides)] if order == "C" else strides


def unravel_index(indices: object, dims: object, order: str = "C") -> tuple[Node, ...]:
    """For each axis of a grid, the coordinate of elements given by number.

    Args:
        indices: the numbers; one outside the grid is an error of the call.
        dims: the extents of the grid.
        order: "C" if the last axis varies fastest, "F" if the first does.
    """
    node = as_node(indices)
    if node.dtype not in INTEGERS:
        raise DTypeError(f"elements are numbered by integers, not {node.type}", op="unravel_index")
    sides = _sides(dims)
    strides = _strides(sides, order, "unravel_index")
    total = const(1, "int64")
    for side in sides:
        total = mul(total, side)
    number = sets.bounded(node, total)
    return tuple(
        mod(int_div(number, stride), side) for stride, side in zip(strides, sides, strict=True)
    )


def _clipped(x: Node, side: Node) -> Node:
    return maximum(minimum(x, sub(side, const(1, "int64"))), const(0, "int64"))


_MODES: Final[Mapping[str, Callable[[Node, Node], Node]]] = MappingProxyType(
    {"raise": sets.bounded, "wrap": mod, "clip": _clipped}
)


def ravel_multi_index(
    multi_index: Sequence[object],
    dims: object,
    mode: str | Sequence[str] = "raise",
    order: str = "C",
) -> Node:
    """The numbers of elements of a grid given by their coordinates.

    Args:
        multi_index: the coordinates, one tensor per axis.
        dims: the extents of the grid.
        mode: what a coordinate outside means: an error ("raise"), the one a number of lengths away
            ("wrap"), or the nearest there is ("clip"); or such a word per axis.
        order: "C" if the last axis varies fastest, "F" if the first does.
    """
    sides = _sides(dims)
    given = [as_node(part) for part in multi_index]
    modes = list(mode) if is_sequence(mode) else [str(mode)] * len(sides)
    if not len(given) == len(sides) == len(modes) != 0:
        raise ShapeError(
            f"{len(given)} coordinates and {len(modes)} modes for {len(sides)} axes",
            op="ravel_multi_index",
        )
    if unknown := set(modes) - set(_MODES):
        raise GraphError(f"unknown mode {unknown.pop()!r}", op="ravel_multi_index")
    total: Node | None = None
    for part, side, how, stride in zip(
        given, sides, modes, _strides(sides, order, "ravel_multi_index"), strict=True
    ):
        if part.dtype not in INTEGERS:
            raise DTypeError(f"coordinates are integers, not {part.type}", op="ravel_multi_index")
        number = mul(_MODES[how](cast_to(part, "int64"), side), stride)
        total = number if total is None else add(total, number)
    assert total is not None
    return total


# ---- made of numbers
def bartlett(m: object) -> Node:
    """The triangular window of so many points, 0 at both ends; none if there are none."""
    known = as_extent(m, "a number of points")
    count = const(known, "int64") if isinstance(known, int) else cast_to(known, "int64")
    last = cast_to(sub(count, const(1, "int64")), float_dtype(None))
    # one point is the middle, where nothing is divided
    width = maximum(last, const(1, last.dtype))
    place = cast_to(arange(count), last.dtype)
    off = abs_(sub(mul(place, const(2, last.dtype)), last))
    return sub(const(1, last.dtype), true_div(off, width))


def cov(
    m: object,
    y: object = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: object = None,
    aweights: object = None,
) -> Node:
    """The covariances of variables of which observations are given, as numpy's `cov`.

    Args:
        m: a row per variable, a column per observation; a vector is one variable.
        y: further variables of the same form.
        rowvar: whether rows are variables; otherwise columns are.
        bias: whether to divide by the number of observations; else by one less.
        ddof: by how much less instead.
        fweights: how often each observation counts.
        aweights: the weight of each observation.
    """
    rows = _variables(m, rowvar=rowvar)
    if y is not None:
        rows = concatenate([rows, _variables(y, rowvar=rowvar)], axis=0)
    freedom = ddof if ddof is not None else int(not bias)
    if fweights is None and aweights is None:
        centred = sub(rows, mean(rows, axis=1, keepdims=True))
        total = cast_to(shape_i(rows, axis=1), rows.dtype)
        scaled = centred
        fact = sub(total, const(freedom, rows.dtype))
    else:
        centred, scaled, fact = _weighted(rows, fweights, aweights, freedom)
    fact = maximum(fact, const(0, rows.dtype))
    found = true_div(dot(scaled, transpose(centred)), fact)
    return squeeze(found)


def _variables(m: object, *, rowvar: bool) -> Node:
    node = as_node(m)
    if node.ndim > 2:
        raise ShapeError(f"takes a vector or a matrix, not {node.type}", op="cov")
    if node.dtype in (*INTEGERS, "bool"):
        node = cast_to(node, "float64")
    if node.ndim < 2:
        return dimshuffle(node, *["x"] * (2 - node.ndim), *range(node.ndim))
    return node if rowvar or node.type.shape[0] == 1 else transpose(node)


def _weighted(
    rows: Node, fweights: object, aweights: object, freedom: int
) -> tuple[Node, Node, Node]:
    """Centred observations, the same with their weights, and the divisor of their products."""
    each = [cast_to(as_node(w), rows.dtype) for w in (fweights, aweights) if w is not None]
    if any(w.ndim != 1 for w in each):
        raise ShapeError("weights are vectors", op="cov")
    weights = each[0] if len(each) == 1 else mul(*each)
    total = sum_(weights)
    middle = true_div(sum_(mul(rows, weights), axis=1, keepdims=True), total)
    centred = sub(rows, middle)
    less: Node = const(freedom, rows.dtype)
    if aweights is not None:
        less = mul(less, true_div(sum_(mul(weights, each[-1])), total))
    return centred, mul(centred, weights), sub(total, less)
