"""Masks: the positions of what is not zero, in row-major order.

How many there are is known only when the values are, so their number is an extent of the call.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from exprd_compiler.errors import IndexOutOfRange, ShapeError
from exprd_compiler.ir.dtype import EVERY
from exprd_compiler.ir.integer import IntExpr, equal, less
from exprd_compiler.ir.lowering import Expand, Extents, HostContext, Routine
from exprd_compiler.ir.node import NO_GRAD, Array, Example, Node, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.division import int_div, mod
from exprd_compiler.ops.families import check_ints
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import neq
from exprd_compiler.ops.movement import check_integers, reshape, shape_i
from exprd_compiler.ops.reduce import number_of, sum_

_SHAPES = ((5,), (37,), (3, 4), (2, 3, 35), (1, 4), (0, 3), (0,))


def _check_mask(op: str, mask: TensorType, count: TensorType) -> None:
    if mask.ndim != 1 or mask.dtype != "bool":
        raise ShapeError(f"takes a vector of truth values, not {mask}", op=op)
    check_integers(op, (count,), 1)


# ---- positions of what is true
def _true_type(mask: TensorType, count: TensorType) -> TensorType:
    _check_mask("true_positions", mask, count)
    return TensorType("int64", (None,))


def _true_numpy(mask: Array, count: Array) -> Array:
    found, wanted = np.flatnonzero(mask), int(count)
    if wanted < 0:
        raise ShapeError(f"extent {wanted} is negative", op="true_positions")
    if wanted > len(found):
        message = f"only {len(found)} elements are true, not {wanted}"
        raise IndexOutOfRange(message, op="true_positions")
    return found[:wanted]


def _true_extents(h: HostContext, _: Sequence[Extents], count: IntExpr) -> Extents:
    h.require(equal(less(count, 0), 0), "ShapeError", "extent {} is negative", count)
    return (count,)


true_positions = Op(
    name="true_positions",
    type=_true_type,
    numpy=_true_numpy,
    grad=NO_GRAD,
    lowering=Routine(
        name="compact",
        operands=1,
        extents=_true_extents,
        sizes=lambda operands, out: (operands[0][0], out[0]),
        message="only {} elements are true, not {}",
    ),
    dtypes=("bool",),
    examples=(
        Example(shapes=((400,), ()), integers={1: 97}),
        Example(shapes=((37,), ()), integers={1: 3}),
        Example(shapes=((5,), ()), integers={1: 0}),
        Example(shapes=((0,), ()), integers={1: 0}),
    ),
    theano="Nonzero",
    doc="The first so many positions of what is true in a vector; fewer are an error.",
)


# ---- elements at what is true
def _packed_type(x: TensorType, mask: TensorType, count: TensorType) -> TensorType:
    _check_mask("true_elements", mask, count)
    if x.ndim != 1:
        raise ShapeError(f"takes a vector, not {x}", op="true_elements")
    return TensorType(x.dtype, (None,))


def _packed_numpy(x: Array, mask: Array, count: Array) -> Array:
    if len(x) != len(mask):
        raise ShapeError(f"extents {len(x)} and {len(mask)} differ", op="true_elements")
    return np.asarray(x[_true_numpy(mask, count)])


def _packed_extents(h: HostContext, operands: Sequence[Extents], count: IntExpr) -> Extents:
    (x,), (mask,) = operands
    h.require(equal(x, mask), "ShapeError", "extents {} and {} differ", x, mask)
    return _true_extents(h, operands, count)


true_elements = Op(
    name="true_elements",
    type=_packed_type,
    numpy=_packed_numpy,
    grad=NO_GRAD,
    lowering=Routine(
        name="pack",
        operands=2,
        extents=_packed_extents,
        sizes=lambda operands, out: (operands[1][0], out[0]),
        message="only {} elements are true, not {}",
    ),
    dtypes=EVERY,
    examples=(
        Example(shapes=((400,), (400,), ()), integers={2: 97}, dtypes=("bool",)),
        Example(shapes=((5,), (5,), ()), integers={2: 0}, dtypes=("bool",)),
    ),
    theano="AdvancedBooleanSubtensor",
    doc="The first so many elements of a vector where another is true; fewer are an error.",
)


# ---- flatnonzero
def _flat_expand(x: Node) -> Node:
    flat = x if x.ndim == 1 else reshape(x, shape=(-1,))
    chosen = flat if x.dtype == "bool" else neq(flat, const(0, x.dtype))
    return true_positions(chosen, sum_(chosen, axes=(0,)))


flatnonzero = Op(
    name="flatnonzero",
    type=lambda _: TensorType("int64", (None,)),
    numpy=np.flatnonzero,
    grad=NO_GRAD,
    lowering=Expand(_flat_expand),
    dtypes=EVERY,
    examples=tuple(Example(shapes=(shape,), low=-1, high=1) for shape in ((), *_SHAPES)),
    theano="Nonzero",
    doc="The row-major numbers of the elements that are not zero, in order.",
)


# ---- nonzero
def _nonzero_type(x: TensorType, *, axis: int) -> TensorType:
    check_ints("nonzero", (axis,))
    if not 0 <= axis < x.ndim:
        raise ShapeError(f"axis {axis} is not an axis of {x}", op="nonzero")
    return TensorType("int64", (None,))


def _nonzero_numpy(x: Array, *, axis: int) -> Array:
    return np.nonzero(x)[axis]


def _nonzero_expand(x: Node, *, axis: int) -> Node:
    place = flatnonzero(x)
    if axis < x.ndim - 1:
        place = int_div(place, number_of(x, range(axis + 1, x.ndim)))
    return mod(place, shape_i(x, axis=axis)) if axis else place


nonzero = Op(
    name="nonzero",
    type=_nonzero_type,
    numpy=_nonzero_numpy,
    grad=NO_GRAD,
    lowering=Expand(_nonzero_expand),
    dtypes=EVERY,
    examples=tuple(
        Example(shapes=(shape,), attrs={"axis": axis}, low=-1, high=1)
        for shape in _SHAPES
        for axis in range(len(shape))
    ),
    theano="Nonzero",
    doc="The positions along one axis of the elements that are not zero, in row-major order.",
)
