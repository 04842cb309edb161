"""Further names of numpy and Theano: grids, borders, comparisons, permutations, other names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd.errors import GraphError, ShapeError

pytestmark = pytest.mark.usefixtures("mode")

A = np.arange(12.0).reshape(3, 4) - 5.5
N = np.array([[np.nan, np.inf, -np.inf, 1.0], [0.0, -0.0, 2.5, np.nan]])
P = np.array([2, 0, 3, 1])

SAME: dict[str, Callable[..., Any]] = {
    # what is written alike for numpy and for us
    "linspace": lambda m, x: m.linspace(0.1, 2.3, 7),
    "linspace open": lambda m, x: m.linspace(1, 5, 4, endpoint=False),
    "logspace": lambda m, x: m.logspace(-1, 2, 5),
    "geomspace": lambda m, x: m.geomspace(1.0, 1000.0, 4),
    "meshgrid": lambda m, x: m.meshgrid(x[0], x[:, 1])[0] + m.meshgrid(x[0], x[:, 1])[1],
    "meshgrid ij": lambda m, x: m.meshgrid(x[0], x[:, 1], indexing="ij")[1] + 0,
    "meshgrid sparse": lambda m, x: m.meshgrid(x[0], x[:, 1], sparse=True)[0] + 0,
    "mgrid": lambda m, x: m.mgrid[0:3, 1:9:2][1] + 0,
    "ogrid": lambda m, x: m.ogrid[0:3, 1:9:2][0] + 0,
    "mgrid of floats": lambda m, x: m.mgrid[0:1:0.25, 0:2][0] + 0.0,
    "mgrid by number": lambda m, x: m.mgrid[0:1:5j, 0:2][0] + 0.0,
    "indices": lambda m, x: m.indices((2, 3)),
    "identity": lambda m, x: m.identity(3),
    "full_like": lambda m, x: m.full_like(x, 7),
    "broadcast_to": lambda m, x: m.broadcast_to(x[0], (5, 4)),
    "broadcast_arrays": lambda m, x: m.broadcast_arrays(x[0], x)[0] + 0,
    "atleast_2d": lambda m, x: m.atleast_2d(x[0]),
    "hstack": lambda m, x: m.hstack([x, x]),
    "hstack of vectors": lambda m, x: m.hstack([x[0], x[1]]),
    "vstack": lambda m, x: m.vstack([x, x[0]]),
    "diagonal": lambda m, x: m.diagonal(x, 1),
    "ravel": lambda m, x: m.ravel(x),
    "fliplr": lambda m, x: m.fliplr(x),
    "flipud": lambda m, x: m.flipud(x),
    "pad": lambda m, x: m.pad(x, ((1, 2), (0, 3)), constant_values=2),
    "pad by one": lambda m, x: m.pad(x, 1),
    "pad by a pair": lambda m, x: m.pad(x, (2, 1)),
    "pad edge": lambda m, x: m.pad(x, ((1, 2), (0, 3)), mode="edge"),
    "pad reflect": lambda m, x: m.pad(x, 2, mode="reflect"),
    "pad symmetric": lambda m, x: m.pad(x, 5, mode="symmetric"),
    "pad wrap": lambda m, x: m.pad(x, 3, mode="wrap"),
    "isclose": lambda m, x: m.isclose(x, x + 1e-9),
    "allclose": lambda m, x: m.allclose(x, x + 1e-3),
    "logical_and": lambda m, x: m.logical_and(x > 0, x),
    "logical_or": lambda m, x: m.logical_or(x, x > 3),
    "logical_xor": lambda m, x: m.logical_xor(x > 0, x < 3),
    "logical_not": lambda m, x: m.logical_not(x),
    "fabs": lambda m, x: m.fabs(x),
    "positive": lambda m, x: m.positive(x),
    "logaddexp2": lambda m, x: m.logaddexp2(x, 2 * x),
    "sinc": lambda m, x: m.sinc(x + 5.5),
    "heaviside": lambda m, x: m.heaviside(x + 5.5, 0.25),
    "average": lambda m, x: m.average(x, axis=0),
    "average by weights": lambda m, x: m.average(x, axis=0, weights=[1.0, 2.0, 4.0]),
    "count_nonzero": lambda m, x: m.count_nonzero(x > 0, axis=1),
    "square": lambda m, x: m.square(x),
    "absolute": lambda m, x: m.absolute(x),
    "multiply": lambda m, x: m.multiply(x, m.negative(x)),
    "power": lambda m, x: m.power(x, 2),
    "floor_divide": lambda m, x: m.floor_divide(x, 2),
    "greater_equal": lambda m, x: m.greater_equal(x, 0),
    "not_equal": lambda m, x: m.not_equal(x, x),
    "rint": lambda m, x: m.rint(x),
    "radians": lambda m, x: m.radians(x),
    "sign": lambda m, x: m.sign(x),
    "divmod": lambda m, x: divmod(x, 3)[0] + divmod(7.0, x)[1],
    "cumsum": lambda m, x: x.cumsum(axis=1) + x.cumprod(axis=0),
    "repeat": lambda m, x: x.repeat(2, axis=0),
    "x.diagonal": lambda m, x: x.diagonal(-1),
}


@pytest.mark.parametrize("case", SAME)
def test_what_is_written_alike_is_numpys(case: str) -> None:
    x = T.dmatrix("x")
    got = exprd.function([x], SAME[case](T, x), on_unused_input="ignore")(A)
    want = np.asarray(SAME[case](np, A))
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


SPECIAL: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "isclose": (lambda x: T.isclose(x, x), lambda a: np.isclose(a, a)),
    "isclose equal_nan": (
        lambda x: T.isclose(x, x, equal_nan=True),
        lambda a: np.isclose(a, a, equal_nan=True),
    ),
    "isclose of infinities": (lambda x: T.isclose(x, -x), lambda a: np.isclose(a, -a)),
    "nan_to_num": (T.nan_to_num, np.nan_to_num),
    "nan_to_num with values": (
        lambda x: T.nan_to_num(x, nan=1.0, posinf=2.0, neginf=3.0),
        lambda a: np.nan_to_num(a, nan=1.0, posinf=2.0, neginf=3.0),
    ),
    "fmax": (lambda x: T.fmax(x, 1.5), lambda a: np.fmax(a, 1.5)),
    "fmin": (lambda x: T.fmin(x[0], x[1]), lambda a: np.fmin(a[0], a[1])),
    "nansum": (lambda x: T.nansum(x[:, 3:]), lambda a: np.nansum(a[:, 3:])),
    "nanmean": (lambda x: T.nanmean(x[1]), lambda a: np.nanmean(a[1])),
    "heaviside": (lambda x: T.heaviside(x, 0.5), lambda a: np.heaviside(a, 0.5)),
    "xlogy": (lambda x: T.xlogy([0.0, 2.0], [0.0, 3.0]), lambda a: [0.0, 2 * np.log(3.0)]),
    "logit": (lambda x: T.logit([0.25, 1.0]), lambda a: [np.log(1 / 3), np.inf]),
}


@pytest.mark.parametrize("case", SPECIAL)
def test_special_values(case: str) -> None:
    build, numpy = SPECIAL[case]
    x = T.dmatrix("x")
    got = exprd.function([x], build(x), on_unused_input="ignore")(N)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(got, numpy(N), rtol=1e-12)


THEANO: dict[str, tuple[Callable[..., Any], Any]] = {
    "stacklists": (lambda x: T.stacklists([[x, 1], [2, x]]), [[3, 1], [2, 3]]),
    "horizontal_stack": (
        lambda x: T.horizontal_stack(T.ones((1, 1)), T.zeros((1, 2))),
        [[1, 0, 0]],
    ),
    "vertical_stack": (lambda x: T.vertical_stack(T.ones((1, 1)), T.zeros((1, 1))), [[1], [0]]),
    "largest": (lambda x: T.largest(x, 1, 5), 5),
    "smallest": (lambda x: T.smallest(x, 7, 5), 3),
    "ceil_intdiv": (lambda x: T.ceil_intdiv(7, 2), 4),
    "divmod": (lambda x: T.divmod(x, 2)[1], 1),
    "inverse_permutation": (lambda x: T.inverse_permutation(P), np.argsort(P)),
    "permute_row_elements": (lambda x: T.permute_row_elements(A, P), A[:, P]),
    "permuted back": (
        lambda x: T.permute_row_elements(T.permute_row_elements(A, P), P, inverse=True),
        A,
    ),
    "tensor_copy": (lambda x: T.tensor_copy(x), 3),
    "copy": (lambda x: x.copy(), 3),
    "fill": (lambda x: x.fill(9), 9),
    "expit": (lambda x: T.expit(x * 0), 0.5),
    "inv": (lambda x: T.inv(x + 1), 0.25),
    "empty": (lambda x: T.empty((2,)) * 0, [0, 0]),
    "linspace of a variable number": (lambda x: T.linspace(0, 1, T.cast(x, "int64")), [0, 0.5, 1]),
}


@pytest.mark.parametrize("case", THEANO)
def test_theanos_names(case: str) -> None:
    build, want = THEANO[case]
    x = T.dscalar("x")
    np.testing.assert_allclose(exprd.function([x], build(x), on_unused_input="ignore")(3), want)


def test_broadcast_patterns_are_changed() -> None:
    x = T.dmatrix("x")
    row = T.addbroadcast(x, 0)
    assert row.broadcastable == (True, False)
    assert T.unbroadcast(row, 0).broadcastable == (False, False)
    assert T.patternbroadcast(row, (False, True)).broadcastable == (False, True)
    f = exprd.function([x], row + np.ones((3, 4)))
    assert f(np.zeros((1, 4))).shape == (3, 4)
    with pytest.raises(ShapeError):
        f(np.zeros((2, 4)))
    assert T.specify_shape(x, (3, None)).type.shape == (3, None)


def test_static_questions() -> None:
    assert T.get_vector_length(T.stack([T.scalar(), T.scalar()])) == 2
    assert T.get_scalar_constant_value(T.constant(3)) == 3
    assert T.is_flat(T.vector())
    with pytest.raises(GraphError):
        T.get_vector_length(T.vector())
    with pytest.raises(GraphError):
        T.get_scalar_constant_value(T.scalar())


def test_iteration_needs_a_known_length() -> None:
    with pytest.raises(TypeError, match="cannot iterate"):
        sum(T.vector())
    with pytest.raises(TypeError):
        list(T.scalar())
    first, second = T.stack([T.dscalar("a"), T.dscalar("b")])
    assert first.ndim == second.ndim == 0


@pytest.mark.parametrize(
    "build",
    [
        lambda x: T.pad(x, 1, mode="mean"),
        lambda x: T.pad(x, ((1, 2),) * 3),
        lambda x: T.pad(x, T.iscalar(), mode="edge"),
        lambda x: T.meshgrid(x[0], indexing="yx"),
        lambda x: T.mgrid[3:],
        lambda x: T.addbroadcast(x, 2),
        lambda x: T.patternbroadcast(x, (True,)),
        lambda x: T.average(x, weights=[1.0, 2.0]),
        lambda x: T.inverse_permutation(x),
    ],
)
def test_what_makes_no_sense_is_refused(build: Callable[..., Any]) -> None:
    with pytest.raises(GraphError):
        build(T.dmatrix("x"))
