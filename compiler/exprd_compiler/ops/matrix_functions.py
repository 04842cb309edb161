"""The matrix exponential, by scaling and squaring.

Higham 2005, The scaling and squaring method for the matrix exponential revisited: the diagonal Pade
approximant of degree 13 of x / 2**s, squared s times; s makes the 1-norm at most theta_13.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from exprd_compiler.errors import DTypeError, ShapeError
from exprd_compiler.ir.lowering import Expand, Lapack
from exprd_compiler.ir.node import NO_GRAD, Array, Example, Node, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import abs_, add, cast, mul, neg, sub, true_div, zeros_like
from exprd_compiler.ops.inverses import solve
from exprd_compiler.ops.joining import join
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import lt, maximum, switch
from exprd_compiler.ops.products import matmul
from exprd_compiler.ops.reduce import max_, sum_
from exprd_compiler.ops.rounding import ceil
from exprd_compiler.ops.stacked import (
    REALS,
    as_column,
    check_square,
    check_stacks,
    extent,
    identity,
    meaning,
    not_square,
    of_type,
    part,
    swapped,
)
from exprd_compiler.ops.transcendental import exp2, log2

_THETA: Final = 5.371920351148152
_PADE: Final = (
    64764752532480000,
    32382376266240000,
    7771770303897600,
    1187353796428800,
    129060195264000,
    10559470521600,
    670442572800,
    33522128640,
    1323241920,
    40840800,
    960960,
    16380,
    182,
    1,
)


# ---- powers of two of a matrix
# no finite norm needs more; and counts may come from strangers
MOST: Final = 2048


def _squarings_type(x: TensorType, times: TensorType) -> TensorType:
    stack, n = check_stacks("squarings", x), check_square("squarings", x)
    if times.dtype != "int64":
        raise DTypeError(f"takes int64 counts, got {times}", op="squarings")
    if times.ndim != x.ndim - 2:
        raise ShapeError(f"takes one count per matrix, got {times} for {x}", op="squarings")
    return TensorType(x.dtype, (*stack, n, n))


@meaning("squarings")
def _squarings_numpy(x: Array, times: Array) -> Array:
    if x.shape[-2] != x.shape[-1] or x.shape[:-2] != times.shape:
        raise ShapeError(
            f"takes square matrices and a count for each, got {x.shape}, {times.shape}"
        )
    out = x.copy()
    for place in np.ndindex(*x.shape[:-2]):
        for _ in range(min(int(times[place]), MOST)):
            out[place] = out[place] @ out[place]
    return out


squarings: Op = Op(
    name="squarings",
    type=_squarings_type,
    numpy=_squarings_numpy,
    grad=NO_GRAD,
    lowering=Lapack(
        routine="squarings",
        core=(2, 0),
        places=("result", "read"),
        extents=lambda x, _times: x,
        sizes=lambda x, _times: (x[0],),
        scratch=lambda n: (("real", n * n),),
        agree=lambda x, _times: (not_square(*x),),
    ),
    dtypes=REALS,
    examples=tuple(
        Example(shapes=(shape, np.shape(times)), integers={1: times}, low=-0.5, high=0.5)
        for shape, times in (((3, 3), 2), ((4, 4), 0), ((2, 3, 3), [1, 3]), ((0, 0), 1))
    ),
    theano="MatrixPower",
    doc="Each matrix squared so many times, but at most 2048: x ** 2 ** times.",
)


# ---- exp
def _square(x: TensorType) -> TensorType:
    stack, n = check_stacks("expm", x), check_square("expm", x)
    return TensorType(x.dtype, (*stack, n, n))


def _pade(a: Any, one: Any, product: Any, weigh: Any) -> tuple[Any, Any]:
    """The odd and the even part of the numerator, for nodes or for arrays."""
    two = product(a, a)
    four = product(two, two)
    six = product(two, four)
    powers = (one, two, four, six)

    def half(first: int) -> Any:
        high = weigh(powers[1:], _PADE[first + 8 :: 2])
        return weigh((product(six, high), *powers), (1, *_PADE[first : first + 8 : 2]))

    return product(a, half(1)), half(0)


@meaning("expm")
def _expm_numpy(x: Array) -> Array:
    norm = np.abs(x).sum(axis=-2).max(axis=-1, initial=0)
    ratio = np.where(norm < np.inf, norm, 0) / _THETA
    times = np.ceil(np.log2(np.maximum(ratio, 1))).astype("int64")
    a = x * np.exp2(-times.astype(x.dtype))[..., None, None]
    number = x.dtype.type

    def weigh(terms: Sequence[Array], weights: Sequence[int]) -> Array:
        out = number(weights[0]) * terms[0]
        for term, weight in zip(terms[1:], weights[1:], strict=True):
            out = out + number(weight) * term
        return np.asarray(out)

    odd, even = _pade(a, np.eye(x.shape[-1], dtype=x.dtype), np.matmul, weigh)
    return _squarings_numpy(np.linalg.solve(even - odd, even + odd), times)


def _weighed(terms: Sequence[Node], weights: Sequence[int]) -> Node:
    out: Node | None = None
    for term, weight in zip(terms, weights, strict=True):
        item = term if weight == 1 else mul(term, const(weight, term.dtype))
        out = item if out is None else add(out, item)
    assert out is not None
    return out


def _scaling(x: Node) -> Node:
    """How often to halve each matrix; 0 for what has no finite norm."""
    columns = sum_(abs_(x), axes=(x.ndim - 2,))
    zero = zeros_like(sum_(columns, axes=(columns.ndim - 1,)))
    norm = max_(join(as_column(zero), columns, axis=columns.ndim - 1), axes=(columns.ndim - 1,))
    finite = switch(lt(norm, const(np.inf, x.dtype)), norm, const(0, x.dtype))
    ratio = maximum(true_div(finite, const(_THETA, x.dtype)), const(1, x.dtype))
    return cast(ceil(log2(ratio)), dtype="int64")


def _expm_expand(x: Node) -> Node:
    x = of_type(x, _square(x.type).shape)
    times = _scaling(x)
    scale = exp2(neg(cast(times, dtype=x.dtype)))
    a = mul(x, as_column(as_column(scale)))
    odd, even = _pade(a, identity(x, x.dtype), matmul, _weighed)
    return squarings(solve(sub(even, odd), add(even, odd)), times)


def _expm_grad(g: Node, _y: Node, x: Node) -> Sequence[Node]:
    """The adjoint of the derivative is a block of expm([[x', g], [0, x']]): Higham 2008, 10.37."""
    t = swapped(x)
    rows, columns = x.ndim - 2, x.ndim - 1
    above = join(t, g, axis=columns)
    below = join(zeros_like(t), t, axis=columns)
    n = extent(x, -1)
    return (part(part(expm(join(above, below, axis=rows)), -1, None, n), -2, n),)


expm: Op = Op(
    name="expm",
    type=_square,
    numpy=_expm_numpy,
    grad=_expm_grad,
    lowering=Expand(_expm_expand),
    dtypes=REALS,
    examples=tuple(
        Example(shapes=(s,), low=-1.0, high=1.0)
        for s in ((3, 3), (1, 1), (0, 0), (2, 4, 4), (5, 5))
    ),
    theano="Expm",
    doc="The exponentials of square matrices.",
)
