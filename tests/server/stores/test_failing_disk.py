"""A server whose disk begins to fail: reads go on, writes are refused, and it stops in order."""

from __future__ import annotations

import errno

import grpc
import numpy as np
import pytest

import exprd_proto as wire
from exprd_proto.arrays import array_to_wire
from tests.client.restarts import RestartableServer
from tests.server import graphs
from tests.server.conftest import Client
from tests.server.stores.recording import rule
from tests.server.wire import bundle

FOREVER = 1_000_000
DURABLE = wire.Durability.DURABILITY_DURABLE


def assign(client: Client, name: str, value: float | np.ndarray) -> grpc.StatusCode:
    """The status of an assignment."""
    given = wire.VariableValue(array=array_to_wire(np.asarray(value)))
    try:
        client.state.Set(wire.StateServiceSetRequest(uuid=name, value=given))
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_server_on_a_failing_disk_serves_reads_and_stops(recorder, tmp_path, child_env, number):
    """Under `always` nothing that was answered is lost by that."""
    server = RestartableServer(tmp_path, child_env)
    with grpc.insecure_channel(server.target) as channel:
        client = Client(channel)
        kept = client.variable(1.0, durability=DURABLE, name="kept")
    assert server.stop() == 0
    text = rule("w", "state.db-wal$", 40, number, FOREVER)
    server.start(recorder.watching(tmp_path / "state", rule=text))
    with grpc.insecure_channel(server.target) as channel:
        client = Client(channel)
        volatile = client.variable(0.0)
        scale = client.compile(bundle(graphs.counter()), volatile).handle
        value, status = 1.0, grpc.StatusCode.OK
        while status is grpc.StatusCode.OK:
            status = assign(client, kept, value + 1)
            value += status is grpc.StatusCode.OK
        assert status is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert client.value(kept) == value
        for step in range(3):
            assert client.call(scale, 1.0)[0] == step
        assert client.value(volatile) == 3
    assert server.stop() == 0
    assert "Traceback" not in server.log.read_text()
    server.start()
    with grpc.insecure_channel(server.target) as channel:
        assert Client(channel).value(kept) in (value, value + 1)
    server.kill()


def test_a_server_that_cannot_write_what_it_has_answered_says_so(recorder, tmp_path, child_env):
    server = RestartableServer(tmp_path, child_env, "--durability", "off")
    with grpc.insecure_channel(server.target) as channel:
        client = Client(channel)
        kept = client.variable(np.ones(50_000), durability=DURABLE, name="kept")
    assert server.stop() == 0
    text = rule("w", "state.db-wal$", 40, errno.ENOSPC, FOREVER)
    server.start(recorder.watching(tmp_path / "state", rule=text))
    with grpc.insecure_channel(server.target) as channel:
        client = Client(channel)
        for value in range(2, 12):
            assert assign(client, kept, np.full(50_000, float(value))) is grpc.StatusCode.OK
    status, said = server.stop(), server.log.read_text()
    assert (status, "answered commits are lost" in said) == (1, True)
    assert "Traceback" not in said
    server.start()
    with grpc.insecure_channel(server.target) as channel:
        assert (Client(channel).value(kept) == 1.0).all()
    server.kill()
