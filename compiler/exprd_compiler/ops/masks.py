"""Masks: the positions of what is not zero, in row-major order.

How many there are is known only when the values are, so their number is an extent of the call.
"""

from __future__ import annotations

import numpy as np

from exprd_compiler.errors import ShapeError
from exprd_compiler.ir.dtype import DTYPES
from exprd_compiler.ir.lowering import Expand
from exprd_compiler.ir.node import NO_GRAD, Array, Example, Node, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, sub
from exprd_compiler.ops.creation import alloc
from exprd_compiler.ops.division import int_div, mod
from exprd_compiler.ops.families import check_ints
from exprd_compiler.ops.index import NEXT, scatter, subtensor
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import neq, switch
from exprd_compiler.ops.movement import reshape, shape_i
from exprd_compiler.ops.positions import numbered
from exprd_compiler.ops.reduce import number_of, sum_
from exprd_compiler.ops.scans import cumsum

_SHAPES = ((5,), (37,), (3, 4), (2, 3, 35), (1, 4), (0, 3), (0,))


# ---- flatnonzero
def _flat_expand(x: Node) -> Node:
    """The n-th position that is not zero goes to place n; all others to a place behind the last."""
    flat = x if x.ndim == 1 else reshape(x, shape=(-1,))
    chosen = flat if x.dtype == "bool" else neq(flat, const(0, x.dtype))
    one = const(1, "int64")
    count = sum_(chosen, axes=(0,))
    place = switch(chosen, sub(cumsum(chosen, axis=0), one), count)
    blank = alloc(const(0, "int64"), add(count, one), shape=(None,))
    found = scatter(blank, numbered(flat, 1), place, mode="set")
    return subtensor(found, count, index=(("slice", None, NEXT, None),))


flatnonzero = Op(
    name="flatnonzero",
    type=lambda _: TensorType("int64", (None,)),
    numpy=np.flatnonzero,
    grad=NO_GRAD,
    lowering=Expand(_flat_expand),
    dtypes=DTYPES,
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
    dtypes=DTYPES,
    examples=tuple(
        Example(shapes=(shape,), attrs={"axis": axis}, low=-1, high=1)
        for shape in _SHAPES
        for axis in range(len(shape))
    ),
    theano="Nonzero",
    doc="The positions along one axis of the elements that are not zero, in row-major order.",
)
