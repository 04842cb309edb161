"""Theano's small functions around values: defaults, devices, gamma functions, BLAS by hand."""

from __future__ import annotations

from typing import NoReturn

from exprd.convert import as_node, cast_to
from exprd.elementwise import apply, divide
from exprd.linear import dot, outer
from exprd.reduction import Axis, prod
from exprd_compiler.errors import DeviceUnavailable, DTypeError, GraphError, ShapeError
from exprd_compiler.ir.dtype import is_discrete
from exprd_compiler.ir.node import Node, Op
from exprd_compiler.ops import (
    arithmetic,
    division,
    factorizations,
    incomplete,
    logic,
    special,
)
from exprd_compiler.ops.leaves import const

__all__ = [
    "as_op",
    "chi2sf",
    "cholesky_grad",
    "default",
    "div",
    "gammal",
    "gammau",
    "gemm",
    "gemv",
    "ger",
    "prod_without_zeros",
    "transfer",
]


# ---- values and where they are
def default(x: object, d: object) -> Node:
    """x, or the default d where x is None.

    Raises:
        DTypeError: x has another dtype or rank than d.
    """
    fallback = as_node(d)
    if x is None:
        return fallback
    node = as_node(x)
    if (node.dtype, node.ndim) != (fallback.dtype, fallback.ndim):
        raise DTypeError(f"{node.type} and its default {fallback.type} differ", op="default")
    return node


def transfer(x: object, target: str) -> Node:
    """The value on a device: itself on "cpu".

    Raises:
        DeviceUnavailable: for any other; where a function runs is decided by the session.
    """
    if target != "cpu":
        raise DeviceUnavailable(
            f"a value cannot be moved to {target!r} within a graph",
            op="transfer",
            hint="connect to a server that runs where the whole function is to run",
        )
    return as_node(x)


# ---- elementwise and folds
def div(a: object, b: object) -> Node:
    """The quotient of two numbers; of two integers, rounded down."""
    x, y = as_node(a), as_node(b)
    whole = is_discrete(x.dtype) and is_discrete(y.dtype)
    return apply(division.int_div, x, y) if whole else divide(x, y)


def prod_without_zeros(
    x: object, axis: Axis = None, dtype: str | None = None, keepdims: bool = False
) -> Node:
    """The product over axes of the elements that are not 0; 1 where there are none."""
    node = as_node(x)
    one = const(1, node.dtype)
    factors = apply(logic.switch, apply(logic.eq, node, const(0, node.dtype)), one, node)
    return prod(factors, axis, dtype, keepdims)


# ---- the gamma family, not regularized
def gammau(a: object, x: object) -> Node:
    """Upper incomplete gamma function: the integral of t**(a - 1) exp(-t) from x on."""
    return _whole_gamma(incomplete.gammaincc, a, x)


def gammal(a: object, x: object) -> Node:
    """Lower incomplete gamma function: the integral of t**(a - 1) exp(-t) up to x."""
    return _whole_gamma(incomplete.gammainc, a, x)


def _whole_gamma(share: Op, a: object, x: object) -> Node:
    part = apply(share, a, x)
    order = cast_to(as_node(a), part.dtype)  # so that the gamma function is as exact as the share
    return apply(arithmetic.mul, apply(special.gamma, order), part)


def chi2sf(x: object, k: object) -> Node:
    """Survival function of the chi-squared distribution: how probable more than x is.

    Args:
        x: at least 0.
        k: the degrees of freedom.
    """
    half = as_node(0.5)
    halves = (apply(arithmetic.mul, value, half) for value in (k, x))
    return apply(incomplete.gammaincc, *halves)


# ---- products with their sums, as BLAS has them
def _ranks(op: str, *pairs: tuple[Node, int]) -> None:
    for node, rank in pairs:
        if node.ndim != rank:
            raise ShapeError(f"{node.type} is not of rank {rank}", op=op)


def _plus(a: Node, b: Node) -> Node:
    return apply(arithmetic.add, a, b)


def _times(a: Node, b: Node) -> Node:
    return apply(arithmetic.mul, a, b)


def gemm(z: object, a: object, x: object, y: object, b: object) -> Node:
    """b z + a x @ y for matrices z, x, y and numbers a, b, as a new value."""
    c, alpha, left, right, beta = map(as_node, (z, a, x, y, b))
    _ranks("gemm", (c, 2), (alpha, 0), (left, 2), (right, 2), (beta, 0))
    return _plus(_times(beta, c), _times(alpha, dot(left, right)))


def gemv(y: object, alpha: object, a: object, x: object, beta: object) -> Node:
    """Beta y + alpha a @ x for a matrix a, vectors y, x and numbers alpha, beta, as a new value."""
    c, scale, matrix, vector, keep = map(as_node, (y, alpha, a, x, beta))
    _ranks("gemv", (c, 1), (scale, 0), (matrix, 2), (vector, 1), (keep, 0))
    return _plus(_times(keep, c), _times(scale, dot(matrix, vector)))


def ger(a: object, alpha: object, x: object, y: object) -> Node:
    """The sum of a matrix and alpha times the outer product of x and y, as a new value."""
    matrix, scale, left, right = map(as_node, (a, alpha, x, y))
    _ranks("ger", (matrix, 2), (scale, 0), (left, 1), (right, 1))
    return _plus(matrix, _times(scale, outer(left, right)))


def cholesky_grad(x: object, l: object, dz: object, lower: bool = True) -> Node:  # noqa: E741 - Theano's name
    """The gradient by x of a cost that has gradient dz by the Cholesky factor l of x.

    Only one triangle of x counts, the lower one or the upper, and only that of the result is not 0.
    """
    matrix, factor, slope = map(as_node, (x, l, dz))
    _ranks("cholesky_grad", (matrix, 2), (factor, 2), (slope, 2))
    return factorizations.cholesky_grad(slope, factor, upper=not lower)


# ---- what cannot be
def as_op(itypes: object, otypes: object, infer_shape: object = None) -> NoReturn:
    """Theano's decorator that makes an op of a python function: there is none here.

    Raises:
        GraphError: always. A graph is compiled as a whole and may run on a server, where no code of
            a client is executed.
    """
    raise GraphError(
        "a python function cannot be part of a graph, which may run on a server",
        op="as_op",
        hint="write it with the functions of exprd.tensor, or call it between two functions",
    )
