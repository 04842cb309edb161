"""Chunks that are read in place, and the memory that they are gathered in."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest

import exprd_proto as wire
from exprd_proto import framing
from exprd_proto.arrays import Assembler, chunks_of, header_of
from exprd_proto.growing import _SPARE, Growing

PLACE = 2
READ = framing.chunk_or(PLACE, wire.DataServicePutRequest.FromString)


def messages() -> list[bytes]:
    value = np.random.default_rng(3).standard_normal(5000)
    return list(framing.chunks(PLACE, value, 9000)) + list(framing.chunks(PLACE, value, 1 << 20))


def test_what_is_read_in_place_is_what_protobuf_reads() -> None:
    for data in messages():
        chunk, message = READ(data), wire.DataServicePutRequest.FromString(data).chunk
        if len(data) < 4096:  # small ones are left to protobuf
            assert chunk.chunk == message
            continue
        assert (chunk.offset, bytes(chunk.data), chunk.crc32) == (
            message.offset,
            message.data,
            message.crc32,
        )


def test_other_layouts_are_left_to_protobuf() -> None:
    data = messages()[1]
    message = wire.DataServicePutRequest.FromString(data)
    reordered = framing.field(
        PLACE,
        framing.field(2, message.chunk.data)
        + framing.number_field(1, message.chunk.offset)
        + data[-5:],
    )
    assert framing.chunk_of(PLACE, reordered) is None
    assert READ(reordered) == message
    assert framing.chunk_of(PLACE, framing.field(1, bytes(5000))) is None
    assert framing.chunk_of(PLACE, data + framing.number_field(9, 1)) is None
    assert framing.chunk_of(PLACE, b"") is None


def test_damaged_messages_are_read_as_protobuf_reads_them_or_refused() -> None:
    draw = random.Random(11)
    whole = messages()[1]
    same = 0
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            data[draw.choice((*range(12), *range(-8, 0)))] = draw.randrange(256)
        cut = bytes(data[: draw.choice((len(data), len(data), draw.randrange(len(data))))])
        found = framing.chunk_of(PLACE, cut)
        if found is None:
            continue
        same += 1
        message = wire.DataServicePutRequest.FromString(cut).chunk
        assert (found.offset, bytes(found.data), found.crc32) == (
            message.offset,
            message.data,
            message.crc32,
        )
    assert same > 100


@pytest.mark.parametrize("limit", [10, 100_000, 4 << 20, (9 << 20) + 5])
def test_growing_memory_holds_what_was_appended(limit: int) -> None:
    whole = np.random.default_rng(5).integers(0, 256, limit, np.uint8).tobytes()
    found = Growing(limit)
    step = max(1, limit // 7)
    for start in range(0, limit, step):
        found.append(memoryview(whole)[start : start + step])
        assert len(found) == min(limit, start + step)
    view = found.view()
    assert view == whole
    assert not view.readonly


def test_what_finds_no_room_is_an_error_of_memory() -> None:
    if sys.platform != "linux":
        pytest.skip("elsewhere memory grows as a bytearray does, with an error of its own")
    found = Growing(1 << 62)
    found.append(bytes(100))
    with pytest.raises(MemoryError):
        found._room(1 << 60)
    assert bytes(found.view()[:100]) == bytes(100)


def test_the_pages_of_freed_messages_are_kept_for_the_next() -> None:
    if sys.platform != "linux":
        pytest.skip("what malloc keeps elsewhere is not known here")
    # in a process of its own: malloc may have learned it already in this one
    script = """
import resource
from exprd_proto.growing import keep_freed_memory

def new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        messages = [b"x" * (1 << 20) for _ in range(8)]
        del messages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(new_pages())
keep_freed_memory()
keep_freed_memory()
new_pages()
print(new_pages())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after < 100 < 10_000 < before


@pytest.mark.parametrize("dtype", ["float64", "bool"])
def test_memory_is_given_to_the_next_array_when_nothing_refers_to_it(dtype: str) -> None:
    if sys.platform != "linux":
        pytest.skip("elsewhere nothing is kept")
    rng, itemsize = np.random.default_rng(11), np.dtype(dtype).itemsize
    size = 5 << 20

    def arrived() -> tuple[np.ndarray, np.ndarray]:
        sent = (rng.standard_normal(size // itemsize) > 0).astype(dtype)
        assembler = Assembler(header_of(sent))
        for chunk in chunks_of(sent):
            assembler.add(chunk)
        return sent, assembler.finish()

    def place(value: np.ndarray) -> int:
        return int(value.__array_interface__["data"][0])

    _SPARE.clear()
    first, value = arrived()
    where, part = place(value), value[7:9]
    del value
    second, other = arrived()
    assert place(other) != where  # a view still refers to it
    np.testing.assert_array_equal(part, first[7:9])
    np.testing.assert_array_equal(other, second)
    del part
    third, again = arrived()
    assert place(again) == where
    np.testing.assert_array_equal(again, third)
    np.testing.assert_array_equal(other, second)
    _SPARE.clear()
