"""Linear algebra over nodes: inverses, systems and factors of matrices and stacks of them.

The last two axes are rows and columns, all axes before are the stack, as in numpy.linalg. Whole
numbers are computed in float64.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence

import numpy as np

from exprd.arranging import diag
from exprd.convert import as_node, cast_to
from exprd.linear import dot, matmul
from exprd.reduction import sum_
from exprd.shaping import extent, reshape
from exprd_compiler.errors import GraphError, ShapeError
from exprd_compiler.ir.dtype import is_discrete, promote
from exprd_compiler.ir.node import Node
from exprd_compiler.ops import arithmetic, creation, factorizations, inverses, logic, spectral
from exprd_compiler.ops.diagonals import diagonal
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.matrix_functions import expm as expm_op
from exprd_compiler.ops.movement import NEW_AXIS, dimshuffle
from exprd_compiler.ops.stacked import as_column, entry, identity, part, swapped

__all__ = [
    "alloc_diag",
    "cholesky",
    "det",
    "expm",
    "extract_diag",
    "inv",
    "lstsq",
    "matrix_dot",
    "matrix_power",
    "pinv",
    "slogdet",
    "solve",
    "solve_symmetric",
    "solve_triangular",
    "tensorinv",
    "tensorsolve",
    "trace",
]

_TRANSPOSED = {0: False, "N": False, 1: True, "T": True, 2: True, "C": True}


def floats(*values: object) -> list[Node]:
    """The values as nodes of one float type; whole numbers become float64."""
    nodes = [as_node(value) for value in values]
    dtype = promote(*("float64" if is_discrete(x.dtype) else x.dtype for x in nodes))
    return [cast_to(x, dtype) for x in nodes]


def _check_matrix(name: str, *nodes: Node) -> None:
    if any(x.ndim < 2 for x in nodes):
        found = " and ".join(str(x.type) for x in nodes)
        raise ShapeError(f"takes matrices, got {found}", op=name)


def _stacked(a: Node, b: Node) -> tuple[Node, Node]:
    """Matrices repeated over a common stack, where axes are statically 1 or missing."""
    rank = max(a.ndim, b.ndim)
    a, b = (
        dimshuffle(x, order=(*[NEW_AXIS] * (rank - x.ndim), *range(x.ndim))) if x.ndim < rank else x
        for x in (a, b)
    )
    if all((x == 1) == (y == 1) for x, y in zip(a.type.shape[:-2], b.type.shape[:-2], strict=True)):
        return a, b
    stack = [extent(b if a.type.shape[axis] == 1 else a, axis) for axis in range(rank - 2)]
    return _repeated(a, stack), _repeated(b, stack)


def _repeated(x: Node, stack: Sequence[int | Node]) -> Node:
    shape = [*stack, extent(x, x.ndim - 2), extent(x, x.ndim - 1)]
    dims = [n for n in shape if isinstance(n, Node)]
    spec = tuple(None if isinstance(n, Node) else n for n in shape)
    return creation.alloc(x, *dims, shape=spec)


# ---- inverses and determinants
def inv(x: object) -> Node:
    """The inverses of square matrices.

    Raises:
        LinAlgError: a matrix is singular, when the function is called.
    """
    return inverses.matrix_inverse(*floats(x))


def pinv(x: object, rcond: float = 1e-15) -> Node:
    """The Moore-Penrose inverses; singular values up to rcond times the largest count as 0."""
    return spectral.pinv(*floats(x), rcond=float(rcond))


def det(x: object) -> Node:
    """The determinants of square matrices; 0 of a singular one."""
    return inverses.det(*floats(x))


def slogdet(x: object) -> list[Node]:
    """Sign and logarithm of the absolute value of determinants; 0 and -inf if singular."""
    both = inverses.slogdet(*floats(x))
    return [entry(both, 0), entry(both, 1)]


def matrix_power(x: object, n: int) -> Node:
    """The n-th powers of square matrices, by repeated squaring; negative ones of the inverse.

    Raises:
        GraphError: n is not an integer.
    """
    try:
        power = operator.index(n)
    except TypeError:
        raise GraphError(f"the exponent is an integer, got {n!r}", op="matrix_power") from None
    node = as_node(x)
    _check_matrix("matrix_power", node)
    if power == 0:
        return arithmetic.second(node, identity(node, node.dtype))
    base, rest = (inv(node), -power) if power < 0 else (node, power)
    out: Node | None = None
    while rest:
        if rest % 2:
            out = base if out is None else matmul(out, base)
        rest //= 2
        base = matmul(base, base) if rest else base
    return node if out is None else out


def matrix_dot(*matrices: object) -> Node:
    """The product of all the matrices, from left to right.

    Raises:
        GraphError: there is none.
    """
    if not matrices:
        raise GraphError("takes at least one matrix", op="matrix_dot")
    return functools.reduce(dot, matrices[1:], as_node(matrices[0]))


def expm(x: object) -> Node:
    """The exponentials of square matrices: the limit of (1 + x / n) ** n."""
    return expm_op(*floats(x))


# ---- diagonals
def trace(x: object, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Node:
    """The sum along a diagonal of two axes, those of a matrix by default."""
    node = as_node(x)
    _check_matrix("trace", node)
    first, second = (axis + node.ndim if axis < 0 else axis for axis in (axis1, axis2))
    return sum_(diagonal(node, offset=offset, axis1=first, axis2=second), axis=-1)


def extract_diag(x: object) -> Node:
    """The diagonal of a matrix."""
    node = as_node(x)
    _check_matrix("extract_diag", node)
    return diagonal(node, offset=0, axis1=0, axis2=1)


def alloc_diag(x: object) -> Node:
    """The square matrix with a vector on its diagonal."""
    node = as_node(x)
    if node.ndim != 1:
        raise ShapeError(f"takes a vector, got {node.type}", op="alloc_diag")
    return diag(node)


# ---- systems
def _system(name: str, a: object, b: object) -> tuple[Node, Node, bool]:
    """Matrices and right sides over one stack; a vector becomes a column, as the flag tells."""
    left, right = floats(a, b)
    _check_matrix(name, left)
    if right.ndim == 0:
        raise ShapeError(f"the right side is a vector or matrices, got {right.type}", op=name)
    vector = right.ndim == 1
    return *_stacked(left, as_column(right) if vector else right), vector


def solve(a: object, b: object) -> Node:
    """The x with a @ x = b.

    Args:
        a: square matrices.
        b: a vector, or matrices whose columns are solved for.

    Raises:
        LinAlgError: a matrix is singular, when the function is called.
    """
    left, right, vector = _system("solve", a, b)
    found = inverses.solve(left, right)
    return entry(found, 0) if vector else found


def solve_symmetric(a: object, b: object) -> Node:
    """The x with a @ x = b, for symmetric a."""
    return solve(a, b)


def solve_triangular(
    a: object,
    b: object,
    *,
    lower: bool = False,
    trans: int | str = 0,
    unit_diagonal: bool = False,
) -> Node:
    """The x with a @ x = b, where only a triangle of a is read.

    Args:
        a: square matrices.
        b: a vector, or matrices whose columns are solved for.
        lower: whether the lower triangle is read, else the upper one.
        trans: 0 or "N"; 1 or "T" solves with the transpose.
        unit_diagonal: whether the diagonal counts as ones and is not read.

    Raises:
        LinAlgError: there is a 0 on a diagonal, when the function is called.
    """
    if trans not in _TRANSPOSED:
        raise GraphError(
            f"trans is one of {list(_TRANSPOSED)}, got {trans!r}", op="solve_triangular"
        )
    left, right, vector = _system("solve_triangular", a, b)
    found = inverses.solve_triangular(
        left,
        right,
        lower=bool(lower),
        trans=_TRANSPOSED[trans],
        unit_diagonal=bool(unit_diagonal),
    )
    return entry(found, 0) if vector else found


def cholesky(x: object, *, upper: bool = False) -> Node:
    """The triangular L with L @ L.T = x, or U with U.T @ U; only that triangle of x is read.

    Raises:
        LinAlgError: a matrix is not positive definite, when the function is called.
    """
    return factorizations.cholesky(*floats(x), upper=bool(upper))


def lstsq(a: object, b: object, rcond: float | None = None) -> list[Node]:
    """The x of least norm among those that minimize the norm of b - a @ x.

    Args:
        a: a matrix (m, n).
        b: a vector (m,) or a matrix (m, k).
        rcond: singular values up to rcond times the largest count as 0; by default the precision of
            the dtype times the larger extent.

    Returns:
        x; the sums of squares of b - a @ x, empty unless a has full rank and m > n; the rank of a;
        its singular values.
    """
    left, right = floats(a, b)
    if left.ndim != 2 or right.ndim not in (1, 2):
        raise ShapeError(
            f"takes a matrix and a right side, got {left.type}, {right.type}", op="lstsq"
        )
    columns = as_column(right) if right.ndim == 1 else right
    s, kept = spectral.kept_values(left, _cutoff(left, rcond))
    u, vh = (op(left, mode="reduced") for op in (spectral.svd_left, spectral.svd_right))
    inverse = as_column(spectral.kept_inverses(left, _cutoff(left, rcond)))
    x = matmul(swapped(vh), arithmetic.mul(inverse, matmul(swapped(u), columns)))
    rank = sum_(kept)
    found = entry(x, 0) if right.ndim == 1 else x
    return [found, _residuals(left, columns, x, rank), rank, s]


def _cutoff(a: Node, rcond: float | None) -> Node:
    if rcond is not None:
        return const(rcond, a.dtype)
    larger = logic.maximum(*(as_node(extent(a, axis)) for axis in (0, 1)))
    return arithmetic.mul(cast_to(larger, a.dtype), const(np.finfo(a.dtype).eps, a.dtype))


def _residuals(a: Node, b: Node, x: Node, rank: Node) -> Node:
    m, n = (cast_to(as_node(extent(a, axis)), "int64") for axis in (0, 1))
    rest = arithmetic.sub(b, matmul(a, x))
    full = logic.and_(logic.eq(rank, n), logic.gt(m, n))
    count = cast_to(as_node(extent(b, 1)), "int64")
    shown = arithmetic.mul(cast_to(full, "int64"), count)
    return part(sum_(arithmetic.mul(rest, rest), axis=0), -1, shown)


# ---- tensors as matrices
def _product(extents: Sequence[int | Node]) -> int | Node:
    known, rest = 1, None
    for item in extents:
        if isinstance(item, int):
            known *= item
        else:
            rest = item if rest is None else arithmetic.mul(rest, item)
    return known if rest is None else arithmetic.mul(rest, const(known, "int64"))


def tensorinv(x: object, ind: int = 2) -> Node:
    """The inverse of a tensor with respect to tensordot over its first `ind` axes.

    Raises:
        ShapeError: `ind` is not positive.
    """
    (node,) = floats(x)
    if not 0 < ind < node.ndim:
        raise ShapeError(f"ind is between 1 and {node.ndim - 1}, got {ind}", op="tensorinv")
    shape = [extent(node, axis) for axis in range(node.ndim)]
    matrix = reshape(node, (_product(shape[:ind]), _product(shape[ind:])))
    return reshape(inv(matrix), (*shape[ind:], *shape[:ind]))


def tensorsolve(a: object, b: object, axes: Sequence[int] | None = None) -> Node:
    """The x with tensordot(a, x, x.ndim) = b; the axes of a that are given are moved to its end."""
    left, right = floats(a, b)
    moved = [axis + left.ndim if axis < 0 else axis for axis in axes or ()]
    order = (*(axis for axis in range(left.ndim) if axis not in moved), *moved)
    left = dimshuffle(left, order=order)
    rest = [extent(left, axis) for axis in range(right.ndim, left.ndim)]
    count = _product([extent(right, axis) for axis in range(right.ndim)])
    found = solve(reshape(left, (count, _product(rest))), reshape(right, (count,)))
    return reshape(found, rest)
