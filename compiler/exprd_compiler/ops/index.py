"""Indexing: views by slices, and rows taken or changed by integer arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from exprd_compiler.errors import DTypeError, GraphError, IndexOutOfRange, ShapeError
from exprd_compiler.ir.dtype import EVERY, INTEGERS, promote
from exprd_compiler.ir.integer import IntExpr, as_expr, equal, less, maximum, minimum, select
from exprd_compiler.ir.lowering import Assign, Gather, HostContext, Layout, Scatter, View
from exprd_compiler.ir.node import Array, Example, Node, Op
from exprd_compiler.ir.type import Extent, TensorType, broadcast_shape
from exprd_compiler.ops.arithmetic import second, zeros_like
from exprd_compiler.ops.families import check_ints
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import eq, switch
from exprd_compiler.ops.movement import NEW_AXIS, check_integers, dimshuffle
from exprd_compiler.ops.positions import numbered

# One entry per leading axis: ("at", i) or ("slice", start, stop, step). An int is static, None is
# the default, NEXT takes the next integer input.
NEXT: Final = "next"
Entry: TypeAlias = tuple[Any, ...]
Index: TypeAlias = tuple[Entry, ...]
_MODES: Final = ("set", "inc")
_NO_STEP: Final = "the step of a slice is 0"
_LONGEST: Final = 2**62


def _count_next(index: Index) -> int:
    return sum(part == NEXT for entry in index for part in entry[1:])


def _check_step(name: str, step: Any = None) -> None:
    check_ints(name, [] if step in (None, NEXT) else [step])
    if step == 0:
        raise GraphError("the step of a slice is a constant other than 0", op=name)


def check_form(name: str, index: object) -> None:
    """Refuse what is no index at all; what its entries mean is the op's business.

    Raises:
        GraphError: it is not a tuple of tuples.
    """
    if not isinstance(index, tuple) or not all(isinstance(entry, tuple) for entry in index):  # pyright: ignore[reportUnknownVariableType]
        raise GraphError(f"an index is a tuple of entries, got {index!r}", op=name)


def _check_index(name: str, x: TensorType, bounds: Sequence[TensorType], index: Index) -> None:
    check_form(name, index)
    if len(index) > x.ndim:
        raise ShapeError(f"{len(index)} indexes for {x}", op=name)
    for entry in index:
        if (entry[:1], len(entry)) not in ((("at",), 2), (("slice",), 4)):
            raise GraphError(f"index entry {entry!r} is not understood", op=name)
        optional = (NEXT, None) if entry[0] == "slice" else (NEXT,)
        check_ints(name, [part for part in entry[1:3] if part not in optional])
        _check_step(name, *entry[3:])
    check_integers(name, bounds, _count_next(index))


def _static_extent(extent: Extent, entry: Entry) -> Extent:
    if extent is None or NEXT in entry[1:]:
        return None
    return len(range(*slice(*entry[1:]).indices(extent)))


def subtensor_type(
    name: str, x: TensorType, bounds: Sequence[TensorType], index: Index
) -> TensorType:
    """The type of the view `x[index]`; `name` is the op that errors name.

    Raises:
        GraphError: the index does not fit x or the bounds.
        IndexOutOfRange: a position is known to lie outside.
    """
    _check_index(name, x, bounds, index)
    shape = [
        _static_extent(extent, entry)
        for extent, entry in zip(x.shape, index, strict=False)
        if entry[0] == "slice"
    ]
    for extent, entry in zip(x.shape, index, strict=False):
        at = entry[1] if entry[0] == "at" else None
        if isinstance(at, int) and extent is not None and not -extent <= at < extent:
            raise IndexOutOfRange(f"index {at} is out of range for an axis of {extent}", op=name)
    return TensorType(x.dtype, (*shape, *x.shape[len(index) :]))


def numpy_index(index: Index, bounds: Sequence[Any]) -> tuple[Any, ...]:
    """The numpy form of an index, NEXT taken from the bounds."""
    rest = iter(int(b) for b in bounds)
    out: list[Any] = []
    for entry in index:
        parts = [next(rest) if part == NEXT else part for part in entry[1:]]
        if parts[2:] == [0]:
            raise ShapeError(_NO_STEP, op="subtensor")
        out.append(parts[0] if entry[0] == "at" else slice(*parts))
    return tuple(out)


def _numpy_view(name: str, x: Array, index: Index, bounds: Sequence[Any]) -> Array:
    try:
        return np.asarray(x[numpy_index(index, bounds)])
    except IndexError as error:
        raise IndexOutOfRange(str(error), op=name) from error


# ---- the layout of a view
def _clamped(bound: IntExpr, n: IntExpr, low: IntExpr, high: IntExpr) -> IntExpr:
    """A slice bound as numpy reads it: from the end if negative, then clamped to low..high."""
    shifted = select(less(bound, 0), bound + n, bound)
    return maximum(minimum(shifted, high), low)


def _step(h: HostContext, part: IntExpr | int | None) -> IntExpr:
    """The step of a slice, checked where only the call knows it."""
    step = as_expr(1 if part is None else part)
    if step.known is not None:
        return as_expr(max(-_LONGEST, min(step.known, _LONGEST)))
    h.require(equal(equal(step, 0), 0), "ShapeError", _NO_STEP)
    # a longer step means the same, and the number of elements must not wrap around
    return maximum(minimum(step, _LONGEST), -_LONGEST)


def _slice(
    h: HostContext, entry: Entry, rest: Iterator[IntExpr], n: IntExpr
) -> tuple[IntExpr, IntExpr, IntExpr]:
    """First element, number of elements, and step of a slice of an axis of n elements."""
    start, stop, by = [next(rest) if part == NEXT else part for part in entry[1:]]
    step = _step(h, by)
    forward = less(0, step)
    low, high = select(forward, 0, -1), select(forward, n, n - 1)
    first, last = select(forward, low, high), select(forward, high, low)
    begin = first if start is None else _clamped(as_expr(start), n, low, high)
    end = last if stop is None else _clamped(as_expr(stop), n, low, high)
    distance = select(forward, end - begin, begin - end)
    size = maximum(maximum(step, 0 - step), 1)
    return begin, maximum((distance + (size - 1)) // size, 0), step


def view_layout(h: HostContext, x: Layout, *bounds: IntExpr, index: Index) -> Layout:
    """The layout of `x[index]`; a position out of range becomes a run-time check."""
    rest = iter(bounds)
    offset, extents, strides = x.offset, [], []
    for entry, n, stride in zip(index, x.extents, x.strides, strict=False):
        if entry[0] == "slice":
            start, count, step = _slice(h, entry, rest, n)
            # an empty slice must not move the base outside the buffer
            offset = offset + select(less(0, count), start, 0) * stride
            extents.append(count)
            strides.append(stride * step)
            continue
        at = next(rest) if entry[1] == NEXT else as_expr(entry[1])
        place = select(less(at, 0), at + n, at)
        inside = less(-1, place) * less(place, n)
        h.require(inside, "IndexOutOfRange", "index {} is out of range for an axis of {}", at, n)
        offset = offset + place * stride
    tail = len(index)
    return Layout(offset, (*extents, *x.extents[tail:]), (*strides, *x.strides[tail:]))


_INDEXES: Final[tuple[tuple[tuple[int, ...], Index, dict[int, Any]], ...]] = (
    ((7,), (("at", 2),), {}),
    ((7,), (("at", -1),), {}),
    ((7,), (("at", NEXT),), {0: -3}),
    ((37,), (("slice", 2, None, None),), {}),
    ((37,), (("slice", NEXT, NEXT, None),), {0: 3, 1: 30}),
    ((37,), (("slice", NEXT, NEXT, None),), {0: -90, 1: 90}),
    ((37,), (("slice", NEXT, NEXT, None),), {0: 9, 1: 3}),
    ((37,), (("slice", None, None, -2),), {}),
    ((37,), (("slice", NEXT, None, NEXT),), {0: -2, 1: -3}),
    ((5, 37), (("at", 1), ("slice", None, NEXT, NEXT)), {0: 90, 1: 2}),
    ((7,), (("slice", None, None, NEXT),), {0: 2**62 + 5}),
    ((7,), (("slice", None, None, NEXT),), {0: -(2**63)}),
    ((37, 5), (("slice", None, NEXT, None),), {0: -2}),
    ((6, 35), (("at", 1), ("slice", 1, -1, 3)), {}),
    ((6, 5, 4), (("slice", None, None, None), ("at", NEXT)), {0: 4}),
    ((0, 3), (("slice", 1, None, None),), {}),
)


def _subtensor_grad(g: Node, _y: Node, x: Node, *bounds: Node, index: Index) -> Sequence[Any]:
    return (assign(zeros_like(x), g, *bounds, index=index, mode="inc"), *([None] * len(bounds)))


subtensor: Op = Op(
    name="subtensor",
    type=lambda x, *bounds, index: subtensor_type("subtensor", x, bounds, index),
    numpy=lambda x, *bounds, index: _numpy_view("subtensor", x, index, bounds),
    grad=_subtensor_grad,
    lowering=View(view_layout),
    dtypes=EVERY,
    examples=tuple(
        Example(
            shapes=(shape, *([()] * len(values))),
            attrs={"index": index},
            integers={1 + place: value for place, value in values.items()},
        )
        for shape, index, values in _INDEXES
    ),
    theano="Subtensor",
    doc="A view by positions and slices of the leading axes, numpy's rules.",
)


# ---- assign
def check_written(name: str, x: TensorType, y: TensorType, view: TensorType, mode: str) -> None:
    """Refuse what cannot be written into a view of x.

    Raises:
        GraphError: the mode does not exist.
        DTypeError: the dtype of x does not hold the values of y.
        ShapeError: y does not broadcast to the view.
    """
    if mode not in _MODES:
        raise GraphError(f"mode {mode!r} is not one of {_MODES}", op=name)
    if promote(x.dtype, y.dtype) != x.dtype:
        hint = f"cast the value to {x.dtype}"
        raise DTypeError(f"cannot write {y.dtype} into {x.dtype}", op=name, hint=hint)
    padded = (1,) * (view.ndim - y.ndim) + y.shape
    fits = len(padded) == view.ndim and all(
        have in (1, None) or want in (have, None)
        for have, want in zip(padded, view.shape, strict=True)
    )
    if not fits:
        raise ShapeError(f"cannot write {y} into {view}", op=name)


def _assign_type(
    x: TensorType, y: TensorType, *bounds: TensorType, index: Index, mode: str
) -> TensorType:
    view = subtensor_type("assign", x, bounds, index)
    check_written("assign", x, y, view, mode)
    return x


def _assign_numpy(x: Array, y: Array, *bounds: Array, index: Index, mode: str) -> Array:
    out = np.array(x)
    at = numpy_index(index, bounds)
    try:
        out[at] = y if mode == "set" else out[at] + y
    except IndexError as error:
        raise IndexOutOfRange(str(error), op="assign") from error
    return out


def _assign_grad(
    g: Node, _out: Node, _x: Node, _y: Node, *bounds: Node, index: Index, mode: str
) -> Sequence[Any]:
    kept = g if mode == "inc" else assign(g, const(0, g.dtype), *bounds, index=index, mode="set")
    return (kept, subtensor(g, *bounds, index=index), *([None] * len(bounds)))


assign: Op = Op(
    name="assign",
    type=_assign_type,
    numpy=_assign_numpy,
    grad=_assign_grad,
    lowering=Assign(view_layout),
    dtypes=EVERY,
    examples=tuple(
        Example(
            shapes=(shape, (), *([()] * len(values))),
            attrs={"index": index, "mode": mode},
            integers={2 + place: value for place, value in values.items()},
        )
        for shape, index, values in _INDEXES
        for mode in _MODES
    ),
    theano="IncSubtensor",
    doc="A copy in which a view is set to (mode set) or increased by (mode inc) a value.",
)


# ---- gather
def _check_indexes(name: str, x: TensorType, indexes: Sequence[TensorType]) -> tuple[Extent, ...]:
    if not 1 <= len(indexes) <= x.ndim:
        raise ShapeError(f"{len(indexes)} integer arrays for {x}", op=name)
    for given in indexes:
        if given.dtype not in INTEGERS:
            raise DTypeError(f"indexes are integers, got {given}", op=name)
    return broadcast_shape([t.shape for t in indexes], name)


def _gather_type(x: TensorType, *indexes: TensorType) -> TensorType:
    leading = _check_indexes("gather", x, indexes)
    return TensorType(x.dtype, (*leading, *x.shape[len(indexes) :]))


def _are_rows_empty(x: Array, indexes: Sequence[Array]) -> bool:
    """Whether there is nothing behind the indexed axes; then no index is looked at."""
    return 0 in x.shape[len(indexes) :]


def _gather_numpy(x: Array, *indexes: Array) -> Array:
    if _are_rows_empty(x, indexes):
        leading = np.broadcast_shapes(*[index.shape for index in indexes])
        return np.empty((*leading, *x.shape[len(indexes) :]), x.dtype)
    try:
        return np.asarray(x[tuple(indexes)])
    except IndexError as error:
        raise IndexOutOfRange(str(error), op="gather") from error


def _gather_grad(g: Node, _y: Node, x: Node, *indexes: Node) -> Sequence[Any]:
    return (scatter(zeros_like(x), g, *indexes, mode="inc"), *([None] * len(indexes)))


_GATHERED: Final[tuple[tuple[tuple[int, ...], dict[int, Any]], ...]] = (
    ((7,), {1: [3]}),
    ((7,), {1: [0, -1, 3, 3]}),
    ((5, 3), {1: [4, 0, 1, 4]}),
    ((5, 3), {1: [0, 1, 2, 3, 4], 2: [2, 0, -1, 1, 2]}),
    ((5, 37), {1: [[0, 4], [1, -5]]}),
    ((4, 3, 2), {1: [0, 3, 1], 2: [0, 0, 2]}),
    ((5,), {1: []}),
    ((9,), {1: list(range(9)) * 8}),
)


def _shape_of(value: Any) -> tuple[int, ...]:
    return np.shape(value)


gather: Op = Op(
    name="gather",
    type=_gather_type,
    numpy=_gather_numpy,
    grad=_gather_grad,
    lowering=Gather(),
    dtypes=EVERY,
    examples=tuple(
        Example(shapes=(shape, *map(_shape_of, values.values())), integers=values)
        for shape, values in _GATHERED
    ),
    theano="AdvancedSubtensor",
    doc="x[i0, i1, ...] for integer arrays over the leading axes; negative ones count back.",
)


# ---- scatter
def _scatter_type(x: TensorType, y: TensorType, *indexes: TensorType, mode: str) -> TensorType:
    view = _gather_type(x, *indexes)
    check_written("scatter", x, y, view, mode)
    return x


def _scatter_numpy(x: Array, y: Array, *indexes: Array, mode: str) -> Array:
    out = np.array(x)
    if _are_rows_empty(x, indexes):
        return out
    try:
        if mode == "set":
            out[tuple(indexes)] = y
        else:
            np.add.at(out, tuple(indexes), y.astype(x.dtype))
    except IndexError as error:
        raise IndexOutOfRange(str(error), op="scatter") from error
    return out


def _lasting(picked: Node, x: Node, indexes: Sequence[Node]) -> Node:
    """The gradient of what was written, zero where a later write went to the same place."""
    written = picked.ndim - (x.ndim - len(indexes))
    if all(extent == 1 for extent in picked.type.shape[:written]):
        return picked
    order = (*range(written), *([NEW_AXIS] * (picked.ndim - written)))
    number = dimshuffle(numbered(picked, written), order=order)
    last = scatter(second(x, const(0, "int64")), number, *indexes, mode="set")
    return switch(eq(gather(last, *indexes), number), picked, const(0, picked.dtype))


def _scatter_grad(
    g: Node, _out: Node, x: Node, _y: Node, *indexes: Node, mode: str
) -> Sequence[Any]:
    nothing = [None] * len(indexes)
    picked = gather(g, *indexes)
    if mode == "inc":
        return (g, picked, *nothing)
    kept = scatter(g, const(0, g.dtype), *indexes, mode="set")
    return (kept, _lasting(picked, x, indexes), *nothing)


scatter: Op = Op(
    name="scatter",
    type=_scatter_type,
    numpy=_scatter_numpy,
    grad=_scatter_grad,
    lowering=Scatter(),
    dtypes=EVERY,
    examples=tuple(
        Example(
            shapes=(shape, (), *map(_shape_of, values.values())),
            attrs={"mode": mode},
            integers={1 + place: value for place, value in values.items()},
        )
        for shape, values in _GATHERED
        for mode in _MODES
    ),
    theano="AdvancedIncSubtensor",
    doc="A copy in which x[i0, i1, ...] is set or increased; of equal indexes the last set wins.",
)
