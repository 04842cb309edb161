"""What is written by hand is what protobuf reads, and would have written."""

from __future__ import annotations

import numpy as np
import pytest

import exprd_proto as wire
from exprd_proto import framing
from exprd_proto.arrays import Assembler, array_from_wire, array_to_wire, header_of

VALUES = [
    np.float64(2.5),
    np.zeros(0, "float32"),
    np.zeros((3, 0, 2), "int8"),
    np.arange(24, dtype="int16").reshape(2, 3, 4)[:, ::2].transpose(2, 0, 1),
    np.array([True, False]),
    np.arange(300, dtype="complex64"),
    np.arange(5, dtype=">i4"),
    np.arange(200_000, dtype="float64"),
    np.arange(200_000, dtype="float64")[::-3],
    np.array(7, dtype="uint64"),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda v: f"{v.dtype.str}{v.shape}")
def test_array_inputs(value):
    value = np.asarray(value)
    data = framing.joined([*framing.array_input(2, value), *framing.buffer_input(2, "buf-1")])
    request = wire.ExecuteRequest.FromString(data)
    assert request.inputs[1].buffer == "buf-1"
    np.testing.assert_array_equal(array_from_wire(request.inputs[0].array), value)
    expected = wire.ExecuteRequest()
    expected.inputs.add().array.CopyFrom(array_to_wire(value))
    expected.inputs.add().buffer = "buf-1"
    assert data == expected.SerializeToString()


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 16_383, 16_384, 2**32, 2**63, 2**64 - 1])
def test_numbers_and_texts(number):
    data = framing.number_field(2, number) + framing.text_field(1, "äé")
    call_id = wire.CallId.FromString(data)
    assert (call_id.seq, call_id.client_id) == (number, "äé")
    assert framing.number_field(3, 0) + framing.text_field(1, "") == b""


@pytest.mark.parametrize("start", [0, 4096, 1_600_000])
def test_chunks(start):
    value = np.arange(200_000, dtype="float64")
    parts = [
        wire.DataServicePutRequest.FromString(m).chunk
        for m in framing.chunks(2, value, 1 << 20, start)
    ]
    assert sum(len(p.data) for p in parts) == value.nbytes - start
    if not start:
        assembler = Assembler(header_of(value))
        for part in parts:
            assembler.add(part)
        np.testing.assert_array_equal(assembler.finish(), value)
