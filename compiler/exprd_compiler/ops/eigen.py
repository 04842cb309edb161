"""Eigenvalues and eigenvectors of any square matrices, which are complex numbers.

Both are ops over one packed decomposition in real numbers, which the compiler merges.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from exprd_compiler.ir.dtype import complex_of
from exprd_compiler.ir.integer import IntExpr
from exprd_compiler.ir.integer import const as const_
from exprd_compiler.ir.lowering import Expand, Extents, Lapack
from exprd_compiler.ir.node import NO_GRAD, Array, Example, Node, Op
from exprd_compiler.ir.type import Extent, TensorType
from exprd_compiler.ops.arithmetic import neg
from exprd_compiler.ops.joining import roll
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import gt, lt, switch
from exprd_compiler.ops.parts import complex_
from exprd_compiler.ops.spectral import FAILURES, check_flags
from exprd_compiler.ops.stacked import (
    REALS,
    as_column,
    check_equal_sides,
    check_finite,
    check_square,
    check_stacks,
    meaning,
    not_square,
    of_type,
    part,
    row,
    swapped,
)

_WORK: Final = 64


# ---- packed
def _packed_type(x: TensorType, *, vectors: bool) -> TensorType:
    check_flags("eig_packed", vectors=vectors)
    stack, n = check_stacks("eig_packed", x), check_square("eig_packed", x)
    rows: Extent = 2
    if vectors:
        rows = None if n is None else n + 2
    return TensorType(x.dtype, (*stack, rows, n))


def _packed_extents(x: Extents, *, vectors: bool) -> tuple[IntExpr, ...]:
    return (x[0] + 2 if vectors else const_(2), x[0])


@meaning("eig_packed")
def _packed_numpy(x: Array, *, vectors: bool) -> Array:
    check_equal_sides("eig_packed", x)
    check_finite("eig_packed", x)
    if not vectors:
        values: Any = np.linalg.eigvals(x)
        return np.stack([np.real(values), np.imag(values)], axis=-2).astype(x.dtype)
    values, found = np.linalg.eig(x)
    re, im = np.real(values)[..., None, :], np.imag(values)[..., None, :]
    before = np.roll(np.imag(found), 1, axis=-1)
    packed = np.swapaxes(np.where(im < 0, before, np.real(found)), -2, -1)
    return np.concatenate([re, im, packed], axis=-2).astype(x.dtype)


# small, since the order of many eigenvalues depends on rounding
_SHAPES: Final = ((2, 2), (1, 1), (0, 0), (2, 2, 2))


def _examples(signs: int | None = None, **flags: bool) -> tuple[Example, ...]:
    return tuple(Example(shapes=(s,), attrs=flags, values="dominant", signs=signs) for s in _SHAPES)


eig_packed: Op = Op(
    name="eig_packed",
    type=_packed_type,
    numpy=_packed_numpy,
    grad=NO_GRAD,
    lowering=Lapack(
        routine="eig",
        core=(2,),
        places=("columns",),
        extents=_packed_extents,
        sizes=lambda x, **_: (x[0],),
        scratch=lambda n: (("real", n * (4 + 2 * _WORK) + 1),),
        agree=lambda x: (not_square(*x),),
        failures=FAILURES,
    ),
    dtypes=REALS,
    examples=_examples(vectors=False),
    theano="Eig",
    doc="Real and imaginary parts of eigenvalues as two rows, then LAPACK's real form of vectors.",
)


# ---- as complex numbers
def _values_type(x: TensorType, *, vectors: bool) -> TensorType:
    check_flags("eig_values", vectors=vectors)
    stack, n = check_stacks("eig_values", x), check_square("eig_values", x)
    return TensorType(complex_of(x.dtype), (*stack, n))


def _vectors_type(x: TensorType) -> TensorType:
    stack, n = check_stacks("eig_vectors", x), check_square("eig_vectors", x)
    return TensorType(complex_of(x.dtype), (*stack, n, n))


@meaning("eig_values")
def _values_numpy(x: Array, *, vectors: bool) -> Array:
    check_equal_sides("eig_values", x)
    check_finite("eig_values", x)
    values: Any = np.linalg.eig(x)[0] if vectors else np.linalg.eigvals(x)
    return np.asarray(values).astype(complex_of(x.dtype.name))


@meaning("eig_vectors")
def _vectors_numpy(x: Array) -> Array:
    check_equal_sides("eig_vectors", x)
    check_finite("eig_vectors", x)
    return np.asarray(np.linalg.eig(x)[1]).astype(complex_of(x.dtype.name))


def _values_expand(x: Node, *, vectors: bool) -> Node:
    packed = eig_packed(x, vectors=vectors)
    values = complex_(row(packed, 0), row(packed, 1))
    return of_type(values, _values_type(x.type, vectors=vectors).shape)


def _vectors_expand(x: Node) -> Node:
    """Of a conjugate pair, the first row is the real part of both, the second the imaginary one."""
    packed = eig_packed(x, vectors=True)
    imaginary = as_column(row(packed, 1))
    rows = part(packed, -2, None, 2)
    axis, zero = rows.ndim - 2, const(0, x.dtype)
    second = lt(imaginary, zero)
    re = switch(second, roll(rows, shift=1, axis=axis), rows)
    other = switch(second, neg(rows), zero)
    im = switch(gt(imaginary, zero), roll(rows, shift=-1, axis=axis), other)
    return of_type(swapped(complex_(re, im)), _vectors_type(x.type).shape)


eig_values: Op = Op(
    name="eig_values",
    type=_values_type,
    numpy=_values_numpy,
    grad=NO_GRAD,
    lowering=Expand(_values_expand),
    dtypes=REALS,
    examples=(*_examples(vectors=False), *_examples(vectors=True)),
    theano="Eig",
    doc="The eigenvalues of square matrices, as complex numbers in no particular order.",
)
eig_vectors: Op = Op(
    name="eig_vectors",
    type=_vectors_type,
    numpy=_vectors_numpy,
    grad=NO_GRAD,
    lowering=Expand(_vectors_expand),
    dtypes=REALS,
    examples=_examples(-2),
    theano="Eig",
    doc="The eigenvectors of square matrices as columns of length 1, as complex numbers.",
)
