"""Diagonals: matrices known by the distance of their elements from the diagonal.

An offset counts the columns to the right of the main diagonal, as in numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from exprd_compiler.errors import ShapeError
from exprd_compiler.ir.dtype import EVERY, check_dtype
from exprd_compiler.ir.integer import IntExpr, less, maximum, minimum, select
from exprd_compiler.ir.lowering import Assign, Expand, HostContext, Layout, View
from exprd_compiler.ir.node import NO_PATH, Array, Example, Node, Op
from exprd_compiler.ir.type import Extent, TensorType
from exprd_compiler.ops.arithmetic import add, cast, zeros_like
from exprd_compiler.ops.creation import alloc
from exprd_compiler.ops.families import check_ints, drop_axes
from exprd_compiler.ops.index import check_written
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import eq, ge, lt, switch
from exprd_compiler.ops.movement import NEW_AXIS, Spec, check_spec, dimshuffle, filled, shape_i
from exprd_compiler.ops.positions import iota


# ---- masks
def _count(extent: Node | int) -> Node:
    return iota(extent) if isinstance(extent, Node) else iota(length=extent)


def _mask(compare: Op, rows: Node | int, columns: Node | int, offset: int) -> Node:
    """Where a row number plus an offset compares with the column number."""
    down = add(_count(rows), const(offset, "int64"))
    return compare(
        dimshuffle(down, order=(0, NEW_AXIS)), dimshuffle(_count(columns), order=(NEW_AXIS, 0))
    )


def _made_type(name: str) -> Callable[..., TensorType]:
    def rule(*dims: TensorType, shape: Spec, offset: int, dtype: str) -> TensorType:
        check_spec(name, shape, dims)
        check_ints(name, (offset,))
        if len(shape) != 2:
            raise ShapeError(f"{shape} is not the shape of a matrix", op=name)
        return TensorType(check_dtype(dtype), shape)

    return rule


def _made(name: str, numpy: Callable[..., Array], compare: Op, theano: str, doc: str) -> Op:
    def meaning(*dims: Array, shape: Spec, offset: int, dtype: str) -> Array:
        rows, columns = (max(0, int(extent)) for extent in filled(shape, dims))
        return numpy(rows, columns, offset, dtype=dtype)

    def expand(*dims: Node, shape: Spec, offset: int, dtype: str) -> Node:
        rows, columns = filled(shape, dims)
        return cast(_mask(compare, rows, columns, offset), dtype=dtype)

    return Op(
        name=name,
        type=_made_type(name),
        numpy=meaning,
        grad=NO_PATH,
        lowering=Expand(expand),
        dtypes=("int64",),
        examples=tuple(
            Example(
                shapes=((),) * len(dims),
                attrs={"shape": shape, "offset": offset, "dtype": dtype},
                integers=dict(enumerate(dims)),
            )
            for shape, dims, offset, dtype in (
                ((3, 3), (), 0, "float64"),
                ((3, 35), (), 1, "float32"),
                ((4, 2), (), -1, "bool"),
                ((None, None), (5, 3), -2, "int8"),
                ((None, 4), (0,), 0, "int64"),
            )
        ),
        theano=theano,
        doc=doc,
    )


eye = _made("eye", np.eye, eq, "Eye", "Ones on one diagonal of a matrix, zeros elsewhere.")
tri = _made("tri", np.tri, ge, "Tri", "Ones on and below one diagonal of a matrix, zeros above.")


# ---- triangles
def _triangle(name: str, numpy: Callable[..., Array], compare: Op, more: int, doc: str) -> Op:
    def rule(x: TensorType, *, offset: int) -> TensorType:
        check_ints(name, (offset,))
        if x.ndim < 2:
            raise ShapeError(f"needs a matrix, got {x}", op=name)
        return x

    def expand(x: Node, *, offset: int) -> Node:
        rows, columns = (
            shape_i(x, axis=axis) if extent is None else extent
            for axis, extent in list(enumerate(x.type.shape))[-2:]
        )
        return switch(_mask(compare, rows, columns, offset + more), x, const(0, x.dtype))

    def grad(g: Node, _y: Node, _x: Node, *, offset: int) -> Sequence[Node]:
        return (op(g, offset=offset),)

    op = Op(
        name=name,
        type=rule,
        numpy=lambda x, *, offset: numpy(x, offset),
        grad=grad,
        lowering=Expand(expand),
        dtypes=EVERY,
        examples=(
            Example(shapes=((3, 4),), attrs={"offset": 0}),
            Example(shapes=((4, 3),), attrs={"offset": -1}),
            Example(shapes=((2, 3, 35),), attrs={"offset": 1}),
            Example(shapes=((0, 3),), attrs={"offset": 0}),
        ),
        theano="Elemwise",
        doc=doc,
    )
    return op


tril = _triangle(
    "tril", np.tril, ge, 0, "The elements of matrices on and below one diagonal, zeros above."
)
triu = _triangle(
    "triu", np.triu, lt, -1, "The elements of matrices on and above one diagonal, zeros below."
)


# ---- one diagonal as a view
def _across(x: Sequence[Any], axis1: int, axis2: int) -> tuple[tuple[Any, ...], Any, Any]:
    """The entries of all other axes, then those of the two."""
    return drop_axes(x, (axis1, axis2)), x[axis1], x[axis2]


def _diagonal_type(x: TensorType, *, offset: int, axis1: int, axis2: int) -> TensorType:
    check_ints("diagonal", (offset, axis1, axis2))
    if axis1 == axis2 or not all(0 <= axis < x.ndim for axis in (axis1, axis2)):
        raise ShapeError(f"{axis1} and {axis2} are not two axes of {x}", op="diagonal")
    rest, rows, columns = _across(x.shape, axis1, axis2)
    length: Extent = None
    if rows is not None and columns is not None:
        length = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    return TensorType(x.dtype, (*rest, length))


def _diagonal_layout(_h: HostContext, x: Layout, *, offset: int, axis1: int, axis2: int) -> Layout:
    rest, rows, columns = _across(x.extents, axis1, axis2)
    steps, down, right = _across(x.strides, axis1, axis2)
    below, beside = max(-offset, 0), max(offset, 0)
    length: IntExpr = maximum(minimum(rows - below, columns - beside), 0)
    # an empty diagonal must not move the base outside the buffer
    start = select(less(0, length), down * below + right * beside, 0)
    return Layout(x.offset + start, (*rest, length), (*steps, down + right))


def _diagonal_numpy(x: Array, *, offset: int, axis1: int, axis2: int) -> Array:
    return np.diagonal(x, offset, axis1, axis2)


_PLACES: tuple[tuple[tuple[int, ...], dict[str, int]], ...] = (
    ((4, 4), {"offset": 0, "axis1": 0, "axis2": 1}),
    ((3, 37), {"offset": 2, "axis1": 0, "axis2": 1}),
    ((37, 35), {"offset": -1, "axis1": 0, "axis2": 1}),
    ((2, 3, 4), {"offset": 1, "axis1": 2, "axis2": 0}),
    ((3, 2), {"offset": 5, "axis1": 0, "axis2": 1}),
    ((0, 3), {"offset": -1, "axis1": 0, "axis2": 1}),
)

diagonal: Op = Op(
    name="diagonal",
    type=_diagonal_type,
    numpy=_diagonal_numpy,
    grad=lambda g, _y, x, **place: (assign_diagonal(zeros_like(x), g, mode="inc", **place),),
    lowering=View(_diagonal_layout),
    dtypes=EVERY,
    examples=tuple(Example(shapes=(shape,), attrs=place) for shape, place in _PLACES),
    theano="ExtractDiag",
    doc="A view of one diagonal of two axes, as the last axis.",
)


# ---- changing one diagonal
def _assign_type(x: TensorType, y: TensorType, *, mode: str, **place: int) -> TensorType:
    check_written("assign_diagonal", x, y, _diagonal_type(x, **place), mode)
    return x


def _assign_numpy(x: Array, y: Array, *, mode: str, **place: int) -> Array:
    out = np.array(x)
    view = np.diagonal(out, place["offset"], place["axis1"], place["axis2"])
    view.flags.writeable = True
    try:
        view[...] = y if mode == "set" else view + y
    except ValueError as error:
        raise ShapeError(str(error), op="assign_diagonal") from error
    return out


def _assign_grad(
    g: Node, _out: Node, _x: Node, _y: Node, *, mode: str, **place: int
) -> Sequence[Node]:
    zero = const(0, g.dtype)
    kept = g if mode == "inc" else assign_diagonal(g, zero, mode="set", **place)
    return (kept, diagonal(g, **place))


assign_diagonal: Op = Op(
    name="assign_diagonal",
    type=_assign_type,
    numpy=_assign_numpy,
    grad=_assign_grad,
    lowering=Assign(_diagonal_layout),
    dtypes=EVERY,
    examples=tuple(
        Example(shapes=(shape, ()), attrs={"mode": mode, **place})
        for shape, place in _PLACES
        for mode in ("set", "inc")
    ),
    theano="FillDiagonalOffset",
    doc="A copy in which one diagonal is set to (mode set) or increased by (mode inc) a value.",
)


# ---- a matrix of one diagonal
def _diag_type(x: TensorType, *, offset: int) -> TensorType:
    check_ints("diag", (offset,))
    if x.ndim != 1:
        raise ShapeError(f"needs a vector, got {x}", op="diag", hint="diagonal takes matrices")
    extent = None if x.shape[0] is None else x.shape[0] + abs(offset)
    return TensorType(x.dtype, (extent, extent))


def _diag_expand(x: Node, *, offset: int) -> Node:
    extent = x.type.shape[0]
    side = add(shape_i(x, axis=0), const(abs(offset), "int64"))
    zero = const(0, x.dtype)
    if extent is None:
        zeros = alloc(zero, side, side, shape=(None, None))
    else:
        zeros = alloc(zero, shape=(extent + abs(offset),) * 2)
    return assign_diagonal(zeros, x, mode="set", offset=offset, axis1=0, axis2=1)


diag: Op = Op(
    name="diag",
    type=_diag_type,
    numpy=lambda x, *, offset: np.diag(x, offset),
    grad=lambda g, _y, _x, *, offset: (diagonal(g, offset=offset, axis1=0, axis2=1),),
    lowering=Expand(_diag_expand),
    dtypes=EVERY,
    examples=tuple(
        Example(shapes=((extent,),), attrs={"offset": offset})
        for extent, offset in ((5, 0), (3, 2), (37, -1), (0, 0), (1, 1))
    ),
    theano="AllocDiag",
    doc="The square matrix with a vector on one diagonal, zeros elsewhere.",
)


def identity_like(x: Node) -> Node:
    """The matrix of the shape and dtype of x with ones on the main diagonal."""
    dims = [shape_i(x, axis=axis) for axis, extent in enumerate(x.type.shape) if extent is None]
    return eye(*dims, shape=x.type.shape, offset=0, dtype=x.dtype)
