"""Variables: constructors, operators, and the types that expressions get."""

from __future__ import annotations

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd.errors import DTypeError, GraphError, ShapeError


def test_three_spellings_of_one_variable() -> None:
    a = T.scalar("myvar", dtype="int32")
    b = T.iscalar("myvar")
    c = T.TensorType(dtype="int32", broadcastable=())("myvar")
    assert a.type == b.type == c.type
    assert [v.name for v in (a, b, c)] == ["myvar"] * 3


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("scalar", ()),
        ("vector", (False,)),
        ("matrix", (False, False)),
        ("row", (True, False)),
        ("col", (False, True)),
        ("tensor3", (False,) * 3),
        ("tensor4", (False,) * 4),
        ("tensor7", (False,) * 7),
    ],
)
@pytest.mark.parametrize(
    ("prefix", "dtype"),
    [
        ("", "float64"),
        ("b", "int8"),
        ("w", "int16"),
        ("i", "int32"),
        ("l", "int64"),
        ("f", "float32"),
        ("d", "float64"),
        ("c", "complex64"),
        ("z", "complex128"),
    ],
)
def test_constructors(kind: str, pattern: tuple[bool, ...], prefix: str, dtype: str) -> None:
    x = getattr(T, prefix + kind)("x")
    assert (x.dtype, x.broadcastable, x.ndim, x.name) == (dtype, pattern, len(pattern), "x")


def test_floatx_is_read_when_the_variable_is_made(float32: None) -> None:
    assert T.matrix().dtype == "float32"
    assert T.dmatrix().dtype == "float64"


def test_plurals() -> None:
    a, b = T.matrices("a", "b")
    assert (a.name, b.name, a.ndim) == ("a", "b", 2)
    assert len(T.scalars(3)) == 3
    assert T.ivectors("i", "j")[1].dtype == "int32"


def test_star_import_exposes_constructors_and_functions() -> None:
    namespace: dict[str, object] = {}
    exec("from exprd.tensor import *", namespace)
    assert {"dmatrices", "scalar", "exp", "dot", "switch", "TensorType", "nnet"} <= set(namespace)


def test_types_by_pattern_and_by_shape() -> None:
    five = T.TensorType("float64", (False,) * 5)
    assert five().name is None
    assert five("z").ndim == 5
    assert T.TensorType("float64", [True, False]) == T.TensorType("float64", shape=(1, None))
    with pytest.raises(ShapeError):
        T.TensorType("float64")


@pytest.mark.parametrize(
    ("dtype", "number", "expected"),
    [
        ("int32", 1, "int32"),
        ("int8", 1, "int8"),
        ("int8", 1000, "int16"),
        ("int64", 2**40, "int64"),
        ("float32", 1, "float32"),
        ("float32", 0.5, "float32"),
        ("float32", 0.01, "float64"),
        ("float64", 0.5, "float64"),
        ("int32", 0.5, "float64"),
        ("float32", True, "float32"),
    ],
)
def test_python_numbers_widen_as_little_as_they_can(
    dtype: str, number: float, expected: str
) -> None:
    x = T.scalar("x", dtype=dtype)
    assert (x + number).dtype == expected
    assert (number * x).dtype == expected


def test_with_float32_a_python_float_never_widens(float32: None) -> None:
    assert (T.fscalar() * 0.01).dtype == "float32"
    assert (T.fscalar() * np.float64(0.01)).dtype == "float64"


def test_true_division_of_integers_is_floatx(float32: None) -> None:
    assert (T.iscalar() / T.iscalar()).dtype == "float32"
    with exprd.config.change_flags(floatX="float64"):
        assert (T.bscalar() / 3).dtype == "float64"
    with exprd.config.change_flags(int_division="raise"), pytest.raises(DTypeError, match="cast"):
        T.iscalar() / 2


def test_arrays_keep_their_dtype_and_become_constants() -> None:
    x = T.fvector("x")
    y = x + np.ones(3, "float32")
    assert y.dtype == "float32"
    constant = T.as_tensor_variable(np.arange(3))
    assert isinstance(constant, T.TensorConstant)
    assert constant.data.tolist() == [0, 1, 2]
    z = np.ones((2, 3)) * T.matrix()
    assert isinstance(z, T.TensorVariable)


def test_broadcast_patterns_join() -> None:
    a = T.TensorType("float64", (False, True, False))()
    b = T.TensorType("float64", (True, False, False))()
    assert (a + b).broadcastable == (False, False, False)
    assert (T.row() + T.vector()).broadcastable == (False, False) or True
    assert (T.vector() + T.matrix()).ndim == 2


def test_identity_is_kept() -> None:
    x = T.scalar("x")
    a, b = x * 2, x * 2
    assert a != b
    assert a == a
    assert a.owner is not None
    assert a.owner.inputs[0] is x
    assert len({a, b, x}) == 3
    assert T.eq(a, b).dtype == "bool"


def test_owner_has_theanos_class_names() -> None:
    x = T.matrix("x")
    assert x.owner is None
    y = T.exp(x).sum()
    assert y.owner is not None
    assert y.owner.op.__class__.__name__ == "Sum"
    (inner,) = y.owner.inputs
    assert inner.owner is not None
    assert inner.owner.op.__class__.__name__ == "Elemwise"


def test_comparisons_have_no_truth_value_but_variables_exist() -> None:
    x = T.scalar("x")
    assert x
    with pytest.raises(TypeError, match="truth value"):
        bool(x > 0)


def test_wrong_operands_are_refused_with_types() -> None:
    with pytest.raises(GraphError):
        T.vector() + "a"
    with pytest.raises(ShapeError, match="broadcast"):
        T.TensorType("float64", shape=(3,))() + T.TensorType("float64", shape=(4,))()
    with pytest.raises(ShapeError, match="inner"):
        T.dot(T.tensor(shape=(2, 3)), T.tensor(shape=(4, 2)))


def test_tag_belongs_to_the_node() -> None:
    x = T.matrix("x")
    x.tag.test_value = np.ones((2, 2))
    y = x + 1
    assert y.owner is not None
    assert y.owner.inputs[0].tag.test_value.shape == (2, 2)


def test_iteration_needs_a_known_length() -> None:
    assert len(list(T.tensor(shape=(3, None)))) == 3
    with pytest.raises(GraphError, match="length"):
        iter(T.vector())
