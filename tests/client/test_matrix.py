"""Linear algebra by its public names, against numpy, in this process and on a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd.errors import DTypeError, GraphError, LinAlgError, ShapeError
from exprd.tensor import nlinalg, slinalg

pytestmark = pytest.mark.usefixtures("mode")

Build = Callable[..., Any]
HALF: Any = 0.5
Shapes = tuple[tuple[int, ...], ...]


def series(a: np.ndarray) -> np.ndarray:
    """exp of a small matrix by its series."""
    out = term = np.eye(a.shape[-1])
    for count in range(1, 60):
        term = term @ a / count
        out = out + term
    return out


def lower_solve(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.solve(np.tril(a), b)


def upper_solve(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.solve(np.triu(a), b)


CASES: dict[str, tuple[Build, Build, Shapes]] = {
    "matrix_inverse": (nlinalg.matrix_inverse, np.linalg.inv, ((3, 3),)),
    "inverses": (nlinalg.inv, np.linalg.inv, ((2, 4, 3, 3),)),
    "pinv": (nlinalg.pinv, np.linalg.pinv, ((4, 3),)),
    "det": (nlinalg.det, np.linalg.det, ((2, 3, 3),)),
    "slogdet": (nlinalg.slogdet, np.linalg.slogdet, ((3, 3),)),
    "power 5": (
        lambda x: nlinalg.matrix_power(x, 5),
        lambda x: np.linalg.matrix_power(x, 5),
        ((3, 3),),
    ),
    "power 0": (
        lambda x: nlinalg.matrix_power(x, 0),
        lambda x: np.linalg.matrix_power(x, 0),
        ((2, 3, 3),),
    ),
    "power -3": (
        lambda x: nlinalg.matrix_power(x, -3),
        lambda x: np.linalg.matrix_power(x, -3),
        ((2, 3, 3),),
    ),
    "trace": (T.trace, np.trace, ((3, 4),)),
    "trace of axes": (
        lambda x: nlinalg.trace(x, 1, -1, 0),
        lambda x: np.trace(x, 1, -1, 0),
        ((3, 4, 5),),
    ),
    "trace as a method": (lambda x: x.trace(), np.trace, ((3, 4),)),
    "matrix_dot": (
        nlinalg.matrix_dot,
        lambda *xs: np.linalg.multi_dot(xs),
        ((2, 3), (3, 4), (4, 2)),
    ),
    "extract_diag": (nlinalg.extract_diag, np.diagonal, ((3, 4),)),
    "alloc_diag": (nlinalg.alloc_diag, np.diag, ((3,),)),
    "solve": (slinalg.solve, np.linalg.solve, ((3, 3), (3, 2))),
    "solve a vector": (slinalg.solve, np.linalg.solve, ((3, 3), (3,))),
    "solve stacks": (slinalg.solve, np.linalg.solve, ((5, 1, 3, 3), (4, 3, 2))),
    "solve_symmetric": (slinalg.solve_symmetric, np.linalg.solve, ((3, 3), (3,))),
    "lower": (slinalg.solve_lower_triangular, lower_solve, ((3, 3), (3, 2))),
    "upper": (slinalg.solve_upper_triangular, upper_solve, ((3, 3), (3,))),
    "transposed": (
        lambda a, b: slinalg.solve_triangular(a, b, lower=True, trans="T"),
        lambda a, b: np.linalg.solve(np.tril(a).T, b),
        ((3, 3), (3, 2)),
    ),
    "cholesky": (slinalg.cholesky, np.linalg.cholesky, ((2, 3, 3),)),
    "cholesky, upper": (
        lambda x: slinalg.cholesky(x, lower=False),
        lambda x: np.linalg.cholesky(x, upper=True),
        ((3, 3),),
    ),
    "qr": (nlinalg.qr, np.linalg.qr, ((4, 3),)),
    "qr, complete": (
        lambda x: nlinalg.qr(x, "complete"),
        lambda x: np.linalg.qr(x, "complete"),
        ((4, 3),),
    ),
    "qr, r": (lambda x: nlinalg.qr(x, "r"), lambda x: np.linalg.qr(x, "r"), ((3, 4),)),
    "qr, raw": (lambda x: nlinalg.qr(x, "raw"), lambda x: np.linalg.qr(x, "raw"), ((4, 3),)),
    "svd values": (
        lambda x: nlinalg.svd(x, compute_uv=False),
        lambda x: np.linalg.svd(x, compute_uv=False),
        ((2, 4, 3),),
    ),
    "eigvalsh": (slinalg.eigvalsh, np.linalg.eigvalsh, ((3, 3),)),
    "eigvalsh, upper": (
        lambda x: nlinalg.eigvalsh(x, "U"),
        lambda x: np.linalg.eigvalsh(x, "U"),
        ((3, 3),),
    ),
    "lstsq": (nlinalg.lstsq, lambda a, b: np.linalg.lstsq(a, b), ((5, 3), (5, 2))),
    "lstsq, vector": (nlinalg.lstsq, lambda a, b: np.linalg.lstsq(a, b), ((5, 3), (5,))),
    "lstsq, wide": (nlinalg.lstsq, lambda a, b: np.linalg.lstsq(a, b), ((3, 5), (3, 2))),
    "tensorinv": (nlinalg.tensorinv, np.linalg.tensorinv, ((4, 6, 8, 3),)),
    "tensorsolve": (nlinalg.tensorsolve, np.linalg.tensorsolve, ((2, 3, 6), (2, 3))),
    "tensorsolve of axes": (
        lambda a, b: nlinalg.tensorsolve(a, b, (0, 2)),
        lambda a, b: np.linalg.tensorsolve(a, b, (0, 2)),
        ((3, 24, 8), (24,)),
    ),
    "expm": (slinalg.expm, series, ((3, 3),)),
    "kron": (slinalg.kron, np.kron, ((2, 3), (3, 2))),
}


def values(shapes: Shapes, rng: np.random.Generator) -> list[np.ndarray]:
    """Random arrays; a first square matrix is positive definite."""
    arrays = [rng.uniform(-0.5, 0.5, shape) for shape in shapes]
    first = arrays[0]
    if first.ndim > 1 and first.shape[-1] == first.shape[-2]:
        arrays[0] = first + np.swapaxes(first, -2, -1) + 3 * np.eye(first.shape[-1])
    return arrays


def variables(arrays: list[np.ndarray]) -> list[Any]:
    pattern = [tuple(extent == 1 for extent in a.shape) for a in arrays]
    return [T.TensorType(a.dtype.name, p)() for a, p in zip(arrays, pattern, strict=True)]


@pytest.mark.parametrize("case", CASES)
def test_numpys_value(case: str, rng: np.random.Generator) -> None:
    build, numpy, shapes = CASES[case]
    arrays = values(shapes, rng)
    inputs = variables(arrays)
    got, want = exprd.function(inputs, build(*inputs))(*arrays), numpy(*arrays)
    several = isinstance(want, tuple)
    for one, other in zip(*((got, want) if several else ([got], [want])), strict=True):
        assert one.shape == np.shape(other)
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11)


def test_whole_numbers_are_computed_in_float64() -> None:
    x = T.imatrix("x")
    found = exprd.function([x], [nlinalg.det(x), nlinalg.inv(x)])(
        np.array([[1, 2], [3, 4]], "int32")
    )
    np.testing.assert_allclose(found[0], -2)
    assert [a.dtype for a in found] == ["float64", "float64"]


def test_complex_and_half_matrices_are_refused() -> None:
    with pytest.raises(DTypeError, match=r"complex128.*real\(x\)"):
        nlinalg.inv(T.zmatrix())
    with pytest.raises(DTypeError, match=r"float16.*cast"):
        nlinalg.inv(T.TensorType("float16", (False, False))())


def test_decompositions(rng: np.random.Generator) -> None:
    a = rng.standard_normal((4, 3))
    s = a.T @ a
    x, y = T.dmatrices(2)
    u, d, vh = nlinalg.svd(x)
    w, v = nlinalg.eigh(y, "U")
    wc, vc = nlinalg.eig(y)
    outputs = [u[:, :3] * d @ vh, v * w @ v.T, T.real(vc * wc @ nlinalg.inv(T.real(vc)))]
    for got, want in zip(exprd.function([x, y], outputs)(a, s), (a, s, s), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-10)


def test_eigenvalues_of_a_rotation_are_complex() -> None:
    x = T.dmatrix("x")
    found = exprd.function([x], nlinalg.eigvals(x))(np.array([[0.0, -1], [1, 0]]))
    assert found.dtype == "complex128"
    np.testing.assert_allclose(sorted(found.imag), [-1, 1])


def test_generalized_eigenvalues(rng: np.random.Generator) -> None:
    (a,), (b,) = values(((4, 4),), rng), values(((4, 4),), rng)
    x, y = T.dmatrices(2)
    want = np.sort(np.linalg.eigvals(np.linalg.solve(b, a)).real)
    for lower, keep in ((True, np.tril), (False, np.triu)):
        f = exprd.function([x, y], slinalg.eigvalsh(x, y, lower=lower))
        np.testing.assert_allclose(f(keep(a), keep(b)), want)


def test_a_least_squares_solution_of_low_rank() -> None:
    a = np.array([[1.0, 1], [1, 1], [1, 1]])
    x, y = T.dmatrix(), T.dvector()
    found = exprd.function([x, y], nlinalg.lstsq(x, y))(a, np.array([1.0, 2, 3]))
    want = np.linalg.lstsq(a, np.array([1.0, 2, 3]))
    for got, other in zip(found, want, strict=True):
        np.testing.assert_allclose(got, other, atol=1e-12)
    assert (found[1].shape, int(found[2])) == ((0,), 1)


def test_the_gradient_of_a_gaussian_likelihood(rng: np.random.Generator) -> None:
    (k,), y = values(((4, 4),), rng), rng.standard_normal(4)
    x, v = T.dmatrix(), T.dvector()
    factor = slinalg.cholesky(x)
    half = slinalg.solve_lower_triangular(factor, v)
    cost = T.dot(half, half) + 2 * T.log(nlinalg.extract_diag(factor)).sum()
    got = exprd.function([x, v], T.grad(cost, x))(k, y)
    alpha = np.linalg.solve(k, y)
    whole = np.linalg.inv(k) - np.outer(alpha, alpha)
    np.testing.assert_allclose((got + got.T) / 2, whole, atol=1e-10)


def test_an_error_is_told_at_the_users_line() -> None:
    x = T.dmatrix("x")
    f = exprd.function([x], nlinalg.matrix_inverse(x))
    with pytest.raises(LinAlgError, match="singular: pivot 2 of matrix 0") as error:
        f(np.ones((2, 2)))
    assert isinstance(error.value, np.linalg.LinAlgError)
    assert error.value.op == "matrix_inverse"
    assert "test_matrix.py" in str(error.value)
    np.testing.assert_allclose(f(2 * np.eye(2)), np.eye(2) / 2)


@pytest.mark.parametrize(
    ("build", "kind", "message"),
    [
        (lambda: nlinalg.inv(T.dvector()), ShapeError, "takes matrices"),
        (lambda: nlinalg.qr(T.dmatrix(), "half"), GraphError, "mode is one of"),
        (lambda: nlinalg.eigh(T.dmatrix(), "X"), GraphError, "'L' or 'U'"),
        (lambda: nlinalg.matrix_power(T.dmatrix(), HALF), GraphError, "integer"),
        (lambda: nlinalg.matrix_dot(), GraphError, "at least one"),
        (lambda: nlinalg.tensorinv(T.dtensor3(), 3), ShapeError, "between 1 and 2"),
        (lambda: nlinalg.alloc_diag(T.dmatrix()), ShapeError, "takes a vector"),
        (lambda: nlinalg.lstsq(T.dtensor3(), T.dvector()), ShapeError, "right side"),
        (lambda: slinalg.solve(T.dmatrix(), 1.0), ShapeError, "right side"),
        (
            lambda: slinalg.solve_triangular(T.dmatrix(), T.dvector(), trans=3),
            GraphError,
            "trans is one of",
        ),
        (lambda: nlinalg.inv(np.ones((2, 3))), ShapeError, "square"),
        (lambda: slinalg.solve(np.eye(2), np.ones((3, 1))), ShapeError, "numbers of rows"),
    ],
)
def test_what_is_refused(build: Build, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        build()
