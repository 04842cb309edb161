"""Checksums: zlib's own number, whatever computes it."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from exprd_compiler.backends.llvm.target import host_features, host_level
from exprd_compiler.ir.dtype import numpy_dtype
from exprd_proto import checksums as wire
from exprd_server import checksums
from exprd_server.calls import digest_of
from exprd_server.checksums import crc32, fold_constants, fold_text

STEP = 4 * host_level().vector_bits // 8
SIZES = (0, 1, 5 * STEP, *(checksums._LEAST + n for n in (-1, 0, 1, STEP - 1, STEP, STEP + 1)))
DATA = np.random.default_rng(0).integers(0, 256, checksums._HELD + 3 * STEP, np.uint8)


@pytest.fixture(params=["here", "elsewhere"])
def machine(request, monkeypatch):
    """This machine, and one whose processor does not multiply without carries."""
    if request.param == "elsewhere":
        monkeypatch.setattr(checksums, "host_features", frozenset)
    checksums._folding.cache_clear()
    yield request.param
    checksums._folding.cache_clear()


@pytest.mark.parametrize("start", [0, 1, 0xFFFFFFFF])
def test_it_is_the_number_that_zlib_gives(machine, start):
    for size in (*SIZES, DATA.size - 1, DATA.size):
        assert crc32(DATA[:size], start) == zlib.crc32(DATA[:size], start), (machine, size)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda x: x.view("<f4")])
def test_buffers_of_any_kind(kind):
    data = kind(DATA[: 4 * checksums._LEAST])
    assert crc32(data) == zlib.crc32(data)


def test_bytes_that_lie_anywhere():
    for start in range(1, 64, 7):
        part = DATA[start : start + checksums._LEAST + start]
        assert crc32(part) == zlib.crc32(part)


def test_bytes_apart_are_refused():
    with pytest.raises((BufferError, ValueError)):
        crc32(DATA[::2])


def test_every_bit_counts():
    data = DATA[: 2 * checksums._LEAST].copy()
    known = crc32(data)
    for place in range(0, data.size, 997):
        data[place] ^= 1 << place % 8
        assert crc32(data) != known
        data[place] ^= 1 << place % 8
    assert crc32(data) == known


def test_the_constants_are_those_of_the_paper():
    """As they stand in section 4 for four accumulators of 128 bits, and for one."""
    assert fold_constants(512) == (0x154442BD4, 0x1C6E41596)
    assert fold_constants(128) == (0x1751997D0, 0x0CCAA009E)


@pytest.mark.skipif("vpclmulqdq" not in host_features(), reason="the processor cannot")
@pytest.mark.parametrize("bits", [b for b in (256, 512) if b <= host_level().vector_bits])
def test_both_widths(bits):
    assert f"pclmulqdq.{bits}" in fold_text(bits)
    fold = checksums._Fold(bits)
    data = memoryview(DATA[:100_001])
    assert fold(data, data.nbytes, 7) == zlib.crc32(data, 7)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1 << 14, 2)])
@pytest.mark.parametrize("dtype", ["bool", "int8", "float16", "bfloat16", "float32", "complex128"])
def test_arguments_of_every_dtype_and_shape_are_told_apart(shape, dtype):
    array = np.ones(shape, numpy_dtype(dtype))
    whole = digest_of("", [array])
    assert digest_of("", [array.copy()]) == whole
    assert array.size == 0 or digest_of("", [np.zeros_like(array)]) != whole
    assert digest_of("", [array[::-1] if shape else array]) == whole


def test_a_server_checks_what_is_on_the_wire_this_way(monkeypatch):
    monkeypatch.setattr(wire, "_compute", zlib.crc32)
    checksums.install()
    quick = checksums._folding() is not None
    assert wire._compute is (crc32 if quick else zlib.crc32)
    assert wire.take_long() is not quick
    assert wire.crc32(b"abc") == zlib.crc32(b"abc")
