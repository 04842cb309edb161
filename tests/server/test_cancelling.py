"""Calls that are stopped while native code runs: by deadline, by their client, with the server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

import exprd_proto as wire
from exprd_compiler.errors import Cancelled, DeadlineExceeded, LimitExceeded
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, mul
from exprd_compiler.ops.division import int_div
from exprd_compiler.ops.leaves import const, input_, shared
from exprd_compiler.ops.linalg import dot
from exprd_compiler.ops.movement import dimshuffle
from exprd_compiler.ops.reduce import sum_
from exprd_compiler.ops.transcendental import exp
from exprd_server.alarm import Alarm
from exprd_server.compilers import InProcessCompiler
from exprd_server.deadline import Deadline
from exprd_server.engine import LocalEngine
from exprd_server.requests import cancelled
from exprd_server.running import RunningCalls
from exprd_server.settings import Settings
from exprd_server.store import MemoryStore
from exprd_server.values import CallId, CompileCall, ExecuteCall
from exprd_server.variables import NewVariable
from tests.server import graphs
from tests.server.wire import bundle

# None of these runs would end within minutes; each is stopped in milliseconds.
SOON = 20.0
INTEGER = TensorType("int64", ())


def outer_sum() -> Graph:
    """Adds the sum of exp(x_i x_j) over all pairs to a total: one kernel."""
    x = graphs.named(input_, "x", graphs.VECTOR)
    total = graphs.named(shared, "total", graphs.SCALAR)
    pairs = mul(dimshuffle(x, order=(0, -1)), dimshuffle(x, order=(-1, 0)))
    return Graph((x,), (total,), (total,), ((0, add(total, sum_(exp(pairs), axes=(0, 1)))),))


def products() -> Graph:
    """Adds the sum of a power of the matrix x_i x_j to a total: calls of BLAS."""
    x = graphs.named(input_, "x", graphs.VECTOR)
    total = graphs.named(shared, "total", graphs.SCALAR)
    matrix = mul(dimshuffle(x, order=(0, -1)), dimshuffle(x, order=(-1, 0)))
    power = matrix
    for _ in range(120):
        power = mul(dot(power, matrix), const(1e-3, "float64"))
    return Graph((x,), (total,), (total,), ((0, add(total, sum_(power, axes=(0, 1)))),))


LONG = {"a kernel": (outer_sum, 400_000), "products": (products, 2_000)}


class Watched(Deadline):
    """A deadline that tells when native code begins."""

    __slots__ = ("began",)

    def __init__(self, seconds: float = 600) -> None:
        super().__init__(seconds)
        self.began = threading.Event()

    def guard(self, alarm: Alarm, native: Callable[[], int], stop: Callable[[], None]) -> int:
        self.began.set()
        return super().guard(alarm, native, stop)


class Deserted(Deadline):
    """A deadline whose caller goes away as native code begins."""

    def guard(self, alarm: Alarm, native: Callable[[], int], stop: Callable[[], None]) -> int:
        self.leave()
        return super().guard(alarm, native, stop)


class Bench:
    """An engine, a variable, and one compiled function of a vector that updates it."""

    def __init__(self, graph: Graph) -> None:
        self.engine = LocalEngine(Settings(), InProcessCompiler(), MemoryStore())
        zero = NewVariable(value=np.array(0.0))
        self.total = self.engine.create_variable("c", zero).uuid
        call = CompileCall(client_id="c", graph=graph, bindings=(self.total,))
        self.handle = self.engine.compile(call).handle

    def call(self, size: int, deadline: Deadline, seq: int = 0):
        identity = CallId(client_id="c", seq=seq) if seq else None
        inputs = (np.full(size, 1e-3),)
        call = ExecuteCall(handle=self.handle, inputs=inputs, client_id="c", call_id=identity)
        return self.engine.execute(call, deadline)

    def state(self) -> tuple[float, int]:
        info, value = self.engine.get_variable("c", self.total)
        return float(value), info.version


@pytest.fixture(params=LONG)
def long(request):
    graph, size = LONG[request.param]
    return Bench(graph()), size


def tell(what: str, seconds: float) -> None:
    """A figure for people who run this with -s: the aim is 100 ms."""
    print(f"{what} {1e3 * seconds:.1f} ms")  # noqa: T201


def stopped(bench: Bench, size: int, stop: Callable[[Watched], object], seq: int = 0) -> None:
    """Runs a long call, stops it once it has begun, and looks at what is left."""
    deadline = Watched()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(bench.call, size, deadline, seq)
        assert deadline.began.wait(SOON)
        threading.Event().wait(0.1)  # so that it is in the midst of it; it need not be
        start = time.perf_counter()
        stop(deadline)
        with pytest.raises(Cancelled, match="nothing has changed"):
            running.result(SOON)
        tell("stopping took", time.perf_counter() - start)
    assert bench.state() == (0.0, 1)


def test_a_cancelled_call_stops_and_changes_nothing(long) -> None:
    bench, size = long
    stopped(bench, size, lambda deadline: deadline.cancel())
    assert bench.call(3, Deadline(60)).versions == ((bench.total, 2),)  # its locks are free


def test_a_call_stops_at_its_deadline(long) -> None:
    bench, size = long
    start = time.perf_counter()
    with pytest.raises(DeadlineExceeded, match="nothing has changed"):
        bench.call(size, Deadline(0.3))
    seconds = time.perf_counter() - start
    tell("after the deadline", seconds - 0.3)
    assert 0.3 <= seconds < SOON
    assert bench.state() == (0.0, 1)


STOPS = {
    "its number": lambda engine: engine.cancel("c", [7]),
    "its client's end": lambda engine: engine.end_lease("c"),
    "the server's end": lambda engine: engine.cancel_all(),
}


@pytest.mark.parametrize("how", STOPS)
def test_a_call_is_stopped_from_outside(how: str) -> None:
    bench = Bench(outer_sum())
    other = bench.engine.create_variable("keeper", NewVariable(value=np.array(0.0)))
    assert other.version == 1
    found: list[object] = []
    deadline = Watched()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(bench.call, 400_000, deadline, 7)
        assert deadline.began.wait(SOON)
        assert bench.engine.cancel("c", [8]) == bench.engine.cancel("d", [7]) == 0
        found.append(STOPS[how](bench.engine))
        with pytest.raises(Cancelled):
            running.result(SOON)
    assert found in ([1], [(1, 0, 1)])
    assert bench.engine.cancel_all() == 0


def test_a_call_is_stopped_before_it_begins() -> None:
    """The wish may overtake the call, as one that waits behind others in a stream."""
    bench = Bench(outer_sum())
    assert bench.engine.cancel("c", [7, 8, 9]) == 0
    with pytest.raises(Cancelled):
        bench.call(400_000, Deadline(60), 7)
    assert bench.call(3, Deadline(60), 10).versions == ((bench.total, 2),)
    assert bench.engine.cancel_all() == 0


def is_stopped(calls: RunningCalls, seq: int) -> bool:
    deadline = Deadline(60)
    with calls.running("c", CallId(client_id="c", seq=seq), deadline):
        try:
            deadline.check("it began")
        except Cancelled:
            return True
        return False


def test_what_is_cancelled_early_is_forgotten_in_time() -> None:
    calls = RunningCalls()
    assert calls.cancel("c", range(1, 4_098)) == 0  # one more than is remembered
    assert [is_stopped(calls, seq) for seq in (1, 2, 2, 4_097)] == [False, True, False, True]
    assert calls.cancel_client("c") == 0
    assert not is_stopped(calls, 3)


def test_an_answer_that_is_there_is_given_although_it_is_not_wanted() -> None:
    bench = Bench(outer_sum())
    first = bench.call(3, Deadline(60), seq=1)
    bench.engine.cancel("c", [1])
    again = bench.call(3, Deadline(60), seq=1)
    assert again.replayed
    assert again.versions == first.versions


def test_a_stopped_call_may_be_made_again() -> None:
    bench = Bench(outer_sum())
    stopped(bench, 400_000, lambda deadline: deadline.cancel(), seq=1)
    assert not bench.call(3, Deadline(60), seq=1).replayed
    assert bench.call(3, Deadline(60), seq=1).replayed
    assert bench.state()[1] == 2


def test_a_call_whose_answer_is_kept_outlives_its_caller() -> None:
    bench = Bench(outer_sum())
    first = bench.call(3, Deserted(60), seq=1)
    again = bench.call(3, Deadline(60), seq=1)
    assert (first.replayed, again.replayed) == (False, True)
    assert bench.state()[1] == 2


def test_a_call_that_nobody_can_ask_for_again_does_not() -> None:
    bench = Bench(outer_sum())
    with pytest.raises(Cancelled):
        bench.call(3, Deserted(60))
    assert bench.state() == (0.0, 1)


def test_many_threads_stop_and_run_side_by_side() -> None:
    """A flag that is raised late never stops the next call in the same context."""
    bench = Bench(outer_sum())

    def work(turn: int) -> bool:
        deadline = Deadline(60)
        if turn % 2:
            threading.Thread(target=deadline.cancel).start()
        try:
            bench.call(50, deadline)
        except Cancelled:
            return not turn % 2
        return False

    with ThreadPoolExecutor(4) as pool:
        assert not any(pool.map(work, range(200)))
    assert 100 <= bench.state()[1] - 1 <= 200


# ---- what a call has counted is part of its answer
def test_a_replayed_answer_has_the_same_warnings(client) -> None:
    x, total = (graphs.named(op, name, INTEGER) for op, name in ((input_, "x"), (shared, "total")))
    ratio = int_div(total, x)
    handle = client.compile(
        bundle(Graph((x,), (ratio,), (total,), ((0, add(total, x)),))),
        client.variable(np.int64(5)),
    ).handle
    name = client.next_id()
    first = client.execute(handle, np.int64(0), call_id=name)
    again = client.execute(handle, np.int64(0), call_id=name)
    assert (first.replayed, again.replayed) == (False, True)
    (warning,) = first.warnings
    assert (warning.kind, warning.op, warning.count) == ("integer division by zero", "int_div", 1)
    assert len(warning.nodes) == 1
    assert first.warnings == again.warnings


# ---- over the wire
def test_a_client_cancels_by_number(client) -> None:
    total = client.variable(0.0)
    handle = client.compile(bundle(outer_sum()), total).handle
    name = client.next_id()
    source = wire.ExecuteInput(buffer=client.put(np.full(400_000, 1e-3)).handle)
    request = wire.ExecuteRequest(handle=handle, inputs=[source], call_id=name)
    running = client.executor.Execute.future(request, timeout=60)
    cancel = wire.GetInfoRequest(client_id=client.client_id, cancel=[name.seq])
    while not running.done():  # the first ones may come before the call
        client.admin.GetInfo(cancel)
    assert running.code() is grpc.StatusCode.CANCELLED
    assert client.version(total) == 1
    client.call(handle, [1.0], timeout=SOON)
    assert client.version(total) == 2


def test_a_call_whose_time_is_up_gives_its_locks_back(client) -> None:
    total = client.variable(0.0)
    handle = client.compile(bundle(outer_sum()), total).handle
    source = wire.ExecuteInput(buffer=client.put(np.full(400_000, 1e-3)).handle)
    with pytest.raises(grpc.RpcError) as caught:
        client.execute(handle, source, call_id=client.next_id(), timeout=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    client.call(handle, [1.0], timeout=SOON)
    assert client.version(total) == 2


def test_too_many_numbers_are_refused() -> None:
    assert cancelled(wire.GetInfoRequest(client_id="c", cancel=[1, 2])) == (1, 2)
    with pytest.raises(LimitExceeded, match="1025 calls to cancel"):
        cancelled(wire.GetInfoRequest(client_id="c", cancel=range(1025)))
