"""Snapshot, Resume, expected incarnations, chosen handles and names as they are on the wire."""

from __future__ import annotations

import uuid

import grpc
import numpy as np
import pytest

import exprd_proto as wire
from exprd_proto import ErrorDetail
from exprd_proto.arrays import array_from_wire, array_to_wire, chunks_of, header_of
from tests.server import graphs
from tests.server.wire import bundle

Code = grpc.StatusCode


def refused(call) -> tuple[grpc.StatusCode, ErrorDetail]:
    """The status of a call that fails."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    trailers = dict(caught.value.trailing_metadata())
    return caught.value.code(), ErrorDetail.FromString(trailers["exprd-error-bin"])


def test_a_snapshot_is_in_the_order_of_the_request(client):
    a, b = client.variable(1.0), client.variable([2.0, 3.0])
    request = wire.StateServiceSnapshotRequest(client_id=client.client_id, uuids=[b, a, b])
    readings = client.state.Snapshot(request).readings
    assert [x.variable.uuid for x in readings] == [b, a, b]
    assert [array_from_wire(x.value.array).tolist() for x in readings] == [[2, 3], 1, [2, 3]]
    request.delivery = wire.Delivery.DELIVERY_DISCARD
    assert client.state.Snapshot(request).readings[1].value.HasField("discarded")


@pytest.mark.parametrize("count", [1024, 1025])
def test_a_snapshot_has_a_limit(client, count):
    name = client.variable(1.0)
    request = wire.StateServiceSnapshotRequest(
        client_id=client.client_id,
        uuids=[name] * count,
        delivery=wire.Delivery.DELIVERY_DISCARD,
    )
    if count == 1024:
        assert len(client.state.Snapshot(request).readings) == count
    else:
        code, detail = refused(lambda: client.state.Snapshot(request))
        assert code is Code.RESOURCE_EXHAUSTED
        assert "at most 1024" in detail.message


@pytest.mark.parametrize("count", [10_000, 10_001])
def test_resuming_has_a_limit(client, count):
    known = [wire.VariableVersion(uuid="x", version=2)] * count
    request = wire.ResumeRequest(client_id=client.client_id, incarnation="before", known=known)
    if count == 10_000:
        assert len(client.admin.Resume(request).missing) == count
    else:
        assert refused(lambda: client.admin.Resume(request))[0] is Code.RESOURCE_EXHAUSTED


def test_resuming_compares_with_what_is_here(client):
    now = client.admin.GetInfo(wire.GetInfoRequest()).incarnation
    name = client.variable(0.0)
    known = [
        wire.VariableVersion(uuid=name, version=2),
        wire.VariableVersion(uuid="gone", version=1),
    ]
    request = wire.ResumeRequest(client_id=client.client_id, incarnation="before", known=known)
    reply = client.admin.Resume(request)
    assert (reply.incarnation, reply.missing, reply.rolled_back) == (now, ["gone"], [name])
    request.incarnation = now
    reply = client.admin.Resume(request)
    assert (list(reply.missing), list(reply.rolled_back)) == ([], [])
    request.client_id = ""
    assert refused(lambda: client.admin.Resume(request))[0] is Code.INVALID_ARGUMENT


def test_calls_for_another_incarnation_do_nothing(client):
    now = client.admin.GetInfo(wire.GetInfoRequest()).incarnation
    total = client.variable(0.0)
    handle = client.compile(bundle(graphs.counter()), total).handle
    value = wire.VariableValue(array=array_to_wire(np.array(5.0)))
    calls = {
        "Execute": lambda named: client.execute(handle, 1.0, expected_incarnation=named),
        "Set": lambda named: client.state.Set(
            wire.StateServiceSetRequest(uuid=total, value=value, expected_incarnation=named)
        ),
        "Get": lambda named: client.state.Get(
            wire.StateServiceGetRequest(uuid=total, expected_incarnation=named)
        ),
        "Snapshot": lambda named: client.state.Snapshot(
            wire.StateServiceSnapshotRequest(uuids=[total], expected_incarnation=named)
        ),
    }
    for call in calls.values():
        code, detail = refused(lambda call=call: call("before"))
        assert code is Code.NOT_FOUND
        assert detail.fields["incarnation"] == now
    assert client.version(total) == 1
    for call in calls.values():
        call(now)
    assert client.version(total) == 3


def uploaded(client, value: np.ndarray, handle: str) -> str:
    header = wire.PutHeader(client_id=client.client_id, array=header_of(value), handle=handle)
    messages = [wire.DataServicePutRequest(header=header)]
    messages += [wire.DataServicePutRequest(chunk=chunk) for chunk in chunks_of(value)]
    return client.data.Put(iter(messages)).buffer.handle


def test_an_upload_may_be_repeated_under_its_handle(client):
    handle = f"buf-{uuid.uuid4().hex}"
    for _ in range(2):
        assert uploaded(client, np.arange(4.0), handle) == handle
    assert refused(lambda: uploaded(client, np.arange(5.0), handle))[0] is Code.ABORTED
    for odd in ("x", "buf-", "../buf", f"buf-{'0' * 31}G"):
        assert refused(lambda odd=odd: uploaded(client, np.arange(4.0), odd))[0] is (
            Code.INVALID_ARGUMENT
        )


def test_attaching_needs_a_name_and_something_that_lasts(client):
    durable, volatile = wire.Durability.DURABILITY_DURABLE, wire.Durability.DURABILITY_VOLATILE

    def attach(**facts):
        request = wire.StateServiceCreateRequest(client_id=client.client_id, attach=True, **facts)
        return client.state.Create(request).variable

    name = f"attached {uuid.uuid4()}"
    assert refused(lambda: attach(durability=durable))[0] is Code.INVALID_ARGUMENT
    assert refused(lambda: attach(name=name, durability=volatile))[0] is Code.INVALID_ARGUMENT
    assert refused(lambda: attach(name=name, durability=durable))[0] is Code.NOT_FOUND
    value = wire.VariableValue(array=array_to_wire(np.zeros(2)))
    made = attach(name=name, durability=durable, value=value)
    assert attach(name=name, durability=durable) == made
    other = wire.VariableValue(array=array_to_wire(np.zeros(2, "int64")))
    assert refused(lambda: attach(name=name, durability=durable, value=other))[0] is Code.ABORTED
