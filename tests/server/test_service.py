"""The services of a real server process, over its socket."""

from __future__ import annotations

import threading
import uuid

import grpc
import numpy as np
import pytest

import exprd_proto as wire
from exprd_proto import ErrorDetail
from exprd_proto.arrays import array_from_wire, array_to_wire, header_of
from tests.server import graphs
from tests.server.bad_graphs import good_graph
from tests.server.wire import bundle

MIB = 1 << 20


def detail_of(error: grpc.RpcError) -> ErrorDetail:
    return ErrorDetail.FromString(dict(error.trailing_metadata())["exprd-error-bin"])


def test_a_function_is_compiled_and_called(client):
    w = client.variable([1.0, 2.0])
    compiled = client.compile(bundle(graphs.step()), w, name="step")
    (total,) = client.call(compiled.handle, [3.0, 4.0])
    assert total == 11
    np.testing.assert_array_equal(client.value(w), [-0.5, 0])
    assert [p.name for p in compiled.signature.inputs] == ["x"]
    assert [p.variable for p in compiled.signature.shared] == [w]
    assert "Elemwise" in {step.op for step in compiled.plan}
    assert {"codegen", "link"} <= {timing.stage for timing in compiled.timings}


def test_the_graph_digest_saves_the_graph(client):
    w = client.variable([1.0])
    first = client.compile(bundle(graphs.scale()), w)
    request = wire.CompileRequest(
        client_id=client.client_id,
        graph_digest=first.graph_digest,
        bindings=[wire.VariableBinding(slot=0, uuid=w)],
    )
    again = client.compiler.Compile(request)
    assert (again.handle, again.cache_hit) == (first.handle, True)


def test_the_server_differentiates_for_clients_that_cannot(client):
    """Gradient descent on sum(x * w), whose derivative by w is x."""
    w = client.variable([1.0, 2.0])
    graph = good_graph(updates=[wire.Update(shared=0, value=5)])
    graph.nodes.add(op="placeholder")
    graph.nodes.add(op="sub", inputs=[1, 4])
    compiled = client.compile(
        wire.GraphBundle(opset_version=1, graphs=[graph]),
        w,
        gradients=[wire.GradientRequest(cost=3, wrt=[1], placeholders=[4])],
    )
    assert client.call(compiled.handle, [3.0, 5.0]) == [13]
    np.testing.assert_array_equal(client.value(w), [-2, -3])


def test_derivatives_without_placeholders_are_outputs(client):
    w = client.variable([1.0, 2.0])
    compiled = client.compile(
        wire.GraphBundle(opset_version=1, graphs=[good_graph(updates=[])]),
        w,
        gradients=[wire.GradientRequest(cost=3, wrt=[1, 0])],
    )
    total, by_w, by_x = client.call(compiled.handle, [3.0, 5.0])
    assert total == 13
    np.testing.assert_array_equal(by_w, [3, 5])
    np.testing.assert_array_equal(by_x, [1, 2])


def test_describe_shows_the_stages(client):
    handle = client.compile(bundle(graphs.step()), client.variable([1.0])).handle
    plain = client.compiler.Describe(wire.DescribeRequest(handle=handle))
    assert not plain.texts
    full = client.compiler.Describe(wire.DescribeRequest(handle=handle, texts=["*"]))
    assert {text.name for text in full.texts} >= {"graph", "optimized", "llvm"}
    assert list(full.plan) == list(plain.plan)


def test_the_reference_target_runs_in_a_worker(client):
    w = client.variable([1.0, 2.0])
    handle = client.compile(bundle(graphs.step()), w, target="reference").handle
    assert client.call(handle, [3.0, 4.0]) == [11]
    np.testing.assert_array_equal(client.value(w), [-0.5, 0])


def test_a_run_time_error_names_its_node(client):
    w = client.variable([1.0, 2.0])
    handle = client.compile(bundle(graphs.step()), w).handle
    with pytest.raises(grpc.RpcError) as caught:
        client.call(handle, [1.0, 2.0, 3.0])
    detail = detail_of(caught.value)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert detail.kind == "ShapeError"
    nodes = [node.op.name for node in graphs.step().nodes()]
    assert {nodes[place] for place in detail.nodes} <= {"mul", "sub"}
    assert detail.nodes
    assert client.version(w) == 1


