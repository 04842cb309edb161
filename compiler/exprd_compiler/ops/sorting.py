"""Sorting along the last axis: values in order, where they come from, and the first of them.

The order is numpy's: NaN is larger than every number, both zeros are equal. It is stable, ascending
and descending: of equal elements the one that stands first comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from exprd_compiler.errors import GraphError, ShapeError
from exprd_compiler.ir.dtype import DISCRETE, FLOATS
from exprd_compiler.ir.half import widened
from exprd_compiler.ir.integer import IntExpr, as_expr, equal, less, product
from exprd_compiler.ir.lowering import Extents, HostContext, Routine
from exprd_compiler.ir.node import ZERO_GRAD, Array, Example, Grad, Node, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import zeros_like
from exprd_compiler.ops.choice import along
from exprd_compiler.ops.index import scatter
from exprd_compiler.ops.movement import check_spec, filled

# What has an order; complex numbers have none.
ORDERED: Final = DISCRETE + FLOATS


def _check(name: str, x: TensorType, *, descending: bool) -> None:
    if descending.__class__ is not bool:
        raise GraphError(f"descending is True or False, not {descending!r}", op=name)
    if not x.ndim:
        raise ShapeError("a 0-d value has no axis to sort along", op=name)


def places(x: Array, *, descending: bool) -> Array:
    """Where the elements of x in order stand along the last axis, by numpy."""
    wide = widened(x)
    if not descending:
        return np.argsort(wide, axis=-1, kind="stable").astype("int64")
    # of equal elements the first comes first again when the row is read from its end
    backwards = np.argsort(wide[..., ::-1], axis=-1, kind="stable")[..., ::-1]
    return np.asarray(x.shape[-1] - 1 - backwards, "int64")


def in_order(x: Array, *, descending: bool) -> Array:
    """The elements of x in order along the last axis, by numpy."""
    return np.take_along_axis(x, places(x, descending=descending), axis=-1)


def _sizes(operands: Sequence[Extents], out: Extents) -> Sequence[IntExpr]:
    """The number of rows, their length, and that of the rows of the result."""
    return product(operands[0][:-1]), operands[0][-1], out[-1]


def _scratch(
    *, positions: bool, whole: bool
) -> Callable[[Sequence[str], Sequence[IntExpr]], Sequence[tuple[str, IntExpr]]]:
    """Temporaries of one row: the whole sorted row if part is wanted, a spare, moved elements."""

    def rule(dtypes: Sequence[str], sizes: Sequence[IntExpr]) -> Sequence[tuple[str, IntExpr]]:
        item = "int64" if positions else dtypes[0]
        moved = [dtypes[0]] * 2 if positions else []
        return [(dtype, sizes[1]) for dtype in (*[item] * (1 + whole), *moved)]

    return rule


def _put_back(like: Node, g: Node, place: Node) -> Node:
    """A gradient of elements at the places along the last axis where they come from."""
    every = [along(place, axis) for axis in range(place.ndim - 1)]
    return scatter(zeros_like(like), g, *every, place, mode="inc")


# ---- whole rows
_WHOLE: Final = tuple(
    Example(shapes=(shape,), attrs={"descending": descending}, low=-90, high=90)
    for shape, descending in (
        ((5,), False),
        ((37,), True),
        ((2000,), False),
        ((3, 4), True),
        ((2, 3, 130), False),
        ((1, 7), False),
        ((4, 1), False),
        ((0, 3), False),
        ((3, 0), True),
    )
)


def _whole(
    name: str,
    *,
    positions: bool,
    numpy: Callable[..., Array],
    grad: Grad,
    theano: str,
    doc: str,
) -> Op:
    def rule(x: TensorType, *, descending: bool) -> TensorType:
        _check(name, x, descending=descending)
        return x.with_dtype("int64") if positions else x

    return Op(
        name=name,
        type=rule,
        numpy=numpy,
        grad=grad,
        lowering=Routine(
            name=name,
            operands=1,
            extents=lambda _h, operands, **_: operands[0],
            sizes=_sizes,
            scratch=_scratch(positions=positions, whole=False),
        ),
        dtypes=ORDERED,
        examples=_WHOLE,
        theano=theano,
        doc=doc,
    )


argsort: Op = _whole(
    "argsort",
    positions=True,
    numpy=places,
    grad=ZERO_GRAD,
    theano="ArgSortOp",
    doc="Where the elements along the last axis, in order, come from; equal ones stay in theirs.",
)

sort: Op = _whole(
    "sort",
    positions=False,
    numpy=in_order,
    grad=lambda g, _y, x, **attrs: (_put_back(x, g, argsort(x, **attrs)),),
    theano="SortOp",
    doc="The elements along the last axis in order; NaN is the largest.",
)


# ---- the first so many
def _first_type(
    name: str, x: TensorType, given: Sequence[TensorType], count: int | None, *, descending: bool
) -> TensorType:
    _check(name, x, descending=descending)
    check_spec(name, (count,), given)
    n = x.shape[-1]
    if count is not None and (count < 0 or (n is not None and count > n)):
        raise ShapeError(f"there are no first {count} elements in {x}", op=name)
    return TensorType(x.dtype, (*x.shape[:-1], count))


def _first_extents(
    h: HostContext, operands: Sequence[Extents], *given: IntExpr, count: int | None, **_: Any
) -> Extents:
    *rows, n = operands[0]
    wanted = given[0] if count is None else as_expr(count)
    fits = equal(less(wanted, 0), 0) * equal(less(n, wanted), 0)
    h.require(fits, "ShapeError", "there are no first {} elements on an axis of {}", wanted, n)
    return (*rows, wanted)


def _first(name: str, array: Array, given: Sequence[Array], count: int | None) -> Array:
    wanted = int(filled((count,), given)[0])
    if not 0 <= wanted <= array.shape[-1]:
        n = array.shape[-1]
        raise ShapeError(f"there are no first {wanted} elements on an axis of {n}", op=name)
    return array[..., :wanted]


_PARTS: Final = tuple(
    Example(
        shapes=(shape, *[()] * len(given)),
        attrs={"count": count, "descending": descending},
        integers=dict(enumerate(given, 1)),
        low=-90,
        high=90,
    )
    for shape, count, given, descending in (
        ((7,), 3, (), True),
        ((7,), None, (7,), False),
        ((100,), None, (40,), True),
        ((2, 3, 130), 5, (), False),
        ((3, 4), 1, (), True),
        ((3, 4), 0, (), True),
        ((1000,), 33, (), True),
    )
)


def _part(name: str, *, positions: bool, whole: Callable[..., Array], grad: Grad, doc: str) -> Op:
    def rule(x: TensorType, *given: TensorType, count: int | None, descending: bool) -> TensorType:
        found = _first_type(name, x, given, count, descending=descending)
        return found.with_dtype("int64") if positions else found

    def meaning(x: Array, *given: Array, count: int | None, descending: bool) -> Array:
        return _first(name, whole(x, descending=descending), given, count)

    return Op(
        name=name,
        type=rule,
        numpy=meaning,
        grad=grad,
        lowering=Routine(
            name=name,
            operands=1,
            extents=_first_extents,
            sizes=_sizes,
            scratch=_scratch(positions=positions, whole=True),
        ),
        dtypes=ORDERED,
        examples=_PARTS,
        theano="TopKOp",
        doc=doc,
    )


argtop: Op = _part(
    "argtop",
    positions=True,
    whole=places,
    grad=ZERO_GRAD,
    doc="Where the first so many elements along the last axis, in order, come from.",
)


def _top_grad(g: Node, _y: Node, x: Node, *given: Node, **attrs: Any) -> Sequence[Node | None]:
    return (_put_back(x, g, argtop(x, *given, **attrs)), *[None] * len(given))


top: Op = _part(
    "top",
    positions=False,
    whole=in_order,
    grad=_top_grad,
    doc="The first so many elements along the last axis in order, the largest if descending.",
)
