"""Products of tensors of any rank, as numpy has them, and Theano's batched ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd.errors import GraphError, ShapeError

pytestmark = pytest.mark.usefixtures("mode")

Shapes = tuple[tuple[int, ...], ...]


def each(product: Callable[..., Any]) -> Callable[..., Any]:
    """A numpy product for each position on the first axis."""
    return lambda a, b: np.stack([product(x, y) for x, y in zip(a, b, strict=True)])


CASES: dict[str, tuple[Callable[..., Any], Callable[..., Any], Shapes]] = {
    "dot of tensors": (T.dot, np.dot, ((2, 3, 4, 5), (6, 5, 7))),
    "dot with a vector": (T.dot, np.dot, ((2, 3, 4), (4,))),
    "dot with a scalar": (T.dot, np.dot, ((), (4,))),
    "operator @": (lambda a, b: a @ b, np.matmul, ((2, 3, 4), (4, 2))),
    "matmul of vectors": (T.matmul, np.matmul, ((4,), (4,))),
    "matmul, two batches": (T.matmul, np.matmul, ((6, 1, 3, 4), (5, 4, 2))),
    "inner": (T.inner, np.inner, ((2, 3, 4), (5, 4))),
    "vdot": (T.vdot, np.vdot, ((3, 4), (3, 4))),
    "outer": (T.outer, np.outer, ((2, 3), (5,))),
    "kron": (T.kron, np.kron, ((2, 3), (4, 5))),
    "kron of ranks": (T.kron, np.kron, ((2, 3, 2), (5,))),
    "tensordot": (T.tensordot, np.tensordot, ((2, 3, 4), (3, 4, 5))),
    "tensordot 0": (
        lambda a, b: T.tensordot(a, b, 0),
        lambda a, b: np.tensordot(a, b, 0),
        ((2, 3), (4, 5)),
    ),
    "tensordot of an axis": (
        lambda a, b: T.tensordot(a, b, (1, -1)),
        lambda a, b: np.tensordot(a, b, (1, -1)),
        ((2, 3), (4, 3)),
    ),
    "tensordot of axes": (
        lambda a, b: T.tensordot(a, b, [[1, 0], [-1, 0]]),
        lambda a, b: np.tensordot(a, b, [[1, 0], [-1, 0]]),
        ((2, 3, 7), (2, 4, 3)),
    ),
    "batched_dot": (T.batched_dot, np.matmul, ((2, 3, 4), (2, 4, 5))),
    "batched_dot of vectors": (T.batched_dot, each(np.dot), ((2, 4), (2, 4))),
    "batched_dot, mixed": (T.batched_dot, each(np.dot), ((2, 4), (2, 4, 5))),
    "batched_dot, higher": (T.batched_dot, each(np.dot), ((2, 3, 5, 4), (2, 6, 4, 7))),
    "batched_dot of scalars": (T.batched_dot, each(np.dot), ((2,), (2, 6, 4))),
    "batched_tensordot": (
        T.batched_tensordot,
        each(np.tensordot),
        ((2, 3, 5, 4), (2, 5, 4, 7)),
    ),
    "batched_tensordot of axes": (
        lambda a, b: T.batched_tensordot(a, b, [[1, 3], [2, 1]]),
        each(lambda a, b: np.tensordot(a, b, [[0, 2], [1, 0]])),
        ((2, 3, 5, 4), (2, 4, 3, 7)),
    ),
    "einsum of lists": (
        lambda a, b: T.einsum(a, [..., 1], b, [1, 2], [2, ...]),
        lambda a, b: np.einsum(a, [..., 1], b, [1, 2], [2, ...]),
        ((2, 5, 3), (3, 4)),
    ),
    "einsum of lists, no output": (
        lambda a, b: T.einsum(a, [3, 1], b, [1, 2]),
        lambda a, b: np.einsum(a, [3, 1], b, [1, 2]),
        ((2, 3), (3, 4)),
    ),
}

SUBSCRIPTS: dict[str, Shapes] = {
    "bij,bjk->bik": ((2, 3, 4), (2, 4, 5)),
    "bij,bjk": ((2, 3, 4), (2, 4, 5)),
    "...ij,...jk->...ik": ((6, 2, 3, 4), (2, 4, 5)),
    "...ij,...jk": ((6, 2, 3, 4), (2, 4, 5)),
    "ii": ((3, 3),),
    "...ii->...i": ((5, 3, 3),),
    "iij,jk->ik": ((3, 3, 4), (4, 2)),
    "i...->...": ((3, 4, 5),),
    "ba": ((2, 3),),
    " i j , j -> i ": ((3, 4), (4,)),
    "ij,jk,kl,lm->im": ((2, 3), (3, 4), (4, 5), (5, 6)),
    "a...b,b...c->c...a": ((2, 7, 8, 3), (3, 8, 4)),
    "i...,j...->ij...": ((2, 5), (3, 5)),
    "ijk,ilm,njm,nlk,abc->": ((2, 3, 4), (2, 3, 5), (6, 3, 5), (6, 3, 4), (2, 2, 2)),
    "ijZ,jkZ->ikZ": ((2, 3, 4), (3, 5, 4)),
}


def symbols(arrays: Sequence[np.ndarray]) -> list[Any]:
    """A variable for each array; extents are unknown, except 1, which may broadcast."""
    return [
        T.TensorType(a.dtype.name, shape=[1 if e == 1 else None for e in a.shape])() for a in arrays
    ]


def assert_equal(build: Callable[..., Any], numpy: Callable[..., Any], arrays: Any) -> None:
    xs = symbols(arrays)
    got = exprd.function(xs, build(*xs))(*arrays)
    want = np.asarray(numpy(*arrays))
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_the_values_are_numpys(case: str, rng: np.random.Generator) -> None:
    build, numpy, shapes = CASES[case]
    assert_equal(build, numpy, [rng.normal(size=shape) for shape in shapes])


@pytest.mark.parametrize("text", SUBSCRIPTS)
def test_einsum_reads_subscripts_as_numpy_does(text: str, rng: np.random.Generator) -> None:
    arrays = [rng.normal(size=shape) for shape in SUBSCRIPTS[text]]
    assert_equal(lambda *xs: T.einsum(text, *xs), lambda *xs: np.einsum(text, *xs), arrays)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64"])
def test_integers_wrap_around_and_bools_are_logical(dtype: str, rng: np.random.Generator) -> None:
    a, b = (rng.integers(0, 100, shape).astype(dtype) for shape in ((2, 3, 4), (2, 4, 5)))
    assert_equal(T.matmul, np.matmul, [a, b])
    assert_equal(T.matmul, np.matmul, [a, b.astype("int32")])


def test_gradients_are_those_of_sums(rng: np.random.Generator) -> None:
    a, b = T.dtensor3("a"), T.dmatrix("b")
    weights = rng.normal(size=(2, 3, 5))
    first, second = rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 5))
    cost = (T.einsum("bij,jk->bik", a, b) * weights).sum()
    got_a, got_b = exprd.function([a, b], T.grad(cost, [a, b]))(first, second)
    np.testing.assert_allclose(got_a, weights @ second.T)
    np.testing.assert_allclose(got_b, np.einsum("bij,bik->jk", first, weights))


def names(f: Any) -> list[str]:
    return [node.op.__class__.__name__ for node in f.maker.fgraph.toposort()]


def test_large_products_end_in_blas() -> None:
    a, b, w = T.dtensor3("a"), T.dtensor3("b"), T.dmatrix("w")
    assert "BatchedDot" in names(exprd.function([a, b], T.einsum("bij,bkj->ikb", a, b)))
    assert "Dot22" in names(exprd.function([a, b], T.tensordot(a, b)))
    assert "Dot22" in names(exprd.function([a, w], a @ w))


STATIC: dict[str, Callable[[], Any]] = {
    "matmul": lambda: T.matmul(T.TensorType("float64", shape=(2, 3))(), T.zeros((4, 5))),
    "0-d": lambda: T.scalar() @ T.matrix(),
    "tensordot": lambda: T.tensordot(T.zeros((2, 3)), T.zeros((4, 3)), 1),
    "tensordot, number of axes": lambda: T.tensordot(T.matrix(), T.matrix(), 3),
    "tensordot, an axis": lambda: T.tensordot(T.matrix(), T.matrix(), ([2], [0])),
    "batched_dot": lambda: T.batched_dot(T.scalar(), T.vector()),
    "batched_tensordot": lambda: T.batched_tensordot(T.matrix(), T.matrix(), [[0], [1]]),
    "einsum": lambda: T.einsum("ij,jk", T.zeros((2, 3)), T.zeros((4, 5))),
    "einsum, rank": lambda: T.einsum("ij", T.vector()),
    "einsum, output": lambda: T.einsum("ij,jk->il", T.matrix(), T.matrix()),
    "einsum, twice": lambda: T.einsum("ij->ii", T.matrix()),
    "einsum, a letter": lambda: T.einsum("i?", T.matrix()),
    "einsum, ellipsis": lambda: T.einsum("...i->i", T.matrix()),
    "einsum, operands": lambda: T.einsum("i,i", T.vector()),
    "einsum, lists": lambda: T.einsum(T.matrix(), 3),
}


@pytest.mark.parametrize("case", STATIC)
def test_what_does_not_fit_is_told_at_once(case: str) -> None:
    with pytest.raises(GraphError) as told:
        STATIC[case]()
    assert told.value.op


@pytest.mark.parametrize(
    "build",
    [
        T.tensordot,
        T.matmul,
        lambda a, b: T.einsum("ijk,jkl->il", a, b),
        lambda a, b: T.einsum("ijk,ijk->i", a, b),
        lambda a, b: T.einsum("iij,jkl->k", a, b),
    ],
)
def test_what_does_not_fit_at_run_time(build: Callable[..., Any], rng: np.random.Generator) -> None:
    a, b = T.dtensor3("a"), T.dtensor3("b")
    f = exprd.function([a, b], build(a, b))
    # as many elements meet in tensordot, but not on the same axes
    with pytest.raises(ShapeError, match="extent"):
        f(rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 3, 5)))


def test_a_length_of_one_that_is_not_static_does_not_broadcast() -> None:
    a, b = T.dtensor3("a"), T.dtensor3("b")
    f = exprd.function([a, b], a @ b)
    with pytest.raises(ShapeError):
        f(np.ones((1, 3, 4)), np.ones((5, 4, 2)))
