"""Functions of numpy that are compositions of others here: stacks, differences, interpolation.

Names and arguments are numpy's; axes may be negative.
"""

from __future__ import annotations

from collections.abc import Sequence

from exprd.arranging import concatenate, flip, moveaxis
from exprd.convert import as_node, cast_to
from exprd.creating import atleast_nd, broadcast_arrays
from exprd.elementwise import apply, divide
from exprd.extras import cov, diff
from exprd.indexing import getitem, take
from exprd.linear import outer
from exprd.reduction import sum_
from exprd.shaping import axis_of, dimshuffle, extent, flatten, swapaxes
from exprd.sorting import searchsorted
from exprd_compiler.errors import ShapeError
from exprd_compiler.ir.dtype import is_discrete
from exprd_compiler.ir.node import Node
from exprd_compiler.ops import arithmetic, logic, special, transcendental
from exprd_compiler.ops.diagonals import diagonal
from exprd_compiler.ops.joining import between
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.movement import shape_i

__all__ = [
    "beta",
    "betaln",
    "broadcast_shape",
    "column_stack",
    "corrcoef",
    "cross",
    "dstack",
    "ediff1d",
    "gradient",
    "interp",
    "rollaxis",
    "rot90",
    "trapz",
]


# ---- stacks and axes
def column_stack(tensors: Sequence[object]) -> Node:
    """Vectors as columns and matrices, side by side."""
    nodes = [as_node(x) for x in tensors]
    return concatenate([dimshuffle(x, 0, "x") if x.ndim == 1 else x for x in nodes], 1)


def dstack(tensors: Sequence[object]) -> Node:
    """Tensors one behind the other along a third axis, which vectors and matrices get."""
    nodes = [atleast_nd(as_node(x), 2) for x in tensors]
    return concatenate([dimshuffle(x, 0, 1, "x") if x.ndim == 2 else x for x in nodes], 2)


