"""Complex tensors as a user meets them, in this process and on a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd import function, shared
from exprd.errors import CallError, DTypeError

behaviour = pytest.mark.usefixtures("mode")
Z = np.array([[1 + 2j, -0.5j, 3.0], [complex(-0.0, 1.5), -2 - 1j, 0.25]])


# ---- declarations and constants
@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1j, "complex64"),
        (0.5 - 2j, "complex64"),
        (0.1 + 1j, "complex128"),
        (complex("nan+infj"), "complex64"),
        (np.complex128(1j), "complex128"),
        ([1, 2j], "complex128"),
    ],
)
def test_constants_take_the_smallest_type_that_holds_them(value: object, dtype: str) -> None:
    assert T.as_tensor_variable(value).dtype == dtype


def test_a_complex_number_beside_a_tensor() -> None:
    assert (T.fvector() * 1j).dtype == "complex64"
    assert (T.dvector() * 1j).dtype == "complex128"
    assert (T.cvector() * 2).dtype == "complex64"
    assert (T.cvector() * 0.5).dtype == "complex64"
    assert (T.cvector() + T.dscalar()).dtype == "complex128"
    assert (T.cvector() / T.bvector()).dtype == "complex64"
    assert (T.cvector() / T.ivector()).dtype == "complex128"


def test_the_configured_float_decides_about_digits(float32: None) -> None:
    assert T.as_tensor_variable(0.1j).dtype == "complex64"


def test_parts_of_real_tensors() -> None:
    x = T.fvector()
    assert (x.real.dtype, x.imag.dtype, x.conj().dtype) == ("float32",) * 3
    assert (T.zvector().real.dtype, abs(T.cvector()).dtype) == ("float64", "float32")


# ---- what does not exist says so where it is built
@pytest.mark.parametrize(
    "build",
    [
        lambda z: z < z,
        lambda z: T.maximum(z, 0),
        lambda z: T.floor(z),
        lambda z: z % 2,
        lambda z: z // 2,
        lambda z: z & z,
        lambda z: T.sin(z),
        lambda z: T.log(z),
        lambda z: T.erf(z),
        lambda z: z.max(),
        lambda z: z.argmax(),
        lambda z: z.std(),
        lambda z: T.nnet.softmax(z),
        lambda z: T.complex(z, z),
    ],
)
def test_what_needs_real_numbers_says_so(build: Callable[[Any], object]) -> None:
    with pytest.raises(DTypeError, match=r"complex64.*real\(x\)"):
        build(T.cmatrix())


def test_other_refusals_teach_too() -> None:
    z = T.zscalar("z")
    with pytest.raises(DTypeError, match="lose the imaginary part"):
        z.astype("float64")
    with pytest.raises(DTypeError, match="constant whole numbers"):
        z**0.5
    with pytest.raises(DTypeError, match="constant whole numbers"):
        z ** T.iscalar()
    with pytest.raises(DTypeError, match="the cost must be real"):
        T.grad(z, z)
    with pytest.raises(DTypeError, match="jacobian: takes real values"):
        T.jacobian(T.zvector() * 2, z, disconnected_inputs="ignore")
    with pytest.raises(DTypeError, match="cannot write complex64 into float32"):
        T.set_subtensor(T.fvector()[0], T.cscalar())


# ---- values
@behaviour
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_expressions_are_those_of_numpy(dtype: str) -> None:
    value = Z.astype(dtype)
    z = T.matrix("z", dtype=dtype)
    pairs = [
        (z + 1j, value + 1j),
        (z * z - z / (z + 5), value * value - value / (value + 5)),
        (-z, -value),
        (abs(z), abs(value)),
        (z.real, value.real),
        (z.imag, value.imag),
        (z.conj(), value.conj()),
        (T.angle(z), np.angle(value)),
        (T.exp(z), np.exp(value)),
        (T.complex(z.real, 2), value.real + 2j),
        (T.complex_from_polar(abs(z), T.angle(z)), value),
        (T.eq(z, z.conj()), value == value.conj()),
        (T.switch(z.real > 0, z, 1j), np.where(value.real > 0, value, 1j)),
        (z.sum(axis=0), value.sum(axis=0)),
        (z.prod(), value.prod()),
        (z.mean(axis=1), value.mean(axis=1)),
        (z.dot(z.T), value @ value.T),
        (z[0].dot(z[1]), value[0] @ value[1]),
        (z**3, value**3),
        (z ** (-2), value ** (-2.0)),
        (z**0, np.ones_like(value)),
        (T.cumsum(z, axis=1), np.cumsum(value, axis=1)),
        (T.concatenate([z, z.real], axis=0), np.concatenate([value, value.real])),
        (T.stack([z[0], z[1] * 1j]), np.stack([value[0], value[1] * 1j])),
        (z[::-1, 1:], value[::-1, 1:]),
        (z[[1, 0], [2, 2]], value[[1, 0], [2, 2]]),
        (T.set_subtensor(z[0], 1j), np.array([[1j] * 3, value[1]])),
        (T.inc_subtensor(z[:, 0], 1), value + np.array([1, 0, 0])),
        (T.outer(z[0], z[1]), np.outer(value[0], value[1])),
        (T.diag(z[0]), np.diag(value[0])),
        (T.zeros_like(z) + T.eye(2, 3, dtype=dtype), np.eye(2, 3)),
    ]
    results = function([z], [expression for expression, _ in pairs])(value)
    for (expression, want), got in zip(pairs, results, strict=True):
        assert got.dtype == expression.dtype
        np.testing.assert_allclose(got, want, rtol=2e-5 if dtype == "complex64" else 1e-13)


@behaviour
def test_a_shared_variable_is_updated_by_complex_values() -> None:
    state = shared(np.ones(3, "complex64"), name="state")
    turn = T.cscalar("turn")
    step = function([turn], state, updates=[(state, state * turn)])
    step(1j)
    step(np.complex64(1 + 1j))
    assert state.get_value().dtype == "complex64"
    np.testing.assert_array_equal(state.get_value(), np.full(3, -1 + 1j))
    state.set_value(np.array([complex(-0.0, np.nan)] * 3, "complex64"))
    again = state.get_value()
    assert np.isnan(again.imag).all()
    assert np.signbit(again.real).all()


@behaviour
def test_kept_arrays() -> None:
    kept = exprd.put(Z)
    z = T.zmatrix()
    np.testing.assert_array_equal(function([z], z.imag)(kept), Z.imag)
    np.testing.assert_array_equal(kept.get(), Z)


@behaviour
def test_constants_keep_signs_of_zeros_and_what_is_no_number() -> None:
    odd = np.array([complex(-0.0, -0.0), complex(np.nan, -np.inf), complex(np.inf, 5e-324)])
    (got,) = function([], [T.constant(odd)])()
    np.testing.assert_array_equal(got.view("int64"), odd.view("int64"))


@behaviour
def test_real_variables_refuse_complex_values_and_complex_ones_take_real() -> None:
    x, z = T.dvector("x"), T.cvector("z")
    real = function([x], x, allow_input_downcast=True)
    for value in (np.array([1j]), [1j], np.array([1j], "complex64")):
        with pytest.raises(CallError, match=r"float64 is real.*value\.real"):
            real(value)
    double = function([z], z * 2)
    np.testing.assert_array_equal(double(np.ones(2, "float32")), [2, 2])
    np.testing.assert_array_equal(double([1, 2j]), [2, 4j])
    with pytest.raises(TypeError, match="loss of precision"):
        double(np.array([0.1 + 0j]))


@behaviour
def test_gradients_descend_in_the_complex_plane() -> None:
    """d|z - 3i|^2 by z is 2 (z - 3i): a step against it comes nearer."""
    z = T.zscalar("z")
    cost = abs(z - 3j) ** 2
    value = 1 - 1j
    slope = function([z], T.grad(cost, z))
    for _ in range(20):
        value = value - 0.25 * slope(value)
    assert abs(value - 3j) < 1e-5
    np.testing.assert_allclose(slope(1 - 1j), 2 * (1 - 4j))
