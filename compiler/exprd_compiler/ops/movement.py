"""Movement: the same elements under other axes, and the extents themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from exprd_compiler.errors import GraphError, ShapeError
from exprd_compiler.ir.dtype import EVERY, INTEGERS
from exprd_compiler.ir.integer import (
    IntExpr,
    as_expr,
    const,
    equal,
    less,
    maximum,
    product,
    select,
)
from exprd_compiler.ir.lowering import Host, HostContext, Layout, View
from exprd_compiler.ir.node import NO_PATH, Array, Example, Node, Op
from exprd_compiler.ir.type import Extent, TensorType
from exprd_compiler.ops.families import check_ints

# A shape as an attribute: ints are static, None takes the next integer input, -1 is inferred.
Spec: TypeAlias = tuple[int | None, ...]
NEW_AXIS: Final = -1


def check_integers(name: str, types: Sequence[TensorType], expected: int) -> None:
    """Refuse anything but the expected number of 0-d integers.

    Raises:
        GraphError: another number, or one that is not a 0-d integer.
    """
    if len(types) != expected:
        raise GraphError(f"needs {expected} integer inputs, got {len(types)}", op=name)
    for given in types:
        if given.ndim or given.dtype not in INTEGERS:
            raise GraphError(f"extents and bounds are 0-d integers, got {given}", op=name)


# ---- dimshuffle
def _dimshuffle_type(x: TensorType, *, order: tuple[int, ...]) -> TensorType:
    check_ints("dimshuffle", order)
    kept = [axis for axis in order if axis != NEW_AXIS]
    if len(set(kept)) != len(kept) or not all(0 <= axis < x.ndim for axis in kept):
        raise ShapeError(f"order {order} does not fit {x}", op="dimshuffle")
    for axis in set(range(x.ndim)) - set(kept):
        if x.shape[axis] != 1:
            hint = "only axes that are statically 1 can be dropped"
            raise ShapeError(f"axis {axis} of {x} is dropped", op="dimshuffle", hint=hint)
    return TensorType(x.dtype, tuple(1 if a == NEW_AXIS else x.shape[a] for a in order))


def _dimshuffle_numpy(x: Array, *, order: tuple[int, ...]) -> Array:
    kept = [axis for axis in order if axis != NEW_AXIS]
    dropped = [axis for axis in range(x.ndim) if axis not in kept]
    small = x.transpose(kept + dropped).reshape([x.shape[axis] for axis in kept])
    return small[tuple(np.newaxis if axis == NEW_AXIS else slice(None) for axis in order)]


def _dimshuffle_layout(_h: HostContext, x: Layout, *, order: tuple[int, ...]) -> Layout:
    one, zero = const(1), const(0)
    return Layout(
        x.offset,
        tuple(one if axis == NEW_AXIS else x.extents[axis] for axis in order),
        tuple(zero if axis == NEW_AXIS else x.strides[axis] for axis in order),
    )


def inverse_order(order: Sequence[int], ndim: int) -> tuple[int, ...]:
    """The dimshuffle order that undoes `order` on a value of rank `ndim`."""
    place = {axis: position for position, axis in enumerate(order) if axis != NEW_AXIS}
    return tuple(place.get(axis, NEW_AXIS) for axis in range(ndim))


dimshuffle: Op = Op(
    name="dimshuffle",
    type=_dimshuffle_type,
    numpy=_dimshuffle_numpy,
    grad=lambda g, _y, x, *, order: (dimshuffle(g, order=inverse_order(order, x.ndim)),),
    lowering=View(_dimshuffle_layout),
    dtypes=EVERY,
    examples=(
        Example(shapes=((3, 4),), attrs={"order": (1, 0)}),
        Example(shapes=((5,),), attrs={"order": (-1, 0)}),
        Example(shapes=((5,),), attrs={"order": (0, -1)}),
        Example(shapes=((1, 4, 1),), attrs={"order": (1,)}),
        Example(shapes=((2, 3, 35),), attrs={"order": (2, -1, 0, 1)}),
        Example(shapes=((),), attrs={"order": (-1,)}),
        Example(shapes=((0, 3),), attrs={"order": (1, 0)}),
    ),
    theano="DimShuffle",
    doc="The axes permuted; -1 inserts an axis of length 1, axes statically 1 may be dropped.",
)


# ---- extents
def _shape_i_type(x: TensorType, *, axis: int) -> TensorType:
    check_ints("shape_i", (axis,))
    if not 0 <= axis < x.ndim:
        raise ShapeError(f"axis {axis} is not an axis of {x}", op="shape_i")
    return TensorType("int64")


shape_i: Op = Op(
    name="shape_i",
    type=_shape_i_type,
    numpy=lambda x, *, axis: np.asarray(x.shape[axis], "int64"),
    grad=NO_PATH,
    lowering=Host(lambda extents, *, axis: extents[axis]),
    dtypes=EVERY,
    examples=(
        Example(shapes=((3, 4),), attrs={"axis": 1}),
        Example(shapes=((0,),), attrs={"axis": 0}),
    ),
    theano="Shape_i",
    doc="The length of one axis.",
)


# ---- shapes given as attribute and integer inputs
def filled(spec: Spec, integers: Sequence[Any]) -> list[Any]:
    """The spec with None replaced by the integers in order."""
    rest: Iterator[Any] = iter(integers)
    return [next(rest) if entry is None else entry for entry in spec]


def check_spec(name: str, spec: Spec, dims: Sequence[TensorType]) -> None:
    """Refuse a spec that is not of integers and None, or that the integer inputs do not fill.

    Raises:
        GraphError: it is such a spec.
    """
    check_ints(name, [entry for entry in spec if entry is not None])
    check_integers(name, dims, sum(entry is None for entry in spec))


def contiguous_strides(extents: Sequence[IntExpr]) -> tuple[IntExpr, ...]:
    """Element strides of a C-contiguous value."""
    out: list[IntExpr] = []
    step = const(1)
    for extent in reversed(extents):
        out.append(step)
        step = step * extent
    return tuple(reversed(out))


def _reshape_type(x: TensorType, *dims: TensorType, shape: Spec) -> TensorType:
    check_spec("reshape", shape, dims)
    if shape.count(-1) > 1 or any(e is not None and e < -1 for e in shape):
        raise ShapeError(f"cannot infer shape {shape}", op="reshape", hint="at most one -1")
    static: list[Extent] = [None if entry == -1 else entry for entry in shape]
    known = None not in x.shape
    size = int(np.prod([e or 0 for e in x.shape], dtype=object)) if known else None
    if size is not None and None not in shape:
        rest = int(np.prod([e for e in shape if e not in (-1, None)], dtype=object))
        if (rest != size) if -1 not in shape else (rest and size % rest):
            raise ShapeError(f"cannot reshape {x} to {shape}", op="reshape")
        if -1 in shape and rest:
            static[shape.index(-1)] = size // rest
    return TensorType(x.dtype, tuple(static))


def _require_countable(h: HostContext, extents: Sequence[IntExpr]) -> None:
    """The number of elements must not wrap around, else too many might seem to fit."""
    count = const(1)
    for extent in extents:
        longer = count * extent
        exact = equal(longer // maximum(extent, 1), count)
        countable = select(equal(extent, 0), 1, exact)
        h.require(countable, "ShapeError", "too many elements: {} times {}", count, extent)
        count = longer


def _reshape_layout(h: HostContext, x: Layout, *dims: IntExpr, shape: Spec) -> Layout:
    entries: list[IntExpr | int] = filled(shape, dims)
    total = product(x.extents)
    given = product(tuple(as_expr(e) for e in entries if not (isinstance(e, int) and e == -1)))
    for entry in dims:
        h.require(equal(less(entry, 0), 0), "ShapeError", "extent {} is negative", entry)
    safe = given + equal(given, 0)
    extents = tuple(
        total // safe if isinstance(e, int) and e == -1 else as_expr(e) for e in entries
    )
    fits = equal(product(extents), total)
    if not fits.known:
        _require_countable(h, extents)
    h.require(fits, "ShapeError", "cannot reshape {} elements into {}", total, product(extents))
    return Layout(x.offset, extents, contiguous_strides(extents))


def _reshape_numpy(x: Array, *dims: Array, shape: Spec) -> Array:
    entries = [int(entry) for entry in filled(shape, dims)]
    if any(int(d) < 0 for d in dims):
        raise ShapeError("an extent is negative", op="reshape")
    try:
        return x.reshape(entries)
    except ValueError as error:
        raise ShapeError(f"cannot reshape {x.shape} to {entries}", op="reshape") from error


def extents_of(x: Node) -> tuple[Spec, tuple[Node, ...]]:
    """The shape of x as spec and integer nodes, static extents as static entries."""
    spec = tuple(extent for extent in x.type.shape)
    return spec, tuple(shape_i(x, axis=i) for i, extent in enumerate(spec) if extent is None)


def _reshape_grad(g: Node, _y: Node, x: Node, *dims: Node, shape: Spec) -> Sequence[Node | None]:
    spec, integers = extents_of(x)
    return (reshape(g, *integers, shape=spec), *([None] * len(dims)))


reshape: Op = Op(
    name="reshape",
    type=_reshape_type,
    numpy=_reshape_numpy,
    grad=_reshape_grad,
    lowering=View(_reshape_layout, contiguous=True),
    dtypes=EVERY,
    examples=(
        Example(shapes=((3, 4),), attrs={"shape": (12,)}),
        Example(shapes=((3, 4),), attrs={"shape": (2, -1)}),
        Example(shapes=((3, 4), (), ()), attrs={"shape": (None, 2, None)}, integers={1: 3, 2: 2}),
        Example(shapes=((1, 35),), attrs={"shape": (-1,)}),
        Example(shapes=((),), attrs={"shape": (1, 1)}),
        Example(shapes=((0, 3),), attrs={"shape": (3, 0)}),
    ),
    theano="Reshape",
    doc="The elements in row-major order under another shape; -1 is inferred.",
)


# ---- specify_shape
ANY: Final = -1


def _specify_type(x: TensorType, *dims: TensorType, shape: Spec) -> TensorType:
    check_spec("specify_shape", shape, dims)
    if len(shape) != x.ndim or any(e is not None and e < ANY for e in shape):
        raise ShapeError(f"{x} does not have {len(shape)} axes {shape}", op="specify_shape")
    for have, want in zip(x.shape, shape, strict=True):
        if have is not None and want not in (have, None, ANY):
            raise ShapeError(f"{x} does not have shape {shape}", op="specify_shape")
    static = [h if w in (None, ANY) else w for h, w in zip(x.shape, shape, strict=True)]
    return TensorType(x.dtype, tuple(static))


def _specify_layout(h: HostContext, x: Layout, *dims: IntExpr, shape: Spec) -> Layout:
    extents: list[IntExpr] = []
    for have, entry in zip(x.extents, filled(shape, dims), strict=True):
        want = have if isinstance(entry, int) and entry == ANY else as_expr(entry)
        h.require(
            equal(have, want), "ShapeError", "an extent is {}, not {} as specified", have, want
        )
        extents.append(want)
    return Layout(x.offset, tuple(extents), x.strides)


def _specify_numpy(x: Array, *dims: Array, shape: Spec) -> Array:
    wanted = [int(entry) for entry in filled(shape, dims)]
    static = [entry == ANY for entry in shape]
    if any(h != w and not a for h, w, a in zip(x.shape, wanted, static, strict=True)):
        raise ShapeError(f"the shape is {x.shape}, not {wanted} as specified", op="specify_shape")
    return x


specify_shape: Op = Op(
    name="specify_shape",
    type=_specify_type,
    numpy=_specify_numpy,
    grad=lambda g, _y, _x, *dims, **_: (g, *([None] * len(dims))),
    lowering=View(_specify_layout),
    dtypes=EVERY,
    examples=(
        Example(shapes=((3, 4),), attrs={"shape": (3, ANY)}),
        Example(shapes=((3, 4), ()), attrs={"shape": (ANY, None)}, integers={1: 4}),
        Example(shapes=((1, 35),), attrs={"shape": (1, 35)}),
        Example(shapes=((),), attrs={"shape": ()}),
    ),
    theano="SpecifyShape",
    doc="The value itself, with extents that are checked and then known; -1 leaves one open.",
)


# ---- hide_extents
def _hide_type(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    check_ints("hide_extents", axes)
    if not all(0 <= axis < x.ndim for axis in axes):
        raise ShapeError(f"{axes} are not axes of {x}", op="hide_extents")
    return TensorType(x.dtype, tuple(None if a in axes else n for a, n in enumerate(x.shape)))


hide_extents: Op = Op(
    name="hide_extents",
    type=_hide_type,
    numpy=lambda x, *, axes: x,
    grad=lambda g, _y, _x, *, axes: (g,),
    lowering=View(lambda _h, x, *, axes: x),
    dtypes=EVERY,
    examples=(
        Example(shapes=((3, 4),), attrs={"axes": (1,)}),
        Example(shapes=((0,),), attrs={"axes": (0,)}),
    ),
    theano="HideExtents",
    doc="The value itself, with axes whose extents are not known before the call.",
)