def rot90(m: object, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Node:
    """The tensor turned by 90 degrees k times, from the first of two axes to the second. A view."""
    node = as_node(m)
    first, second = (axis_of(node, axis, "rot90") for axis in axes)
    if first == second:
        raise ShapeError(f"axes {axes} are one axis", op="rot90")
    if k % 4 == 2:
        return flip(flip(node, first), second)
    if k % 4 == 1:
        return swapaxes(flip(node, second), first, second)
    return flip(swapaxes(node, first, second), second) if k % 4 else node


def rollaxis(a: object, axis: int, start: int = 0) -> Node:
    """The tensor with an axis moved before another. A view."""
    node = as_node(a)
    place = axis_of(node, axis, "rollaxis")
    target = start + node.ndim if start < 0 else start
    if not 0 <= target <= node.ndim:
        raise ShapeError(f"{start=} is not a place among the axes of {node.type}", op="rollaxis")
    return moveaxis(node, place, target - (place < target))


def broadcast_shape(*tensors: object) -> tuple[Node, ...]:
    """The extents to which tensors broadcast, as 0-d integers."""
    whole = broadcast_arrays(*tensors)[0]
    return tuple(shape_i(whole, axis=axis) for axis in range(whole.ndim))


def cross(a: object, b: object, axis: int = -1) -> Node:
    """The cross products of vectors of 3 elements along an axis; of 2, the third element alone.

    Raises:
        ShapeError: the number of elements is not statically 2 or 3, or not the same.
    """
    x, y = as_node(a), as_node(b)
    x, y = (moveaxis(v, axis_of(v, axis, "cross"), v.ndim - 1) for v in (x, y))
    sizes = {extent(v, v.ndim - 1) for v in (x, y)}
    if sizes not in ({2}, {3}):
        hint = "give it by specify_shape"
        raise ShapeError("takes vectors of 3 elements, or of 2, as known", op="cross", hint=hint)
    last = _minor(x, y, 0, 1)
    if sizes == {2}:
        return last
    parts = [_minor(x, y, 1, 2), _minor(x, y, 2, 0), last]
    columns = [dimshuffle(part, *range(part.ndim), "x") for part in parts]
    whole = concatenate(columns, -1)
    return moveaxis(whole, whole.ndim - 1, axis)


def _minor(x: Node, y: Node, i: int, j: int) -> Node:
    """x[i] y[j] - x[j] y[i] along the last axis."""

    def at(v: Node, place: int) -> Node:
        return getitem(v, (..., place))

    left = apply(arithmetic.mul, at(x, i), at(y, j))
    return apply(arithmetic.sub, left, apply(arithmetic.mul, at(x, j), at(y, i)))


# ---- differences and sums of neighbours
def gradient(f: object, spacing: object = 1, axis: int | None = None) -> list[Node] | Node:
    """Central differences along each axis, one-sided ones at the ends.

    Args:
        f: at least two elements along each axis concerned.
        spacing: the distance of neighbours, the same everywhere.
        axis: along which; along all of them when None.

    Returns:
        A tensor in the shape of f, or a list of them if f has several axes and none is chosen.
    """
    node = as_node(f)
    node = cast_to(node, "float64") if is_discrete(node.dtype) else node
    places = range(node.ndim) if axis is None else [axis_of(node, axis, "gradient")]
    step = as_node(spacing)
    if step.ndim:
        raise ShapeError("spacing is one number", op="gradient")
    step = cast_to(step, node.dtype)
    found = [_slopes(node, step, place) for place in places]
    return found[0] if len(found) == 1 else found


def _slopes(x: Node, step: Node, axis: int) -> Node:
    beside = apply(arithmetic.sub, between(x, 2, None, axis), between(x, None, -2, axis))
    inner = divide(beside, apply(arithmetic.add, step, step))
    first = apply(arithmetic.sub, between(x, 1, 2, axis), between(x, 0, 1, axis))
    last = apply(arithmetic.sub, between(x, -1, None, axis), between(x, -2, -1, axis))
    return concatenate([divide(first, step), inner, divide(last, step)], axis)


def ediff1d(ary: object, to_end: object = None, to_begin: object = None) -> Node:
    """The differences of neighbours of the flattened tensor, between what is to go around them."""
    parts = [to_begin, diff(flatten(ary)), to_end]
    found = [flatten(atleast_nd(as_node(part), 1)) for part in parts if part is not None]
    return found[0] if len(found) == 1 else concatenate(found, 0)


def trapz(y: object, x: object = None, dx: object = 1.0, axis: int = -1) -> Node:
    """The integral along an axis by the trapezoidal rule.

    Args:
        y: values of the function.
        x: where they were taken: a vector, or in the shape of y.
        dx: the distance of neighbours where x is not given.
        axis: along which.
    """
    node = as_node(y)
    place = axis_of(node, axis, "trapz")
    distance = as_node(dx)
    if x is not None:
        at = as_node(x)
        distance = diff(at, axis=-1 if at.ndim == 1 else place)
        if at.ndim == 1:
            distance = dimshuffle(distance, 0, *["x"] * (node.ndim - 1 - place))
    both = apply(arithmetic.add, between(node, 1, None, place), between(node, None, -1, place))
    return sum_(apply(arithmetic.mul, distance, divide(both, as_node(2.0))), axis=place)


def interp(x: object, xp: object, fp: object, left: object = None, right: object = None) -> Node:
    """Values between given ones, on straight lines from one to the next.

    Args:
        x: where they are wanted.
        xp: where values are given, in increasing order; at least one.
        fp: the values.
        left: the value before the first; that of the first by default.
        right: and behind the last.
    """
    at, places, values = as_node(x), as_node(xp), as_node(fp)
    if places.ndim != 1 or values.ndim != 1:
        raise ShapeError("takes vectors of places and values", op="interp")
    last = apply(arithmetic.sub, shape_i(places, axis=0), const(1, "int64"))
    behind = apply(logic.minimum, searchsorted(places, at, side="right"), last)
    before = apply(logic.maximum, apply(arithmetic.sub, behind, const(1, "int64")), 0)
    low, high = take(places, before), take(places, behind)
    start, end = take(values, before), take(values, behind)
    width = apply(arithmetic.sub, high, low)
    flat = apply(logic.eq, width, 0)
    share = divide(apply(arithmetic.sub, at, low), apply(logic.switch, flat, 1, width))
    rise = apply(arithmetic.mul, share, apply(arithmetic.sub, end, start))
    found = apply(arithmetic.add, start, rise)
    first, final = getitem(places, 0), getitem(places, -1)
    outer_left = getitem(values, 0) if left is None else left
    outer_right = getitem(values, -1) if right is None else right
    found = apply(logic.switch, apply(logic.eq, at, final), getitem(values, -1), found)
    found = apply(logic.switch, apply(logic.lt, at, first), outer_left, found)
    return apply(logic.switch, apply(logic.gt, at, final), outer_right, found)


# ---- statistics and special functions
def corrcoef(x: object, y: object = None, rowvar: bool = True) -> Node:
    """The correlations of variables: covariances over the product of standard deviations."""
    found = cov(x, y, rowvar)
    if not found.ndim:
        return divide(found, found)
    spread = apply(arithmetic.sqrt, diagonal(found, offset=0, axis1=0, axis2=1))
    return divide(found, outer(spread, spread))


def betaln(a: object, b: object) -> Node:
    """The logarithm of the beta function of positive numbers."""
    total = apply(arithmetic.add, a, b)
    each = [apply(special.gammaln, cast_to(as_node(x), total.dtype)) for x in (a, b)]
    return apply(arithmetic.sub, apply(arithmetic.add, *each), apply(special.gammaln, total))


def beta(a: object, b: object) -> Node:
    """The beta function of positive numbers: gamma(a) gamma(b) / gamma(a + b)."""
    return apply(transcendental.exp, betaln(a, b))
