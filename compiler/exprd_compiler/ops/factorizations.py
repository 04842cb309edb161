"""Cholesky and QR factors.

The two factors of QR are ops of their own over one packed factorization, which the compiler merges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from exprd_compiler.errors import GraphError, NotDifferentiable
from exprd_compiler.ir.integer import IntExpr, as_expr, minimum
from exprd_compiler.ir.lowering import Expand, Extents, Lapack
from exprd_compiler.ir.node import NO_GRAD, Array, Example, Node, Op
from exprd_compiler.ir.type import Extent, TensorType
from exprd_compiler.ops.arithmetic import add, mul, sub
from exprd_compiler.ops.diagonals import tril, triu
from exprd_compiler.ops.inverses import solve_triangular, square_examples
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import switch
from exprd_compiler.ops.products import matmul
from exprd_compiler.ops.stacked import (
    REALS,
    check_square,
    check_stacks,
    extent,
    identity,
    least,
    meaning,
    not_square,
    of_type,
    part,
    smaller,
    swapped,
)

_WORK: Final = 64
MODES: Final = ("reduced", "complete")


# ---- Cholesky
def _cholesky_type(x: TensorType, *, upper: bool) -> TensorType:
    if upper.__class__ is not bool:
        raise GraphError("upper is a bool", op="cholesky")
    stack, n = check_stacks("cholesky", x), check_square("cholesky", x)
    return TensorType(x.dtype, (*stack, n, n))


@meaning("cholesky")
def _cholesky_numpy(x: Array, *, upper: bool) -> Array:
    return np.linalg.cholesky(x, upper=upper)


def halved_diagonal(x: Node) -> Node:
    """The lower triangle, with half of the diagonal."""
    scale = switch(identity(x, "bool"), const(0.5, x.dtype), const(1.0, x.dtype))
    return mul(tril(x, offset=0), scale)


def mirrored(x: Node, *, lower: bool) -> Node:
    """The symmetric matrices of which one triangle is given."""
    inside, offset = (tril, -1) if lower else (triu, 1)
    return add(inside(x, offset=0), swapped(inside(x, offset=offset)))


def into_triangle(x: Node, *, lower: bool) -> Node:
    """The gradient of what reads one triangle of a symmetric matrix, from that of the whole."""
    both = add(x, swapped(x))
    inside, offset = (tril, -1) if lower else (triu, 1)
    return add(inside(both, offset=offset), mul(x, identity(x, x.dtype)))


def cholesky_grad(g: Node, y: Node, *, upper: bool) -> Node:
    """The gradient by x, given that by the factor y.

    Murray 2016, Differentiation of the Cholesky decomposition, eq. 10.
    """
    factor, slope = (swapped(y), swapped(g)) if upper else (y, g)
    middle = halved_diagonal(matmul(swapped(factor), slope))
    flags = {"lower": True, "trans": True, "unit_diagonal": False}
    left = solve_triangular(factor, middle, **flags)
    whole = solve_triangular(factor, swapped(left), **flags)
    return into_triangle(swapped(whole), lower=not upper)


cholesky: Op = Op(
    name="cholesky",
    type=_cholesky_type,
    numpy=_cholesky_numpy,
    grad=lambda g, y, _x, *, upper: (cholesky_grad(g, y, upper=upper),),
    lowering=Lapack(
        routine="cholesky",
        core=(2,),
        places=("result",),
        extents=lambda x, **_: x,
        sizes=lambda x, **_: (x[0],),
        agree=lambda x: (not_square(*x),),
        failures=(
            "not positive definite: the leading minor of order {0} of matrix {1} of the stack, "
            "of extent {2}",
        ),
    ),
    dtypes=REALS,
    examples=(*square_examples(upper=False), *square_examples(upper=True)),
    theano="Cholesky",
    doc="The triangular L with L @ L.T = x, or U with U.T @ U; one triangle of x is read.",
)


# ---- QR, packed
def _packed_type(x: TensorType) -> TensorType:
    stack = check_stacks("qr_factor", x)
    m, n = x.shape[-2:]
    return TensorType(x.dtype, (*stack, None if m is None else m + 1, n))


@meaning("qr_factor")
def _packed_numpy(x: Array) -> Array:
    mirrors, scales = np.linalg.qr(x, mode="raw")
    last = np.zeros((*x.shape[:-2], 1, x.shape[-1]), x.dtype)
    last[..., 0, : scales.shape[-1]] = scales
    return np.concatenate([np.swapaxes(mirrors, -2, -1), last], axis=-2)


_SHAPES: Final = ((4, 3), (3, 3), (3, 4), (1, 1), (0, 3), (3, 0), (2, 5, 2), (0, 2, 2), (13, 7))

qr_factor: Op = Op(
    name="qr_factor",
    type=_packed_type,
    numpy=_packed_numpy,
    grad=NO_GRAD,
    lowering=Lapack(
        routine="qr_factor",
        core=(2,),
        places=("read",),
        extents=lambda x: (x[0] + 1, x[1]),
        sizes=lambda x: x,
        scratch=lambda _m, n: (("real", n * _WORK + 1),),
        failures=("LAPACK refused matrix {1}: {0}",),
    ),
    dtypes=REALS,
    examples=tuple(Example(shapes=(s,), values="dominant") for s in _SHAPES),
    theano="QRFull",
    doc="R above the diagonal, Householder vectors below it, their scales as a last row.",
)


# ---- the product of Householder matrices
def _columns(m: Any, n: Any, mode: str, least_of: Any) -> Any:
    return m if mode == "complete" else least_of(m, n)


def _check_mode(name: str, mode: str) -> None:
    if mode not in MODES:
        raise GraphError(f"mode {mode!r} is not one of {MODES}", op=name)


def _rows_of(packed: TensorType) -> Extent:
    m = packed.shape[-2]
    return None if m is None else m - 1


def _householder_type(x: TensorType, *, mode: str) -> TensorType:
    _check_mode("householder", mode)
    stack, m = check_stacks("householder", x), _rows_of(x)
    return TensorType(x.dtype, (*stack, m, _columns(m, x.shape[-1], mode, least)))


@meaning("householder")
def _householder_numpy(x: Array, *, mode: str) -> Array:
    m, n = x.shape[-2] - 1, x.shape[-1]
    stack = x.shape[:-2]
    out = np.zeros((*stack, m, _columns(m, n, mode, min)), x.dtype)
    out[...] = np.eye(*out.shape[-2:])
    for i in range(min(m, n) - 1, -1, -1):
        mirror = x[..., :m, i].copy()
        mirror[..., :i], mirror[..., i] = 0, 1
        along = np.matmul(mirror[..., None, :], out)
        out -= x[..., m, i, None, None] * mirror[..., :, None] * along
    return out


def _householder_sizes(packed: Extents, *, mode: str) -> tuple[IntExpr, ...]:
    m, n = packed[0] - 1, packed[1]
    return (m, n, _columns(m, n, mode, minimum))


householder: Op = Op(
    name="householder",
    type=_householder_type,
    numpy=_householder_numpy,
    grad=NO_GRAD,
    lowering=Lapack(
        routine="householder",
        core=(2,),
        places=("read",),
        extents=lambda packed, *, mode: _householder_sizes(packed, mode=mode)[::2],
        sizes=_householder_sizes,
        scratch=lambda _m, _n, columns: (("real", columns * _WORK + 1),),
        agree=lambda packed: ((minimum(packed[0], 1), as_expr(1), "has {} of {} row of scales"),),
        failures=("LAPACK refused matrix {1}: {0}",),
    ),
    dtypes=REALS,
    examples=tuple(
        Example(shapes=(s,), attrs={"mode": mode})
        for s, mode in (
            ((5, 3), "reduced"),
            ((5, 3), "complete"),
            ((4, 4), "reduced"),
            ((1, 3), "reduced"),
            ((3, 4), "complete"),
            ((2, 3, 2), "reduced"),
        )
    ),
    theano="QRFull",
    doc="The orthogonal matrix that a packed QR factorization means.",
)


# ---- the factors
def _q_type(x: TensorType, *, mode: str) -> TensorType:
    _check_mode("qr_q", mode)
    m, n = x.shape[-2:]
    return TensorType(x.dtype, (*check_stacks("qr_q", x), m, _columns(m, n, mode, least)))


def _r_type(x: TensorType, *, mode: str) -> TensorType:
    _check_mode("qr_r", mode)
    m, n = x.shape[-2:]
    return TensorType(x.dtype, (*check_stacks("qr_r", x), _columns(m, n, mode, least), n))


@meaning("qr_q")
def _q_numpy(x: Array, *, mode: Any) -> Array:
    return np.linalg.qr(x, mode=mode)[0]


@meaning("qr_r")
def _r_numpy(x: Array, *, mode: Any) -> Array:
    return np.linalg.qr(x, mode=mode)[1]


def _q_expand(x: Node, *, mode: str) -> Node:
    return of_type(householder(qr_factor(x), mode=mode), _q_type(x.type, mode=mode).shape)


def _r_expand(x: Node, *, mode: str) -> Node:
    m, n = extent(x, -2), extent(x, -1)
    rows = m if mode == "complete" else smaller(m, n)
    upper = triu(part(qr_factor(x), -2, rows), offset=0)
    return of_type(upper, _r_type(x.type, mode=mode).shape)


def _check_tall(name: str, x: Node, mode: str) -> None:
    m, n = x.type.shape[-2:]
    wide = m is not None and n is not None and m < n
    if wide or (mode == "complete" and (m is None or m != n)):
        raise NotDifferentiable(
            f"the QR factors of {x.type} have a gradient only for at least as many rows as columns",
            op=name,
            hint='use mode="reduced" on tall matrices',
        )


def _from_r(slope: Node, r: Node) -> Node:
    """slope @ inverse(r).T."""
    flags = {"lower": False, "trans": False, "unit_diagonal": False}
    return swapped(solve_triangular(r, swapped(slope), **flags))


def _q_grad(g: Node, y: Node, x: Node, *, mode: str) -> Sequence[Node]:
    """Walter, Lehmann 2010, Algorithmic differentiation of linear algebra functions, 4.3."""
    _check_tall("qr_q", x, mode)
    inner = mirrored(matmul(swapped(g), y), lower=True)
    return (_from_r(sub(g, matmul(y, inner)), qr_r(x, mode=mode)),)


def _r_grad(g: Node, y: Node, x: Node, *, mode: str) -> Sequence[Node]:
    _check_tall("qr_r", x, mode)
    inner = mirrored(matmul(y, swapped(triu(g, offset=0))), lower=True)
    return (_from_r(matmul(qr_q(x, mode=mode), inner), y),)


def _tall_examples(mode: str) -> tuple[Example, ...]:
    shapes = ((4, 3), (3, 3), (1, 1), (2, 5, 2)) if mode == "reduced" else ((3, 3), (2, 4, 4))
    return tuple(Example(shapes=(s,), attrs={"mode": mode}, values="dominant") for s in shapes)


qr_q: Op = Op(
    name="qr_q",
    type=_q_type,
    numpy=_q_numpy,
    grad=_q_grad,
    lowering=Expand(_q_expand),
    dtypes=REALS,
    examples=_tall_examples("reduced"),
    theano="QRIncomplete",
    doc="The factor of x = q @ r with orthonormal columns.",
)
qr_r: Op = Op(
    name="qr_r",
    type=_r_type,
    numpy=_r_numpy,
    grad=_r_grad,
    lowering=Expand(_r_expand),
    dtypes=REALS,
    examples=_tall_examples("reduced"),
    theano="QRIncomplete",
    doc="The factor of x = q @ r that is zero below its diagonal.",
)
