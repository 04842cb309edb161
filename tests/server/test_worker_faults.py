"""Workers of a real server that are killed, hang or want too much: one request each, no more."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest

import exprd_proto as wire
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, mul
from exprd_compiler.ops.creation import alloc
from exprd_compiler.ops.leaves import const, input_
from exprd_compiler.ops.linalg import dot
from exprd_compiler.ops.transcendental import exp
from exprd_proto import ErrorDetail
from tests.server import graphs
from tests.server.conftest import Client
from tests.server.wire import bundle

MATRIX = TensorType("float64", (None, None))
TEN_GIGABYTES = 36_000  # squared, times 8
LONG = 2_000


def allocation() -> Graph:
    """n x n equal numbers."""
    n = graphs.named(input_, "n", TensorType("int64", ()))
    ones = alloc(const(1.0, "float64"), n, n, shape=(None, None))
    return Graph((n,), (exp(ones),))


def powers() -> Graph:
    """A matrix to the power of 2**40, which takes long with numpy."""
    x = node = graphs.named(input_, "x", MATRIX)
    for _ in range(40):
        node = dot(node, node)
    return Graph((x,), (node,))


def long(salt: int) -> Graph:
    """Sums of products, all different, which take seconds to compile."""
    x = node = graphs.named(input_, "x", graphs.VECTOR)
    for number in range(LONG):
        node = add(mul(node, const(1 + 1e-6 * (number + salt * LONG), "float64")), x)
    return Graph((x,), (node,))


class Watched:
    """A server, its workers, and how long it took after each fault until others were served."""

    def __init__(self, process, client: Client) -> None:
        self.process, self.client = process.process, client
        self.kinds: list[str] = []
        self.seconds: list[float] = []
        self.incarnation = self.info().incarnation
        self.serves("")
        self.serves("reference")

    def info(self):
        return self.client.admin.GetInfo(wire.GetInfoRequest(client_id=self.client.client_id))

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return sorted(int(pid) for file in children for pid in file.read_text().split())

    def serves(self, target: str) -> None:
        """Compiles a graph that is like no other, or runs one node by node."""
        self.client.seq += 1
        reply = self.client.compile(bundle(graphs.chain(self.client.seq)), target=target)
        assert self.client.call(reply.handle, [1.0])[0] in (1, -1)

    def fault(self, target: str, call, *codes: grpc.StatusCode) -> str:
        """Makes a call that fails; the class of its error. Then all is well again."""
        with pytest.raises(grpc.RpcError) as caught:
            call()
        start = time.perf_counter()
        assert caught.value.code() in codes, caught.value
        self.serves(target)
        self.seconds.append(time.perf_counter() - start)
        assert self.process.poll() is None
        assert self.info().incarnation == self.incarnation
        detail = dict(caught.value.trailing_metadata())["exprd-error-bin"]
        self.kinds.append(ErrorDetail.FromString(detail).kind)
        return self.kinds[-1]

    def at_rest(self) -> dict[int, int]:
        """What the workers have worked so far, once none of them does, or is about to begin.

        One that waits for a core works as well, so they must be asleep.
        """
        seen: dict[int, int] = {}
        while True:
            before, seen = seen, {pid: _ticks(pid) for pid in self.workers()}
            if seen == before and all(_stat(pid)[0] == "S" for pid in seen):
                return seen
            threading.Event().wait(0.1)

    def killed(self, target: str, call, number: signal.Signals) -> str:
        """The same with a worker that gets a signal while it serves the call."""
        idle = self.at_rest()

        def kill() -> None:
            while True:  # the one that works
                for pid, before in idle.items():
                    if _ticks(pid) > before + 5:
                        os.kill(pid, number)
                        return
                threading.Event().wait(0.01)

        killer = threading.Thread(target=kill)
        killer.start()
        found = self.fault(target, call, grpc.StatusCode.INTERNAL)
        killer.join()
        return found


def _ticks(pid: int) -> int:
    """Hundredths of a second of CPU that a process has used."""
    fields = _stat(pid)
    return int(fields[11]) + int(fields[12])


def _stat(pid: int) -> list[str]:
    """What the kernel says of a process, beginning with its state."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


@pytest.fixture
def watched(start_server, tmp_path):
    process = start_server("--listen", f"unix://{tmp_path}/s.sock")
    with grpc.insecure_channel(process.target) as channel:
        yield Watched(process, Client(channel))


@pytest.mark.soak
def test_a_fault_of_a_worker_costs_one_request(watched, figure):
    client = watched.client
    eager = client.compile(bundle(powers()), target="reference").handle
    large = client.compile(bundle(allocation()), target="reference").handle
    native = client.compile(bundle(allocation())).handle
    matrix = np.eye(1500)
    n = np.int64(TEN_GIGABYTES)

    def compiles(salt: int):
        message = bundle(long(salt))
        return lambda: client.compile(message)

    def lapses():
        request = wire.CompileRequest(client_id="me", graph=bundle(long(2)))
        client.compiler.Compile(request, timeout=0.5)

    late = grpc.StatusCode.DEADLINE_EXCEEDED
    full = grpc.StatusCode.RESOURCE_EXHAUSTED
    kinds = [
        watched.killed("", compiles(0), signal.SIGKILL),
        watched.killed("", compiles(1), signal.SIGSEGV),
        watched.killed("reference", lambda: client.call(eager, matrix), signal.SIGKILL),
        watched.fault("reference", lambda: client.call(large, n), full),
        watched.fault("", lambda: client.call(native, n), full),
    ]
    assert kinds == ["CompilerBug"] * 3 + ["LimitExceeded"] * 2
    for target, call in (
        ("", lapses),
        ("reference", lambda: client.call(eager, matrix, timeout=0.5)),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call()
        start = time.perf_counter()
        assert caught.value.code() is late
        watched.serves(target)
        watched.seconds.append(time.perf_counter() - start)
    assert watched.info().incarnation == watched.incarnation
    assert len(watched.workers()) == 3  # that compiles, that runs graphs, that reads large ones
    assert max(watched.seconds) < 10
    figure(
        "worker faults",
        faults=len(watched.seconds),
        served_again_ms=round(max(watched.seconds) * 1e3),
        server_processes=1,
    )
