"""Ranges: evenly spaced numbers between values that are known at run time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from exprd_compiler.errors import GraphError
from exprd_compiler.ir.dtype import DTYPES, FLOATS, INTEGERS, is_float, promote
from exprd_compiler.ir.half import converted
from exprd_compiler.ir.lowering import Expand
from exprd_compiler.ir.node import THROUGH_EXPANSION, Array, Example, Node, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, cast, mul, neg, sub, true_div
from exprd_compiler.ops.division import int_div
from exprd_compiler.ops.families import upcast_to_float
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import and_, eq, gt, isfinite, maximum, switch
from exprd_compiler.ops.movement import check_spec, filled
from exprd_compiler.ops.positions import iota
from exprd_compiler.ops.rounding import ceil

_ZERO, _ONE = const(0, "int64"), const(1, "int64")


def _check_points(name: str, *types: TensorType) -> list[str]:
    if any(given.ndim or given.dtype == "bool" for given in types):
        raise GraphError(f"takes 0-d numbers, got {', '.join(map(str, types))}", op=name)
    return [given.dtype for given in types]


# ---- arange
def _arange_type(start: TensorType, stop: TensorType, step: TensorType) -> TensorType:
    return TensorType(promote(*_check_points("arange", start, stop, step)), (None,))


def _numpy_length(start: Any, stop: Any, step: Any) -> int:
    if not step:
        return 0
    if isinstance(step, int):
        return max(0, int(-((start - stop) // step)))
    with np.errstate(all="ignore"):
        ratio = float(np.divide(stop - start, step))
    return max(0, math.ceil(ratio)) if math.isfinite(ratio) else 0


def _arange_numpy(start: Array, stop: Array, step: Array) -> Array:
    dtype = promote(*[x.dtype.name for x in (start, stop, step)])
    wide = "float64" if is_float(dtype) else "int64"
    a, b, c = (x.astype(wide).item() for x in (start, stop, step))
    return converted(np.asarray(a + c * np.arange(_numpy_length(a, b, c))), dtype)


def _whole_length(start: Node, stop: Node, step: Node) -> Node:
    return maximum(neg(int_div(sub(start, stop), step)), _ZERO)


def _float_length(start: Node, stop: Node, step: Node) -> Node:
    ratio = ceil(true_div(sub(stop, start), step))
    usable = and_(isfinite(ratio), gt(ratio, const(0, "float64")))
    return cast(switch(usable, ratio, const(0, "float64")), dtype="int64")


def _arange_expand(*ends: Node) -> Node:
    dtype = promote(*[x.dtype for x in ends])
    wide = "float64" if is_float(dtype) else "int64"
    start, stop, step = (x if x.dtype == wide else cast(x, dtype=wide) for x in ends)
    length = (_float_length if is_float(dtype) else _whole_length)(start, stop, step)
    values = add(start, mul(step, iota(length)))
    return values if dtype == wide else cast(values, dtype=dtype)


arange: Op = Op(
    name="arange",
    type=_arange_type,
    numpy=_arange_numpy,
    grad=THROUGH_EXPANSION,
    lowering=Expand(_arange_expand),
    dtypes=INTEGERS + FLOATS,
    examples=(
        Example(shapes=((), (), ()), low=1.0, high=9.0),
        Example(shapes=((), (), ()), integers={0: 2}, low=1.0, high=90.0),
        Example(shapes=((), (), ()), integers={0: 3, 1: 70, 2: 2}),
        Example(shapes=((), (), ()), integers={0: 10, 1: -3, 2: -3}),
        Example(shapes=((), (), ()), integers={0: 10, 1: -3, 2: 1}),
        Example(shapes=((), (), ()), integers={0: 10, 1: 3, 2: 0}),
    ),
    theano="ARange",
    doc="Numbers from start up to stop by steps, in their promoted dtype; none by steps of 0.",
)


# ---- linspace
def _linspace_type(
    start: TensorType, stop: TensorType, *given: TensorType, number: int | None, endpoint: Any
) -> TensorType:
    check_spec("linspace", (number,), given)
    if endpoint.__class__ is not bool or (number is not None and number < 0):
        raise GraphError(f"cannot make {number} numbers, endpoint {endpoint!r}", op="linspace")
    return TensorType(upcast_to_float(_check_points("linspace", start, stop)), (number,))


def _linspace_numpy(
    start: Array, stop: Array, *given: Array, number: int | None, endpoint: Any
) -> Array:
    dtype = upcast_to_float([start.dtype.name, stop.dtype.name])
    count = max(0, int(filled((number,), given)[0]))
    a, b = float(start), float(stop)
    out: Array = a + np.arange(count) * ((b - a) / max(count - endpoint, 1))
    if endpoint and count > 1:
        out[-1] = b
    return converted(out, dtype)


def _linspace_expand(
    start: Node, stop: Node, *given: Node, number: int | None, endpoint: bool
) -> Node:
    dtype = upcast_to_float([start.dtype, stop.dtype])
    first, last = (cast(x, dtype="float64") for x in (start, stop))
    count = given[0] if number is None else const(number, "int64")
    gaps = maximum(sub(count, _ONE) if endpoint else count, _ONE)
    place = iota(count) if number is None else iota(length=number)
    step = true_div(sub(last, first), cast(gaps, dtype="float64"))
    values = add(first, mul(cast(place, dtype="float64"), step))
    if endpoint:
        at_end = and_(eq(place, sub(count, _ONE)), gt(place, _ZERO))
        values = switch(at_end, last, values)
    return values if dtype == "float64" else cast(values, dtype=dtype)


linspace: Op = Op(
    name="linspace",
    type=_linspace_type,
    numpy=_linspace_numpy,
    grad=THROUGH_EXPANSION,
    lowering=Expand(_linspace_expand),
    dtypes=tuple(dtype for dtype in DTYPES if dtype != "bool"),
    examples=(
        Example(shapes=((), ()), attrs={"number": 7, "endpoint": True}),
        Example(shapes=((), ()), attrs={"number": 37, "endpoint": False}),
        Example(shapes=((), ()), attrs={"number": 1, "endpoint": True}),
        Example(shapes=((), ()), attrs={"number": 0, "endpoint": True}),
        Example(shapes=((), (), ()), attrs={"number": None, "endpoint": True}, integers={2: 5}),
        Example(shapes=((), (), ()), attrs={"number": None, "endpoint": False}, integers={2: 0}),
    ),
    theano="Elemwise",
    doc="As many evenly spaced floats from start to stop, which is the last if endpoint says so.",
)
