"""Contraction: two tensors whose axes carry labels, multiplied and summed over what is not kept.

Every product of the table is one or several of these. A label that only one operand has is summed
there; one that both have is a batch axis if it is kept, else the sum runs over it. What is left is
a product of matrices and ends in one BLAS call, or in one per batch position.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from exprd_compiler.ir.dtype import COMPLEX, is_complex, promote
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.arithmetic import mul
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.linalg import (
    BLAS_DTYPES,
    PRODUCT,
    blas_dtype,
    blas_form,
    by_parts,
    dot,
    in_dtype,
)
from exprd_compiler.ops.movement import NEW_AXIS, dimshuffle, reshape, shape_i, specify_shape
from exprd_compiler.ops.reduce import sum_

Labels: TypeAlias = tuple[int, ...]
Extent: TypeAlias = int | Node


@dataclass(frozen=True, slots=True)
class Labelled:
    """A tensor and the label of each of its axes, all different."""

    node: Node
    labels: Labels

    def extent(self, label: int) -> Extent:
        """The length of the axis of this label."""
        axis = self.labels.index(label)
        known = self.node.type.shape[axis]
        return shape_i(self.node, axis=axis) if known is None else known

    def is_one(self, label: int) -> bool:
        """Whether the axis of this label is statically of length 1."""
        return self.node.type.shape[self.labels.index(label)] == 1

    def arranged(self, labels: Labels) -> Labelled:
        """The same tensor with its axes in this order; those it lacks are of length 1."""
        if labels == self.labels:
            return self
        place = {label: axis for axis, label in enumerate(self.labels)}
        order = tuple(place.get(label, NEW_AXIS) for label in labels)
        return Labelled(dimshuffle(self.node, order=order), labels)

    def without(self, labels: Iterable[int]) -> Labelled:
        """The tensor without some axes that are statically 1."""
        gone = set(labels)
        return self.arranged(tuple(label for label in self.labels if label not in gone))

    def summed(self, labels: Iterable[int]) -> Labelled:
        """The sum over some axes, in the dtype of the tensor."""
        gone = set(labels)
        axes = tuple(axis for axis, label in enumerate(self.labels) if label in gone)
        if not axes:
            return self
        kept = tuple(label for label in self.labels if label not in gone)
        return Labelled(in_dtype(sum_(self.node, axes=axes), self.node.dtype), kept)


def contract(a: Labelled, b: Labelled, keep: Iterable[int]) -> Labelled:
    """The product of two labelled tensors, summed over every label that is not kept.

    Args:
        a: the one operand.
        b: the other; where labels meet, an axis that is statically 1 gives way.
        keep: the labels of the result; its axes are in an order of their own.
    """
    kept = frozenset(keep)
    dtype = promote(a.node.dtype, b.node.dtype)
    wide = blas_dtype(dtype) or dtype
    a, b = (Labelled(in_dtype(x.node, wide), x.labels) for x in (a, b))
    a = _yielding(a, b)
    b = _yielding(b, a)
    a = a.summed(set(a.labels) - kept - set(b.labels))
    b = b.summed(set(b.labels) - kept - set(a.labels))
    product = _Pair(a, b, kept).product()
    return Labelled(in_dtype(product.node, dtype), product.labels)


def _yielding(a: Labelled, b: Labelled) -> Labelled:
    """a without the axes of length 1 for which b has any."""
    return a.without(label for label in a.labels if a.is_one(label) and label in b.labels)


def slope(g: Labelled, other: Labelled, x: Labelled) -> Node:
    """The gradient of a product by x: g times the other operand, summed over what x lacks.

    Axes on which x is statically 1 are summed as well, because x was repeated along them.
    """
    keep = [label for label in x.labels if not x.is_one(label)]
    return contract(g, other, keep).arranged(x.labels).node


class _Pair:
    """Two operands sorted out: batch, inner (summed), left and right labels."""

    def __init__(self, a: Labelled, b: Labelled, keep: frozenset[int]) -> None:
        self.a, self.b = a, b
        both = [label for label in a.labels if label in b.labels]
        self.inner = tuple(label for label in both if label not in keep)
        apart_a, self.left = _neighbours(a, both)
        apart_b, self.right = _neighbours(b, both)
        self.batch = (*apart_a, *apart_b, *(label for label in both if label in keep))

    def product(self) -> Labelled:
        """The product, by the cheapest way there is."""
        matrices = bool(self.left and self.right)
        alone = bool(self.left or self.right) and not self.batch
        blas = self.a.node.dtype in BLAS_DTYPES + COMPLEX
        if not (blas and self.inner and (matrices or alone)):
            return self._by_sum()
        if len(self.inner) > 1:
            self.b = _agreeing(self.b, self.a, self.inner)
        a = _matrix(self.a, self.batch, self.left, self.inner)
        b = _matrix(self.b, self.batch, self.inner, self.right)
        if not self.batch:
            return self._parted(dot(a, b))
        return self._parted(_stacked(a, b))

    def _by_sum(self) -> Labelled:
        """One pass over all products, in which nothing but the sums is stored."""
        labels = (*self.batch, *self.left, *self.right, *self.inner)
        left, right = (x.arranged(labels).node for x in (self.a, self.b))
        return Labelled(mul(left, right), labels).summed(self.inner)

    def _parted(self, product: Node) -> Labelled:
        """The product with the left and the right labels on axes of their own again."""
        labels = (*self.batch, *self.left, *self.right)
        if len(self.left) <= 1 and len(self.right) <= 1:
            return Labelled(product, labels)
        extents: list[Extent] = [_known(self.a, self.b, label) for label in self.batch]
        extents += [self.a.extent(label) for label in self.left]
        extents += [self.b.extent(label) for label in self.right]
        return Labelled(_reshaped(product, extents), labels)


def _neighbours(x: Labelled, both: Sequence[int]) -> tuple[Labels, Labels]:
    """The labels that x alone has: those apart from the last of them, and its neighbours.

    Neighbours merge into one axis of a matrix without a copy; over the others one better iterates.
    """
    alone = [axis for axis, label in enumerate(x.labels) if label not in both]
    start = len(alone)
    while start and (start == len(alone) or alone[start - 1] + 1 == alone[start]):
        start -= 1
    return (
        tuple(x.labels[axis] for axis in alone[:start]),
        tuple(x.labels[axis] for axis in alone[start:]),
    )


def _known(a: Labelled, b: Labelled, label: int) -> Extent:
    """The length of an axis that one or both have, as a number if one of them knows it."""
    found = [x.extent(label) for x in (a, b) if label in x.labels]
    return next((extent for extent in found if isinstance(extent, int)), found[0])


def _agreeing(b: Labelled, a: Labelled, labels: Labels) -> Labelled:
    """b, its axes of these labels checked against those of a: once merged, nobody could."""
    spec: list[int | None] = [-1] * len(b.labels)
    integers: list[Node] = []
    for axis, label in enumerate(b.labels):
        wanted = a.extent(label) if label in labels else -1
        spec[axis] = None if isinstance(wanted, Node) else wanted
        integers += [wanted] if isinstance(wanted, Node) else []
    return Labelled(specify_shape(b.node, *integers, shape=tuple(spec)), b.labels)


def _reshaped(x: Node, extents: Sequence[Extent]) -> Node:
    spec = tuple(extent if isinstance(extent, int) else None for extent in extents)
    return reshape(x, *[e for e in extents if isinstance(e, Node)], shape=spec)


def _times(extents: Sequence[Extent]) -> Extent:
    known = 1
    out: Node | None = None
    for extent in extents:
        if isinstance(extent, int):
            known *= extent
        else:
            out = extent if out is None else mul(out, extent)
    if out is None:
        return known
    return out if known == 1 else mul(out, const(known, "int64"))


def _matrix(x: Labelled, batch: Labels, rows: Labels, columns: Labels) -> Node:
    """Batch axes, then one axis for the rows and one for the columns; none for no labels.

    Where the columns lie in front of the rows it is a transposed view, so that merging axes that
    are neighbours copies nothing.
    """
    turned = bool(rows and columns) and x.labels.index(columns[0]) < x.labels.index(rows[0])
    groups = (columns, rows) if turned else (rows, columns)
    flat = x.arranged((*batch, *groups[0], *groups[1]))
    merged = flat.node
    if max(map(len, groups)) > 1:
        extents: list[Extent] = [flat.extent(label) for label in batch]
        extents += [_times([flat.extent(n) for n in group]) for group in groups if group]
        merged = _reshaped(merged, extents)
    if not turned:
        return merged
    lead = len(batch)
    return dimshuffle(merged, order=(*range(lead), lead + 1, lead))


# ---- one BLAS call per batch position
def _stacked(a: Node, b: Node) -> Node:
    """The products of stacked matrices of one dtype."""
    if is_complex(a.dtype):
        return by_parts(_stacked, a, b)
    return batched_gemm(a, b, alpha=1.0, beta=0.0)


def _batched_grad(
    g: Node, _y: Node, a: Node, b: Node, *c: Node, alpha: float, beta: float
) -> Sequence[Node]:
    batch = tuple(range(a.ndim - 2))
    row, inner, column = (a.ndim - 2 + i for i in range(3))
    x, y = Labelled(a, (*batch, row, inner)), Labelled(b, (*batch, inner, column))
    scaled = Labelled(mul(g, const(alpha, g.dtype)), (*batch, row, column))
    by_c = [mul(g, const(beta, g.dtype)) for _ in c]
    return (slope(scaled, y, x), slope(scaled, x, y), *by_c)


batched_gemm = blas_form(
    "batched_gemm",
    lambda a, b: a == b > 2,
    ((2, 3, 7, 5), (2, 1, 5, 9), (2, 3, 7, 9)),
    "BatchedDot",
    f"{PRODUCT} for the matrices on the last two axes, one per position on those before,",
    _batched_grad,
)
