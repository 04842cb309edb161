"""Counting and searching: bins of whole numbers, places in sorted vectors, distinct values.

How many results there are may depend on values; such lengths are 0-d integers made of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from exprd_compiler.errors import DTypeError, GraphError, IndexOutOfRange, ShapeError
from exprd_compiler.ir.dtype import DTYPES, INTEGERS, is_float
from exprd_compiler.ir.half import widened
from exprd_compiler.ir.integer import IntExpr, equal, less, product
from exprd_compiler.ir.lowering import Extents, HostContext, Reduce, Routine
from exprd_compiler.ir.node import ZERO_GRAD, Array, Example, Node, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, cast, sub
from exprd_compiler.ops.creation import alloc
from exprd_compiler.ops.families import reduction, sum_dtype
from exprd_compiler.ops.index import gather, scatter
from exprd_compiler.ops.joining import between, join
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import and_, eq, maximum, minimum, neq
from exprd_compiler.ops.masks import flatnonzero
from exprd_compiler.ops.movement import check_integers, reshape, shape_i
from exprd_compiler.ops.scans import cumsum
from exprd_compiler.ops.sorting import ORDERED, argsort, sort

_ONE: Final = const(1, "int64")
_OUTSIDE: Final = "value {} is not one of the numbers below {}"
# Integers that int64 holds.
_COUNTED: Final = ("bool", *(dtype for dtype in INTEGERS if dtype != "uint64"))


# ---- searchsorted
def _search_type(a: TensorType, values: TensorType, *, right: bool) -> TensorType:
    if right.__class__ is not bool:
        raise GraphError(f"right is True or False, not {right!r}", op="searchsorted")
    if a.ndim != 1:
        raise ShapeError(f"the sorted values are a vector, not {a}", op="searchsorted")
    if a.dtype != values.dtype or a.dtype not in ORDERED:
        hint = "cast both to one dtype that has an order"
        raise DTypeError(f"cannot find {values} among {a}", op="searchsorted", hint=hint)
    return values.with_dtype("int64")


def _search_numpy(a: Array, values: Array, *, right: bool) -> Array:
    return np.asarray(
        np.searchsorted(widened(a), widened(values), "right" if right else "left"), "int64"
    )


searchsorted: Op = Op(
    name="searchsorted",
    type=_search_type,
    numpy=_search_numpy,
    grad=ZERO_GRAD,
    lowering=Routine(
        name="search",
        operands=2,
        extents=lambda _h, operands, **_: operands[1],
        sizes=lambda operands, _: (operands[0][0], product(operands[1])),
    ),
    dtypes=ORDERED,
    examples=tuple(
        Example(shapes=(sorted_, values), attrs={"right": right}, low=-9, high=9)
        for sorted_, values, right in (
            ((1,), (37,), False),
            ((1,), (3, 4), True),
            ((0,), (5,), False),
            ((1,), (), True),
            ((1,), (0, 3), False),
        )
    ),
    theano="SearchsortedOp",
    doc="How many elements of a sorted vector are before each value; equal ones are if right.",
)


# ---- bincount
_LOWEST: Final = -(2**63)  # neutral: nothing is below it


def _highest_numpy(x: Array, axes: tuple[int, ...]) -> Array:
    return np.asarray(np.max(x.astype("int64"), axis=axes, initial=_LOWEST))


highest: Op = reduction(
    "highest",
    numpy=_highest_numpy,
    lowering=Reduce(
        "max", lambda k, acc, x: k.maximum(acc, x), lambda _: _LOWEST, lambda _: "int64"
    ),
    grad=ZERO_GRAD,
    result=lambda _: "int64",
    theano="CAReduce",
    doc="Largest of whole numbers over axes as int64; of none the least there is.",
    dtypes=_COUNTED,
)


def _check_counted(name: str, x: TensorType, length: TensorType) -> None:
    if x.ndim != 1 or x.dtype not in _COUNTED:
        hint = "flatten it, and cast it to int64"
        raise DTypeError(f"counts a vector of whole numbers, not {x}", op=name, hint=hint)
    check_integers(name, (length,), 1)


def _inside(name: str, x: Array, length: Array) -> Array:
    wide = x.astype("int64")
    if int(length) < 0 and name != "bounded":
        raise ShapeError(f"extent {int(length)} is negative", op=name)
    wrong = wide[(wide < 0) | (wide >= int(length))]
    if wrong.size:
        raise IndexOutOfRange(_OUTSIDE.format(wrong[0], int(length)), op=name)
    return wide


def _tally_extents(h: HostContext, operands: Sequence[Extents], length: IntExpr) -> Extents:
    h.require(equal(less(length, 0), 0), "ShapeError", "extent {} is negative", length)
    for other in operands[1:]:
        same = equal(operands[0][0], other[0])
        text = "there are {} values and {} weights"
        h.require(same, "ShapeError", text, operands[0][0], other[0])
    return (length,)


def _tally(operands: int) -> Routine:
    return Routine(
        name="tally",
        operands=operands,
        extents=_tally_extents,
        sizes=lambda given, out: (given[0][0], out[0]),
        message=_OUTSIDE,
    )


def _count_type(x: TensorType, length: TensorType) -> TensorType:
    _check_counted("bincount", x, length)
    return TensorType("int64", (None,))


def _count_numpy(x: Array, length: Array) -> Array:
    wide = _inside("bincount", x, length)
    return np.bincount(wide, minlength=int(length)).astype("int64")


bincount: Op = Op(
    name="bincount",
    type=_count_type,
    numpy=_count_numpy,
    grad=ZERO_GRAD,
    lowering=_tally(1),
    dtypes=_COUNTED,
    examples=tuple(
        Example(shapes=((n,), ()), integers={1: length}, low=0, high=4)
        for n, length in ((37, 5), (200, 9), (0, 3), (0, 0))
    ),
    theano="BinCountOp",
    doc="How often each number below a length occurs; any other number is an error.",
)


def _sums_type(x: TensorType, weights: TensorType, length: TensorType) -> TensorType:
    _check_counted("bincount_weighted", x, length)
    if weights.ndim != 1:
        raise ShapeError(f"weights are a vector, not {weights}", op="bincount_weighted")
    return TensorType(sum_dtype(weights.dtype), (None,))


def _sums_numpy(x: Array, weights: Array, length: Array) -> Array:
    if x.shape != weights.shape:
        text = f"there are {x.size} values and {weights.size} weights"
        raise ShapeError(text, op="bincount_weighted")
    out = np.zeros(max(0, int(length)), sum_dtype(weights.dtype.name))
    np.add.at(out, _inside("bincount_weighted", x, length), weights.astype(out.dtype))
    return out


def _sums_grad(g: Node, _y: Node, x: Node, _w: Node, _n: Node) -> Sequence[Node | None]:
    return (None, gather(g, x), None)


bincount_weighted: Op = Op(
    name="bincount_weighted",
    type=_sums_type,
    numpy=_sums_numpy,
    grad=_sums_grad,
    lowering=_tally(2),
    dtypes=DTYPES,
    examples=tuple(
        Example(shapes=((len(x),), (len(x),), ()), integers={0: x, 2: length})
        for x, length in (([0, 2, 2, 1, 4], 5), ([3] * 40, 9), ([], 2))
    ),
    theano="BinCountOp",
    doc="The sum, in order, of the weights of each number below a length; others are an error.",
)


def counted(x: Node, weights: Node | None, minlength: Node) -> Node:
    """Counts, or sums of weights, of all numbers up to the largest, and below `minlength`."""
    reach = add(highest(x, axes=(0,)), _ONE)
    length = maximum(reach, cast(minlength, dtype="int64"))
    return bincount(x, length) if weights is None else bincount_weighted(x, weights, length)


# ---- checked numbers
def _bound_type(x: TensorType, length: TensorType) -> TensorType:
    if x.dtype not in INTEGERS:
        raise DTypeError(f"takes whole numbers, not {x}", op="bounded", hint="cast to int64")
    if length != TensorType("int64"):
        raise GraphError(f"the length is a 0-d int64, not {length}", op="bounded")
    return x.with_dtype("int64")


bounded: Op = Op(
    name="bounded",
    type=_bound_type,
    numpy=lambda x, length: _inside("bounded", x, length),
    grad=ZERO_GRAD,
    lowering=Routine(
        name="bound",
        operands=2,
        extents=lambda _h, operands: operands[0],
        sizes=lambda operands, _: (product(operands[0]),),
        message=_OUTSIDE,
    ),
    dtypes=INTEGERS,
    examples=tuple(
        Example(shapes=(shape, ()), integers={1: 5}, low=0, high=4)
        for shape in ((37,), (2, 3), (), (0,))
    ),
    theano="Assert",
    doc="Whole numbers as int64, all of them checked to lie from 0 to below a length.",
)


# ---- distinct values
@dataclass(frozen=True, slots=True, kw_only=True)
class Distinct:
    """The distinct values of a tensor in order, and where they are.

    Attributes:
        values: in order; NaN once, at the end.
        index: the row-major number of the first element of each value.
        inverse: for each element in row-major order the number of its value.
        counts: how often each value occurs.
    """

    values: Node
    index: Node
    inverse: Node
    counts: Node


def _fresh(ordered: Node) -> Node:
    """Where a vector in order has another value than before; NaN equals NaN."""
    behind, ahead = between(ordered, 1, None, 0), between(ordered, None, -1, 0)
    other = neq(behind, ahead)
    if is_float(ordered.dtype):
        other = and_(other, eq(ahead, ahead))
    first = alloc(const(1, "bool"), minimum(shape_i(ordered, axis=0), _ONE), shape=(None,))
    return join(first, other, axis=0)


def distinct_values(x: Node) -> Node:
    """The distinct values alone, which takes no positions."""
    ordered = sort(_flat(x), descending=False)
    return gather(ordered, flatnonzero(_fresh(ordered)))


def distinct(x: Node) -> Distinct:
    """The distinct values and where they are; what is not used is not computed."""
    flat = _flat(x)
    place = argsort(flat, descending=False)
    ordered = gather(flat, place)
    fresh = _fresh(ordered)
    starts = flatnonzero(fresh)
    length = shape_i(flat, axis=0)
    number = sub(cumsum(fresh, axis=0), _ONE)
    blank = alloc(const(0, "int64"), length, shape=(None,))
    last = alloc(length, minimum(length, _ONE), shape=(None,))
    ends = join(between(starts, 1, None, 0), last, axis=0)
    return Distinct(
        values=gather(ordered, starts),
        index=gather(place, starts),
        inverse=scatter(blank, number, place, mode="set"),
        counts=sub(ends, starts),
    )


def _flat(x: Node) -> Node:
    return x if x.ndim == 1 else reshape(x, shape=(-1,))
