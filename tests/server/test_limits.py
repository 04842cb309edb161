"""Every limit, at it and one beyond; and what the limits are when nobody says otherwise."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

import exprd_proto as wire
from exprd_compiler.errors import (
    Cancelled,
    DeadlineExceeded,
    ExprdError,
    GraphError,
    LimitExceeded,
)
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import neg
from exprd_compiler.ops.leaves import input_
from exprd_proto.arrays import chunks_of, header_of
from exprd_server import decode, naming, requests
from exprd_server.batch import run_batch
from exprd_server.compilers import InProcessCompiler
from exprd_server.deadline import Deadline
from exprd_server.engine import LocalEngine
from exprd_server.lane import Lane
from exprd_server.log import make_logger
from exprd_server.serve import Server
from exprd_server.settings import GIB, MIB, Limits, Settings, WorkerSettings
from exprd_server.store import MemoryStore
from exprd_server.values import CompileCall, CompileChoices, ExecuteCall, SetCall
from exprd_server.variables import NewVariable
from exprd_server.versions import PublishCall
from exprd_server.workers import WorkerPool
from tests.server import graphs
from tests.server.test_workers import COMMAND
from tests.server.wire import bundle

ME = "client"
TESTS = Path(__file__).parents[1]


def engine_with(**limits: int) -> LocalEngine:
    settings = Settings(limits=Limits(**limits))
    return LocalEngine(settings, InProcessCompiler(), MemoryStore())


def compiled(engine: LocalEngine, length: int) -> str:
    """A function that is like no other; node by node, so that nothing is compiled."""
    choices = CompileChoices(target="reference")
    return engine.compile(
        CompileCall(client_id=ME, graph=graphs.chain(length), choices=choices)
    ).handle


def functions(count: int) -> None:
    engine = engine_with(functions=3)
    for length in range(count):
        compiled(engine, length + 1)


def buffers(count: int) -> None:
    engine = engine_with(buffers=3)
    for _ in range(count):
        engine.put(ME, np.zeros(1))


def variables(count: int) -> None:
    engine = engine_with(variables=3)
    for _ in range(count):
        engine.create_variable(ME, NewVariable(value=np.zeros(1)))


def published(count: int) -> None:
    engine = engine_with(published=3)
    for version in range(count):
        engine.published.publish(
            PublishCall(client_id=ME, name="f", handle=compiled(engine, version + 1), inputs=1)
        )


def clients(count: int) -> None:
    engine = engine_with(clients=3)
    for number in range(count):
        engine.renew(f"c{number}")


def client_bytes(count: int) -> None:
    engine = engine_with(client_bytes=3)
    engine.put(ME, np.zeros(2, np.int8))
    engine.create_variable(ME, NewVariable(value=np.zeros(count - 2, np.int8)))


def client_bytes_of_an_update(count: int) -> None:
    engine = engine_with(client_bytes=3)
    info = engine.create_variable(ME, NewVariable(value=np.zeros(1, np.int8)))
    engine.set_variable(SetCall(uuid=info.uuid, value=np.zeros(count, np.int8)))


def client_bytes_of_an_upload(count: int) -> None:
    """One that never arrives whole; meanwhile its client asks for more."""
    engine = engine_with(client_bytes=3)

    def more() -> None:
        assert engine._leases.held_bytes(ME) == 2
        engine.put(ME, np.zeros(count - 2, np.int8))

    with contextlib.suppress(Cancelled):
        engine.uploads.receive(broken_off(2, then=more))
    assert engine._leases.held_bytes(ME) == count - 2


def client_bytes_of_a_later_upload(count: int) -> None:
    """Refused with its first bytes, all of which are given back."""
    engine = engine_with(client_bytes=3)
    engine.put(ME, np.zeros(2, np.int8))
    try:
        engine.uploads.receive(broken_off(count - 2))
    except Cancelled:
        pass
    finally:
        assert engine._leases.held_bytes(ME) == 2


def broken_off(
    nbytes: int, then: Callable[[], None] = lambda: None, handle: str = ""
) -> Iterator[wire.DataServicePutRequest]:
    """The messages of an upload of which one byte arrives."""
    value = np.zeros(nbytes, np.int8)
    header = wire.PutHeader(client_id=ME, array=header_of(value), handle=handle)
    yield wire.DataServicePutRequest(header=header)
    yield wire.DataServicePutRequest(chunk=next(chunks_of(value, 1)))
    then()
    raise Cancelled("the connection broke")


def tensor_bytes_of_a_buffer(count: int) -> None:
    engine_with(tensor_bytes=3).put(ME, np.zeros(count, np.int8))


def tensor_bytes_of_a_variable(count: int) -> None:
    engine_with(tensor_bytes=3).create_variable(ME, NewVariable(value=np.zeros(count, np.int8)))


def call_bytes(count: int) -> None:
    engine = LocalEngine(Settings(), InProcessCompiler(room=3), MemoryStore())
    x = input_(type=TensorType("int8", (None,)))
    call = CompileCall(client_id=ME, graph=Graph((x,), (neg(x),)))
    handle = engine.compile(call).handle
    engine.execute(ExecuteCall(handle=handle, inputs=(np.zeros(count, np.int8),)))


def graph_nodes(count: int) -> None:
    # The graph itself counts as well, so that empty ones are not free.
    decode.decode_bundle(bundle(graphs.chain(count - 2)), (), Limits(graph_nodes=3))


def rank(count: int) -> None:
    shape = [1] * count
    requests.new_variable(
        wire.StateServiceCreateRequest(
            client_id=ME,
            type=wire.TensorType(dtype=wire.DataType.DATA_TYPE_INT8, shape=shape),
            value={"array": {"dtype": 2, "shape": shape, "data": b"\0"}},
        ),
        Limits(rank=3),
    )


def attributes(count: int) -> None:
    node = wire.Node(op="input", attributes=[wire.Attribute(name=f"a{i}") for i in range(count)])
    graph = wire.GraphBundle(opset_version=1, graphs=[wire.Graph(nodes=[node])])
    with contextlib.suppress(GraphError):  # three are not too many, but mean nothing
        decode.decode_bundle(graph, (), Limits(attributes=3))


def batch_items(count: int) -> None:
    request = wire.BatchFrame(items=[b""] * count)
    limits = Limits(batch_items=3)
    run_batch(engine_with(), request, limits, Lane("c", 10), make_logger(io.StringIO()))


def doc_length(count: int) -> None:
    engine = engine_with(doc_length=3)
    call = PublishCall(
        client_id=ME, name="f", handle=compiled(engine, 1), inputs=1, doc="x" * count
    )
    engine.published.publish(call)


def default_values(count: int) -> None:
    form = wire.CallForm(inputs=[wire.InputForm(name="x" * (count + 4))])
    request = wire.PublishRequest(client_id=ME, name="f", form=form)
    naming.publish_call(request, Limits(inline_bytes=form.ByteSize() - max(0, count - 3)))


def cancel(count: int) -> None:
    numbers = range(1, requests._CANCELLED + count - 2)
    requests.cancelled(wire.GetInfoRequest(client_id="c", cancel=numbers))


LIMITS: dict[str, tuple[Callable[[int], Any], str]] = {
    "functions": (functions, "functions"),
    "buffers": (buffers, "buffers"),
    "variables": (variables, "variables"),
    "published": (published, "published"),
    "clients": (clients, "clients"),
    "bytes of a client": (client_bytes, "client_bytes"),
    "bytes of an update": (client_bytes_of_an_update, "client_bytes"),
    "bytes of an upload": (client_bytes_of_an_upload, "client_bytes"),
    "bytes of a later upload": (client_bytes_of_a_later_upload, "client_bytes"),
    "bytes of a buffer": (tensor_bytes_of_a_buffer, "tensor_bytes"),
    "bytes of a variable": (tensor_bytes_of_a_variable, "tensor_bytes"),
    "bytes of a call": (call_bytes, "call_bytes"),
    "nodes": (graph_nodes, "graph_nodes"),
    "rank": (rank, "rank"),
    "attributes": (attributes, "attributes"),
    "items of a batch": (batch_items, "batch_items"),
    "doc": (doc_length, "doc_length"),
    "default values": (default_values, "inline_bytes"),
    "calls to cancel": (cancel, "cancel"),
}

# Limits that are tried elsewhere, by the test that does.
ELSEWHERE = {
    "message_bytes": "server/test_limits.py::test_a_message_has_its_size",
    "name_length": "server/test_limits.py::test_a_name_has_its_length",
    "graph_nesting": "server/test_decode.py"
    "::test_sub_graphs_are_decoded_and_their_nesting_is_limited",
    "replay_bytes": "server/test_replay.py::test_a_large_answer_is_not_kept_but_never_run_again",
    "replay_calls": "server/test_replay.py::test_the_window_is_bounded",
    "replay_client_bytes": "server/test_replay.py::test_the_bytes_of_a_window_are_bounded",
    "client_calls": "server/test_fairness.py::test_places_in_all_and_of_one_client",
    "client_queue": "server/test_fairness.py::test_so_many_wait_and_no_more",
    "sessions": "server/test_loops.py::test_sessions_leave_room_for_single_calls",
    "client_sessions": "server/test_loops.py::test_one_client_has_a_share_of_the_sessions",
    "session_calls": "server/test_loops.py::test_a_frame_above_the_window_is_refused",
    "doorbells": "server/test_doorbell.py::test_connections_are_counted",
    "client_doorbells": "server/test_doorbell.py::test_one_client_has_a_share_of_the_connections",
    "region_bytes": "server/test_doorbell.py::test_regions_have_a_limit",
}
# What clients are told and keep to; `message_bytes` bounds what a server takes.
TOLD = {"session_bytes"}


def test_every_limit_is_tried(figure):
    fields = {field.name for field in dataclasses.fields(Limits)}
    tried = {limit for _, limit in LIMITS.values()} | set(ELSEWHERE)
    assert fields <= tried | TOLD
    for place in ELSEWHERE.values():
        file, _, test = place.partition("::")
        assert f"def {test}(" in (TESTS / file).read_text(encoding="utf-8"), place
    figure("limits", tried_at_and_beyond=len(tried), untried=len(fields - tried - TOLD))


@pytest.mark.parametrize("name", LIMITS)
def test_at_the_limit_all_is_well_and_one_beyond_is_refused(name):
    reach, limit = LIMITS[name]
    reach(3)
    with pytest.raises(LimitExceeded) as caught:
        reach(4)
    assert caught.value.fields["limit"] == limit
    assert "3" in caught.value.message or name in ("default values", "calls to cancel")


def test_what_was_broken_off_is_charged_and_goes_on_with_its_charge():
    engine, handle = engine_with(client_bytes=3), f"buf-{1:032x}"
    held = engine._leases.held_bytes
    with pytest.raises(Cancelled):
        engine.uploads.receive(broken_off(3, handle=handle))
    assert held(ME) == engine.uploads.received(ME, handle) == 1
    value = np.zeros(3, np.int8)
    header = wire.PutHeader(client_id=ME, array=header_of(value), handle=handle, offset=1)
    rest = [wire.DataServicePutRequest(chunk=chunk) for chunk in [*chunks_of(value, 1)][1:]]
    engine.put(ME, np.zeros(1, np.int8), other := f"buf-{2:032x}")
    with pytest.raises(LimitExceeded):  # for its last byte
        engine.uploads.receive(iter([wire.DataServicePutRequest(header=header), *rest]))
    assert (held(ME), engine.uploads.received(ME, handle)) == (1, 0)
    engine.release_buffers(ME, [other])
    header.offset = 0
    whole = [wire.DataServicePutRequest(chunk=chunk) for chunk in chunks_of(value)]
    engine.uploads.receive(iter([wire.DataServicePutRequest(header=header), *whole]))
    assert held(ME) == 3
    engine.release_buffers(ME, [handle])
    assert held(ME) == 0


def test_what_is_arriving_stays_charged_when_its_lease_ends():
    engine = engine_with(client_bytes=3)
    held = engine._leases.held_bytes

    def ends() -> None:
        engine.put(ME, np.zeros(1, np.int8))
        engine.end_lease(ME)
        assert held(ME) == 2
        with pytest.raises(LimitExceeded):
            engine.put(ME, np.zeros(2, np.int8))

    with pytest.raises(Cancelled):
        engine.uploads.receive(broken_off(2, ends))
    assert held(ME) == 0
    engine.end_lease(ME)
    assert ME not in engine._leases._leases


def test_uploads_are_charged_in_steps_of_what_arrives():
    engine = engine_with()
    account = engine.uploads.account(ME, 40 << 20)
    charged = []
    for nbytes in (1, 8 << 20, (8 << 20) + 1, 39 << 20, 41 << 20):
        account.cover(nbytes)
        charged.append(engine._leases.held_bytes(ME) >> 20)
    assert charged == [8, 8, 16, 40, 40]
    account.free()
    assert engine._leases.held_bytes(ME) == 0


@pytest.mark.soak
@pytest.mark.parametrize("name", ["buffers", "variables", "clients"])
def test_the_defaults_are_reached(name, monkeypatch):
    engine = LocalEngine(Settings(), InProcessCompiler(), MemoryStore())
    monkeypatch.setitem(globals(), "engine_with", lambda **_: engine)
    reach, limit = LIMITS[name]
    most = getattr(Limits(), limit)
    reach(most)
    with pytest.raises(LimitExceeded, match=str(most)) as caught:
        reach(most + 1)
    assert caught.value.fields["limit"] == limit


def test_a_name_has_its_length():
    def named(count: int) -> None:
        engine_with(name_length=3).create_variable(
            ME, NewVariable(value=np.zeros(1), name="x" * count)
        )

    named(3)
    with pytest.raises(ExprdError, match="up to 3 printable characters"):
        named(4)


# ---- what gRPC itself bounds
@pytest.fixture
def small(tmp_path):
    """A channel to a server that takes messages of one MiB."""
    settings = Settings(
        listen=f"unix://{tmp_path}/s", drain_seconds=0, limits=Limits(message_bytes=MIB)
    )
    engine = LocalEngine(settings, InProcessCompiler(), MemoryStore())
    server = Server(settings, engine, make_logger(io.StringIO()))
    with grpc.insecure_channel(server.start()) as channel:
        yield channel
    server.stop(grace=0)


def request_of(size: int) -> wire.ExecuteRequest:
    """An Execute request of exactly so many bytes."""
    request = wire.ExecuteRequest(handle="x")
    request.inputs.add().array.data = b"\0" * (size - 64)
    request.handle = "x" * (1 + size - request.ByteSize())
    assert request.ByteSize() == size
    return request


def test_a_message_has_its_size(small):
    stub = wire.ExecutorServiceStub(small)
    codes = []
    for size in (MIB, MIB + 1):
        with pytest.raises(grpc.RpcError) as caught:
            stub.Execute(request_of(size), timeout=10)
        codes.append(caught.value.code())
    assert codes[0] is not grpc.StatusCode.RESOURCE_EXHAUSTED
    assert codes[1] is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_metadata_has_its_size(small):
    admin = wire.AdminServiceStub(small)
    admin.GetInfo(wire.GetInfoRequest(), metadata=(("x-pad", "x" * 4_096),))
    with pytest.raises(grpc.RpcError) as caught:
        admin.GetInfo(wire.GetInfoRequest(), metadata=(("x-pad", "x" * 17_000),))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


# ---- waiting
def test_so_many_wait_for_a_worker_and_no_more():
    pool = WorkerPool(WorkerSettings(count=1, memory_bytes=GIB, queue=3), command=COMMAND)
    held = pool._take(Deadline(20))  # the one worker is busy
    told: list[BaseException] = []

    def ask() -> None:
        try:
            pool.request({"do": "echo"}, b"", Deadline(20))
        except ExprdError as error:
            told.append(error)

    waiting = [threading.Thread(target=ask) for _ in range(3)]
    for thread in waiting:
        thread.start()
    while pool.waiting < 3:
        threading.Event().wait(0.001)
    with pytest.raises(LimitExceeded, match="3 requests wait") as caught:
        pool.request({"do": "echo"}, b"", Deadline(20))
    assert (caught.value.fields["limit"], caught.value.fields["retry_after_ms"]) == ("queue", "200")
    pool._give_back(held)
    for thread in waiting:
        thread.join(20)
    assert (told, pool.waiting) == ([], 0)
    pool.close()


def test_who_waits_too_long_gives_the_place_back():
    pool = WorkerPool(WorkerSettings(count=1, memory_bytes=GIB, queue=1), command=COMMAND)
    held = pool._take(Deadline(20))
    for _ in range(2):
        with pytest.raises(DeadlineExceeded):
            pool.request({"do": "echo"}, b"", Deadline(0.01))
    pool._give_back(held)
    pool.close()


def test_the_defaults():
    assert dataclasses.asdict(Limits()) | {
        "message_bytes": 64 * MIB,
        "inline_bytes": 4 * MIB,
        "graph_nodes": 1_000_000,
        "graph_nesting": 64,
        "rank": 32,
        "tensor_bytes": 4 * GIB,
        "name_length": 1_024,
        "attributes": 64,
        "client_bytes": 4 * GIB,
        "call_bytes": 4 * GIB,
        "functions": 1_000,
        "buffers": 10_000,
        "variables": 10_000,
        "published": 1_000,
        "doc_length": 65_536,
        "clients": 10_000,
        "replay_bytes": MIB,
        "replay_calls": 1_024,
        "sessions": 128,
    } == dataclasses.asdict(Limits())
    settings = Settings()
    assert (settings.calls, settings.execute_seconds, settings.compile_seconds) == (192, 60, 300)
    assert (WorkerSettings().queue, WorkerSettings().seconds) == (64, 60)
