"""Singular values, eigenvalues of symmetric matrices, and the pseudo-inverse.

Values and vectors are ops of their own over one packed decomposition, which the compiler merges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from exprd_compiler.errors import GraphError, NotDifferentiable
from exprd_compiler.ir.integer import IntExpr, maximum, minimum
from exprd_compiler.ir.lowering import Expand, Extents, Lapack
from exprd_compiler.ir.node import NO_GRAD, Array, Example, Node, Op
from exprd_compiler.ir.type import Extent, TensorType
from exprd_compiler.ops.arithmetic import add, mul, neg, sub, true_div
from exprd_compiler.ops.factorizations import into_triangle
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import gt, switch
from exprd_compiler.ops.products import matmul
from exprd_compiler.ops.stacked import (
    NOT_FINITE,
    REALS,
    as_column,
    as_row,
    check_equal_sides,
    check_finite,
    check_square,
    check_stacks,
    entry,
    extent,
    greatest,
    inverse_gaps,
    least,
    meaning,
    not_square,
    of_type,
    part,
    row,
    smaller,
    swapped,
)

_NO_END: Final = "the iteration did not converge (code {0}) for matrix {1} of the stack"
FAILURES: Final = (_NO_END, NOT_FINITE)
_WORK: Final = 64
MODES: Final = ("values", "reduced", "complete")


# ---- singular values: packed
def _check_mode(name: str, mode: str, modes: Sequence[str]) -> None:
    if mode not in modes:
        raise GraphError(f"mode {mode!r} is not one of {tuple(modes)}", op=name)


def _svd_packed_type(x: TensorType, *, mode: str) -> TensorType:
    _check_mode("svd_packed", mode, MODES)
    stack, (m, n) = check_stacks("svd_packed", x), x.shape[-2:]
    if mode == "values":
        return TensorType(x.dtype, (*stack, least(m, n)))
    left = m if mode == "complete" else least(m, n)
    rows = None if left is None or n is None else 1 + left + n
    return TensorType(x.dtype, (*stack, rows, greatest(m, n, 1)))


def _svd_packed_extents(x: Extents, *, mode: str) -> tuple[IntExpr, ...]:
    m, n = x
    if mode == "values":
        return (minimum(m, n),)
    left = m if mode == "complete" else minimum(m, n)
    return (left + n + 1, maximum(maximum(m, n), 1))


@meaning("svd_packed")
def _svd_packed_numpy(x: Array, *, mode: str) -> Array:
    check_finite("svd_packed", x)
    if mode == "values":
        return np.linalg.svd(x, compute_uv=False)
    u, s, vh = np.linalg.svd(x, full_matrices=mode == "complete")
    (m, left), n, right = u.shape[-2:], x.shape[-1], vh.shape[-2]
    out = np.zeros((*x.shape[:-2], 1 + left + n, max(m, n, 1)), x.dtype)
    out[..., 0, : s.shape[-1]] = s
    out[..., 1 : 1 + left, :m] = np.swapaxes(u, -2, -1)
    out[..., 1 + left :, :right] = np.swapaxes(vh, -2, -1)
    return out


def _svd_scratch(m: IntExpr, n: IntExpr) -> tuple[tuple[str, IntExpr], ...]:
    """Workspace of gesdd as LAPACK documents it, and as much again for blocks."""
    small, large = minimum(m, n), maximum(m, n)
    work = small * small * 4 + small * 8 + large + (m + n + small) * _WORK
    return (("real", work), ("int32", small * 8))


_SHAPES: Final = ((4, 3), (3, 3), (3, 4), (1, 1), (0, 3), (3, 0), (2, 4, 2), (9, 5))


def _svd_examples(
    *modes: str, shapes: Sequence[tuple[int, ...]] = _SHAPES, signs: int | None = None
) -> tuple[Example, ...]:
    return tuple(
        Example(shapes=(s,), attrs={"mode": mode}, values="dominant", signs=signs)
        for mode in modes
        for s in shapes
    )


svd_packed: Op = Op(
    name="svd_packed",
    type=_svd_packed_type,
    numpy=_svd_packed_numpy,
    grad=NO_GRAD,
    lowering=Lapack(
        routine="svd",
        core=(2,),
        places=("columns",),
        extents=_svd_packed_extents,
        sizes=lambda x, **_: x,
        scratch=_svd_scratch,
        failures=FAILURES,
    ),
    dtypes=REALS,
    examples=_svd_examples("values"),
    theano="SVD",
    doc="Singular values as first row, left vectors as rows, right vectors as columns behind.",
)


# ---- singular values and vectors
def _svd_values_type(x: TensorType, *, mode: str) -> TensorType:
    _check_mode("svd_values", mode, MODES)
    return TensorType(x.dtype, (*check_stacks("svd_values", x), least(*x.shape[-2:])))


def _left_type(x: TensorType, *, mode: str) -> TensorType:
    _check_mode("svd_left", mode, MODES[1:])
    m, n = x.shape[-2:]
    columns = m if mode == "complete" else least(m, n)
    return TensorType(x.dtype, (*check_stacks("svd_left", x), m, columns))


def _right_type(x: TensorType, *, mode: str) -> TensorType:
    _check_mode("svd_right", mode, MODES[1:])
    m, n = x.shape[-2:]
    rows = n if mode == "complete" else least(m, n)
    return TensorType(x.dtype, (*check_stacks("svd_right", x), rows, n))


def _values_expand(x: Node, *, mode: str) -> Node:
    packed = svd_packed(x, mode=mode)
    if mode == "values":
        return packed
    k = smaller(extent(x, -2), extent(x, -1))
    return of_type(part(row(packed, 0), -1, k), _svd_values_type(x.type, mode=mode).shape)


def _left_count(x: Node, mode: str) -> Node | int:
    m, n = extent(x, -2), extent(x, -1)
    return m if mode == "complete" else smaller(m, n)


def _left_expand(x: Node, *, mode: str) -> Node:
    behind = part(svd_packed(x, mode=mode), -2, None, 1)
    vectors = part(part(behind, -2, _left_count(x, mode)), -1, extent(x, -2))
    return of_type(swapped(vectors), _left_type(x.type, mode=mode).shape)


def _right_expand(x: Node, *, mode: str) -> Node:
    m, n = extent(x, -2), extent(x, -1)
    behind = part(svd_packed(x, mode=mode), -2, None, 1)
    rows = part(behind, -2, None, _left_count(x, mode))
    vectors = part(rows, -1, n if mode == "complete" else smaller(m, n))
    return of_type(swapped(vectors), _right_type(x.type, mode=mode).shape)


def _values_grad(g: Node, _y: Node, x: Node, **_: str) -> Sequence[Node]:
    left, right = svd_left(x, mode="reduced"), svd_right(x, mode="reduced")
    return (matmul(mul(left, as_row(g)), right),)


def _check_thin(name: str, x: Node, mode: str) -> None:
    m, n = x.type.shape[-2:]
    if mode == "complete" and (m is None or m != n):
        raise NotDifferentiable(
            f"all singular vectors of {x.type} have a gradient only if it is square",
            op=name,
            hint="use full_matrices=False",
        )


def _vector_grad(g: Node, u: Node, s: Node, vh: Node) -> Node:
    """The gradient by the left vectors: Townsend 2016, Differentiating the SVD, eq. 33."""
    inner = matmul(swapped(u), g)
    turned = mul(inverse_gaps(mul(s, s)), sub(inner, swapped(inner)))
    scaled = true_div(g, as_row(s))
    outside = sub(scaled, matmul(u, matmul(swapped(u), scaled)))
    return matmul(add(mul(matmul(u, turned), as_row(s)), outside), vh)


def _left_grad(g: Node, y: Node, x: Node, *, mode: str) -> Sequence[Node]:
    _check_thin("svd_left", x, mode)
    return (_vector_grad(g, y, svd_values(x, mode=mode), svd_right(x, mode=mode)),)


def _right_grad(g: Node, y: Node, x: Node, *, mode: str) -> Sequence[Node]:
    _check_thin("svd_right", x, mode)
    u, s = svd_left(x, mode=mode), svd_values(x, mode=mode)
    return (swapped(_vector_grad(swapped(g), swapped(y), s, swapped(u))),)


_SQUARE_OR_NOT: Final = ((4, 3), (3, 3), (3, 4), (2, 4, 2))


def _picked(place: int) -> Any:
    def compute(x: Array, *, mode: str) -> Array:
        check_finite("svd", x)
        return np.linalg.svd(x, full_matrices=mode == "complete")[place]

    return compute


svd_values: Op = Op(
    name="svd_values",
    type=_svd_values_type,
    numpy=meaning("svd_values")(_picked(1)),
    grad=_values_grad,
    lowering=Expand(_values_expand),
    dtypes=REALS,
    examples=(
        *_svd_examples("values", "reduced", shapes=_SQUARE_OR_NOT),
        *_svd_examples("complete", shapes=((3, 2), (0, 2))),
    ),
    theano="SVD",
    doc="The singular values, largest first.",
)
svd_left: Op = Op(
    name="svd_left",
    type=_left_type,
    numpy=meaning("svd_left")(_picked(0)),
    grad=_left_grad,
    lowering=Expand(_left_expand),
    dtypes=REALS,
    examples=_svd_examples("reduced", shapes=_SQUARE_OR_NOT, signs=-2),
    theano="SVD",
    doc="The left singular vectors as columns.",
)
svd_right: Op = Op(
    name="svd_right",
    type=_right_type,
    numpy=meaning("svd_right")(_picked(2)),
    grad=_right_grad,
    lowering=Expand(_right_expand),
    dtypes=REALS,
    examples=_svd_examples("reduced", shapes=_SQUARE_OR_NOT, signs=-1),
    theano="SVD",
    doc="The right singular vectors as rows.",
)


# ---- pseudo-inverse
def _pinv_type(x: TensorType, *, rcond: float) -> TensorType:
    if rcond.__class__ is not float:
        raise GraphError(f"rcond is a float, got {rcond!r}", op="pinv")
    return TensorType(x.dtype, (*check_stacks("pinv", x), x.shape[-1], x.shape[-2]))


@meaning("pinv")
def _pinv_numpy(x: Array, *, rcond: float) -> Array:
    check_finite("pinv", x)
    return np.linalg.pinv(x, rcond=rcond)


def kept_values(x: Node, rcond: Node) -> tuple[Node, Node]:
    """The singular values, and which of them are above rcond times the largest."""
    s = svd_values(x, mode="reduced")
    first = entry(row(svd_packed(x, mode="reduced"), 0), 0)
    return s, gt(s, mul(as_column(first), rcond))


def kept_inverses(x: Node, rcond: Node) -> Node:
    """1 / s for the singular values above rcond times the largest, else 0."""
    s, kept = kept_values(x, rcond)
    safe = switch(kept, s, const(1, x.dtype))
    return switch(kept, true_div(const(1, x.dtype), safe), const(0, x.dtype))


def _pinv_expand(x: Node, *, rcond: float) -> Node:
    u, vh = svd_left(x, mode="reduced"), svd_right(x, mode="reduced")
    return matmul(mul(swapped(vh), as_row(kept_inverses(x, const(rcond, x.dtype)))), swapped(u))


def _pinv_grad(g: Node, y: Node, x: Node, **_: float) -> Sequence[Node]:
    """Golub, Pereyra 1973, eq. 4.12, by parts of constant rank."""
    t, h = swapped(y), swapped(g)
    first = neg(matmul(t, matmul(g, t)))
    left = matmul(h, matmul(y, t))
    right = matmul(matmul(t, y), h)
    within = sub(left, matmul(x, matmul(y, left)))
    beyond = sub(right, matmul(matmul(right, y), x))
    return (add(first, add(within, beyond)),)


pinv: Op = Op(
    name="pinv",
    type=_pinv_type,
    numpy=_pinv_numpy,
    grad=_pinv_grad,
    lowering=Expand(_pinv_expand),
    dtypes=REALS,
    examples=tuple(
        Example(shapes=(s,), attrs={"rcond": 1e-15}, values="dominant")
        for s in ((4, 3), (3, 3), (3, 4), (0, 3), (3, 0), (2, 4, 2))
    ),
    theano="MatrixPinv",
    doc="The Moore-Penrose inverses; singular values up to rcond times the largest count as 0.",
)


# ---- symmetric eigenvalues
def check_flags(name: str, **flags: bool) -> None:
    """Refuse attributes that are no bools.

    Raises:
        GraphError: one is not.
    """
    if {type(flag) for flag in flags.values()} != {bool}:
        raise GraphError(f"{' and '.join(flags)} are bools", op=name)


def _eigh_packed_type(x: TensorType, *, lower: bool, vectors: bool) -> TensorType:
    check_flags("eigh_packed", lower=lower, vectors=vectors)
    stack, n = check_stacks("eigh_packed", x), check_square("eigh_packed", x)
    shape: tuple[Extent, ...] = (None if n is None else n + 1, n) if vectors else (n,)
    return TensorType(x.dtype, (*stack, *shape))


def _eigh_packed_extents(x: Extents, *, vectors: bool, **_: bool) -> tuple[IntExpr, ...]:
    return (x[0] + 1, x[0]) if vectors else (x[0],)


def _check_triangle(x: Array, *, lower: bool) -> None:
    check_equal_sides("eigh", x)
    check_finite("eigh", np.tril(x) if lower else np.triu(x))


@meaning("eigh_packed")
def _eigh_packed_numpy(x: Array, *, lower: bool, vectors: bool) -> Array:
    _check_triangle(x, lower=lower)
    side: Any = "L" if lower else "U"
    if not vectors:
        return np.linalg.eigvalsh(x, side)
    values, found = np.linalg.eigh(x, side)
    return np.concatenate([values[..., None, :], np.swapaxes(found, -2, -1)], axis=-2)


def _eigh_scratch(n: IntExpr) -> tuple[tuple[str, IntExpr], ...]:
    """Workspace of syevd as LAPACK documents it, and as much again for blocks."""
    return (("real", n * n * 2 + n * 6 + 1 + n * _WORK), ("int32", n * 5 + 3))


_EIGH: Final = ((3, 3), (1, 1), (0, 0), (2, 4, 4), (7, 7))


def _eigh_examples(signs: int | None = None, **flags: bool) -> tuple[Example, ...]:
    return tuple(
        Example(shapes=(s,), attrs={"lower": lower, **flags}, values="dominant", signs=signs)
        for s in _EIGH
        for lower in (True, False)
    )


eigh_packed: Op = Op(
    name="eigh_packed",
    type=_eigh_packed_type,
    numpy=_eigh_packed_numpy,
    grad=NO_GRAD,
    lowering=Lapack(
        routine="eigh",
        core=(2,),
        places=("columns",),
        extents=_eigh_packed_extents,
        sizes=lambda x, **_: (x[0],),
        scratch=_eigh_scratch,
        agree=lambda x: (not_square(*x),),
        failures=FAILURES,
    ),
    dtypes=REALS,
    examples=(*_eigh_examples(vectors=False), *_eigh_examples(-1, vectors=True)),
    theano="Eigh",
    doc="Eigenvalues of symmetric matrices as first row, the vectors as rows behind.",
)


def _eigh_values_type(x: TensorType, *, lower: bool, vectors: bool) -> TensorType:
    check_flags("eigh_values", lower=lower, vectors=vectors)
    return TensorType(x.dtype, (*check_stacks("eigh_values", x), check_square("eigh_values", x)))


def _eigh_vectors_type(x: TensorType, *, lower: bool) -> TensorType:
    check_flags("eigh_vectors", lower=lower)
    n = check_square("eigh_vectors", x)
    return TensorType(x.dtype, (*check_stacks("eigh_vectors", x), n, n))


def _eigh_values_expand(x: Node, *, lower: bool, vectors: bool) -> Node:
    packed = eigh_packed(x, lower=lower, vectors=vectors)
    values = row(packed, 0) if vectors else packed
    return of_type(values, _eigh_values_type(x.type, lower=lower, vectors=vectors).shape)


def _eigh_vectors_expand(x: Node, *, lower: bool) -> Node:
    packed = eigh_packed(x, lower=lower, vectors=True)
    found = swapped(part(packed, -2, None, 1))
    return of_type(found, _eigh_vectors_type(x.type, lower=lower).shape)


def _eigh_values_grad(g: Node, _y: Node, x: Node, *, lower: bool, **_: bool) -> Sequence[Node]:
    """Giles 2008, 3.1."""
    found = eigh_vectors(x, lower=lower)
    whole = matmul(mul(found, as_row(g)), swapped(found))
    return (into_triangle(whole, lower=lower),)


def _eigh_vectors_grad(g: Node, y: Node, x: Node, *, lower: bool) -> Sequence[Node]:
    """Giles 2008, 3.1; for eigenvalues that differ."""
    values = eigh_values(x, lower=lower, vectors=True)
    inner = mul(inverse_gaps(values), matmul(swapped(y), g))
    whole = matmul(y, matmul(inner, swapped(y)))
    return (into_triangle(whole, lower=lower),)


@meaning("eigh_values")
def _eigh_values_numpy(x: Array, *, lower: bool, vectors: bool) -> Array:
    found = _eigh_packed_numpy(x, lower=lower, vectors=vectors)
    return np.asarray(found[..., 0, :] if vectors else found)


@meaning("eigh_vectors")
def _eigh_vectors_numpy(x: Array, *, lower: bool) -> Array:
    found = _eigh_packed_numpy(x, lower=lower, vectors=True)
    return np.asarray(np.swapaxes(found[..., 1:, :], -2, -1))


eigh_values: Op = Op(
    name="eigh_values",
    type=_eigh_values_type,
    numpy=_eigh_values_numpy,
    grad=_eigh_values_grad,
    lowering=Expand(_eigh_values_expand),
    dtypes=REALS,
    examples=(*_eigh_examples(vectors=False), *_eigh_examples(vectors=True)[:4]),
    theano="Eigvalsh",
    doc="The eigenvalues of symmetric matrices, smallest first; one triangle is read.",
)
eigh_vectors: Op = Op(
    name="eigh_vectors",
    type=_eigh_vectors_type,
    numpy=_eigh_vectors_numpy,
    grad=_eigh_vectors_grad,
    lowering=Expand(_eigh_vectors_expand),
    dtypes=REALS,
    examples=_eigh_examples(-2),
    theano="Eigh",
    doc="The orthonormal eigenvectors of symmetric matrices, as columns.",
)
