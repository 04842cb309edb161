"""Four times as many calls as a server has room for: the rest is refused, and it goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import grpc
import numpy as np
import pytest

import exprd_proto as wire
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ops.arithmetic import add
from exprd_compiler.ops.leaves import const, input_
from exprd_compiler.ops.ranges import arange
from exprd_compiler.ops.reduce import sum_
from exprd_compiler.ops.transcendental import exp
from tests.server import graphs
from tests.server.conftest import Client
from tests.server.wire import bundle

PLACES = 12
ELEMENTS = 10_000_000  # some 20 ms of one core, so that the places are what there is too few of
SECONDS = max(5.0, 60 * float(os.environ.get("EXPRD_SOAK", "1")))


def work() -> Graph:
    """The sum of exp(x + i / n) over so many i."""
    x = graphs.named(input_, "x", graphs.SCALAR)
    steps = arange(const(0.0, "float64"), const(1.0, "float64"), const(1 / ELEMENTS, "float64"))
    return Graph((x,), (sum_(exp(add(steps, x)), axes=(0,)),))


def resident(pid: int) -> float:
    """Megabytes that a process has in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


class Callers:
    """Processes that call in rounds."""

    def __init__(self, target: str, handle: str, env: dict[str, str], count: int) -> None:
        self._handle = handle
        command = [sys.executable, str(Path(__file__).with_name("overloader.py")), target]
        self._processes = [
            subprocess.Popen(
                command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(count)
        ]

    def round(self, callers: int, seconds: float) -> list[dict]:
        """What became of the calls of so many callers, by process."""
        share = callers // len(self._processes)
        order = {"callers": share, "seconds": seconds, "handle": self._handle}
        for process in self._processes:
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
        return [json.loads(process.stdout.readline()) for process in self._processes]

    def close(self) -> None:
        for process in self._processes:
            process.stdin.close()
            process.wait()
            process.stdout.close()


@contextmanager
def bare() -> Iterator[Callable[[], grpc.Call]]:
    """A call of a server of gRPC alone that refuses whatever comes."""

    def refuse(_request: bytes, context: grpc.ServicerContext) -> None:
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "")

    server = grpc.server(ThreadPoolExecutor(1))
    method = {"Ask": grpc.unary_unary_rpc_method_handler(refuse)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Bare", method),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask = channel.unary_unary("/Bare/Ask")
        yield lambda: ask.future(b"", timeout=30)
    server.stop(0).wait()


class Lone:
    """A caller that has a process to itself, and notes how long refusals take; one way or another.

    What the many callers note contains that they wait for each other in a process.
    """

    def __init__(self, **ways: Callable[[], grpc.Call]) -> None:
        self._ways = ways
        self._refused: dict[str, list[float]] = {way: [] for way in ways}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Lone:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def found(self) -> dict[str, float]:
        """The median and the 99th percentile of each way, in milliseconds."""
        return {
            f"{way}_p{p}_ms": round(1e3 * float(np.percentile(times, p)), 1)
            for way, times in self._refused.items()
            for p in (50, 99)
        }

    def _work(self) -> None:
        while not self._over.wait(0.02):
            for way, call in self._ways.items():
                start = time.perf_counter()
                if call().code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                    self._refused[way].append(time.perf_counter() - start)


@pytest.mark.soak
def test_an_overloaded_server_serves_as_many_as_it_can(start_server, child_env, tmp_path, figure):
    process = start_server("--listen", f"unix://{tmp_path}/s.sock", "--calls", str(PLACES))
    pid = process.process.pid
    with grpc.insecure_channel(process.target) as channel:
        client = Client(channel)
        handle = client.compile(bundle(work())).handle
        callers = Callers(process.target, handle, child_env, 2)
        callers.round(PLACES, 0.5)
        peak = sum(found["rate"] for found in callers.round(PLACES, max(2.0, SECONDS / 10)))
        before = resident(pid)
        request = wire.ExecuteRequest(handle=handle, call_id=client.next_id())
        ask = partial(client.executor.Execute.future, request, timeout=30)
        with bare() as other, Lone(lone=ask, lone_bare=other) as lone:
            loaded = callers.round(4 * PLACES, SECONDS)
        grown = resident(pid) - before
        start = time.perf_counter()
        while client.call(handle, np.float64(1), timeout=30)[0] <= 0:
            pass
        recovery = time.perf_counter() - start
        again = sum(found["rate"] for found in callers.round(PLACES, 2.0))
        callers.close()
    rate = sum(found["rate"] for found in loaded)
    figure(
        "load shedding",
        goodput_percent=round(100 * rate / peak),
        refused=sum(found["refused"] for found in loaded),
        refusal_p50_ms=round(1e3 * max(found["refusal_median"] for found in loaded), 1),
        refusal_p99_ms=round(1e3 * max(found["refusal"] for found in loaded), 1),
        **lone.found(),
        grown_mb=round(grown, 1),
        recovery_s=round(recovery, 3),
    )
    assert [found["others"] for found in loaded] == [[], []]
    assert sum(found["refused"] for found in loaded) > 0
    assert rate > 0.3 * peak  # other programs may have taken the cores meanwhile
    assert again > 0.3 * peak
    assert grown < 100
    assert recovery < 2
    assert process.process.poll() is None
