"""The boundary when the server itself is at fault."""

from __future__ import annotations

import io
import json
import threading

import grpc
import numpy as np
import pytest

import exprd_proto as wire
from exprd_compiler.errors import CallError, LimitExceeded
from exprd_proto import ErrorDetail
from exprd_proto.arrays import array_to_wire
from exprd_server.compilers import InProcessCompiler
from exprd_server.engine import LocalEngine
from exprd_server.interceptors import told
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


class Reluctant(MemoryStore):
    """A store that cannot forget the first client, as one whose disk is full just then."""

    def __init__(self) -> None:
        super().__init__()
        self.refused, self.forgot = threading.Event(), threading.Event()

    def drop_client(self, client_id: str) -> None:
        if not self.refused.is_set():
            self.refused.set()
            raise LimitExceeded("the disk is full")
        super().drop_client(client_id)
        self.forgot.set()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_leases_are_collected_after_an_error_too(tmp_path):
    store, log, clock = Reluctant(), io.StringIO(), Clock()
    listen = f"unix://{tmp_path}/s"
    settings = Settings(listen=listen, drain_seconds=0, lease_seconds=60, sweep_seconds=0.01)
    engine = LocalEngine(settings, InProcessCompiler(), store, clock=clock)
    server = Server(settings, engine, make_logger(log))
    value = wire.VariableValue(array=array_to_wire(np.ones(())))
    with grpc.insecure_channel(server.start()) as channel:
        for event in (store.refused, store.forgot):
            client = Client(channel)
            request = wire.StateServiceSetRequest(
                uuid=client.variable(1.0), value=value, call_id=client.next_id()
            )
            client.state.Set(request)
            clock.now += 61
            assert event.wait(20)
    server.stop(grace=0)
    assert "leases are not collected" in log.getvalue()


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


LONG = CallError(
    "é" * 9_000, hint="💥" * 9_000, op="%" * 999, fields={f"{i}é": "💥" * 999 for i in range(99)}
)


@pytest.mark.parametrize("broken", [LONG], indirect=True)
def test_an_error_always_fits_its_metadata(broken):
    client, _ = broken
    with pytest.raises(grpc.RpcError) as caught:
        client.compile(bundle(graphs.chain(1)))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    trailers = caught.value.trailing_metadata()
    detail = ErrorDetail.FromString(dict(trailers)["exprd-error-bin"])
    assert detail.kind == "CallError"
    assert detail.message.startswith("ééé")
    sizes = [len(value) * 4 // 3 if key.endswith("-bin") else len(value) for key, value in trailers]
    assert sum(sizes) + 3 * len(caught.value.details()) < 8_000


@pytest.mark.parametrize("broken", [MemoryError()], indirect=True)
def test_memory_that_runs_out_is_a_limit(broken):
    client, _ = broken
    with pytest.raises(grpc.RpcError) as caught:
        client.compile(bundle(graphs.chain(1)))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "more memory than the server has" in caught.value.details()


def test_what_is_kept_of_refusals_is_what_each_of_them_says():
    def refusal(limit: str, pause: str) -> LimitExceeded:
        return LimitExceeded("full", fields={"limit": limit, "retry_after_ms": pause})

    cases = [("calls", "50"), ("calls", "60"), ("client_calls", "50")]
    first, again = ([told(refusal(*case)) for case in cases] for _ in range(2))
    assert all(one is other for one, other in zip(first, again, strict=True))
    found = [(s.detail.fields["limit"], str(s.detail.retry_after_ms)) for s, _ in first]
    assert found == cases
    sent = [ErrorDetail.FromString(rich.trailing_metadata[0][1]) for _, rich in first]
    assert sent == [status.detail for status, _ in first]
    assert told(LimitExceeded("large"))[0].detail.retry_after_ms == 0
