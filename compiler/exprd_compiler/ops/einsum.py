"""Einstein's sum: any number of tensors with labelled axes, multiplied and summed.

Operands are contracted two at a time, at each step the pair whose product is the smallest compared
with what it replaces: the greedy rule of Gray and Kourtis, "Hyper-optimized tensor network
contraction", Quantum 5 (2021), with a cost of its own for extents that are not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from string import ascii_letters
from typing import Final, TypeAlias

import numpy as np

from exprd_compiler.errors import GraphError, ShapeError
from exprd_compiler.ir.dtype import EVERY, promote
from exprd_compiler.ir.half import converted, widened
from exprd_compiler.ir.lowering import Expand
from exprd_compiler.ir.node import THROUGH_EXPANSION, Array, Example, Node, Op
from exprd_compiler.ir.type import Extent, TensorType, broadcast_extent
from exprd_compiler.ops.contraction import Labelled, Labels, contract
from exprd_compiler.ops.diagonals import diagonal
from exprd_compiler.ops.families import check_ints
from exprd_compiler.ops.linalg import blas_dtype, in_dtype
from exprd_compiler.ops.movement import ANY, shape_i, specify_shape

Operands: TypeAlias = tuple[Labels, ...]

MAX_LABELS: Final = len(ascii_letters)
MAX_OPERANDS: Final = 32
# What an axis is taken to be as long as, when nobody knows, to choose the order of contractions.
_TYPICAL: Final = 64


# ---- the type
def _check_labels(types: Sequence[TensorType], operands: Operands, result: Labels) -> None:
    if operands.__class__ is not tuple or {x.__class__ for x in (*operands, result)} != {tuple}:
        raise GraphError(f"labels are tuples, not {operands!r} and {result!r}", op="einsum")
    if not types or len(types) != len(operands) or len(types) > MAX_OPERANDS:
        text = f"takes 1 to {MAX_OPERANDS} tensors with labels, got {len(types)}"
        raise GraphError(f"{text} and labels for {len(operands)}", op="einsum")
    for labels in (*operands, result):
        check_ints("einsum", labels)
        if not all(0 <= label < MAX_LABELS for label in labels):
            raise GraphError(f"a label of {labels} is not below {MAX_LABELS}", op="einsum")
    for given, labels in zip(types, operands, strict=True):
        if given.ndim != len(labels):
            raise ShapeError(f"{len(labels)} subscripts for {given}", op="einsum")
    if len(set(result)) != len(result) or not set(result) <= {n for x in operands for n in x}:
        hint = "each subscript of the output occurs once, and in an input"
        raise GraphError(f"cannot make an output of axes {result}", op="einsum", hint=hint)


def _extents(types: Sequence[TensorType], operands: Operands) -> dict[int, Extent]:
    """The length of each label; axes that are statically 1 give way to others."""
    found: dict[int, list[Extent]] = {}
    for given, labels in zip(types, operands, strict=True):
        for label, extent in zip(labels, given.shape, strict=True):
            found.setdefault(label, []).append(extent)
    try:
        return {n: broadcast_extent(extents, 0, "einsum") for n, extents in found.items()}
    except ShapeError:
        shown = " and ".join(map(str, types))
        raise ShapeError(f"extents of one subscript differ in {shown}", op="einsum") from None


def _einsum_type(*types: TensorType, operands: Operands, result: Labels) -> TensorType:
    _check_labels(types, operands, result)
    extents = _extents(types, operands)
    return TensorType(promote(*[t.dtype for t in types]), tuple(extents[n] for n in result))


def _einsum_numpy(*arrays: Array, operands: Operands, result: Labels) -> Array:
    dtype = promote(*[array.dtype.name for array in arrays])
    given = [widened(converted(array, dtype)) for array in arrays]
    words = ["".join(ascii_letters[n] for n in labels) for labels in (*operands, result)]
    text = ",".join(words[:-1]) + "->" + words[-1]
    with np.errstate(all="ignore"):
        try:
            out = np.einsum(text, *given, optimize=len(arrays) > 2)
        except ValueError as error:
            shapes = " and ".join(str(array.shape) for array in arrays)
            raise ShapeError(f"extents differ in {shapes}: {error}", op="einsum") from error
    return converted(np.asarray(out), dtype)


# ---- the expansion
def _without_repeats(x: Node, labels: Labels) -> Labelled:
    """The diagonals over axes that share a label."""
    while len(set(labels)) < len(labels):
        label = next(n for n in labels if labels.count(n) > 1)
        first = labels.index(label)
        second = labels.index(label, first + 1)
        x = diagonal(_square(x, first, second), offset=0, axis1=first, axis2=second)
        rest = [n for axis, n in enumerate(labels) if axis not in (first, second)]
        labels = (*rest, label)
    return Labelled(x, labels)


def _square(x: Node, first: int, second: int) -> Node:
    """x, checked to be as long on the second axis as on the first."""
    known = x.type.shape[first]
    if x.type.shape[second] is not None and known is None:
        return _square(x, second, first)
    integers = () if known is not None else (shape_i(x, axis=first),)
    spec = tuple(known if axis == second else ANY for axis in range(x.ndim))
    return specify_shape(x, *integers, shape=spec)


def _size(labels: set[int], extents: dict[int, Extent]) -> float:
    out = 1.0
    for label in labels:
        known = extents[label]
        out *= _TYPICAL if known is None else known
    return out


def _pair(left: Sequence[Labelled], keep: set[int], extents: dict[int, Extent]) -> tuple[int, int]:
    """The two operands to contract next: the least growth, then the least work."""

    def cost(pair: tuple[int, int]) -> tuple[float, float]:
        a, b = (set(left[i].labels) for i in pair)
        others = [set(x.labels) for i, x in enumerate(left) if i not in pair]
        kept = (a | b) & keep.union(*others)
        growth = _size(kept, extents) - _size(a, extents) - _size(b, extents)
        return (growth, _size(a | b, extents))

    return min(combinations(range(len(left)), 2), key=cost)


def _einsum_expand(*nodes: Node, operands: Operands, result: Labels) -> Node:
    extents = _extents([node.type for node in nodes], operands)
    dtype = promote(*[node.dtype for node in nodes])
    wide = blas_dtype(dtype) or dtype
    left = [
        _without_repeats(in_dtype(x, wide), labels)
        for x, labels in zip(nodes, operands, strict=True)
    ]
    while len(left) > 1:
        i, j = _pair(left, set(result), extents)
        a, b = left[i], left[j]
        left = [x for place, x in enumerate(left) if place not in (i, j)]
        keep = set(result).union(*(x.labels for x in left))
        left.append(contract(a, b, keep & {*a.labels, *b.labels}))
    (last,) = left
    total = last.summed(set(last.labels) - set(result)).arranged(result)
    return in_dtype(total.node, dtype)


# ---- the op
_EXAMPLES: Final = (
    (((2, 3, 4), (2, 4, 5)), ((0, 1, 2), (0, 2, 3)), (0, 1, 3)),  # bij,bjk->bik
    (((2, 3, 4), (2, 5, 4)), ((0, 1, 2), (0, 3, 2)), (0, 1, 3)),  # bij,bkj->bik
    (((3, 2, 4), (2, 4, 5)), ((1, 0, 2), (0, 2, 3)), (3, 0, 1)),  # ibj,bjk->kbi
    (((4, 4),), ((0, 0),), (0,)),  # ii->i
    (((4, 4),), ((0, 0),), ()),  # ii->
    (((3, 4, 3),), ((0, 1, 0),), (1, 0)),  # iji->ji
    (((2, 3, 4),), ((0, 1, 2),), (2, 0)),  # ijk->ki
    (((5,), (6,)), ((0,), (1,)), (1, 0)),  # i,j->ji
    (((5,), (5,)), ((0,), (0,)), ()),  # i,i->
    (((3, 4), (4, 5), (5, 6)), ((0, 1), (1, 2), (2, 3)), (0, 3)),  # ij,jk,kl->il
    (((3, 4), (4,), (3,)), ((0, 1), (1,), (0,)), ()),  # ij,j,i->
    (((2, 3, 4), (2, 3)), ((0, 1, 2), (0, 1)), (0, 2)),  # bij,bi->bj
    (((2, 3, 4, 5), (4, 3, 6)), ((0, 1, 2, 3), (2, 1, 4)), (0, 3, 4)),  # ajki,kjl->ail
    (((1, 3, 4), (6, 4, 2)), ((0, 1, 2), (0, 2, 3)), (0, 1, 3)),  # a batch axis of length 1
    (((), (3,)), ((), (0,)), (0,)),  # ,i->i
    (((0, 3), (3, 0)), ((0, 1), (1, 2)), (0, 2)),
    (((3, 17, 35), (3, 33, 35)), ((0, 1, 2), (0, 3, 2)), (0, 1, 3)),
)

einsum: Op = Op(
    name="einsum",
    type=_einsum_type,
    numpy=_einsum_numpy,
    grad=THROUGH_EXPANSION,
    lowering=Expand(_einsum_expand),
    dtypes=EVERY,
    examples=tuple(
        Example(shapes=shapes, attrs={"operands": operands, "result": result})
        for shapes, operands, result in _EXAMPLES
    ),
    theano="Einsum",
    doc="Products of tensors with labelled axes, summed over the labels that the result lacks.",
)
