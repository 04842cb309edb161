"""Who asks for the chunks of an upload."""

from __future__ import annotations

import itertools
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import exprd_proto as wire
from exprd_compiler.errors import CallError, Cancelled
from exprd_proto import checksums as on_the_wire
from exprd_proto.arrays import chunks_of, header_of
from exprd_server.checksums import crc32
from exprd_server.compilers import InProcessCompiler
from exprd_server.engine import LocalEngine
from exprd_server.settings import Settings
from exprd_server.store import MemoryStore

ME = "0" * 32
HANDLE = f"buf-{1:032x}"
VALUE = np.arange(9 << 17, dtype="float64")  # 9 MiB: what is read ahead begins at 8
WAYS = pytest.mark.parametrize(("way", "other"), [(zlib.crc32, True), (crc32, False)])


@pytest.fixture
def engine() -> LocalEngine:
    return LocalEngine(Settings(), InProcessCompiler(), MemoryStore())


def messages(asked: set[threading.Thread], start: int = 0) -> Iterator[wire.DataServicePutRequest]:
    header = wire.PutHeader(client_id=ME, array=header_of(VALUE), handle=HANDLE, offset=start)
    yield wire.DataServicePutRequest(header=header)
    for chunk in chunks_of(VALUE):
        if chunk.offset >= start:
            asked.add(threading.current_thread())
            yield wire.DataServicePutRequest(chunk=chunk)


@WAYS
def test_another_thread_asks_where_checksums_take_long(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch, way: Callable[[Any], int], other: bool
) -> None:
    monkeypatch.setattr(on_the_wire, "_compute", way)
    asked: set[threading.Thread] = set()
    info = engine.uploads.receive(messages(asked))
    assert np.array_equal(engine.get(ME, info.handle), VALUE)
    assert len(asked) == 1
    assert (threading.current_thread() not in asked) == other


@WAYS
def test_either_goes_on_where_it_was_broken_off_and_tells_what_is_wrong(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch, way: Callable[[Any], int], other: bool
) -> None:
    del other
    monkeypatch.setattr(on_the_wire, "_compute", way)

    def broken_off() -> Iterator[wire.DataServicePutRequest]:
        whole = messages(set())
        yield from (next(whole) for _ in range(6))
        raise Cancelled("the connection broke")

    with pytest.raises(Cancelled):
        engine.uploads.receive(broken_off())
    start = engine.uploads.received(ME, HANDLE)
    assert start == 5 << 20
    info = engine.uploads.receive(messages(set(), start))
    assert np.array_equal(engine.get(ME, info.handle), VALUE)

    def flipped() -> Iterator[wire.DataServicePutRequest]:
        for message in messages(set()):
            if message.WhichOneof("part") == "chunk":
                message.chunk.crc32 ^= 1
            yield message

    with pytest.raises(CallError, match="fails its CRC-32"):
        engine.uploads.receive(flipped())


def test_an_upload_that_ends_early_can_be_gone_on_with(engine: LocalEngine) -> None:
    """As gRPC shows a broken connection whose end it hears of before its break."""
    ended = itertools.islice(messages(set()), 3)
    with pytest.raises(CallError, match=f"after 2097152 of {VALUE.nbytes} bytes"):
        engine.uploads.receive(ended)
    start = engine.uploads.received(ME, HANDLE)
    assert start == 2 << 20
    info = engine.uploads.receive(messages(set(), start))
    assert np.array_equal(engine.get(ME, info.handle), VALUE)
