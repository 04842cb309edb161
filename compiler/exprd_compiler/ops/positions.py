"""Positions: the integers that count elements.

They depend on extents alone, never on values.
"""

from __future__ import annotations

import math

import numpy as np

from exprd_compiler.ir.dtype import INTEGERS
from exprd_compiler.ir.integer import IntExpr, maximum
from exprd_compiler.ir.lowering import Extents, Generate
from exprd_compiler.ir.node import NO_PATH, Array, Example, Node, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import mul
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.movement import check_spec, extents_of, reshape


def _iota_type(*dims: TensorType, length: int | None = None) -> TensorType:
    check_spec("iota", (length,), dims)
    return TensorType("int64", (length,))


def _iota_numpy(*dims: Array, length: int | None = None) -> Array:
    return np.arange(max(0, int(dims[0])) if length is None else length, dtype="int64")


def _iota_extents(n: IntExpr) -> Extents:
    return (maximum(n, 0),)


iota = Op(
    name="iota",
    type=_iota_type,
    numpy=_iota_numpy,
    grad=NO_PATH,
    lowering=Generate(lambda _k, positions, **_: positions[0], _iota_extents, hosts=1),
    dtypes=INTEGERS,
    examples=(
        Example(shapes=((),), integers={0: 37}),
        Example(shapes=((),), integers={0: 0}),
        Example(shapes=(), attrs={"length": 5}),
    ),
    theano="ARange",
    doc="The integers from 0 up to a length.",
)


def numbered(x: Node, rank: int) -> Node:
    """The numbers of the elements of x's first `rank` axes, in row-major order, as int64."""
    spec, integers = extents_of(x)
    spec = spec[:rank]
    integers = integers[: spec.count(None)]
    known = math.prod(extent for extent in spec if extent is not None)
    if not integers:
        return reshape(iota(length=known), shape=spec)
    total = const(known, "int64")
    for extent in integers:
        total = mul(total, extent)
    return reshape(iota(total), *integers, shape=spec)