def test_retries_are_replays(client):
    total = client.variable(0.0)
    handle = client.compile(bundle(graphs.counter()), total).handle
    identity = client.next_id()
    first = client.execute(handle, 5.0, call_id=identity)
    again = client.execute(handle, 5.0, call_id=identity)
    assert (first.replayed, again.replayed) == (False, True)
    assert list(first.outputs) == list(again.outputs)
    assert client.value(total) == 5
    client.execute(handle, 1.0, call_id=client.next_id(acked=1))
    with pytest.raises(grpc.RpcError) as caught:
        client.execute(handle, 5.0, call_id=identity)
    assert detail_of(caught.value).kind == "ResultExpired"
    assert client.value(total) == 6


def test_many_clients_that_all_retry_count_once(client):
    total = client.variable(0.0)
    handle = client.compile(bundle(graphs.counter()), total).handle
    identities = [client.next_id() for _ in range(40)]
    totals: list[float] = []

    def work() -> None:
        for identity in identities:
            reply = client.execute(handle, 1.0, call_id=identity)
            totals.append(float(array_from_wire(reply.outputs[0].array)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.value(total) == 40
    assert sorted(totals) == sorted(4 * list(map(float, range(40))))


def test_data_are_put_once_and_used_by_handle(client):
    w = client.variable(np.ones(1000))
    handle = client.compile(bundle(graphs.scale()), w).handle
    buffer = client.put(np.arange(1000.0))
    source = wire.ExecuteInput(buffer=buffer.handle)
    reply = client.execute(
        handle,
        source,
        deliveries=[wire.Delivery.DELIVERY_KEEP, wire.Delivery.DELIVERY_INLINE],
        call_id=client.next_id(),
    )
    assert array_from_wire(reply.outputs[1].array) == 499_500
    assert reply.ByteSize() < 1000
    kept = reply.outputs[0].buffer
    assert list(kept.shape) == [1000]
    released = client.data.Release(
        wire.DataServiceReleaseRequest(handles=[buffer.handle, kept.handle, "nope"])
    )
    assert (released.released, released.unknown) == (2, 1)


@pytest.mark.parametrize("count", [0, 1, MIB // 8, 5 * MIB // 8 + 3])
def test_arrays_stream_both_ways(client, count):
    value = np.arange(float(count))
    info = client.put(value)
    assert (list(info.shape), info.nbytes) == ([count], value.nbytes)
    first, *rest = client.data.Get(wire.DataServiceGetRequest(handle=info.handle))
    assert first.header == header_of(value)
    assert b"".join(message.chunk.data for message in rest) == value.tobytes()


def upload(client, *messages) -> ErrorDetail:
    with pytest.raises(grpc.RpcError) as caught:
        client.data.Put(iter([wire.DataServicePutRequest(**m) for m in messages]))
    return detail_of(caught.value)


def test_broken_uploads_are_refused(client):
    value = np.arange(4.0)
    header = {"header": wire.PutHeader(client_id=client.client_id, array=header_of(value))}
    chunk = {"chunk": wire.ArrayChunk(offset=0, data=value.tobytes(), crc32=1)}
    assert "begins with its header" in upload(client).message
    assert "begins with its header" in upload(client, chunk).message
    assert "CRC-32" in upload(client, header, chunk).message
    assert "after 0 of 32 bytes" in upload(client, header).message
    assert "is chunks" in upload(client, header, header).message


def test_a_large_variable_moves_through_buffers(client):
    value = np.random.default_rng(0).standard_normal(MIB)
    buffer = client.put(value)
    created = client.state.Create(
        wire.StateServiceCreateRequest(
            client_id=client.client_id, value=wire.VariableValue(buffer=buffer.handle)
        )
    )
    name = created.variable.uuid
    request = wire.StateServiceGetRequest(client_id=client.client_id, uuid=name)
    reply = client.state.Get(request)
    assert reply.value.WhichOneof("result") == "buffer"  # 8 MiB do not come inline by themselves
    assert reply.variable.nbytes == value.nbytes


def test_a_variable_that_fits_no_message_is_not_sent_inline(client):
    buffer = client.put(np.zeros(8 * MIB + 1))
    source = wire.VariableValue(buffer=buffer.handle)
    request = wire.StateServiceCreateRequest(client_id=client.client_id, value=source)
    name = client.state.Create(request).variable.uuid
    with pytest.raises(grpc.RpcError) as caught:
        client.state.Get(
            wire.StateServiceGetRequest(uuid=name, delivery=wire.Delivery.DELIVERY_INLINE)
        )
    assert detail_of(caught.value).kind == "LimitExceeded"


def test_variables_have_a_life(client):
    name = str(uuid.uuid4())
    facts = {"uuid": name, "name": "life", "type": wire.TensorType(dtype=12, shape=[-1])}
    assert client.variable([1.0], **facts) == client.variable([1.0], **facts) == name
    identity = client.next_id()
    source = wire.VariableValue(array=array_to_wire(np.zeros(3)))
    request = wire.StateServiceSetRequest(
        call_id=identity, uuid=name, value=source, expected_version=1
    )
    assert client.state.Set(request).variable.version == 2
    assert client.state.Set(request).replayed
    listed = client.state.List(wire.StateServiceListRequest(name_prefix="life"))
    assert [v.uuid for v in listed.variables] == [name]
    deleted = client.state.Delete(wire.StateServiceDeleteRequest(uuids=[name, "nope"]))
    assert (deleted.deleted, deleted.unknown) == (1, 1)


def test_pages_cover_everything_once(client):
    made = {client.variable([1.0], name=f"page{i}") for i in range(5)}
    seen: list[str] = []
    token = ""
    while True:
        page = client.state.List(
            wire.StateServiceListRequest(name_prefix="page", page_size=2, page_token=token)
        )
        seen += [v.uuid for v in page.variables]
        token = page.next_page_token
        if not token:
            break
    assert sorted(seen) == sorted(made)


def test_info_tells_versions_and_limits(client):
    info = client.admin.GetInfo(wire.GetInfoRequest(client_id=client.client_id))
    assert info.protocol_min <= 1 <= info.protocol_max
    assert info.opset_max >= 1
    assert info.limits.message_bytes == 64 * MIB
    assert [device.target for device in info.devices] == ["cpu", "reference"]
    assert info.store == "memory"
    assert info.incarnation


def test_leaving_frees_everything(client):
    w = client.variable([1.0])
    client.compile(bundle(graphs.scale()), w)
    client.put(np.zeros(1))
    freed = client.admin.EndLease(wire.EndLeaseRequest(client_id=client.client_id))
    assert (freed.functions, freed.buffers, freed.variables) == (1, 1, 1)
    with pytest.raises(grpc.RpcError) as caught:
        client.value(w)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_compilation_stops_at_its_deadline(client):
    request = wire.CompileRequest(client_id=client.client_id, graph=bundle(graphs.chain(20_000)))
    with pytest.raises(grpc.RpcError) as caught:
        client.compiler.Compile(request, timeout=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    handle = client.compile(bundle(graphs.chain(1))).handle
    assert client.call(handle, [1.0]) == [-1]


def test_a_message_beyond_the_limit_is_refused(client):
    w = client.variable(np.ones(1))
    handle = client.compile(bundle(graphs.scale()), w).handle
    with pytest.raises(grpc.RpcError) as caught:
        client.call(handle, np.zeros(9 * MIB))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_chain_of_ten_thousand_nodes(client):
    handle = client.compile(bundle(graphs.chain(10_000))).handle
    np.testing.assert_array_equal(client.call(handle, [1.0, -2.0]), [[1.0, -2.0]])


def test_concurrent_transfers_conserve_the_sum(client):
    a, b = client.variable(0.0), client.variable(0.0)
    forth = client.compile(bundle(graphs.transfer()), a, b).handle
    back = client.compile(bundle(graphs.transfer()), b, a).handle
    sums: list[float] = []

    def work(handle: str, amount: float) -> None:
        sums.extend(float(client.call(handle, amount)[0]) for _ in range(30))

    threads = [threading.Thread(target=work, args=pair) for pair in ((forth, 1.0), (back, 3.0)) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(sums) == {0.0}
    assert (client.value(a), client.value(b)) == (180, -180)


def test_names_are_told_to_the_caller_that_gave_them(client):
    w = client.variable([1.0])
    graph = good_graph(updates=[])
    first = client.compile(wire.GraphBundle(opset_version=1, graphs=[graph]), w)
    graph.nodes[0].name = "other"
    second = client.compile(wire.GraphBundle(opset_version=1, graphs=[graph]), w)
    assert first.handle == second.handle
    assert [c.signature.inputs[0].name for c in (first, second)] == ["x", "other"]
