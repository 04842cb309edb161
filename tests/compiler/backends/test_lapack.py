"""Calls of LAPACK beyond single examples: failures, elements without meaning, both providers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from exprd_compiler.backends.llvm import blas
from exprd_compiler.errors import LinAlgError, ShapeError
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.lowering import Lapack
from exprd_compiler.ir.node import Node, Op
from exprd_compiler.kernel.form import LapackCall
from exprd_compiler.kernel.plan import make_plan
from exprd_compiler.kernel.text import print_plan
from exprd_compiler.ops.eigen import eig_values, eig_vectors
from exprd_compiler.ops.factorizations import cholesky, qr_q, qr_r
from exprd_compiler.ops.inverses import det, matrix_inverse, slogdet, solve, solve_triangular
from exprd_compiler.ops.matrix_functions import expm
from exprd_compiler.ops.spectral import (
    eigh_values,
    eigh_vectors,
    pinv,
    svd_left,
    svd_right,
    svd_values,
)
from exprd_compiler.ops.stacked import swapped
from exprd_compiler.ops.table import OPS
from exprd_compiler.passes.levels import optimize
from tests.compiler.native import leaf, native, numpys
from tests.ops.samples import TOLERANCE, assert_close, joined, samples, turned

CALLS = [op for op in OPS.values() if isinstance(op.lowering, Lapack)]
Build = Callable[[Node], Node]
NUMPY = blas.numpy_blas()  # its callbacks must outlive the code that is linked to them


@pytest.fixture
def by_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Native code linked as in a process without OpenBLAS."""
    monkeypatch.setattr("exprd_compiler.backends.executable.host_blas", lambda: NUMPY)


# ---- without OpenBLAS
@pytest.mark.usefixtures("by_numpy")
@pytest.mark.parametrize("op", CALLS, ids=lambda op: op.name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numpy_in_place_of_lapack(op: Op, dtype: str, rng: np.random.Generator) -> None:
    found = samples(op, dtype, rng, known=False)
    graph, arrays = joined(found)
    for got, one in zip(native(graph.inputs, *graph.outputs)(arrays), found, strict=True):
        assert_close(turned(got, one.expected, one.signs), one.expected, tolerance=4)


@pytest.mark.usefixtures("by_numpy")
def test_numpy_gives_complex_vectors_in_lapacks_form() -> None:
    turn = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 2]])
    x = leaf(2)
    w, v = native([x], eig_values(x, vectors=True), eig_vectors(x))([turn])
    np.testing.assert_allclose(turn @ v, v * w, atol=1e-12)
    assert sorted(w.imag) == [-1, 0, 1]


@pytest.mark.usefixtures("by_numpy")
def test_numpys_failures_are_told() -> None:
    x = leaf(2)
    for build, message in (
        (matrix_inverse, "singular"),
        (lambda x: cholesky(x, upper=False), "not positive definite"),
    ):
        with pytest.raises(LinAlgError, match=message):
            native([x], build(x))([-np.ones((2, 2))])


# ---- larger matrices, by what they must satisfy
def spread(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(70, 70), (90, 40), (40, 90), (3, 20, 20)])
def test_factors_make_up_the_matrix(
    shape: tuple[int, ...], dtype: str, rng: np.random.Generator
) -> None:
    a = spread(rng, *shape).astype(dtype)
    x = leaf(a.ndim, dtype)
    for mode in ("reduced", "complete"):
        flags = {"mode": mode}
        q, r, u, s, vh = native(
            [x],
            qr_q(x, **flags),
            qr_r(x, **flags),
            svd_left(x, **flags),
            svd_values(x, **flags),
            svd_right(x, **flags),
        )([a])
        bound = 100 * TOLERANCE[dtype]
        k = s.shape[-1]
        np.testing.assert_allclose(q @ r, a, atol=bound)
        np.testing.assert_allclose(u[..., :k] * s[..., None, :] @ vh[..., :k, :], a, atol=bound)
        for vectors in (q, u, np.swapaxes(vh, -2, -1)):
            gram = np.swapaxes(vectors, -2, -1) @ vectors
            np.testing.assert_allclose(
                gram, np.broadcast_to(np.eye(gram.shape[-1]), gram.shape), atol=bound
            )
        np.testing.assert_allclose(s, np.linalg.svd(a, compute_uv=False), rtol=1e-3, atol=bound)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(80, 80), (4, 15, 15)])
