"""Linear algebra as in numpy.linalg, under Theano's names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import ParamSpec

from exprd import arranging, matrix, reduction, spectra
from exprd.tensor.functions import lift
from exprd.variable import TensorVariable, variable_of
from exprd_compiler.ir.node import Node

__all__ = [
    "alloc_diag",
    "det",
    "diag",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "extract_diag",
    "inv",
    "lstsq",
    "matrix_dot",
    "matrix_inverse",
    "matrix_power",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "svd",
    "tensorinv",
    "tensorsolve",
    "trace",
]

P = ParamSpec("P")


def lift_all(
    build: Callable[P, Node | list[Node]],
) -> Callable[P, TensorVariable | list[TensorVariable]]:
    """A builder of one node or several as a function on variables."""

    @wraps(build)
    def lifted(*args: P.args, **kwargs: P.kwargs) -> TensorVariable | list[TensorVariable]:
        made = build(*args, **kwargs)
        return list(map(variable_of, made)) if isinstance(made, list) else variable_of(made)

    return lifted


def _lift_list(build: Callable[P, Sequence[Node]]) -> Callable[P, list[TensorVariable]]:
    @wraps(build)
    def lifted(*args: P.args, **kwargs: P.kwargs) -> list[TensorVariable]:
        return list(map(variable_of, build(*args, **kwargs)))

    return lifted


alloc_diag = lift(matrix.alloc_diag)
det = lift(matrix.det)
diag = lift(arranging.diag)
eig = _lift_list(spectra.eig)
eigh = _lift_list(spectra.eigh)
eigvals = lift(spectra.eigvals)
extract_diag = lift(matrix.extract_diag)
inv = lift(matrix.inv)
lstsq = _lift_list(matrix.lstsq)
matrix_dot = lift(matrix.matrix_dot)
matrix_inverse = inv
matrix_power = lift(matrix.matrix_power)
norm = lift(reduction.norm)
pinv = lift(matrix.pinv)
qr = lift_all(spectra.qr)
slogdet = _lift_list(matrix.slogdet)
svd = lift_all(spectra.svd)
tensorinv = lift(matrix.tensorinv)
tensorsolve = lift(matrix.tensorsolve)
trace = lift(matrix.trace)


@lift
def eigvalsh(x: object, UPLO: str = "L") -> Node:  # noqa: N803
    """The eigenvalues of symmetric matrices, smallest first; UPLO is the triangle that is read."""
    return spectra.eigvalsh(x, lower=UPLO == "L")
