"""Calls that are stopped at random moments: the state is old or new, and the next call may run.

30 calls in this process and 20 over the wire in every run; `make soak` stops 1,000 of each
(`EXPRD_SOAK` scales them). Beside them run calls that nobody stops: what those are late by, on a
machine that does other things, is what the times of the others must be seen beside.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

import exprd_proto as wire
from exprd_compiler.errors import Cancelled, DeadlineExceeded
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ops.arithmetic import add, mul, sub
from exprd_compiler.ops.leaves import input_, shared
from exprd_compiler.ops.movement import dimshuffle
from exprd_compiler.ops.reduce import sum_
from exprd_compiler.ops.transcendental import exp
from exprd_proto.arrays import array_from_wire
from exprd_server.compilers import InProcessCompiler
from exprd_server.deadline import Deadline
from exprd_server.engine import LocalEngine
from exprd_server.settings import Settings
from exprd_server.store import MemoryStore
from exprd_server.values import CallId, CompileCall, ExecuteCall
from exprd_server.variables import NewVariable
from tests.server import graphs
from tests.server.wire import bundle

SIZE = 4000  # some ten milliseconds
LONG = np.full(SIZE, 1e-3)
WARM = 3  # calls that nobody stops


def mirrored_sum() -> Graph:
    """Adds the sum of exp(x_i x_j) over all pairs to a total, and takes it from its mirror."""
    x = graphs.named(input_, "x", graphs.VECTOR)
    total, mirror = (graphs.named(shared, name, graphs.SCALAR) for name in "tm")
    pairs = mul(dimshuffle(x, order=(0, -1)), dimshuffle(x, order=(-1, 0)))
    found = sum_(exp(pairs), axes=(0, 1))
    updates = ((0, add(total, found)), (1, sub(mirror, found)))
    return Graph((x,), (total,), (total, mirror), updates)


class Bench:
    """An engine with that function; it knows what the state must be."""

    def __init__(self) -> None:
        self.engine = LocalEngine(Settings(), InProcessCompiler(), MemoryStore())
        zero = NewVariable(value=np.array(0.0))
        self.uuids = tuple(self.engine.create_variable("c", zero).uuid for _ in range(2))
        call = CompileCall(client_id="c", graph=mirrored_sum(), bindings=self.uuids)
        self.handle = self.engine.compile(call).handle

    def call(self, seq: int, deadline: Deadline) -> bool:
        """Whether the call was done."""
        name = CallId(client_id="c", seq=seq, acked_through=seq - 1)
        call = ExecuteCall(handle=self.handle, inputs=(LONG,), client_id="c", call_id=name)
        try:
            self.engine.execute(call, deadline)
        except (Cancelled, DeadlineExceeded):
            return False
        return True

    def done(self) -> int:
        """How many calls have happened, by both variables."""
        (info, total), (twin, mirror) = (self.engine.get_variable("c", u) for u in self.uuids)
        assert float(total) + float(mirror) == 0.0
        assert info.version == twin.version
        return info.version - 1


def soaked(whole: int) -> int:
    return max(1, int(whole * float(os.environ.get("EXPRD_SOAK", "1"))))


def stop_at_random(rng: np.random.Generator, count: int) -> dict[str, float]:
    """Stops calls at random moments, half of them by their deadline."""
    bench = Bench()
    usual = usual_seconds(lambda seq: bench.call(seq, Deadline(60)))
    done, before = WARM, 0
    freed, late = [], []
    with ThreadPoolExecutor(1) as pool:
        for seq in range(WARM + 1, count + WARM + 1):
            wait = float(rng.uniform(0, 1.1 * usual))
            deadline = Deadline(wait if seq % 2 else 60)
            begin = time.perf_counter()
            running = pool.submit(bench.call, seq, deadline)
            threading.Event().wait(wait)  # any moment will do
            end = begin + wait if seq % 2 else time.perf_counter()
            deadline.cancel()
            was_done = running.result(60)
            freed.append(time.perf_counter() - end)
            done += was_done
            before += was_done
            assert bench.done() == done
            if seq % 10 == 0:  # made again, it has happened once, whether or not it was done
                begin = time.perf_counter()
                assert pool.submit(bench.call, seq, Deadline(60)).result(60)
                if not was_done:
                    late.append(time.perf_counter() - begin - usual)
                done += not was_done
                assert bench.done() == done
    return {"cancels": count, "done_before": before, "between": 0, **times(freed, late)}


def usual_seconds(call: Callable[[int], object]) -> float:
    """How long a call takes that nobody stops."""
    seconds = []
    for seq in range(1, WARM + 1):
        begin = time.perf_counter()
        call(seq)
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def times(freed: list[float], late: list[float]) -> dict[str, float]:
    """How soon calls were over, and how late calls beside them that nobody stopped."""
    freed, late = sorted(freed), sorted(late) or [0.0]
    found = {
        "freed_p50_ms": freed[len(freed) // 2],
        "freed_max_ms": freed[-1],
        "undisturbed_late_max_ms": late[-1],
    }
    return {name: round(1e3 * max(0.0, seconds), 1) for name, seconds in found.items()}


def stop_over_the_wire(client, rng: np.random.Generator, count: int) -> dict[str, float]:
    """Drops calls at random moments; the next one finds the locks free, and all happened once."""
    uuids = [client.variable(0.0) for _ in range(2)]
    handle = client.compile(bundle(mirrored_sum()), *uuids).handle
    source = wire.ExecuteInput(buffer=client.put(LONG).handle)
    usual = usual_seconds(lambda _: client.execute(handle, source, call_id=client.next_id()))
    freed, late = [], []
    for _ in range(count):
        begin = time.perf_counter()
        client.execute(handle, source, call_id=client.next_id())
        late.append(time.perf_counter() - begin - usual)
        name = client.next_id(acked=client.seq - 1)
        request = wire.ExecuteRequest(handle=handle, inputs=[source], call_id=name)
        running = client.executor.Execute.future(request, timeout=60)
        threading.Event().wait(float(rng.uniform(0, 1.1 * usual)))
        running.cancel()
        cancel = wire.GetInfoRequest(client_id=client.client_id, cancel=[name.seq])
        client.admin.GetInfo(cancel)
        begin = time.perf_counter()
        executed(client, handle, source, name)
        freed.append(time.perf_counter() - begin - usual)
    request = wire.StateServiceSnapshotRequest(client_id=client.client_id, uuids=uuids)
    readings = client.state.Snapshot(request).readings
    total, mirror = (float(array_from_wire(x.value.array)) for x in readings)
    assert total + mirror == 0.0
    assert client.version(uuids[0]) == client.version(uuids[1]) == 2 * count + WARM + 1
    return {"cancels_over_the_wire": count, "done_twice": 0, **times(freed, late)}


def executed(client, handle: str, source: wire.ExecuteInput, name: wire.CallId) -> None:
    """Makes a call until it is answered; one that is just being stopped may take its end along."""
    while True:
        try:
            client.execute(handle, source, call_id=name)
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.CANCELLED  # noqa: PT017
        else:
            return


def test_a_call_that_is_stopped_at_any_moment_is_done_or_not(rng, figure) -> None:
    figure("cancel and deadline", **stop_at_random(rng, 30))


def test_a_call_that_is_dropped_at_any_moment_happens_once(client, rng, figure) -> None:
    figure("cancel and deadline", **stop_over_the_wire(client, rng, 20))


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_many_calls_are_stopped_at_random_moments(rng, figure) -> None:
    figure("cancel and deadline", **stop_at_random(rng, soaked(1000)))


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_many_calls_are_dropped_at_random_moments(client, rng, figure) -> None:
    figure("cancel and deadline", **stop_over_the_wire(client, rng, soaked(1000)))
