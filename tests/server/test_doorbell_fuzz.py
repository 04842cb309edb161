"""Frames that nobody should send: each is answered with an error, or ends its own connection.

Whatever was sent, the server then still serves this connection or the next, has met no error that
it does not know, and has nothing lent to connections that are gone.
"""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import exprd_proto as wire
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ops.arithmetic import add
from exprd_compiler.ops.leaves import input_
from exprd_proto import doorbell
from exprd_server.values import CompileCall
from tests.server import graphs
from tests.server.bells import belfry, described

KINDS = st.integers(0, 12) | st.sampled_from([0xFF, 0xFFFF])
NUMBERS = st.sampled_from([0, 1, 2, 1023, 1024, 0xFFFF])
SIZES = (
    st.integers(0, 100)
    | st.sampled_from([doorbell.PIECE_BYTES + d for d in (-1, 0, 1)])
    | st.sampled_from([1 << n for n in (20, 26, 31, 32, 62, 63)])
    | st.integers(0, (1 << 64) - 1)
)
SECONDS = st.sampled_from([0.0, 1.0, -1.0, 1e308, float("inf"), float("nan")])
EXTENTS = st.integers(-2, 5) | st.sampled_from([1 << 31, 1 << 62, (1 << 63) - 1])
DATA_TYPES = st.integers(0, 20)
FUZZ = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def tower(tmp_path_factory):
    with belfry(tmp_path_factory.mktemp("bells"), client_bytes=64 << 20) as made:
        x = graphs.named(input_, "x", graphs.VECTOR)
        call = CompileCall(client_id="tester", graph=Graph((x,), (add(x, x),)))
        made.handle = made.engine.compile(call).handle
        yield made
        assert not made.log.failures()
        while len(made.doorbell):
            for speaker in made._speakers:
                speaker.close()
        assert made.engine._leases.held_bytes("tester") == 0


@st.composite
def messages(draw, handle):
    """The text of a DoorbellCall or a DoorbellArray, mostly with something wrong in it."""
    handle = draw(st.sampled_from([handle, "", "nobody", "f" * 5000]))
    if draw(st.booleans()):
        call = wire.DoorbellCall(handle=handle, deliveries=draw(st.lists(st.integers(0, 5))))
        for _ in range(draw(st.integers(0, 3))):
            given_ = call.inputs.add()
            if draw(st.booleans()):
                given_.array.dtype = draw(DATA_TYPES)
                given_.array.shape.extend(draw(st.lists(EXTENTS, max_size=40)))
        return call.SerializeToString()
    put = wire.DoorbellArray(handle=f"buf-{draw(st.integers(0, 3)):032x}")
    put.header.dtype = draw(DATA_TYPES)
    put.header.shape.extend(draw(st.lists(EXTENTS, max_size=5)))
    put.header.nbytes = draw(SIZES)
    return put.SerializeToString()


@st.composite
def frames(draw, handle):
    """A frame: whole, with a wrong count of bytes, or cut."""
    text = draw(st.binary(max_size=80) | messages(handle))
    nbytes = draw(st.just(len(text)) | st.integers(0, (1 << 32) - 1))
    words = (draw(KINDS), draw(NUMBERS), nbytes, draw(SIZES), draw(SIZES), draw(SECONDS))
    frame = doorbell.ASK.pack(*words) + text
    return frame[: draw(st.just(len(frame)) | st.integers(1, len(frame)))]


def serves(tower, speaker):
    """Whether a connection prepares a call and makes it."""
    text = described(tower.handle, ("float64", (2,)))
    if speaker.asked(doorbell.PREPARE, 5, text=text)[0] != doorbell.DONE:
        return False
    pad = bytes(doorbell.aligned(doorbell.ASK.size) - doorbell.ASK.size)
    given_ = pad + np.ones(2).tobytes()
    kind, _, text = speaker.asked(doorbell.CALL, 5, seq=1, text=given_)
    return kind == doorbell.RESULT and np.frombuffer(text[-16:]).tolist() == [2, 2]


@FUZZ
@given(data=st.data())
def test_frames_of_any_kind(tower, data):
    speaker = tower.connected()
    for _ in range(data.draw(st.integers(1, 6))):
        frame = data.draw(frames(tower.handle))
        if not speaker.send(frame):
            break
        if speaker.answer()[0] == 0:
            break
    else:
        assert serves(tower, speaker)
        speaker.close()
        return
    speaker.close()
    following = tower.connected()
    assert serves(tower, following)
    following.close()


@FUZZ
@given(
    region=st.booleans(),
    header=st.sampled_from([0, 8, 4096, doorbell.PIECE_BYTES + 8]),
    steps=st.lists(
        st.tuples(
            st.sampled_from(
                [doorbell.PUT_PIECE, doorbell.GET_PIECE, doorbell.PUT_END, doorbell.GET_END]
            ),
            NUMBERS,
            SIZES,
            SIZES,
        ),
        max_size=5,
    ),
)
def test_pieces_in_any_order(tower, region, header, steps):
    """Offsets and sizes whose sums overflow, halves that are none, pieces before the first."""
    speaker = tower.connected()
    if region:
        assert speaker.asked(doorbell.REGION, seq=2 * doorbell.PIECE_BYTES)[0] == doorbell.DONE
    put = wire.DoorbellArray(handle=f"buf-{'a' * 32}")
    put.header.dtype, put.header.nbytes = wire.DataType.DATA_TYPE_UINT8, header
    put.header.shape.append(header)
    assert speaker.asked(doorbell.PUT, text=put.SerializeToString())[0] == doorbell.DONE
    for kind, half, offset, nbytes in steps:
        answer = speaker.asked(kind, half, seq=offset, acked=nbytes)
        assert answer[0] in (doorbell.DONE, doorbell.FAILURE)
    assert serves(tower, speaker)
    tower.engine.release_buffers("tester", [put.handle])
    speaker.close()


@pytest.mark.parametrize("length", range(1, doorbell.ASK.size))
def test_heads_that_are_cut(tower, length):
    speaker = tower.connected()
    speaker.send(bytes(length))
    assert speaker.answer()[0] == 0
    speaker.close()


def test_a_bool_is_no_other_byte(tower):
    speaker = tower.connected()
    put = wire.DoorbellArray(handle=f"buf-{'b' * 32}")
    put.header.dtype, put.header.nbytes = wire.DataType.DATA_TYPE_BOOL, 8
    put.header.shape.append(8)
    speaker.asked(doorbell.REGION, seq=2 * doorbell.PIECE_BYTES)
    speaker.region[:8] = 2
    speaker.asked(doorbell.PUT, text=put.SerializeToString())
    assert speaker.asked(doorbell.PUT_PIECE, acked=8)[0] == doorbell.DONE
    assert speaker.asked(doorbell.PUT_END)[0] == doorbell.FAILURE
    assert serves(tower, speaker)
    speaker.close()


def test_a_count_of_calls_beyond_the_last(tower):
    speaker = tower.connected()
    text = described(tower.handle, ("float64", (2,)))
    assert speaker.asked(doorbell.PREPARE, 1023, text=text)[0] == doorbell.DONE
    assert speaker.asked(doorbell.PREPARE, 1024, text=text)[0] == doorbell.FAILURE
    big = struct.pack("<Q", (1 << 64) - 1)
    assert speaker.asked(doorbell.CALL, 1023, seq=1, text=big)[0] == doorbell.FAILURE
    speaker.close()
