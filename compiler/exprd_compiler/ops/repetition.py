"""Repetition: elements, whole tensors or edges that occur more than once in the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np

from exprd_compiler.errors import DTypeError, GraphError, IndexOutOfRange, ShapeError
from exprd_compiler.ir.dtype import EVERY, INTEGERS, promote
from exprd_compiler.ir.lowering import Expand
from exprd_compiler.ir.node import THROUGH_EXPANSION, Array, Example, Node, Op
from exprd_compiler.ir.type import Extent, TensorType
from exprd_compiler.ops.arithmetic import add, cast, mul, sub
from exprd_compiler.ops.creation import alloc
from exprd_compiler.ops.division import mod
from exprd_compiler.ops.index import NEXT, assign, gather, scatter
from exprd_compiler.ops.joining import between, check_axis
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import lt, maximum, minimum, switch
from exprd_compiler.ops.movement import (
    NEW_AXIS,
    Spec,
    check_spec,
    dimshuffle,
    filled,
    inverse_order,
    reshape,
    shape_i,
    specify_shape,
)
from exprd_compiler.ops.positions import iota
from exprd_compiler.ops.reduce import any_, sum_
from exprd_compiler.ops.scans import cumsum

# An integer that is static, or a 0-d node.
Whole: TypeAlias = "Node | int"


def _extent(x: Node, axis: int) -> Whole:
    known = x.type.shape[axis]
    return shape_i(x, axis=axis) if known is None else known


def _node(value: Whole) -> Node:
    return value if isinstance(value, Node) else const(value, "int64")


def _times(a: Whole, b: Whole) -> Whole:
    return a * b if isinstance(a, int) and isinstance(b, int) else mul(_node(a), _node(b))


def _plus(a: Whole, b: Whole) -> Whole:
    return a + b if isinstance(a, int) and isinstance(b, int) else add(_node(a), _node(b))


def _spec(entries: Sequence[Whole]) -> tuple[list[Node], Spec]:
    """The entries as integer inputs and as the attribute that says where they belong."""
    nodes = [entry for entry in entries if isinstance(entry, Node)]
    return nodes, tuple(None if isinstance(entry, Node) else entry for entry in entries)


def _scaled(have: Extent, factor: int | None) -> Extent:
    return None if have is None or factor is None else have * factor


def _blocks(x: Node, before: Sequence[Whole], behind: Sequence[Whole]) -> Node:
    """x with, per axis, the whole repeated `before` times and each element `behind` times."""
    order: list[int] = []
    wide: list[Whole] = []
    merged: list[Whole] = []
    for axis in range(x.ndim):
        extent = _extent(x, axis)
        total = extent
        for count, place in ((before[axis], NEW_AXIS), (extent, axis), (behind[axis], NEW_AXIS)):
            if place == axis or not (isinstance(count, int) and count == 1):
                order.append(place)
                wide.append(count)
            if place != axis:
                total = _times(total, count)
        merged.append(total)
    nodes, spec = _spec(wide)
    repeated = alloc(dimshuffle(x, order=tuple(order)), *nodes, shape=spec)
    nodes, spec = _spec(merged)
    return reshape(repeated, *nodes, shape=spec)


# ---- repeat
def _repeat_type(x: TensorType, *given: TensorType, repeats: int | None, axis: int) -> TensorType:
    check_axis("repeat", x, axis)
    check_spec("repeat", (repeats,), given)
    if repeats is not None and repeats < 0:
        raise ShapeError(f"cannot repeat elements {repeats} times", op="repeat")
    shape = list(x.shape)
    have = shape[axis]
    shape[axis] = None if have is None or repeats is None else have * repeats
    return TensorType(x.dtype, tuple(shape))


def _repeat_numpy(x: Array, *given: Array, repeats: int | None, axis: int) -> Array:
    count = int(filled((repeats,), given)[0])
    if count < 0:
        raise ShapeError(f"cannot repeat elements {count} times", op="repeat")
    return np.repeat(x, count, axis=axis)


def _repeat_expand(x: Node, *given: Node, repeats: int | None, axis: int) -> Node:
    behind: list[Whole] = [1] * x.ndim
    behind[axis] = filled((repeats,), given)[0]
    return _blocks(x, [1] * x.ndim, behind)


repeat: Op = Op(
    name="repeat",
    type=_repeat_type,
    numpy=_repeat_numpy,
    grad=THROUGH_EXPANSION,
    lowering=Expand(_repeat_expand),
    dtypes=EVERY,
    examples=(
        Example(shapes=((5,),), attrs={"repeats": 3, "axis": 0}),
        Example(shapes=((3, 4),), attrs={"repeats": 2, "axis": 0}),
        Example(shapes=((3, 7), ()), attrs={"repeats": None, "axis": 1}, integers={1: 5}),
        Example(shapes=((3, 1), ()), attrs={"repeats": None, "axis": 1}, integers={1: 0}),
    ),
    theano="Repeat",
    doc="Each element along one axis as many times.",
)


# ---- repeat_each
def _each_type(x: TensorType, counts: TensorType, *, axis: int) -> TensorType:
    check_axis("repeat_each", x, axis)
    if counts.ndim != 1 or counts.dtype not in INTEGERS:
        raise GraphError(f"the counts are a vector of integers, not {counts}", op="repeat_each")
    have, given = x.shape[axis], counts.shape[0]
    if None not in (have, given) and have != given:
        raise ShapeError(f"{given} counts for {have} elements", op="repeat_each")
    shape = list(x.shape)
    shape[axis] = None
    return TensorType(x.dtype, tuple(shape))


def _each_numpy(x: Array, counts: Array, *, axis: int) -> Array:
    if len(counts) != x.shape[axis] or np.any(counts < 0):
        raise ShapeError(f"cannot repeat {x.shape[axis]} elements {counts} times", op="repeat_each")
    return np.repeat(x, counts.astype("int64"), axis=axis)


def _each_expand(x: Node, counts: Node, *, axis: int) -> Node:
    """Element j comes from the position that as many runs end at or before j."""
    nodes, spec = _spec([_extent(x, axis)])
    fitting = specify_shape(cast(counts, dtype="int64"), *nodes, shape=spec)
    ends = cumsum(fitting, axis=0)
    negative = any_(lt(fitting, const(0, "int64")), axes=(0,))
    # an extent that one more leaves negative is an error of the call
    total = switch(negative, const(-2, "int64"), sum_(fitting, axes=(0,)))
    space = alloc(const(0, "int64"), add(total, const(1, "int64")), shape=(None,))
    ended = cumsum(scatter(space, const(1, "int64"), ends, mode="inc"), axis=0)
    front = (axis, *(i for i in range(x.ndim) if i != axis))
    rows = gather(dimshuffle(x, order=front), between(ended, None, -1, 0))
    return dimshuffle(rows, order=inverse_order(front, x.ndim))


repeat_each: Op = Op(
    name="repeat_each",
    type=_each_type,
    numpy=_each_numpy,
    grad=THROUGH_EXPANSION,
    lowering=Expand(_each_expand),
    dtypes=EVERY,
    examples=(
        Example(shapes=((4,), (4,)), attrs={"axis": 0}, integers={1: [2, 0, 3, 1]}),
        Example(shapes=((3, 2), (2,)), attrs={"axis": 1}, integers={1: [0, 5]}),
        Example(shapes=((2, 3), (2,)), attrs={"axis": 0}, integers={1: [0, 0]}),
        Example(shapes=((0, 3), (0,)), attrs={"axis": 0}, integers={1: []}),
    ),
    theano="Repeat",
    doc="Each element along one axis as many times as its entry in a vector says.",
)


# ---- tile
def _check_counts(name: str, spec: Spec, given: Sequence[TensorType], expected: int) -> None:
    check_spec(name, spec, given)
    if len(spec) != expected or any(entry is not None and entry < 0 for entry in spec):
        raise ShapeError(f"{spec} is not {expected} counts", op=name)


def _tile_type(x: TensorType, *given: TensorType, reps: Spec) -> TensorType:
    _check_counts("tile", reps, given, x.ndim)
    return TensorType(x.dtype, tuple(map(_scaled, x.shape, reps)))


def _tile_numpy(x: Array, *given: Array, reps: Spec) -> Array:
    counts = [int(count) for count in filled(reps, given)]
    if any(count < 0 for count in counts):
        raise ShapeError(f"cannot repeat a value {counts} times", op="tile")
    return np.tile(x, counts)


tile: Op = Op(
    name="tile",
    type=_tile_type,
    numpy=_tile_numpy,
    grad=THROUGH_EXPANSION,
    lowering=Expand(lambda x, *given, reps: _blocks(x, filled(reps, given), [1] * x.ndim)),
    dtypes=EVERY,
    examples=(
        Example(shapes=((5,),), attrs={"reps": (3,)}),
        Example(shapes=((3, 7),), attrs={"reps": (2, 3)}),
        Example(shapes=((3, 1), ()), attrs={"reps": (1, None)}, integers={1: 4}),
        Example(shapes=((2, 3), ()), attrs={"reps": (None, 1)}, integers={1: 0}),
        Example(shapes=((),), attrs={"reps": ()}),
    ),
    theano="Tile",
    doc="The whole value as many times along each axis.",
)


# ---- pad
def _padded(x: TensorType, widths: Spec) -> tuple[Extent, ...]:
    pairs = zip(x.shape, widths[::2], widths[1::2], strict=True)
    return tuple(None if None in entry else sum(e or 0 for e in entry) for entry in pairs)


def _pad_type(x: TensorType, value: TensorType, *given: TensorType, widths: Spec) -> TensorType:
    _check_counts("pad", widths, given, 2 * x.ndim)
    if value.ndim or promote(x.dtype, value.dtype) != x.dtype:
        hint = f"give a 0-d value of {x.dtype}"
        raise DTypeError(f"cannot pad {x} with {value}", op="pad", hint=hint)
    return TensorType(x.dtype, _padded(x, widths))


def _pairs(widths: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(zip(widths[::2], widths[1::2], strict=True))


def _pad_numpy(x: Array, value: Array, *given: Array, widths: Spec) -> Array:
    counts = [int(count) for count in filled(widths, given)]
    if any(count < 0 for count in counts):
        raise ShapeError(f"cannot pad by {counts}", op="pad")
    return np.pad(x, _pairs(counts), constant_values=value.astype(x.dtype))


def _pad_expand(x: Node, value: Node, *given: Node, widths: Spec) -> Node:
    totals: list[Whole] = []
    bounds: list[Whole] = []
    for axis, (before, behind) in enumerate(_pairs(filled(widths, given))):
        stop = _plus(before, _extent(x, axis))
        bounds += [before, stop]
        totals.append(_plus(stop, behind))
    nodes, spec = _spec(totals)
    whole = alloc(cast(value, dtype=x.dtype), *nodes, shape=spec)
    nodes, spec = _spec(bounds)
    ends = [NEXT if entry is None else entry for entry in spec]
    index = tuple(("slice", start, stop, None) for start, stop in _pairs(ends))
    return assign(whole, x, *nodes, index=index, mode="set")


pad: Op = Op(
    name="pad",
    type=_pad_type,
    numpy=_pad_numpy,
    grad=THROUGH_EXPANSION,
    lowering=Expand(_pad_expand),
    dtypes=EVERY,
    examples=(
        Example(shapes=((5,), ()), attrs={"widths": (2, 3)}),
        Example(shapes=((3, 4), ()), attrs={"widths": (0, 1, 2, 0)}),
        Example(
            shapes=((3, 4), (), (), ()),
            attrs={"widths": (None, 1, 1, None)},
            integers={2: 2, 3: 30},
        ),
        Example(shapes=((0, 3), ()), attrs={"widths": (1, 1, 0, 0)}),
    ),
    theano="IncSubtensor",
    doc="A value with a border of another; widths are before and behind each axis in turn.",
)


# ---- extend: each rule gives the position inside that a position outside repeats
def _edge(place: Node, length: Node) -> Node:
    last = sub(length, const(1, "int64"))
    return maximum(minimum(place, last), const(0, "int64"))


def _reflect(place: Node, length: Node) -> Node:
    """Back and forth, the ends once."""
    last = sub(length, const(1, "int64"))
    period = add(last, last)
    there = mod(place, maximum(period, const(1, "int64")))
    return minimum(there, sub(period, there))


def _symmetric(place: Node, length: Node) -> Node:
    """Back and forth, the ends twice."""
    period = add(length, length)
    there = mod(place, period)
    return minimum(there, sub(sub(period, const(1, "int64")), there))


_RULES: Final[Mapping[str, Callable[[Node, Node], Node]]] = MappingProxyType(
    {"edge": _edge, "reflect": _reflect, "symmetric": _symmetric, "wrap": mod}
)


def _extend_type(x: TensorType, *, widths: tuple[int, ...], mode: str) -> TensorType:
    if mode not in _RULES:
        raise GraphError(f"mode {mode!r} is not one of {', '.join(_RULES)}", op="extend")
    _check_counts("extend", widths, (), 2 * x.ndim)
    return TensorType(x.dtype, _padded(x, widths))


def _extend_numpy(x: Array, *, widths: tuple[int, ...], mode: Any) -> Array:
    for extent, pair in zip(x.shape, _pairs(widths), strict=True):
        if not extent and any(pair):
            raise IndexOutOfRange("there is nothing to extend an empty axis with", op="extend")
    return np.pad(x, _pairs(widths), mode=mode)


def _extend_expand(x: Node, *, widths: tuple[int, ...], mode: str) -> Node:
    pairs = _pairs(widths)
    leading = max((axis + 1 for axis, pair in enumerate(pairs) if any(pair)), default=0)
    indexes: list[Node] = []
    for axis, (before, behind) in enumerate(pairs[:leading]):
        extent = _extent(x, axis)
        total = _plus(extent, before + behind)
        count = iota(total) if isinstance(total, Node) else iota(length=total)
        place = sub(count, const(before, "int64"))
        inside = _RULES[mode](place, _node(extent)) if before or behind else place
        order = [NEW_AXIS] * leading
        order[axis] = 0
        indexes.append(dimshuffle(inside, order=tuple(order)))
    return gather(x, *indexes) if indexes else x


extend: Op = Op(
    name="extend",
    type=_extend_type,
    numpy=_extend_numpy,
    grad=THROUGH_EXPANSION,
    lowering=Expand(_extend_expand),
    dtypes=EVERY,
    examples=(
        Example(shapes=((5,),), attrs={"widths": (2, 3), "mode": "edge"}),
        Example(shapes=((5,),), attrs={"widths": (7, 12), "mode": "reflect"}),
        Example(shapes=((5,),), attrs={"widths": (7, 12), "mode": "wrap"}),
        Example(shapes=((1,),), attrs={"widths": (2, 1), "mode": "reflect"}),
        Example(shapes=((3, 4),), attrs={"widths": (0, 0, 4, 1), "mode": "symmetric"}),
        Example(shapes=((3, 4),), attrs={"widths": (1, 2, 0, 0), "mode": "reflect"}),
        Example(shapes=((2, 3),), attrs={"widths": (1, 2, 3, 1), "mode": "wrap"}),
        Example(shapes=((3,),), attrs={"widths": (0, 0), "mode": "edge"}),
    ),
    theano="AdvancedSubtensor",
    doc="A value with a border of its own elements; widths are before and behind each axis.",
)
