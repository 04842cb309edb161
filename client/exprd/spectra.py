"""Decompositions over nodes: QR, singular values, eigenvalues.

What belongs to one decomposition is computed once, however many of its parts are used.
"""

from __future__ import annotations

from exprd.convert import as_node
from exprd.matrix import cholesky, floats, solve_triangular
from exprd.shaping import extent
from exprd_compiler.errors import GraphError
from exprd_compiler.ir.node import Node
from exprd_compiler.ops import eigen, factorizations, spectral
from exprd_compiler.ops.stacked import part, row, smaller, swapped

__all__ = ["eig", "eigh", "eigvals", "eigvalsh", "qr", "svd"]

_QR_MODES = ("reduced", "complete", "r", "raw")


def qr(x: object, mode: str = "reduced") -> Node | list[Node]:
    """The factors q with orthonormal columns and r, zero below its diagonal, with x = q @ r.

    Args:
        x: matrices (m, n); k is the smaller of m and n.
        mode: "reduced" gives q (m, k) and r (k, n); "complete" q (m, m) and r (m, n); "r" only the
            r of "reduced"; "raw" LAPACK's h (n, m) and tau (k,).

    Raises:
        GraphError: no such mode.
    """
    if mode not in _QR_MODES:
        raise GraphError(f"mode is one of {', '.join(_QR_MODES)}, got {mode!r}", op="qr")
    (node,) = floats(x)
    if mode == "raw":
        packed = factorizations.qr_factor(node)
        m, n = extent(node, node.ndim - 2), extent(node, node.ndim - 1)
        last = row(part(packed, -2, None, m), 0)
        return [swapped(part(packed, -2, m)), part(last, -1, smaller(m, n))]
    if mode == "r":
        return factorizations.qr_r(node, mode="reduced")
    return [factorizations.qr_q(node, mode=mode), factorizations.qr_r(node, mode=mode)]


def svd(x: object, full_matrices: bool = True, compute_uv: bool = True) -> Node | list[Node]:
    """Singular values s and orthonormal vectors with x = u @ diag(s) @ vh, largest first.

    Args:
        x: matrices (m, n); k is the smaller of m and n.
        full_matrices: u (m, m) and vh (n, n), else (m, k) and (k, n).
        compute_uv: u, s and vh, else s (k,) alone.

    Raises:
        LinAlgError: no convergence, or elements that are not finite, when the function is called.
    """
    (node,) = floats(x)
    if not compute_uv:
        return spectral.svd_values(node, mode="values")
    mode = "complete" if full_matrices else "reduced"
    parts = (spectral.svd_left, spectral.svd_values, spectral.svd_right)
    return [op(node, mode=mode) for op in parts]


def _lower(triangle: str, op: str) -> bool:
    if triangle not in ("L", "U"):
        raise GraphError(f"UPLO is 'L' or 'U', got {triangle!r}", op=op)
    return triangle == "L"


def eigh(x: object, UPLO: str = "L") -> list[Node]:  # noqa: N803
    """Eigenvalues of symmetric matrices, smallest first, and orthonormal eigenvectors as columns.

    Args:
        x: square matrices.
        UPLO: the triangle that is read.

    Raises:
        LinAlgError: no convergence, or elements that are not finite, when the function is called.
    """
    (node,), lower = floats(x), _lower(UPLO, "eigh")
    values = spectral.eigh_values(node, lower=lower, vectors=True)
    return [values, spectral.eigh_vectors(node, lower=lower)]


def eigvalsh(a: object, b: object = None, lower: bool = True) -> Node:
    """The eigenvalues of symmetric matrices a, smallest first.

    Args:
        a: square matrices, of which one triangle is read.
        b: if given, positive definite matrices: then the w with a @ v = w * b @ v.
        lower: the triangle of both.
    """
    if b is None:
        return spectral.eigh_values(*floats(a), lower=bool(lower), vectors=False)
    left, right = floats(a, b)
    factor = cholesky(right, upper=not lower)
    factor = factor if lower else swapped(factor)
    whole = factorizations.mirrored(left, lower=bool(lower))
    half = solve_triangular(factor, whole, lower=True)
    both = solve_triangular(factor, swapped(half), lower=True)
    return spectral.eigh_values(both, lower=True, vectors=False)


def eig(x: object) -> list[Node]:
    """Eigenvalues of square matrices in no order, and eigenvectors as columns; both complex.

    Raises:
        LinAlgError: no convergence, or elements that are not finite, when the function is called.
    """
    (node,) = floats(as_node(x))
    return [eigen.eig_values(node, vectors=True), eigen.eig_vectors(node)]


def eigvals(x: object) -> Node:
    """The eigenvalues of square matrices, as complex numbers in no order."""
    return eigen.eig_values(*floats(x), vectors=False)
