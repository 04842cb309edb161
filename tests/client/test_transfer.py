"""Arrays in chunks over connections that break in every chunk, and servers that forget parts."""

from __future__ import annotations

import functools
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

import exprd
import exprd.tensor as T
import exprd_proto as wire
from exprd import function
from exprd.session import current_session
from exprd.transfer import uploading
from exprd_compiler.errors import Cancelled, ConnectionLost, LimitExceeded
from exprd_proto.arrays import Assembler, WireError, chunks_of, header_of
from exprd_server.compilers import InProcessCompiler
from exprd_server.engine import LocalEngine
from exprd_server.log import make_logger
from exprd_server.serve import Server
from exprd_server.settings import Settings
from exprd_server.store import MemoryStore
from tests.client.proxy import Proxy

MIB = 1 << 20
CHUNKS = 6
HANDLE = "buf-" + 32 * "0"
VALUE = np.random.default_rng(7).standard_normal(CHUNKS * MIB // 8)


def refusing(monkeypatch: pytest.MonkeyPatch, name: str, after: int) -> list[str]:
    """Has a method of the connection in use refuse after so many calls; the handles it was for."""
    connection, asked = current_session().transport._connection, []
    method = getattr(connection, name)

    def refuse(handle: str, *given: object) -> object:
        asked.append(handle)
        if len(asked) > after:
            raise LimitExceeded("there is no room")
        return method(handle, *given)

    monkeypatch.setattr(connection, name, refuse)
    return asked


def test_what_a_refused_call_has_sent_is_given_back(proxy: Proxy, monkeypatch) -> None:
    x, y = T.vector("x"), T.vector("y")
    f, session = function([x, y], x[0] + y[0]), current_session()
    before = session.info()["buffers"]
    asked = refusing(monkeypatch, "upload", after=1)
    with pytest.raises(LimitExceeded, match="no room"):
        f(VALUE, VALUE)
    assert len(asked) == 2
    assert session.info()["buffers"] == before


def test_results_that_are_not_fetched_are_given_back(proxy: Proxy, monkeypatch) -> None:
    n = T.lscalar("n")
    f, session = function([n], [T.zeros(n), T.ones(n), n + 1]), current_session()
    before = session.info()["buffers"]
    asked = refusing(monkeypatch, "download", after=0)
    with pytest.raises(LimitExceeded, match="no room"):
        f(MIB)
    assert len(asked) == 1
    assert session.info()["buffers"] == before


def test_what_cannot_be_read_is_no_closed_connection(proxy: Proxy) -> None:
    def damaged(_: float) -> None:
        raise WireError("the checksum of a chunk is wrong")

    with pytest.raises(ConnectionLost, match=r"cannot be read: the checksum"):
        current_session().transport._connection.rider.call(damaged)


def test_a_broken_upload_goes_on_where_it_was(proxy: Proxy, server: str) -> None:
    connection = current_session().transport._connection
    asked = wire.PutStatusRequest(client_id=connection.client_id, handle=HANDLE)
    with grpc.insecure_channel(server) as channel:
        stub, before = wire.DataServiceStub(channel), proxy.sent
        # gRPC drops what a server has not read yet when its connection breaks
        there = functools.partial(stub.PutStatus, asked)
        proxy.cut_after(5 * MIB + MIB // 2, replies=False, once=lambda: there().received == 5 * MIB)
        connection.upload(HANDLE, VALUE)
    assert proxy.cuts == 1
    assert proxy.sent - before < VALUE.nbytes + MIB
    np.testing.assert_array_equal(connection.download(HANDLE), VALUE)


def test_a_broken_download_goes_on_where_it_was(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Assembler] = []

    class Watched(Assembler):
        def __init__(self, header: wire.ArrayHeader) -> None:
            super().__init__(header)
            made.append(self)

    monkeypatch.setattr("exprd.transfer.Assembler", Watched)
    buffer = exprd.put(VALUE)
    before = proxy.received
    cut = 5 * MIB + MIB // 2
    proxy.cut_after(cut, replies=True, once=lambda: bool(made) and made[0].received == 5 * MIB)
    np.testing.assert_array_equal(buffer.get(), VALUE)
    assert proxy.cuts == 1
    assert proxy.received - before < VALUE.nbytes + MIB
    assert len(made) == 1


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_an_upload_that_breaks_in_a_chunk_goes_on_there(proxy: Proxy, chunk: int) -> None:
    proxy.cut_after(chunk * MIB + MIB // 2, replies=False)
    buffer = exprd.put(VALUE)
    assert proxy.cuts == 1
    np.testing.assert_array_equal(buffer.get(), VALUE)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_download_that_breaks_in_a_chunk_goes_on_there(proxy: Proxy, chunk: int) -> None:
    buffer = exprd.put(VALUE)
    proxy.cut_after(chunk * MIB + MIB // 2, replies=True)
    np.testing.assert_array_equal(buffer.get(), VALUE)
    assert proxy.cuts == 1


def test_arguments_and_results_in_chunks_survive_too(proxy: Proxy) -> None:
    x = T.dvector("x")
    double = function([x], x * 2)
    proxy.cut_after(2 * MIB, replies=False)
    np.testing.assert_array_equal(double(VALUE), VALUE * 2)
    proxy.cut_after(2 * MIB, replies=True)
    np.testing.assert_array_equal(double.submit(VALUE).result(60), VALUE * 2)
    assert proxy.cuts == 2


# ---- what a server has forgotten
class Forgetful:
    """A server in this process, and the way of a client to it; it may forget parts of uploads."""

    def __init__(self, path: Path) -> None:
        settings = Settings(listen=f"unix://{path}")
        self.engine = LocalEngine(settings, InProcessCompiler(), MemoryStore())
        self.server = Server(settings, self.engine, make_logger(io.StringIO()))
        self.channel = grpc.insecure_channel(self.server.start())
        self._stub = wire.DataServiceStub(self.channel)
        self.client_id = "c"
        self.forgets = False

    @property
    def data(self) -> Forgetful:
        return self

    def PutStatus(  # noqa: N802 - as in the protocol
        self, request: wire.PutStatusRequest, timeout: float
    ) -> wire.PutStatusResponse:
        """The real answer; the part may have made room for others when it arrives."""
        answer = self._stub.PutStatus(request, timeout=timeout)
        if self.forgets:
            self.engine.uploads.release_client(self.client_id)
        return answer

    def break_off(self, handle: str) -> None:
        """Leaves the first two chunks of the value there."""
        header = wire.PutHeader(client_id=self.client_id, array=header_of(VALUE), handle=handle)

        def messages() -> Iterator[wire.DataServicePutRequest]:
            yield wire.DataServicePutRequest(header=header)
            for chunk in list(chunks_of(VALUE))[:2]:
                yield wire.DataServicePutRequest(chunk=chunk)
            raise Cancelled("the connection broke")

        with pytest.raises(Cancelled):
            self.engine.uploads.receive(messages())
        assert self.engine.uploads.received(self.client_id, handle) == 2 * MIB


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[Forgetful]:
    made = Forgetful(tmp_path / "s.sock")
    yield made
    made.channel.close()
    made.server.stop(0.0)


@pytest.mark.parametrize("forgets", [False, True])
def test_an_upload_whose_part_has_made_room_begins_anew(
    forgetful: Forgetful, forgets: bool
) -> None:
    upload = uploading(forgetful, HANDLE, VALUE)
    forgetful.client_id = "nobody at all"  # so that the first attempt fails
    with pytest.raises(grpc.RpcError, match="client_id"):
        upload(60.0)
    forgetful.client_id = "c"
    forgetful.break_off(HANDLE)
    forgetful.forgets = forgets
    assert upload(60.0).handle == HANDLE
    np.testing.assert_array_equal(forgetful.engine.get("c", HANDLE), VALUE)
    assert forgetful.engine.uploads.received("c", HANDLE) == 0


def test_a_newer_upload_takes_over_from_one_that_hangs(forgetful: Forgetful) -> None:
    """As when a connection broke and only the client knows."""
    there, over = threading.Event(), threading.Event()
    header = wire.PutHeader(client_id="c", array=header_of(VALUE), handle=HANDLE)
    chunks = list(chunks_of(VALUE))

    def hangs() -> Iterator[wire.DataServicePutRequest]:
        yield wire.DataServicePutRequest(header=header)
        for chunk in chunks[:3]:
            yield wire.DataServicePutRequest(chunk=chunk)
        there.set()
        over.wait(60)
        raise Cancelled("the connection broke")

    uploads, ended = forgetful.engine.uploads, []

    def receive() -> None:
        with pytest.raises(Cancelled):
            uploads.receive(hangs(), over.set)
        ended.append(True)

    hanging = threading.Thread(target=receive)
    hanging.start()
    assert there.wait(60)
    assert uploads.received("c", HANDLE) == 3 * MIB
    header.offset = 3 * MIB
    messages = [wire.DataServicePutRequest(header=header)]
    messages += [wire.DataServicePutRequest(chunk=chunk) for chunk in chunks[3:]]
    info = uploads.receive(iter(messages))
    hanging.join(60)
    assert ended
    np.testing.assert_array_equal(forgetful.engine.get("c", info.handle), VALUE)
    assert uploads.received("c", HANDLE) == 0


def test_the_oldest_part_makes_room(forgetful: Forgetful) -> None:
    uploads = forgetful.engine.uploads
    for number in range(66):
        forgetful.break_off(f"h{number}")
    assert [uploads.received("c", f"h{n}") for n in (0, 1, 2, 65)] == [0, 0, 2 * MIB, 2 * MIB]
    assert uploads.received("another", "h65") == 0
    assert forgetful.engine._leases.held_bytes("c") == 64 * 2 * MIB