def test_eigenvectors(shape: tuple[int, ...], dtype: str, rng: np.random.Generator) -> None:
    a = spread(rng, *shape).astype(dtype)
    symmetric = a + np.swapaxes(a, -2, -1)
    x, y = leaf(a.ndim, dtype), leaf(a.ndim, dtype)
    w, v, wc, vc = native(
        [x, y],
        eigh_values(x, lower=True, vectors=True),
        eigh_vectors(x, lower=True),
        eig_values(y, vectors=True),
        eig_vectors(y),
    )([np.tril(symmetric), a])
    bound = 300 * TOLERANCE[dtype]
    np.testing.assert_allclose(symmetric @ v, v * w[..., None, :], atol=bound)
    np.testing.assert_allclose(a @ vc, vc * wc[..., None, :], atol=bound)
    assert np.iscomplex(wc).any()
    np.testing.assert_allclose(np.abs(np.linalg.norm(vc, axis=-2)), 1, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("n", "k"), [(64, 1), (65, 30), (200, 3)])
def test_systems(n: int, k: int, dtype: str, rng: np.random.Generator) -> None:
    a = (spread(rng, n, n) + n * np.eye(n)).astype(dtype)
    b = spread(rng, n, k).astype(dtype)
    x, y = leaf(2, dtype), leaf(2, dtype)
    flags = {"lower": True, "trans": True, "unit_diagonal": False}
    got, inverse, triangle, both = native(
        [x, y], solve(x, y), matrix_inverse(x), solve_triangular(x, y, **flags), slogdet(x)
    )([a, b])
    bound = 1000 * TOLERANCE[dtype]
    np.testing.assert_allclose(a @ got, b, atol=bound)
    np.testing.assert_allclose(a @ inverse, np.eye(n), atol=bound)
    np.testing.assert_allclose(np.tril(a).T @ triangle, b, atol=bound)
    np.testing.assert_allclose(both, np.linalg.slogdet(a), rtol=bound)


def test_exponentials_of_large_and_small_norm() -> None:
    turn = np.array([[0.0, -1], [1, 0]])
    x = leaf(3)
    angles = np.array([0.0, 1e-9, 0.5, 3.0, 100.0])
    (got,) = native([x], expm(x))([angles[:, None, None] * turn])
    want = np.stack([[[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]] for t in angles])
    np.testing.assert_allclose(got, want, atol=1e-13)
    (far,) = native([x], expm(x))([np.array([[[-1000.0, 0], [0, 1]]])])
    np.testing.assert_allclose(far, np.array([[[0, 0], [0, np.e]]]), rtol=1e-12)


# ---- failures
SINGULAR = np.stack([np.eye(3), np.ones((3, 3))])
FAILING: dict[str, tuple[Build, np.ndarray, str]] = {
    "inverse": (matrix_inverse, SINGULAR, "singular: pivot 2 of matrix 1 of the stack"),
    "solve": (lambda x: solve(x, x), SINGULAR, "singular: pivot 2 of matrix 1"),
    "cholesky": (lambda x: cholesky(x, upper=False), -SINGULAR, "not positive definite.*order 1"),
    "triangle": (
        lambda x: solve_triangular(x, x, lower=False, trans=False, unit_diagonal=False),
        np.tril(SINGULAR, -1) + np.diag([1.0, 1, 0]),
        "element 3 of the diagonal of matrix 0",
    ),
}
BAD = (np.nan, np.inf, -np.inf)
ITERATIVE: dict[str, Build] = {
    "svd": lambda x: svd_values(x, mode="values"),
    "svd vectors": lambda x: svd_left(x, mode="reduced"),
    "pinv": lambda x: pinv(x, rcond=1e-15),
    "eigh": lambda x: eigh_vectors(x, lower=True),
    "eigvalsh": lambda x: eigh_values(x, lower=True, vectors=False),
    "eig": lambda x: eig_values(x, vectors=True),
}


