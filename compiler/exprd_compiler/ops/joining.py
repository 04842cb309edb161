"""Joining: values put one after the other, or moved around, along an axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from exprd_compiler.errors import GraphError, ShapeError
from exprd_compiler.ir.dtype import EVERY, promote
from exprd_compiler.ir.lowering import Expand, Join
from exprd_compiler.ir.node import THROUGH_EXPANSION, Array, Example, Node, Op
from exprd_compiler.ir.type import Extent, TensorType
from exprd_compiler.ops.arithmetic import add, neg, second
from exprd_compiler.ops.division import mod
from exprd_compiler.ops.families import check_ints
from exprd_compiler.ops.index import NEXT, subtensor
from exprd_compiler.ops.leaves import const, scalar_value
from exprd_compiler.ops.logic import maximum
from exprd_compiler.ops.movement import check_spec, filled, shape_i
from exprd_compiler.ops.reduce import expand_axes

_EVERY = ("slice", None, None, None)


def check_axis(name: str, x: TensorType, axis: int) -> None:
    """Refuse what is not an axis of x, counted from the first.

    Raises:
        ShapeError: it is not.
    """
    check_ints(name, (axis,))
    if not 0 <= axis < x.ndim:
        raise ShapeError(f"axis {axis} is not an axis of {x}", op=name)


def between(x: Node, start: Node | int | None, stop: Node | int | None, axis: int) -> Node:
    """The part of x along an axis from `start` up to `stop`, a view."""
    bounds = [bound for bound in (start, stop) if isinstance(bound, Node)]
    parts = [NEXT if isinstance(bound, Node) else bound for bound in (start, stop)]
    return subtensor(x, *bounds, index=(*[_EVERY] * axis, ("slice", *parts, None)))


def _sum(a: Node, b: Node) -> Node:
    """a + b of integer nodes, computed at once if both are known."""
    x, y = scalar_value(a), scalar_value(b)
    return add(a, b) if x is None or y is None else const(int(x) + int(y), "int64")


def _extent(x: Node, axis: int) -> Node:
    known = x.type.shape[axis]
    return shape_i(x, axis=axis) if known is None else const(known, "int64")


# ---- join
def _common(axis: int, extents: set[Extent]) -> Extent:
    known = extents - {None}
    if len(known) > 1:
        raise ShapeError(
            f"extents {sorted(map(str, known))} meet on axis {axis}",
            op="join",
            hint="only the axis along which they are joined may differ",
        )
    return known.pop() if known else None


def _join_type(*xs: TensorType, axis: int) -> TensorType:
    if not xs:
        raise GraphError("takes one or more inputs", op="join")
    for x in xs:
        check_axis("join", x, axis)
        if x.ndim != xs[0].ndim:
            raise ShapeError(f"{xs[0]} and {x} differ in rank", op="join")
    shape = [_common(i, {x.shape[i] for x in xs}) if i != axis else None for i in range(xs[0].ndim)]
    along = [x.shape[axis] for x in xs]
    if None not in along:
        shape[axis] = sum(extent or 0 for extent in along)
    return TensorType(promote(*[x.dtype for x in xs]), tuple(shape))


def _join_numpy(*xs: Array, axis: int) -> Array:
    dtype = promote(*[x.dtype.name for x in xs])
    try:
        return np.concatenate([x.astype(dtype) for x in xs], axis=axis)
    except ValueError as error:
        raise ShapeError(str(error), op="join") from error


def _join_grad(g: Node, _y: Node, *xs: Node, axis: int) -> Sequence[Node]:
    out: list[Node] = []
    start = const(0, "int64")
    for x in xs:
        stop = _sum(start, _extent(x, axis))
        out.append(part(g, start, stop, axis))
        start = stop
    return out


def part(x: Node, start: Node, stop: Node, axis: int) -> Node:
    """The part of x along an axis between two integers, static bounds where they are constants."""
    bounds = [scalar_value(bound) for bound in (start, stop)]
    ends = [
        node if value is None else int(value)
        for node, value in zip((start, stop), bounds, strict=True)
    ]
    return between(x, ends[0], ends[1], axis)


join: Op = Op(
    name="join",
    type=_join_type,
    numpy=_join_numpy,
    grad=_join_grad,
    lowering=Join(),
    dtypes=EVERY,
    examples=tuple(
        Example(shapes=shapes, attrs={"axis": axis})
        for shapes, axis in (
            (((5,),), 0),
            (((5,), (37,), (0,)), 0),
            (((2, 3), (4, 3)), 0),
            (((2, 3), (2, 37)), 1),
            (((2, 1, 3), (2, 4, 3), (2, 1, 3)), 1),
            (((0, 3), (0, 3)), 1),
        )
    ),
    theano="Join",
    doc="The inputs one after the other along one axis, in their promoted dtype.",
)


# ---- stack
def _stack_type(*xs: TensorType, axis: int) -> TensorType:
    if not xs:
        raise GraphError("takes one or more inputs", op="stack")
    check_ints("stack", (axis,))
    if not 0 <= axis <= xs[0].ndim or any(x.ndim != xs[0].ndim for x in xs):
        raise ShapeError(f"cannot stack {', '.join(map(str, xs))} along axis {axis}", op="stack")
    common = [_common(i, {x.shape[i] for x in xs}) for i in range(xs[0].ndim)]
    return TensorType(promote(*[x.dtype for x in xs]), (*common[:axis], len(xs), *common[axis:]))


def _stack_numpy(*xs: Array, axis: int) -> Array:
    return _join_numpy(*[np.expand_dims(x, axis) for x in xs], axis=axis)


stack: Op = Op(
    name="stack",
    type=_stack_type,
    numpy=_stack_numpy,
    grad=THROUGH_EXPANSION,
    lowering=Expand(lambda *xs, axis: join(*[expand_axes(x, (axis,)) for x in xs], axis=axis)),
    dtypes=EVERY,
    examples=(
        Example(shapes=((), (), ()), attrs={"axis": 0}),
        Example(shapes=((5,), (5,)), attrs={"axis": 0}),
        Example(shapes=((2, 3), (2, 3)), attrs={"axis": 1}),
        Example(shapes=((2, 3), (2, 3)), attrs={"axis": 2}),
    ),
    theano="Join",
    doc="The inputs, all of one shape, side by side along a new axis.",
)


# ---- split
def split(x: Node, sizes: Sequence[Node | int], axis: int) -> list[Node]:
    """Views of x along an axis, as long as `sizes` say, one behind the other."""
    out: list[Node] = []
    start = const(0, "int64")
    for size in sizes:
        stop = _sum(start, size if isinstance(size, Node) else const(size, "int64"))
        out.append(part(x, start, stop, axis))
        start = stop
    return out


# ---- roll
def _roll_type(x: TensorType, *given: TensorType, shift: int | None, axis: int) -> TensorType:
    check_axis("roll", x, axis)
    check_spec("roll", (shift,), given)
    return x


def _roll_numpy(x: Array, *given: Array, shift: int | None, axis: int) -> Array:
    return np.roll(x, int(filled((shift,), given)[0]), axis=axis)


def _roll_expand(x: Node, *given: Node, shift: int | None, axis: int) -> Node:
    length = x.type.shape[axis]
    if length == 1:
        return x
    if length is not None and shift is not None:
        cut: Node | int = -shift % max(length, 1)
    else:
        by = given[0] if shift is None else const(shift, "int64")
        cut = mod(neg(by), maximum(_extent(x, axis), const(1, "int64")))
    rolled = join(between(x, cut, None, axis), between(x, None, cut, axis), axis=axis)
    return rolled if x.type.accepts(rolled.type) else second(x, rolled)


def _roll_grad(
    g: Node, _y: Node, _x: Node, *given: Node, shift: int | None, axis: int
) -> Sequence[Node | None]:
    back = None if shift is None else -shift
    return (roll(g, *[neg(by) for by in given], shift=back, axis=axis), *[None] * len(given))


roll: Op = Op(
    name="roll",
    type=_roll_type,
    numpy=_roll_numpy,
    grad=_roll_grad,
    lowering=Expand(_roll_expand),
    dtypes=EVERY,
    examples=(
        Example(shapes=((5,),), attrs={"shift": 2, "axis": 0}),
        Example(shapes=((5,),), attrs={"shift": -12, "axis": 0}),
        Example(shapes=((3, 37),), attrs={"shift": 1, "axis": 1}),
        Example(shapes=((4, 3), ()), attrs={"shift": None, "axis": 0}, integers={1: -3}),
        Example(shapes=((1, 3), ()), attrs={"shift": None, "axis": 0}, integers={1: -3}),
        Example(shapes=((0, 3),), attrs={"shift": 1, "axis": 0}),
    ),
    theano="Join",
    doc="The elements moved along one axis; those that leave it come in at the other end.",
)
