"""Callers that overload, hold on, or talk nonsense: others are served all the same."""

from __future__ import annotations

import threading

import grpc
import numpy as np
import pytest

import exprd_proto as wire
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import neg
from exprd_compiler.ops.creation import alloc
from exprd_compiler.ops.leaves import const
from exprd_proto import ErrorDetail
from exprd_proto.arrays import header_of
from tests.server import graphs
from tests.server.conftest import Client
from tests.server.wire import bundle


@pytest.fixture
def small_server(start_server):
    return start_server("--listen", "127.0.0.1:0", "--calls", "4")


def is_served(target: str) -> bool:
    with grpc.insecure_channel(target) as channel:
        return Client(channel).call(Client(channel).compile(bundle(graphs.chain(1))).handle, [1.0])


def test_surplus_calls_are_refused_at_once(small_server):
    """There is room for 4 calls: the rest of 12 is told so, and the server stays reachable."""
    with grpc.insecure_channel(small_server.target) as channel:
        client = Client(channel)
        request = wire.CompileRequest(client_id="c", graph=bundle(graphs.chain(3000)))
        calls = [client.compiler.Compile.future(request) for _ in range(12)]
        client.admin.GetInfo(wire.GetInfoRequest())
        refused = [call for call in calls if call.code() is not grpc.StatusCode.OK]
        assert 1 <= len(refused) <= 8
        for call in refused:
            detail = ErrorDetail.FromString(dict(call.trailing_metadata())["exprd-error-bin"])
            assert detail.kind == "LimitExceeded"
            assert 50 <= detail.retry_after_ms <= 1000
    assert is_served(small_server.target)


def test_a_call_that_finds_no_place_is_not_read(small_server):
    """Beside four uploads that stand still, nonsense is refused for want of room, and only then."""
    over = threading.Event()

    def upload():
        header = wire.PutHeader(client_id="c", array=header_of(np.zeros(9)))
        yield wire.DataServicePutRequest(header=header)
        over.wait(30)

    with grpc.insecure_channel(small_server.target) as channel:
        nonsense = channel.unary_unary("/exprd.v1.CompilerService/Compile")

        usual = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)

        def until(wanted: grpc.StatusCode) -> None:
            while (code := nonsense.future(b"\xff", timeout=30).code()) is not wanted:
                assert code in usual

        uploads = [Client(channel).data.Put.future(upload()) for _ in range(4)]
        until(grpc.StatusCode.RESOURCE_EXHAUSTED)
        Client(channel).admin.GetInfo(wire.GetInfoRequest(), timeout=30)
        over.set()
        assert all(call.code() is grpc.StatusCode.INVALID_ARGUMENT for call in uploads)
        until(grpc.StatusCode.INVALID_ARGUMENT)
    assert is_served(small_server.target)


def test_metadata_of_17_kilobytes_is_refused(channel, client):
    with pytest.raises(grpc.RpcError) as caught:
        client.admin.GetInfo(wire.GetInfoRequest(), metadata=[("x", "y" * 17_000)])
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    client.admin.GetInfo(wire.GetInfoRequest())


def test_nothing_is_unpacked(channel, client):
    """A small message could become a large one: compressed ones are refused as they come."""
    with pytest.raises(grpc.RpcError) as caught:
        client.admin.GetInfo(
            wire.GetInfoRequest(client_id="x" * 10_000), compression=grpc.Compression.Gzip
        )
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    client.admin.GetInfo(wire.GetInfoRequest())


def test_an_upload_that_stops_costs_no_memory(client):
    header = wire.ArrayHeader(dtype=6, shape=[4 << 30], nbytes=4 << 30)
    message = wire.DataServicePutRequest(
        header=wire.PutHeader(client_id=client.client_id, array=header)
    )
    with pytest.raises(grpc.RpcError) as caught:
        client.data.Put(iter([message]))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert client.admin.GetInfo(wire.GetInfoRequest()).buffers == 0


def test_an_upload_that_hangs_is_ended(start_server, tmp_path):
    server = start_server("--listen", f"unix://{tmp_path}/s", "--stream-seconds", "0.2")
    hold = threading.Event()

    def messages():
        header = wire.PutHeader(client_id="c", array=header_of(np.zeros(10)))
        yield wire.DataServicePutRequest(header=header)
        hold.wait()

    with grpc.insecure_channel(server.target) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            Client(channel).data.Put(messages())
        assert caught.value.code() is grpc.StatusCode.CANCELLED
        hold.set()
        assert is_served(server.target)


def test_an_upload_that_is_cancelled_leaves_nothing(server, client):
    value = np.zeros(10)
    header = wire.PutHeader(client_id=client.client_id, array=header_of(value))
    hold = threading.Event()

    def messages():
        yield wire.DataServicePutRequest(header=header)
        hold.wait()

    call = client.data.Put.future(messages())
    client.admin.GetInfo(wire.GetInfoRequest())
    call.cancel()
    hold.set()
    assert call.cancelled()
    assert client.admin.GetInfo(wire.GetInfoRequest()).buffers == 0
    assert '"failed"' not in server.log.rpartition("Put")[2]


def test_a_call_that_wants_too_much_memory_fails_alone(start_server, tmp_path):
    flags = ("--memory-bytes", str(3 << 30))
    server = start_server("--listen", f"unix://{tmp_path}/s", *flags)
    n = graphs.named(graphs.input_, "n", TensorType("int64", ()))
    graph = Graph((n,), (neg(alloc(const(1.0, "float64"), n, shape=(None,))),))
    with grpc.insecure_channel(server.target) as channel:
        client = Client(channel)
        handle = client.compile(bundle(graph)).handle
        for count in (10**9, 10**12, 2**60, 2**62):
            with pytest.raises(grpc.RpcError) as caught:
                client.call(handle, np.int64(count))
            trailers = dict(caught.value.trailing_metadata())
            assert ErrorDetail.FromString(trailers["exprd-error-bin"]).kind == "LimitExceeded"
        np.testing.assert_array_equal(client.call(handle, np.int64(2)), [[-1, -1]])


def test_objects_outlive_the_server(start_server, tmp_path):
    files: list[dict[str, int]] = []
    for turn in range(2):
        flags = ("--cache-dir", str(tmp_path / "cache"))
        server = start_server("--listen", f"unix://{tmp_path}/{turn}", *flags)
        with grpc.insecure_channel(server.target) as channel:
            Client(channel).compile(bundle(graphs.chain(5)))
        assert server.stop() == 0
        files.append({x.name: x.stat().st_ino for x in (tmp_path / "cache").glob("*.o")})
    assert files[0]
    assert files[1] == files[0]  # what is compiled anew is another file


def test_a_cache_that_cannot_be_used_is_done_without(start_server, tmp_path):
    (tmp_path / "file").touch()
    flags = ("--cache-dir", str(tmp_path / "file" / "cache"))
    server = start_server("--listen", f"unix://{tmp_path}/s", *flags)
    assert is_served(server.target)
    assert "objects are not cached" in server.log