@pytest.mark.parametrize("case", FAILING)
def test_a_failure_names_op_and_matrix(case: str) -> None:
    build, value, message = FAILING[case]
    x = leaf(3)
    y = build(x)
    y.origin = 17
    run = native([x], y)
    for _ in range(2):  # it may be called again
        with pytest.raises(LinAlgError, match=message) as error:
            run([value])
        assert isinstance(error.value, np.linalg.LinAlgError)
        assert (error.value.op, error.value.nodes) == (y.op.name, (17,))
    with pytest.raises(LinAlgError):
        numpys([x], [build(x)], [value])


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("case", ITERATIVE)
def test_iterations_refuse_what_is_not_finite(case: str, value: float) -> None:
    a = np.stack([np.eye(3)] * 3)
    a[1, 2, 1] = value
    x = leaf(3)
    with pytest.raises(LinAlgError, match="matrix 1 of the stack has elements that are not finite"):
        native([x], ITERATIVE[case](x))([a])
    with pytest.raises(LinAlgError, match="not finite"):
        numpys([x], [ITERATIVE[case](x)], [a])


def test_the_other_triangle_is_not_read() -> None:
    a = np.array([[2.0, np.nan], [1, 3]])
    x = leaf(2)
    w, factor = native([x], eigh_values(x, lower=True, vectors=True), cholesky(x, upper=False))([a])
    whole = np.array([[2.0, 1], [1, 3]])
    np.testing.assert_allclose(w, np.linalg.eigvalsh(whole))
    np.testing.assert_allclose(factor, np.linalg.cholesky(whole))


def test_no_number_goes_through_what_ends() -> None:
    a = np.eye(3)
    a[1, 1] = np.nan
    x = leaf(2)
    outputs = [matrix_inverse(x), solve(x, x), det(x), expm(x), qr_r(x, mode="reduced")]
    for got in native([x], *outputs)([a]):
        assert np.isnan(got).any()


def test_a_singular_matrix_has_a_determinant() -> None:
    x = leaf(3)
    value, both = native([x], det(x), slogdet(x))([SINGULAR])
    np.testing.assert_array_equal(value, [1, 0])
    np.testing.assert_array_equal(both, [[1, 0], [0, -np.inf]])


@pytest.mark.parametrize("build", [matrix_inverse, det, lambda x: cholesky(x, upper=True)])
def test_matrices_that_are_not_square(build: Build) -> None:
    x = leaf(2)
    with pytest.raises(ShapeError, match="square matrices, got 2 by 3"):
        native([x], build(x))([np.ones((2, 3))])


def test_stacks_and_rows_must_agree() -> None:
    x, y = leaf(3), leaf(3)
    run = native([x, y], solve(x, y))
    with pytest.raises(ShapeError, match="2 and 3 on axis 0"):
        run([np.ones((2, 3, 3)), np.ones((3, 3, 1))])
    with pytest.raises(ShapeError, match="3 equations for right sides of 4 rows"):
        run([np.ones((2, 3, 3)), np.ones((2, 4, 1))])


# ---- plans
def test_parts_of_a_decomposition_share_one_call() -> None:
    x = leaf(2)
    parts = (svd_left, svd_values, svd_right)
    plan = make_plan(optimize(Graph((x,), tuple(op(x, mode="reduced") for op in parts))))
    calls = [step for step in plan.steps if isinstance(step, LapackCall)]
    assert [call.routine for call in calls] == ["svd"]
    assert "svd b" in print_plan(plan)


def test_what_is_read_in_place_may_be_a_view() -> None:
    x = leaf(3)
    a = np.tril(np.arange(1.0, 19).reshape(2, 3, 3)) + np.eye(3)
    flags = {"lower": True, "trans": False, "unit_diagonal": False}
    (got,) = native([x], solve_triangular(swapped(x), x, **flags))([a])
    np.testing.assert_allclose(np.tril(np.swapaxes(a, 1, 2)) @ got, a, atol=1e-9)
