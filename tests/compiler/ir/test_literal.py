"""Values of attributes come back from their literals to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from exprd_compiler.errors import GraphError
from exprd_compiler.ir.dtype import EVERY
from exprd_compiler.ir.literal import Reader, write_value
from exprd_compiler.ir.node import Const
from exprd_compiler.ir.type import TensorType

TYPES = st.builds(
    TensorType,
    st.sampled_from(EVERY),
    st.lists(st.none() | st.integers(0, 2**12), max_size=5).map(tuple),
)
SHAPES = arrays.array_shapes(min_dims=0, max_side=4)
ARRAYS = st.one_of(
    st.sampled_from([dtype for dtype in EVERY if dtype != "bfloat16"]).flatmap(
        lambda dtype: arrays.arrays(dtype, SHAPES)
    ),
    arrays.arrays("uint16", SHAPES).map(lambda bits: bits.view("bfloat16")),
)
SIMPLE = st.none() | st.booleans() | st.integers() | st.text() | TYPES | ARRAYS.map(Const)
VALUES = st.recursive(
    SIMPLE | st.floats(allow_nan=False), lambda inner: st.lists(inner, max_size=4).map(tuple)
)


def read(text: str) -> Any:
    reader = Reader(text)
    value = reader.value()
    assert reader.at == len(text)
    return value


@settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(VALUES)
def test_values_come_back(value: Any) -> None:
    text = write_value(value)
    assert text.isascii()
    assert "\n" not in text
    again = read(text)
    assert again == value
    assert type(again) is type(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (True, "true"),
        (1, "1"),
        (-0.0, "-0.0"),
        (float("-inf"), "-inf"),
        ('"', r'"\""'),
        ((), "()"),
        ((1,), "(1,)"),
        ((("at", 1), None), '(("at", 1), none)'),
        (TensorType("int8", (None, 2)), "int8[?,2]"),
        (Const(-0.0), "float64[]{-0.0}"),
        (Const([[True, False]]), "bool[1,2]{true, false}"),
        (Const(np.zeros((0, 3), "int16")), "int16[0,3]{}"),
        (Const(np.float32(0.1)), "float32[]{0.1}"),
        (Const(np.arange(9, dtype="uint8")), 'uint8[9]"AAECAwQFBgcI"'),
    ],
)
def test_how_values_look(value: Any, text: str) -> None:
    assert write_value(value) == text
    assert repr(read(text)) == repr(value)


def test_a_nan_keeps_its_bits() -> None:
    bits = np.array([0x7FC00000, 0x7FC00001, 0xFFC00000], "uint32")
    for nan in bits.view("float32"):
        again = read(write_value(Const(nan)))
        assert again.array.tobytes() == nan.tobytes()


@pytest.mark.parametrize("value", [[1], {}, 1j, b"", np.float64(1), np.int64(1), object()])
def test_what_is_no_value(value: Any) -> None:
    with pytest.raises(GraphError, match="an attribute cannot be a"):
        write_value(value)
