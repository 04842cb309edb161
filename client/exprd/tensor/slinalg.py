"""Linear algebra as in scipy.linalg, under Theano's names."""

from __future__ import annotations

from exprd import housekeeping, linear, matrix, spectra
from exprd.tensor.functions import lift
from exprd_compiler.ir.node import Node

__all__ = [
    "cholesky",
    "cholesky_grad",
    "eigvalsh",
    "expm",
    "kron",
    "solve",
    "solve_lower_triangular",
    "solve_symmetric",
    "solve_triangular",
    "solve_upper_triangular",
]

cholesky_grad = lift(housekeeping.cholesky_grad)
eigvalsh = lift(spectra.eigvalsh)
expm = lift(matrix.expm)
kron = lift(linear.kron)
solve = lift(matrix.solve)
solve_symmetric = lift(matrix.solve_symmetric)
solve_triangular = lift(matrix.solve_triangular)


@lift
def cholesky(x: object, lower: bool = True) -> Node:
    """The triangular L with L @ L.T = x, or U with U.T @ U.

    Raises:
        LinAlgError: x is not positive definite, when the function is called.
    """
    return matrix.cholesky(x, upper=not lower)


@lift
def solve_lower_triangular(a: object, b: object) -> Node:
    """The x with a @ x = b, where only the lower triangle of a is read."""
    return matrix.solve_triangular(a, b, lower=True)


@lift
def solve_upper_triangular(a: object, b: object) -> Node:
    """The x with a @ x = b, where only the upper triangle of a is read."""
    return matrix.solve_triangular(a, b, lower=False)
