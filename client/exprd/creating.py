"""Creation over nodes: grids, evenly spaced numbers, borders, and one tensor in another's shape.

Names and arguments are numpy's and Theano's; lengths may be integers or 0-d integer variables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from exprd.arranging import concatenate, stack
from exprd.convert import as_extent, as_node, cast_to, is_sequence, node_of, split_extents
from exprd.shaping import alloc, arange, dimshuffle, extents_from, float_dtype
from exprd_compiler.errors import ArgumentError, ShapeError
from exprd_compiler.ir.node import Node
from exprd_compiler.ops import arithmetic, diagonals, movement, ranges, repetition, transcendental
from exprd_compiler.ops.leaves import const

__all__ = [
    "Grid",
    "addbroadcast",
    "atleast_nd",
    "broadcast_arrays",
    "broadcast_to",
    "diagonal",
    "full_like",
    "geomspace",
    "hstack",
    "identity",
    "indices",
    "linspace",
    "logspace",
    "meshgrid",
    "pad",
    "patternbroadcast",
    "specify_shape",
    "stacklists",
    "unbroadcast",
    "vstack",
]


# ---- evenly spaced numbers
def linspace(
    start: object, stop: object, num: object = 50, endpoint: bool = True, dtype: str | None = None
) -> Node:
    """As many evenly spaced numbers from start to stop, which is the last one unless told so."""
    count = as_extent(num, "the number of points")
    spec, integers = split_extents([count])
    first, last = (_real(x) for x in (start, stop))
    out = ranges.linspace(first, last, *integers, number=spec[0], endpoint=endpoint)
    return cast_to(out, float_dtype(dtype))


def _real(value: object) -> Node:
    """A 0-d bound as it is, a python number as float64, so that no digit is lost."""
    node = node_of(value)
    return node if node is not None else const(value, "float64")


def logspace(
    start: object,
    stop: object,
    num: object = 50,
    endpoint: bool = True,
    base: float = 10.0,
    dtype: str | None = None,
) -> Node:
    """Powers of a base whose exponents are evenly spaced."""
    exponents = linspace(start, stop, num, endpoint, "float64")
    return cast_to(transcendental.pow_(const(base, "float64"), exponents), float_dtype(dtype))


def geomspace(
    start: object, stop: object, num: object = 50, endpoint: bool = True, dtype: str | None = None
) -> Node:
    """Numbers from start to stop, of one sign, each the same multiple of the one before."""
    first, last = (cast_to(_real(x), "float64") for x in (start, stop))
    ratio = arithmetic.true_div(last, first)
    steps = linspace(0.0, 1.0, num, endpoint, "float64")
    out = arithmetic.mul(first, transcendental.pow_(ratio, steps))
    return cast_to(out, float_dtype(dtype))


# ---- grids
class Grid:
    """Theano's index syntax for coordinates: `mgrid[0:3, 1:9:2]` is one tensor per slice.

    A step such as 5j asks for as many points, with both ends.

    Args:
        sparse: whether each tensor keeps length 1 on the axes of the others (ogrid).
    """

    __slots__ = ("_sparse",)

    def __init__(self, *, sparse: bool) -> None:
        self._sparse = sparse

    def __getitem__(self, key: slice | tuple[slice, ...]) -> list[Node]:
        slices = key if isinstance(key, tuple) else (key,)
        return _spread([_points(piece) for piece in slices], sparse=self._sparse)


def _points(piece: slice) -> Node:
    if piece.stop is None:
        raise ArgumentError(f"{piece} has no end", op="mgrid", hint="write start:stop:step")
    start = 0 if piece.start is None else piece.start
    if isinstance(piece.step, complex):
        return linspace(start, piece.stop, int(abs(piece.step)), dtype="float64")
    return arange(start, piece.stop, 1 if piece.step is None else piece.step)


def _spread(points: Sequence[Node], *, sparse: bool) -> list[Node]:
    """Each vector along an axis of its own; over all axes unless sparse."""
    rank = len(points)
    apart = [
        dimshuffle(x, *["x"] * place, 0, *["x"] * (rank - 1 - place))
        for place, x in enumerate(points)
    ]
    return apart if sparse else broadcast_arrays(*apart)


def meshgrid(*vectors: object, indexing: str = "xy", sparse: bool = False) -> list[Node]:
    """The coordinates of a grid from those on its axes, as numpy.meshgrid."""
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f"indexing is 'xy' or 'ij', not {indexing!r}", op="meshgrid")
    nodes = [as_node(x) for x in vectors]
    turned = indexing == "xy" and len(nodes) > 1
    order = [1, 0, *range(2, len(nodes))] if turned else list(range(len(nodes)))
    grids = _spread([nodes[place] for place in order], sparse=sparse)
    return [grids[order.index(place)] for place in range(len(nodes))]


def indices(dimensions: Sequence[object], dtype: str = "int64") -> Node:
    """The coordinates of every element of a shape, one tensor per axis, stacked."""
    return stack(_spread([arange(n, dtype=dtype) for n in dimensions], sparse=False))


# ---- shapes
def broadcast_to(x: object, shape: object) -> Node:
    """The tensor repeated to a shape; only axes that are statically 1 are. A view."""
    return alloc(x, shape)


def broadcast_arrays(*tensors: object) -> list[Node]:
    """The tensors, each over the broadcast shape of all."""
    nodes = [as_node(x) for x in tensors]
    out: list[Node] = []
    for node in nodes:
        for other in nodes:
            node = node if other is node else arithmetic.second(other, node)
        out.append(node)
    return out


def full_like(x: object, fill_value: object, dtype: str | None = None) -> Node:
    """One value in the shape of x, in the dtype of x unless told otherwise."""
    node = as_node(x)
    return arithmetic.second(node, cast_to(as_node(fill_value), dtype or node.dtype))


def identity(n: object, dtype: str | None = None) -> Node:
    """The identity matrix of n rows."""
    spec, integers = split_extents([as_extent(n, "a number of rows")] * 2)
    return diagonals.eye(*integers, shape=spec, offset=0, dtype=float_dtype(dtype))


def specify_shape(x: object, shape: object) -> Node:
    """The tensor itself, its extents checked when it is computed and known from then on.

    An entry of None leaves an axis as it is.
    """
    node = as_node(x)
    given = shape if is_sequence(shape) else extents_from(shape, node.ndim)
    wanted = [movement.ANY if e is None else as_extent(e, "an extent") for e in given]
    spec, integers = split_extents(wanted)
    return movement.specify_shape(node, *integers, shape=spec)


def addbroadcast(x: object, *axes: int) -> Node:
    """The tensor with axes that are of length 1, and broadcast from now on."""
    node = as_node(x)
    chosen = _places(node, axes, "addbroadcast")
    return specify_shape(node, [1 if axis in chosen else None for axis in range(node.ndim)])


def unbroadcast(x: object, *axes: int) -> Node:
    """The tensor with axes that do not broadcast any more, though they are of length 1."""
    node = as_node(x)
    chosen = _places(node, axes, "unbroadcast")
    known = node.type.shape
    open_axes = [axis for axis, n in enumerate(known) if n is None or axis in chosen]
    spec = tuple(None if axis in open_axes else n for axis, n in enumerate(known))
    integers = [movement.shape_i(node, axis=axis) for axis in open_axes]
    return movement.reshape(node, *integers, shape=spec)


def patternbroadcast(x: object, broadcastable: Sequence[bool]) -> Node:
    """The tensor with exactly these axes broadcast."""
    node = as_node(x)
    if len(broadcastable) != node.ndim:
        raise ShapeError(f"pattern {broadcastable} for {node.type}", op="patternbroadcast")
    now = node.type.broadcastable
    pairs = list(enumerate(zip(now, broadcastable, strict=True)))
    node = addbroadcast(node, *[axis for axis, (have, want) in pairs if want and not have])
    lost = [axis for axis, (have, want) in pairs if have and not want]
    return unbroadcast(node, *lost) if lost else node


def _places(x: Node, axes: Sequence[int], op: str) -> set[int]:
    places = {axis + x.ndim if axis < 0 else axis for axis in axes}
    if not places <= set(range(x.ndim)):
        raise ShapeError(f"axes {tuple(axes)} are not axes of {x.type}", op=op)
    return places


def atleast_nd(x: object, n: int, left: bool = True) -> Node:
    """The tensor with axes of length 1 in front, or behind, until it has rank n."""
    node = as_node(x)
    ones = ["x"] * max(0, n - node.ndim)
    own = list(range(node.ndim))
    return dimshuffle(node, *ones, *own) if left else dimshuffle(node, *own, *ones)


def diagonal(x: object, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Node:
    """A view of one diagonal of two axes, as the last axis."""
    node = as_node(x)
    first, second = (axis + node.ndim if axis < 0 else axis for axis in (axis1, axis2))
    return diagonals.diagonal(node, offset=offset, axis1=first, axis2=second)


# ---- joining
def stacklists(lists: object) -> Node:
    """A tensor of nested lists of tensors of one shape: lists become the leading axes."""
    if is_sequence(lists):
        return stack([stacklists(item) for item in lists])
    return as_node(lists)


def hstack(tensors: Sequence[object]) -> Node:
    """Tensors side by side: along the second axis, vectors along their only one."""
    nodes = [atleast_nd(x, 1) for x in tensors]
    return concatenate(nodes, axis=0 if nodes and nodes[0].ndim == 1 else 1)


def vstack(tensors: Sequence[object]) -> Node:
    """Tensors one above the other: along the first axis, vectors as rows."""
    return concatenate([atleast_nd(x, 2) for x in tensors], axis=0)


# ---- borders
_MODES: Final = ("constant", "edge", "reflect", "symmetric", "wrap")


def pad(x: object, pad_width: object, mode: str = "constant", constant_values: object = 0) -> Node:
    """The tensor with a border around it, as numpy.pad.

    Args:
        x: a tensor.
        pad_width: how wide it is before and behind each axis: a pair for each, or one pair, or one
            integer, for all. For "constant" these may be 0-d integer variables.
        mode: "constant", or what is repeated: "edge", "reflect", "symmetric", "wrap".
        constant_values: the one value of a constant border.

    Raises:
        ArgumentError: the mode does not exist.
    """
    node = as_node(x)
    widths = [as_extent(width, "a width") for width in _widths(pad_width, node.ndim)]
    spec, integers = split_extents(widths)
    if mode == "constant":
        value = cast_to(as_node(constant_values), node.dtype)
        return repetition.pad(node, value, *integers, widths=spec)
    if mode not in _MODES:
        raise ArgumentError(f"no mode {mode!r}", op="pad", hint=f"one of {', '.join(_MODES)}")
    if integers:
        raise ArgumentError(f"mode {mode!r} takes constant widths", op="pad")
    return repetition.extend(node, widths=spec, mode=mode)


def _widths(given: object, rank: int) -> list[Any]:
    """Before and behind each axis in turn."""
    if not is_sequence(given):
        return [given] * (2 * rank)
    if len(given) == 1 and not is_sequence(given[0]):
        return [given[0]] * (2 * rank)
    if not any(map(is_sequence, given)):
        pairs: list[Any] = [given] * rank
    else:
        pairs = list(given) * rank if len(given) == 1 else list(given)
    if len(pairs) != rank or any(not is_sequence(p) or len(p) != 2 for p in pairs):
        raise ShapeError(f"widths {given!r} for a tensor of rank {rank}", op="pad")
    return [width for pair in pairs for width in pair]
