"""Products of vectors and matrices, and the BLAS forms into which the compiler turns them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from exprd_compiler.errors import GraphError, ShapeError
from exprd_compiler.ir.dtype import DTYPES, FLOATS, is_discrete, promote
from exprd_compiler.ir.integer import IntExpr
from exprd_compiler.ir.lowering import Expand, Extents, Library
from exprd_compiler.ir.node import NO_GRAD, Array, Example, Node, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import cast, mul
from exprd_compiler.ops.families import drop_axes, sum_dtype
from exprd_compiler.ops.movement import dimshuffle
from exprd_compiler.ops.reduce import sum_


def transpose(x: Node) -> Node:
    """A matrix with its axes exchanged."""
    return dimshuffle(x, order=(1, 0))


def _check_inner(name: str, a: TensorType, b: TensorType) -> None:
    inner, other = a.shape[-1], b.shape[0]
    if inner is not None and other is not None and inner != other:
        raise ShapeError(f"inner extents of {a} and {b} differ", op=name)


# ---- dot
def _dot_type(a: TensorType, b: TensorType) -> TensorType:
    if a.ndim not in (1, 2) or b.ndim not in (1, 2):
        raise GraphError(f"takes vectors and matrices, got {a} and {b}", op="dot")
    _check_inner("dot", a, b)
    return TensorType(promote(a.dtype, b.dtype), a.shape[:-1] + b.shape[1:])


def _dot_numpy(a: Array, b: Array) -> Array:
    if a.shape[-1] != b.shape[0]:
        raise ShapeError(f"inner extents of {a.shape} and {b.shape} differ", op="dot")
    with np.errstate(all="ignore"):
        out = np.dot(a, b)
    return np.asarray(out).astype(promote(a.dtype.name, b.dtype.name), copy=False)


def _outer(a: Node, b: Node) -> Node:
    return mul(dimshuffle(a, order=(0, -1)), dimshuffle(b, order=(-1, 0)))


def _dot_grad(g: Node, _y: Node, a: Node, b: Node) -> Sequence[Node]:
    match a.ndim, b.ndim:
        case 1, 1:
            return (mul(g, b), mul(g, a))
        case 1, 2:
            return (dot(b, g), _outer(a, g))
        case 2, 1:
            return (_outer(g, b), dot(transpose(a), g))
        case _:
            return (dot(g, transpose(b)), dot(transpose(a), g))


def _by_sum(a: Node, b: Node) -> Node:
    """The product as a sum: for vectors, and for element types that BLAS does not have."""
    dtype = promote(a.dtype, b.dtype)
    left = dimshuffle(a, order=(*range(a.ndim), *([-1] * (b.ndim - 1))))
    right = dimshuffle(b, order=(*([-1] * (a.ndim - 1)), *range(b.ndim)))
    total = sum_(mul(left, right), axes=(a.ndim - 1,))
    return total if sum_dtype(dtype) == dtype else cast(total, dtype=dtype)


def _dot_expand(a: Node, b: Node) -> Node:
    dtype = promote(a.dtype, b.dtype)
    if is_discrete(dtype) or a.ndim == b.ndim == 1:
        return _by_sum(a, b)
    a, b = (x if x.dtype == dtype else cast(x, dtype=dtype) for x in (a, b))
    if a.ndim == 1:
        return gemv(transpose(b), a, alpha=1.0, beta=0.0)
    form = gemv if b.ndim == 1 else gemm
    return form(a, b, alpha=1.0, beta=0.0)


_PAIRS: Final = (
    ((5,), (5,)),
    ((3, 4), (4,)),
    ((4,), (4, 3)),
    ((3, 4), (4, 5)),
    ((0,), (0,)),
    ((3, 0), (0, 2)),
    ((0, 3), (3,)),
    ((67, 35), (35, 33)),
    ((1, 7), (7, 1)),
)

dot: Op = Op(
    name="dot",
    type=_dot_type,
    numpy=_dot_numpy,
    grad=_dot_grad,
    lowering=Expand(_dot_expand),
    dtypes=DTYPES,
    examples=tuple(Example(shapes=shapes) for shapes in _PAIRS),
    theano="Dot",
    doc="Matrix product; of vectors, the inner product.",
)


# ---- BLAS forms: out = alpha * a @ b + beta * c
def _check_factors(name: str, alpha: float, beta: float) -> None:
    if {alpha.__class__, beta.__class__} != {float}:
        raise GraphError(f"alpha and beta are floats, got {alpha!r} and {beta!r}", op=name)


def _blas_type(name: str, ranks: tuple[int, int], *types: TensorType) -> TensorType:
    if len(types) not in (2, 3) or (types[0].ndim, types[1].ndim) != ranks:
        raise GraphError(f"cannot take {', '.join(map(str, types))}", op=name)
    a, b = types[0], types[1]
    if len({t.dtype for t in types}) != 1 or a.dtype not in FLOATS:
        raise GraphError("takes operands of one float dtype", op=name)
    _check_inner(name, a, b)
    out = TensorType(a.dtype, a.shape[:-1] + b.shape[1:])
    if len(types) == 3 and types[2].ndim != out.ndim:
        raise ShapeError(f"cannot add {types[2]} to {out}", op=name)
    return out


def _blas_numpy(a: Array, b: Array, *c: Array, alpha: float, beta: float) -> Array:
    with np.errstate(all="ignore"):
        out = a.dtype.type(alpha) * _dot_numpy(a, b)
        return np.asarray(out + c[0].dtype.type(beta) * c[0] if c else out)


def _blas_extents(a: Extents, b: Extents, *_: Extents) -> tuple[IntExpr, ...]:
    return (*drop_axes(a, (len(a) - 1,)), *b[1:])


def _blas(name: str, ranks: tuple[int, int], shapes: Sequence[Sequence[int]], theano: str) -> Op:
    plain, added = {"alpha": 1.5, "beta": 0.0}, {"alpha": -0.5, "beta": 2.0}
    ab = (tuple(shapes[0]), tuple(shapes[1]))

    def rule(*types: TensorType, alpha: float, beta: float) -> TensorType:
        _check_factors(name, alpha, beta)
        return _blas_type(name, ranks, *types)

    return Op(
        name=name,
        type=rule,
        numpy=_blas_numpy,
        grad=NO_GRAD,
        lowering=Library(name, _blas_extents),
        dtypes=FLOATS,
        examples=(
            Example(shapes=ab, attrs=plain),
            Example(shapes=(*ab, tuple(shapes[2])), attrs=added),
        ),
        theano=theano,
        doc="alpha * a @ b + beta * c by BLAS; made by the compiler from dot.",
    )


gemv = _blas("gemv", (2, 1), ((7, 5), (5,), (7,)), "Gemv")
gemm = _blas("gemm", (2, 2), ((7, 5), (5, 9), (7, 9)), "Gemm")
