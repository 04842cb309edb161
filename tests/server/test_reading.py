"""The reading of graphs: the same in this process and in a worker, and once for equal bytes."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import exprd_proto as wire
from exprd_compiler.driver import compile_artifact
from exprd_compiler.errors import CallError, CompilerBug, ExprdError, LimitExceeded
from exprd_compiler.options import CompileOptions
from exprd_server import outline, replies
from exprd_server.compilers import WorkerCompiler
from exprd_server.deadline import Deadline
from exprd_server.keeping import UNREADABLE
from exprd_server.outline import outline_of, text_of
from exprd_server.plans import plan_bytes, plan_of
from exprd_server.reading import GraphReader
from exprd_server.settings import Limits, WorkerSettings
from exprd_server.values import FunctionInfo, FunctionSignature, PlanStep
from exprd_server.workers import WorkerPool
from tests.server import graphs
from tests.server.wire import bundle

LARGE = 1_500  # nodes, which are more bytes than are read in this process


@pytest.fixture(scope="module")
def pool():
    pool = WorkerPool(WorkerSettings(), lazy=True)
    yield pool
    pool.close()


def head(message: wire.GraphBundle, *gradients: wire.GradientRequest) -> wire.CompileHead:
    request = wire.CompileRequest(client_id="c", graph=message, gradients=gradients)
    return wire.CompileHead.FromString(request.SerializeToString())


def refusal(reader: GraphReader, asked: wire.CompileHead) -> tuple[object, ...]:
    with pytest.raises(ExprdError) as caught:
        reader.read(asked, Deadline(100))
    e = caught.value
    return type(e), e.message, e.op, tuple(e.nodes), e.hint, e.fields


def test_a_worker_reads_what_this_process_reads(pool):
    asked = head(bundle(graphs.chain(LARGE)))
    here, there = (GraphReader(Limits(), p).read(asked, Deadline(100)) for p in (None, pool))
    assert pool.pids
    assert here.facts() == there.facts()
    assert here.text() == there.text() == text_of(there.graph())
    assert outline_of(there.graph()).facts() == there.facts()


def test_a_graph_that_was_written_down_is_read_by_a_worker_if_it_is_large(pool, monkeypatch):
    compilers = WorkerPool(WorkerSettings(), lazy=True)
    compiler = WorkerCompiler(compilers, compilers, WorkerSettings(), readers=pool)
    texts = [text_of(graphs.chain(n)) for n in (LARGE, 3)]
    large, small = (compiler.read(text, Deadline(100)) for text in texts)
    assert large.facts() == outline_of(graphs.chain(LARGE)).facts()
    assert (large.text(), small.text()) == tuple(texts)
    for spoiled in (texts[0] + b"\xff", texts[0].replace(b" = neg", b" = odd")):
        with pytest.raises(UNREADABLE):
            compiler.read(spoiled, Deadline(100))
    monkeypatch.setattr(outline, "parse_graph", None)  # nothing of it happens in this process
    assert compiler.read(texts[0], Deadline(100)).digest == large.digest
    compiler.close()


def test_small_graphs_are_read_here():
    pool = WorkerPool(WorkerSettings(), lazy=True)
    read = GraphReader(Limits(), pool).read(head(bundle(graphs.step())), Deadline(100))
    assert read.updated == (0,)
    assert [p.name for p in (*read.inputs, *read.shared)] == ["x", "w"]
    assert pool.pids == ()


def test_derivatives_are_taken_by_workers(pool):
    message = bundle(graphs.step())
    nodes = message.graphs[0].nodes
    cost = next(i for i, node in enumerate(nodes) if node.op == "sum")
    asked = head(message, wire.GradientRequest(cost=cost, wrt=message.graphs[0].shared))
    here, there = (GraphReader(Limits(), p).read(asked, Deadline(100)) for p in (None, pool))
    assert len(there.outputs) == 2
    assert there.text() == here.text()


def spoiled() -> wire.GraphBundle:
    message = bundle(graphs.chain(LARGE))
    message.graphs[0].nodes[LARGE - 1].op = "frobnicate"
    return message


@pytest.mark.parametrize(
    ("message", "limits"),
    [
        (spoiled(), Limits()),
        (wire.GraphBundle(opset_version=99, graphs=spoiled().graphs), Limits()),
        (bundle(graphs.chain(LARGE)), Limits(graph_nodes=LARGE)),
        (bundle(graphs.chain(LARGE)), Limits(rank=0)),
    ],
)
def test_a_worker_refuses_as_this_process_does(pool, message, limits):
    here = refusal(GraphReader(limits), head(message))
    assert refusal(GraphReader(limits, pool), head(message)) == here
    assert here[0] is not CompilerBug


def test_limits_hold_in_the_worker(pool):
    reader = GraphReader(Limits(graph_nodes=LARGE), pool)
    kind, *_, fields = refusal(reader, head(bundle(graphs.chain(LARGE))))
    assert (kind, fields["limit"]) == (LimitExceeded, "graph_nodes")


@pytest.mark.parametrize("size", [10, 10_000])
def test_bytes_that_are_no_graph_are_refused(pool, size):
    asked = wire.CompileHead(client_id="c", graph=b"\xff" * size)
    kind, message, *_ = refusal(GraphReader(Limits(), pool), asked)
    assert kind is CallError
    assert "not a valid message" in message


def test_equal_bytes_are_read_once():
    pool = WorkerPool(WorkerSettings(count=2), lazy=True)
    asked, reader = head(bundle(graphs.chain(LARGE))), GraphReader(Limits(), pool)
    with ThreadPoolExecutor(4) as threads:
        read = list(threads.map(lambda _: reader.read(asked, Deadline(100)), range(4)))
    assert len({id(outline) for outline in read}) == 1
    assert len(pool.pids) == 1
    pool.close()
    assert reader.read(asked, Deadline(100)) is read[0]  # there is no worker any more


def test_a_worker_that_dies_costs_one_request(pool):
    reader, asked = GraphReader(Limits(), pool), head(bundle(graphs.chain(LARGE + 1)))
    reader.read(head(bundle(graphs.chain(LARGE))), Deadline(100))
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)

    def kill() -> None:
        while not pool._idle.empty():  # until it has the request
            threading.Event().wait(0.001)
        os.kill(pid, signal.SIGKILL)

    threading.Thread(target=kill).start()
    with pytest.raises(CompilerBug, match="replaced"):
        reader.read(asked, Deadline(100))
    assert len(reader.read(asked, Deadline(100)).outputs) == 1


def test_plans_are_bytes_of_the_wire():
    plan = (
        *plan_of(compile_artifact(graphs.chain(2), CompileOptions()).listing),
        PlanStep(op="x" * 300, text="é", origins=(0, 127, 128, 1 << 31)),
        PlanStep(op="y"),
    )
    steps = [wire.PlanNode(op=s.op, text=s.text, origins=s.origins) for s in plan]
    assert plan_bytes(plan) == wire.CompileResponse(plan=steps).SerializeToString()
    signature = FunctionSignature(inputs=(), outputs=(), shared=(), updated=())
    for given in (plan, plan_bytes(plan)):
        info = FunctionInfo(
            handle="fn",
            signature=signature,
            plan=given,
            timings=(),
            graph_digest=b"",
            choices=None,  # type: ignore[arg-type]
        )
        answer = wire.CompileResponse.FromString(replies.compile_response(info, "i"))
        assert (answer.handle, answer.incarnation, list(answer.plan)) == ("fn", "i", steps)
