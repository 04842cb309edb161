"""Creation: values that come from extents and positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from exprd_compiler.errors import GraphError, ShapeError
from exprd_compiler.ir.dtype import EVERY, promote
from exprd_compiler.ir.integer import IntExpr, as_expr, const, equal, less
from exprd_compiler.ir.lowering import Expand, Generate, HostContext, Layout, View
from exprd_compiler.ir.node import NO_PATH, Array, Example, Node, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.index import subtensor
from exprd_compiler.ops.movement import Spec, check_spec, dimshuffle, filled, shape_i
from exprd_compiler.ops.positions import iota as iota
from exprd_compiler.ops.reduce import sum_


# ---- make_vector
def _make_vector_type(*types: TensorType) -> TensorType:
    if not types or any(t.ndim for t in types):
        raise GraphError("takes one or more 0-d values", op="make_vector")
    return TensorType(promote(*[t.dtype for t in types]), (len(types),))


def _make_vector_numpy(*values: Array) -> Array:
    return np.array(values, dtype=promote(*[v.dtype.name for v in values]))


def _make_vector_body(k: Any, positions: Sequence[Any], *values: Any) -> Any:
    dtype = promote(*[v.dtype for v in values])
    out = k.cast(values[0], dtype)
    for index, value in enumerate(values[1:], 1):
        here = k.compare("eq", positions[0], k.const(index, "int64"))
        out = k.select(here, k.cast(value, dtype), out)
    return out


def _make_vector_grad(g: Node, _y: Node, *xs: Node) -> Sequence[Node]:
    return [subtensor(g, index=(("at", place),)) for place in range(len(xs))]


make_vector = Op(
    name="make_vector",
    type=_make_vector_type,
    numpy=_make_vector_numpy,
    grad=_make_vector_grad,
    lowering=Generate(_make_vector_body, lambda: (), hosts=0),
    dtypes=EVERY,
    examples=(Example(shapes=((),)), Example(shapes=((), (), ()))),
    theano="MakeVector",
    doc="A vector of 0-d values.",
)


# ---- shape
def _shape_expand(x: Node) -> Node:
    return make_vector(*[shape_i(x, axis=axis) for axis in range(x.ndim)])


def _shape_type(x: TensorType) -> TensorType:
    if not x.ndim:
        raise GraphError("a 0-d value has no extents", op="shape")
    return TensorType("int64", (x.ndim,))


shape = Op(
    name="shape",
    type=_shape_type,
    numpy=lambda x: np.array(x.shape, "int64"),
    grad=NO_PATH,
    lowering=Expand(_shape_expand),
    dtypes=EVERY,
    examples=(Example(shapes=((3, 4),)), Example(shapes=((0,),))),
    theano="Shape",
    doc="The extents as an int64 vector.",
)


# ---- alloc
def _alloc_type(x: TensorType, *dims: TensorType, shape: Spec) -> TensorType:
    check_spec("alloc", shape, dims)
    if x.ndim > len(shape) or any(entry is not None and entry < 0 for entry in shape):
        raise ShapeError(f"cannot broadcast {x} to {shape}", op="alloc")
    for have, want in zip(x.shape, shape[len(shape) - x.ndim :], strict=True):
        if have not in (1, None) and want not in (have, None):
            raise ShapeError(f"cannot broadcast {x} to {shape}", op="alloc")
    return TensorType(x.dtype, shape)


def _alloc_layout(h: HostContext, x: Layout, *dims: IntExpr, shape: Spec) -> Layout:
    extents = tuple(as_expr(entry) for entry in filled(shape, dims))
    for entry in dims:
        h.require(equal(less(entry, 0), 0), "ShapeError", "extent {} is negative", entry)
    lead = len(shape) - len(x.extents)
    strides: list[IntExpr] = [const(0)] * lead
    for have, stride, want in zip(x.extents, x.strides, extents[lead:], strict=True):
        if have.known == 1:
            strides.append(const(0))
            continue
        h.require(equal(have, want), "ShapeError", "cannot broadcast {} to {}", have, want)
        strides.append(stride)
    return Layout(x.offset, extents, tuple(strides))


def _alloc_numpy(x: Array, *dims: Array, shape: Spec) -> Array:
    target = [int(entry) for entry in filled(shape, dims)]
    try:
        return np.broadcast_to(x, target)
    except ValueError as error:
        raise ShapeError(f"cannot broadcast {x.shape} to {target}", op="alloc") from error


def _alloc_grad(g: Node, _y: Node, x: Node, *dims: Node, shape: Spec) -> Sequence[Node | None]:
    lead = len(shape) - x.ndim
    axes = tuple(
        axis
        for axis, want in enumerate(shape)
        if axis < lead or (x.type.shape[axis - lead] == 1 and want != 1)
    )
    total = sum_(g, axes=axes) if axes else g
    kept = iter(range(total.ndim))
    order = tuple(-1 if axis in axes else next(kept) for axis in range(lead, len(shape)))
    return (dimshuffle(total, order=order), *([None] * len(dims)))


alloc = Op(
    name="alloc",
    type=_alloc_type,
    numpy=_alloc_numpy,
    grad=_alloc_grad,
    lowering=View(_alloc_layout),
    dtypes=EVERY,
    examples=(
        Example(shapes=((),), attrs={"shape": (3, 4)}),
        Example(shapes=((), (), ()), attrs={"shape": (None, None)}, integers={1: 3, 2: 37}),
        Example(shapes=((5,), ()), attrs={"shape": (None, 5)}, integers={1: 4}),
        Example(shapes=((3, 1),), attrs={"shape": (3, 7)}),
        Example(shapes=((),), attrs={"shape": ()}),
        Example(shapes=((), ()), attrs={"shape": (None,)}, integers={1: 0}),
    ),
    theano="Alloc",
    doc="A value broadcast to a shape.",
)
