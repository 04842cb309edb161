"""Inverses, determinants and solutions of linear systems, by LU factors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from exprd_compiler.errors import GraphError, LinAlgError, ShapeError
from exprd_compiler.ir.integer import IntExpr, const
from exprd_compiler.ir.lowering import Expand, Extents, Lapack
from exprd_compiler.ir.node import Array, Example, Node, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import mul, neg
from exprd_compiler.ops.diagonals import tril, triu
from exprd_compiler.ops.products import matmul
from exprd_compiler.ops.stacked import (
    REALS,
    as_column,
    check_square,
    check_stacks,
    entry,
    meaning,
    not_square,
    swapped,
)
from exprd_compiler.ops.transcendental import exp

_SINGULAR: Final = (
    "the matrix is singular: pivot {0} of matrix {1} of the stack, of extent {2}, is 0"
)
_WORK: Final = 64  # columns that LAPACK takes at a time
_STACKS: Final = ((3, 3), (1, 1), (0, 0), (2, 4, 4), (2, 3, 2, 2), (0, 3, 3), (13, 13))


def square_examples(**attrs: Any) -> tuple[Example, ...]:
    """Well-conditioned square matrices."""
    return tuple(Example(shapes=(s,), attrs=attrs, values="dominant") for s in _STACKS)


def _square(name: str) -> Any:
    def rule(x: TensorType) -> TensorType:
        stack, n = check_stacks(name, x), check_square(name, x)
        return TensorType(x.dtype, (*stack, n, n))

    return rule


# ---- inverse
def _inverse_grad(g: Node, y: Node, _x: Node) -> Sequence[Node]:
    """Giles 2008, An extended collection of matrix derivative results, 2.2.3."""
    t = swapped(y)
    return (neg(matmul(t, matmul(g, t))),)


matrix_inverse: Op = Op(
    name="matrix_inverse",
    type=_square("matrix_inverse"),
    numpy=meaning("matrix_inverse")(np.linalg.inv),
    grad=_inverse_grad,
    lowering=Lapack(
        routine="inverse",
        core=(2,),
        places=("result",),
        extents=lambda x: x,
        sizes=lambda x: (x[0],),
        scratch=lambda n: (("int32", n), ("real", n * _WORK + 1)),
        agree=lambda x: (not_square(*x),),
        failures=(_SINGULAR,),
    ),
    dtypes=REALS,
    examples=square_examples(),
    theano="MatrixInverse",
    doc="The inverses of square matrices.",
)


# ---- determinants
def _slogdet_type(x: TensorType) -> TensorType:
    stack = check_stacks("slogdet", x)
    check_square("slogdet", x)
    return TensorType(x.dtype, (*stack, 2))


@meaning("slogdet")
def _slogdet_numpy(x: Array) -> Array:
    return np.stack(np.linalg.slogdet(x), axis=-1)


def _slogdet_grad(g: Node, _y: Node, x: Node) -> Sequence[Node]:
    slope = as_column(as_column(entry(g, 1)))
    return (mul(slope, swapped(matrix_inverse(x))),)


slogdet: Op = Op(
    name="slogdet",
    type=_slogdet_type,
    numpy=_slogdet_numpy,
    grad=_slogdet_grad,
    lowering=Lapack(
        routine="slogdet",
        core=(2,),
        places=("rows",),
        extents=lambda _: (const(2),),
        sizes=lambda x: (x[0],),
        scratch=lambda n: (("int32", n),),
        agree=lambda x: (not_square(*x),),
    ),
    dtypes=REALS,
    examples=square_examples(),
    theano="SLogDet",
    doc="Sign of the determinant, and logarithm of its absolute value: 0 and -inf if singular.",
)


def _det_type(x: TensorType) -> TensorType:
    return TensorType(x.dtype, _slogdet_type(x).shape[:-1])


def _det_grad(g: Node, y: Node, x: Node) -> Sequence[Node]:
    return (mul(as_column(as_column(mul(g, y))), swapped(matrix_inverse(x))),)


def _det_expand(x: Node) -> Node:
    both = slogdet(x)
    return mul(entry(both, 0), exp(entry(both, 1)))


det: Op = Op(
    name="det",
    type=_det_type,
    numpy=meaning("det")(np.linalg.det),
    grad=_det_grad,
    lowering=Expand(_det_expand),
    dtypes=REALS,
    examples=square_examples(),
    theano="Det",
    doc="The determinants of square matrices; 0 of a singular one.",
)


# ---- solutions
def _solve_type(name: str, a: TensorType, b: TensorType) -> TensorType:
    stack, n = check_stacks(name, a, b), check_square(name, a)
    rows = b.shape[-2]
    if None not in (n, rows) and n != rows:
        raise ShapeError(f"{a} and {b} have different numbers of rows", op=name)
    return TensorType(b.dtype, (*stack, rows if n is None else n, b.shape[-1]))


def _same_rows(a: Extents, b: Extents) -> tuple[tuple[IntExpr, IntExpr, str], ...]:
    return (not_square(*a), (a[0], b[0], "{} equations for right sides of {} rows"))


def _checked(name: str, a: Array, b: Array) -> None:
    if a.shape[-1] != a.shape[-2] or a.shape[:-1] != b.shape[:-1]:
        raise ShapeError(f"shapes {a.shape} and {b.shape} do not fit", op=name)


@meaning("solve")
def _solve_numpy(a: Array, b: Array) -> Array:
    _checked("solve", a, b)
    return np.linalg.solve(a, b)


def _solve_grad(g: Node, y: Node, a: Node, _b: Node) -> Sequence[Node]:
    """Giles 2008, 2.3.1."""
    right = solve(swapped(a), g)
    return (neg(matmul(right, swapped(y))), right)


_SYSTEMS: Final = (
    ((3, 3), (3, 2)),
    ((4, 4), (4, 1)),
    ((0, 0), (0, 2)),
    ((3, 3), (3, 0)),
    ((2, 3, 3), (2, 3, 5)),
    ((13, 13), (13, 3)),
)

solve: Op = Op(
    name="solve",
    type=lambda a, b: _solve_type("solve", a, b),
    numpy=_solve_numpy,
    grad=_solve_grad,
    lowering=Lapack(
        routine="solve",
        core=(2, 2),
        places=("rows", "result"),
        extents=lambda _a, b: b,
        sizes=lambda _a, b: b,
        scratch=lambda n, _k: (("int32", n),),
        agree=_same_rows,
        failures=(_SINGULAR,),
    ),
    dtypes=REALS,
    examples=tuple(Example(shapes=s, values="dominant") for s in _SYSTEMS),
    theano="Solve",
    doc="The x with a @ x = b, for square a and each column of b.",
)


# ---- triangles
def _triangular_type(
    a: TensorType, b: TensorType, *, lower: bool, trans: bool, unit_diagonal: bool
) -> TensorType:
    if {type(flag) for flag in (lower, trans, unit_diagonal)} != {bool}:
        raise GraphError("lower, trans and unit_diagonal are bools", op="solve_triangular")
    return _solve_type("solve_triangular", a, b)


def _kept(a: Array, *, lower: bool, unit_diagonal: bool) -> Array:
    """The triangle that is read."""
    inside = -1 if unit_diagonal else 0
    kept = np.tril(a, inside) if lower else np.triu(a, -inside)
    return kept + np.eye(a.shape[-1], dtype=a.dtype) if unit_diagonal else kept


@meaning("solve_triangular")
def _triangular_numpy(
    a: Array, b: Array, *, lower: bool, trans: bool, unit_diagonal: bool
) -> Array:
    _checked("solve_triangular", a, b)
    kept = _kept(a, lower=lower, unit_diagonal=unit_diagonal)
    if (np.diagonal(kept, axis1=-2, axis2=-1) == 0).any():
        raise LinAlgError("the triangle is singular", op="solve_triangular")
    return _substituted(np.swapaxes(kept, -2, -1) if trans else kept, b, down=lower != trans)


def _substituted(a: Array, b: Array, *, down: bool) -> Array:
    """The solution row by row, so that no pivot is looked for where there is nothing to choose."""
    out, n = b.copy(), a.shape[-1]
    for row in range(n) if down else reversed(range(n)):
        before = slice(0, row) if down else slice(row + 1, n)
        known = np.matmul(a[..., row, None, before], out[..., before, :])[..., 0, :]
        out[..., row, :] = (out[..., row, :] - known) / a[..., row, row, None]
    return out


def _triangular_grad(
    g: Node, y: Node, a: Node, _b: Node, *, lower: bool, trans: bool, unit_diagonal: bool
) -> Sequence[Node]:
    right = solve_triangular(a, g, lower=lower, trans=not trans, unit_diagonal=unit_diagonal)
    slope = matmul(y, swapped(right)) if trans else matmul(right, swapped(y))
    inside = -1 if unit_diagonal else 0
    kept = tril(slope, offset=inside) if lower else triu(slope, offset=-inside)
    return (neg(kept), right)


solve_triangular: Op = Op(
    name="solve_triangular",
    type=_triangular_type,
    numpy=_triangular_numpy,
    grad=_triangular_grad,
    lowering=Lapack(
        routine="solve_triangular",
        core=(2, 2),
        places=("read", "result"),
        extents=lambda _a, b, **_: b,
        sizes=lambda _a, b, **_: b,
        agree=_same_rows,
        failures=("the triangle is singular: element {0} of the diagonal of matrix {1} is 0",),
    ),
    dtypes=REALS,
    examples=tuple(
        Example(
            shapes=shapes,
            values="dominant",
            attrs={"lower": lower, "trans": trans, "unit_diagonal": unit},
        )
        for shapes, lower, trans, unit in (
            (((4, 4), (4, 2)), True, False, False),
            (((4, 4), (4, 1)), False, False, False),
            (((3, 3), (3, 3)), True, True, False),
            (((2, 3, 3), (2, 3, 2)), False, True, False),
            (((0, 0), (0, 2)), True, False, False),
            (((2, 2), (2, 3)), True, False, True),
        )
    ),
    theano="Solve",
    doc="The x with a @ x = b where only a triangle of a is read; trans solves with its transpose.",
)
