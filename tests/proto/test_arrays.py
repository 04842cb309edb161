from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from exprd_proto import Array, ArrayChunk, ArrayHeader, DataType
from exprd_proto.arrays import (
    CHUNK_BYTES,
    Assembler,
    WireError,
    array_from_wire,
    array_to_wire,
    chunks_of,
    dtype_from_wire,
    dtype_to_wire,
    header_of,
)

DTYPES = (
    ["bool", "float16", "float32", "float64", "complex64", "complex128"]
    + [f"int{bits}" for bits in (8, 16, 32, 64)]
    + [f"uint{bits}" for bits in (8, 16, 32, 64)]
)


@settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(
            dtype, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=5)
        )
    )
)
def test_round_trip_keeps_dtype_shape_and_bits(value):
    message = Array.FromString(array_to_wire(value).SerializeToString())
    back = array_from_wire(message)
    assert back.dtype == value.dtype
    assert back.shape == value.shape
    assert back.tobytes() == value.tobytes()


def test_bfloat16_keeps_its_bits():
    value = np.arange(2**16, dtype=np.uint16).reshape(4, -1).view(ml_dtypes.bfloat16)
    back = array_from_wire(array_to_wire(value))
    assert back.dtype == value.dtype
    assert back.tobytes() == value.tobytes()


def test_decoded_array_is_read_only():
    back = array_from_wire(array_to_wire(np.arange(4.0)))
    with pytest.raises(ValueError, match="read-only"):
        back[0] = 1.0


def test_every_layout_is_sent_row_major():
    value = np.asfortranarray(np.arange(12, dtype="int32").reshape(3, 4))[::-1, ::2]
    np.testing.assert_array_equal(array_from_wire(array_to_wire(value)), value)


def test_big_endian_values_travel_little_endian():
    value = np.arange(5, dtype=">f8")
    message = array_to_wire(value)
    assert message.data == np.arange(5, dtype="<f8").tobytes()
    np.testing.assert_array_equal(array_from_wire(message), value)


@pytest.mark.parametrize("number", DataType.values())
def test_dtype_numbers_round_trip(number):
    if number == DataType.DATA_TYPE_UNSPECIFIED:
        with pytest.raises(WireError, match="unknown"):
            dtype_from_wire(number)
    else:
        assert dtype_to_wire(dtype_from_wire(number)) == number


F32 = DataType.DATA_TYPE_FLOAT32


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (Array(dtype=F32, shape=[3], data=b"\0" * 8), "takes 12 bytes, but 8"),
        (Array(dtype=F32, shape=[3], data=b"\0" * 16), "takes 12 bytes, but 16"),
        (Array(dtype=F32, shape=[-1], data=b""), "negative"),
        (Array(dtype=F32, shape=[1] * 33, data=b"\0" * 4), "rank 33"),
        (Array(dtype=F32, shape=[2**62, 4], data=b""), "above the limit"),
        (Array(dtype=F32, shape=[0, 2**62], data=b""), "above the limit"),
        (Array(shape=[], data=b""), "unknown"),
        (Array(dtype=99, shape=[], data=b""), "unknown"),
        (Array(dtype=DataType.DATA_TYPE_FLOAT8_E5M2, data=b"\0"), "float8_e5m2 cannot be carried"),
        (Array(dtype=DataType.DATA_TYPE_BOOL, shape=[2], data=b"\0\2"), "0 or 1"),
    ],
)
def test_impossible_arrays_are_refused(message, says):
    with pytest.raises(WireError, match=says):
        array_from_wire(message)


def test_objects_have_no_wire_form():
    with pytest.raises(WireError, match="no wire form"):
        array_to_wire(np.array([object()]))


@pytest.mark.parametrize("count", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 5])
def test_chunks_reassemble(count):
    value = np.arange(count, dtype=np.int64).astype(np.uint8)
    assembler = Assembler(header_of(value))
    for chunk in chunks_of(value):
        assert len(chunk.data) <= CHUNK_BYTES
        assembler.add(chunk)
    np.testing.assert_array_equal(assembler.finish(), value)


def test_chunks_of_a_strided_bool_array():
    value = np.zeros((4, 6), dtype=bool)[:, ::2]
    value[1] = True
    assembler = Assembler(header_of(value))
    for chunk in chunks_of(value, size=5):
        assembler.add(chunk)
    np.testing.assert_array_equal(assembler.finish(), value)


@pytest.mark.parametrize(
    ("chunk", "says"),
    [
        (ArrayChunk(offset=1, data=b"ab", crc32=0), "0 bytes have arrived"),
        (ArrayChunk(offset=0, data=b"ab", crc32=1), "CRC-32"),
        (ArrayChunk(offset=0, data=b"", crc32=0), "1 to"),
        (ArrayChunk(offset=0, data=b"abcde", crc32=0), "announced 4"),
    ],
)
def test_broken_chunks_are_refused(chunk, says):
    header = ArrayHeader(dtype=DataType.DATA_TYPE_UINT8, shape=[4], nbytes=4)
    with pytest.raises(WireError, match=says):
        Assembler(header).add(chunk)


def test_a_header_that_contradicts_itself_is_refused():
    with pytest.raises(WireError, match="announces 5 bytes"):
        Assembler(ArrayHeader(dtype=DataType.DATA_TYPE_UINT8, shape=[4], nbytes=5))


def test_a_cut_off_upload_is_refused():
    assembler = Assembler(ArrayHeader(dtype=DataType.DATA_TYPE_UINT8, shape=[4], nbytes=4))
    with pytest.raises(WireError, match="but 0 were sent"):
        assembler.finish()
