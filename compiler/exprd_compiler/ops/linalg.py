"""Products of vectors and matrices, and the BLAS forms into which the compiler turns them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from exprd_compiler.errors import GraphError, ShapeError
from exprd_compiler.ir.dtype import EVERY, is_complex, promote
from exprd_compiler.ir.half import converted, widened
from exprd_compiler.ir.integer import IntExpr
from exprd_compiler.ir.lowering import Expand, Extents, Library
from exprd_compiler.ir.node import NO_GRAD, Array, Example, GradRule, Node, NoGrad, Op
from exprd_compiler.ir.type import TensorType, broadcast_shape
from exprd_compiler.ops.arithmetic import add, cast, mul, sub
from exprd_compiler.ops.movement import ANY, dimshuffle, specify_shape
from exprd_compiler.ops.parts import complex_, conjugate, imag, real
from exprd_compiler.ops.reduce import sum_


def transpose(x: Node) -> Node:
    """A matrix with its axes exchanged."""
    return dimshuffle(x, order=(1, 0))


# Element types that BLAS has, and those that are computed in one of them and rounded once.
BLAS_DTYPES: Final = ("float32", "float64")
_WIDER: Final = {"float16": "float32", "bfloat16": "float32"}


def blas_dtype(dtype: str) -> str | None:
    """The element type in which BLAS computes products of this one; None for products by sums."""
    wide = _WIDER.get(dtype, dtype)
    return wide if wide in BLAS_DTYPES else None


def in_dtype(x: Node, dtype: str) -> Node:
    """The value in a dtype; itself if it has it."""
    return x if x.dtype == dtype else cast(x, dtype=dtype)


def _check_inner(name: str, a: TensorType, b: TensorType) -> None:
    inner, other = a.shape[-1], b.shape[-2:][0]
    if inner is not None and other is not None and inner != other:
        raise ShapeError(f"inner extents of {a} and {b} differ", op=name)


def strict(x: Node, y: Node, axis: int, other: int) -> Node:
    """x, checked to be of length 1 on an axis that meets such a one of y: sums do not broadcast."""
    if y.type.shape[other] != 1 or x.type.shape[axis] == 1:
        return x
    spec = tuple(1 if place == axis else ANY for place in range(x.ndim))
    return specify_shape(x, shape=spec)


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
        out = np.dot(widened(a), widened(b))
    return converted(np.asarray(out), promote(a.dtype.name, b.dtype.name))


def _outer(a: Node, b: Node) -> Node:
    return mul(dimshuffle(a, order=(0, -1)), dimshuffle(b, order=(-1, 0)))


def by_parts(product: Callable[[Node, Node], Node], a: Node, b: Node) -> Node:
    """A product, linear in both operands, of complex values: products of their parts."""
    if not is_complex(a.dtype):
        return complex_(product(a, real(b)), product(a, imag(b)))
    if not is_complex(b.dtype):
        return complex_(product(real(a), b), product(imag(a), b))
    (u, v), (x, y) = ((real(z), imag(z)) for z in (a, b))
    return complex_(sub(product(u, x), product(v, y)), add(product(u, y), product(v, x)))


def _dot_grad(g: Node, _y: Node, a: Node, b: Node) -> Sequence[Node]:
    a, b = conjugate(a), conjugate(b)
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
    inner = max(b.ndim - 2, 0)
    a, b = strict(a, b, a.ndim - 1, inner), strict(b, a, inner, a.ndim - 1)
    left = dimshuffle(a, order=(*range(a.ndim), *([-1] * (b.ndim - 1))))
    right = dimshuffle(b, order=(*([-1] * (a.ndim - 1)), *range(b.ndim)))
    return in_dtype(sum_(mul(left, right), axes=(a.ndim - 1,)), promote(a.dtype, b.dtype))


def _by_blas(a: Node, b: Node) -> Node:
    if a.ndim == 1:
        return gemv(transpose(b), a, alpha=1.0, beta=0.0)
    form = gemv if b.ndim == 1 else gemm
    return form(a, b, alpha=1.0, beta=0.0)


def _dot_expand(a: Node, b: Node) -> Node:
    dtype = promote(a.dtype, b.dtype)
    wide = blas_dtype(dtype)
    if is_complex(dtype) and (a.ndim, b.ndim) != (1, 1):
        return by_parts(dot, a, b)
    if wide is None or a.ndim == b.ndim == 1:
        return in_dtype(_by_sum(*(in_dtype(x, wide) if wide else x for x in (a, b))), dtype)
    return in_dtype(_by_blas(in_dtype(a, wide), in_dtype(b, wide)), dtype)


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
    dtypes=EVERY,
    examples=tuple(Example(shapes=shapes) for shapes in _PAIRS),
    theano="Dot",
    doc="Matrix product; of vectors, the inner product.",
)


# ---- BLAS forms: out = alpha * a @ b + beta * c
def _check_factors(name: str, alpha: float, beta: float) -> None:
    if {alpha.__class__, beta.__class__} != {float}:
        raise GraphError(f"alpha and beta are floats, got {alpha!r} and {beta!r}", op=name)


def _blas_type(name: str, *types: TensorType) -> TensorType:
    a, b = types[0], types[1]
    if len({t.dtype for t in types}) != 1 or a.dtype not in BLAS_DTYPES:
        hint = f"one of {', '.join(BLAS_DTYPES)}"
        raise GraphError("takes operands of one float dtype", op=name, hint=hint)
    _check_inner(name, a, b)
    batch = broadcast_shape([a.shape[:-2], b.shape[:-2]], name)
    out = TensorType(a.dtype, (*batch, a.shape[-2], *b.shape[1:][-1:]))
    if len(types) == 3 and types[2].ndim != out.ndim:
        raise ShapeError(f"cannot add {types[2]} to {out}", op=name)
    return out


def _blas_numpy(a: Array, b: Array, *c: Array, alpha: float, beta: float) -> Array:
    if a.shape[-1] != b.shape[-2:][0]:
        raise ShapeError(f"inner extents of {a.shape} and {b.shape} differ", op="dot")
    with np.errstate(all="ignore"):
        out = a.dtype.type(alpha) * np.matmul(a, b)
        return np.asarray(out + c[0].dtype.type(beta) * c[0] if c else out)


def _blas_extents(a: Extents, b: Extents, *_: Extents) -> tuple[IntExpr, ...]:
    batch = (y if x.known == 1 else x for x, y in zip(a[:-2], b[:-2], strict=True))
    return (*batch, a[-2], *b[1:][-1:])


def blas_form(
    name: str,
    fits: Callable[[int, int], bool],
    shapes: Sequence[Sequence[int]],
    theano: str,
    doc: str,
    grad: GradRule | NoGrad = NO_GRAD,
) -> Op:
    """An op that is one routine of BLAS, for operands of the ranks that fit."""
    plain, added = {"alpha": 1.5, "beta": 0.0}, {"alpha": -0.5, "beta": 2.0}
    ab = (tuple(shapes[0]), tuple(shapes[1]))

    def rule(*types: TensorType, alpha: float, beta: float) -> TensorType:
        _check_factors(name, alpha, beta)
        if len(types) not in (2, 3) or not fits(types[0].ndim, types[1].ndim):
            raise GraphError(f"cannot take {', '.join(map(str, types))}", op=name)
        return _blas_type(name, *types)

    return Op(
        name=name,
        type=rule,
        numpy=_blas_numpy,
        grad=grad,
        lowering=Library(name.removeprefix("batched_"), _blas_extents),
        dtypes=BLAS_DTYPES,
        examples=(
            Example(shapes=ab, attrs=plain),
            Example(shapes=(*ab, tuple(shapes[2])), attrs=added),
        ),
        theano=theano,
        doc=f"{doc} by BLAS; made by the compiler.",
    )


PRODUCT: Final = "alpha * a @ b + beta * c"

gemv = blas_form(
    "gemv", lambda a, b: (a, b) == (2, 1), ((7, 5), (5,), (7,)), "Gemv", f"{PRODUCT} for a vector"
)
gemm = blas_form("gemm", lambda a, b: (a, b) == (2, 2), ((7, 5), (5, 9), (7, 9)), "Gemm", PRODUCT)
