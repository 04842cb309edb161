"""Values against types, and constants from values."""

from __future__ import annotations

import numpy as np
import pytest

import exprd.tensor as T
from exprd.convert import as_array
from exprd.errors import CallError, DTypeError, GraphError, ShapeError
from exprd.origin import Origin, here


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1, "int8"),
        (-129, "int16"),
        (2**31, "int64"),
        (2**63, "uint64"),
        (True, "bool"),
        (0.5, "float32"),
        (0.1, "float64"),
        (1e300, "float64"),
        (float("inf"), "float32"),
        (float("nan"), "float32"),
        (np.float64(0.5), "float64"),
        (np.int16(1), "int16"),
        ([1, 2], "int64"),
        ([], "float64"),
        (np.zeros(0, "int32"), "int32"),
    ],
)
def test_constants_take_the_smallest_dtype(value: object, dtype: str) -> None:
    assert as_array(value).dtype == dtype


@pytest.mark.parametrize("value", [None, "a", {}, set(), np.array(["a"]), 2**64])
def test_what_is_no_tensor(value: object) -> None:
    with pytest.raises(GraphError):
        T.as_tensor_variable(value)


def test_dtypes_by_any_name() -> None:
    x = T.scalar("x")
    assert x.astype("int").dtype == "int64"
    assert T.cast(x, np.float32).dtype == "float32"
    assert T.cast(T.iscalar(), "floatX").dtype == "float64"
    for build in (lambda: T.scalar("y", dtype="nonsense"), lambda: x.astype("nonsense")):
        with pytest.raises(DTypeError, match="one of bool"):
            build()


def test_filter() -> None:
    kind = T.TensorType("int8", (False,))
    value = np.array([1, 2], "int8")
    assert kind.filter(value) is value
    assert kind.filter([1, 2]).dtype == np.int8
    assert kind.filter([1.0, 2.0]).dtype == np.int8
    assert kind.filter(np.array([300.7]), allow_downcast=True).tolist() == [44]
    with pytest.raises(CallError, match="strict"):
        kind.filter([1, 2], strict=True)
    with pytest.raises(CallError, match="it would become"):
        kind.filter([300])
    with pytest.raises(CallError, match="lists of one depth"):
        kind.filter([[1], [2, 3]])
    with pytest.raises(CallError, match="int8"):
        kind.filter(["a"])
    with pytest.raises(CallError, match="dtype object"):
        kind.filter(np.array([None]))
    assert T.TensorType("float64", (False,)).filter([float("nan")]).shape == (1,)
    assert T.TensorType("bool", ()).filter(True).dtype == np.bool_


def test_the_type_as_an_object() -> None:
    kind = T.TensorType("floatX", shape=(1, None), name="k")
    assert (kind.dtype, kind.ndim, kind.shape) == ("float64", 2, (1, None))
    assert kind.broadcastable == (True, False)
    assert kind().name == "k"
    assert kind.make_variable("z").name == "z"
    assert kind.clone(dtype="int8").dtype == "int8"
    assert kind.clone(broadcastable=(False, False)).shape == (None, None)
    assert kind != "k"
    assert len({kind, T.TensorType("float64", (True, False))}) == 1
    assert repr(kind) == "TensorType(float64[1,?])"
    with pytest.raises(ShapeError):
        T.TensorType("float64", (False,), shape=(None,))
    with pytest.raises(DTypeError):
        T.TensorType("float128", ())


def test_as_tensor_variable_pads_and_names() -> None:
    x = T.vector("x")
    assert T.as_tensor_variable(x) is x
    assert T.as_tensor_variable(x, ndim=3).broadcastable == (True, True, False)
    assert T.as_tensor_variable(3, name="three").name == "three"
    with pytest.raises(ShapeError):
        T.as_tensor_variable(x, ndim=0)
    made = T.as_tensor_variable([T.scalar(), 1.0])
    assert made.type.shape == (2,)
    assert "TensorConstant{5}" in repr(T.constant(5))


def test_constructors_say_what_is_wrong() -> None:
    with pytest.raises(GraphError, match="name is a string"):
        T.scalar(3)
    with pytest.raises(DTypeError, match="makes float32"):
        T.fscalar("x", dtype="int8")
    assert "constructor" in repr(T.dmatrix)
    with pytest.raises(AttributeError, match="no 'nonsense'"):
        T.nonsense  # noqa: B018
    assert "exp" in dir(T)


def test_an_origin_tells_file_line_and_text() -> None:
    origin = here()  # this very line
    assert origin.file == __file__
    assert origin.text == "origin = here()  # this very line"
    assert str(origin) == f'File "{__file__}", line {origin.line}: {origin.text}'
    assert str(Origin("<stdin>", 1)) == 'File "<stdin>", line 1'


def test_functions_of_the_table_document_themselves() -> None:
    assert "Hyperbolic tangent" in (T.tanh.__doc__ or "")
    assert T.tanh.__name__ == "tanh"
