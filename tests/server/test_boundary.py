"""The boundary when the server itself is at fault."""

from __future__ import annotations

import io
import json

import grpc
import pytest

import exprd_proto as wire
from exprd_proto import ErrorDetail
from exprd_server.compilers import InProcessCompiler
from exprd_server.engine import LocalEngine
from exprd_server.log import make_logger
from exprd_server.serve import Server
from exprd_server.settings import Settings
from exprd_server.store import MemoryStore
from tests.server import graphs
from tests.server.conftest import Client
from tests.server.wire import bundle


class BrokenCompiler(InProcessCompiler):
    """A compiler with a bug."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    def compile(self, graph, choices, deadline, /):
        raise self._error


@pytest.fixture
def broken(request, tmp_path):
    log = io.StringIO()
    settings = Settings(listen=f"unix://{tmp_path}/s", drain_seconds=0)
    engine = LocalEngine(settings, BrokenCompiler(request.param), MemoryStore())
    server = Server(settings, engine, make_logger(log))
    with grpc.insecure_channel(server.start()) as channel:
        yield Client(channel), log
    server.stop(grace=0)


@pytest.mark.parametrize("broken", [RuntimeError("at /secret/path.py")], indirect=True)
def test_an_unknown_error_becomes_an_incident(broken):
    client, log = broken
    with pytest.raises(grpc.RpcError) as caught:
        client.compile(bundle(graphs.chain(1)))
    trailers = dict(caught.value.trailing_metadata())
    detail = ErrorDetail.FromString(trailers["exprd-error-bin"])
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in f"{caught.value.details()}{trailers}"
    (line,) = [line for line in log.getvalue().splitlines() if detail.incident in line]
    event = json.loads(line)
    assert event["event"] == "failed"
    assert "at /secret/path.py" in event["exception"]
    client.admin.GetInfo(wire.GetInfoRequest())


@pytest.mark.parametrize("broken", [MemoryError()], indirect=True)
def test_memory_that_runs_out_is_a_limit(broken):
    client, _ = broken
    with pytest.raises(grpc.RpcError) as caught:
        client.compile(bundle(graphs.chain(1)))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "more memory than the server has" in caught.value.details()
