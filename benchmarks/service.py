"""What calls cost over a Unix socket, next to a bare gRPC echo of the same run.

A server process, and beside it one that only echoes bytes by grpcio itself. Their figures are taken
in turns, so that whatever else the machine does meets both; the figures say per call, item or step.
"""

from __future__ import annotations

import argparse
import json
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np

import exprd
import exprd.tensor as T
from benchmarks import doorbell
from benchmarks.harness import machine, serving

ROWS, FEATURES = 400, 784
ROUNDS = 5
CALLERS = 64
SMALL = bytes(64)
BULK = 256 << 20
METHOD = "/echo.Echo/"
LARGE = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


# ---- the echo
class _Echo(grpc.GenericRpcHandler):
    """Bytes back as they came: one at a time, as a stream, and streams one way."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        chunk = bytes(1 << 20)
        table: dict[str, grpc.RpcMethodHandler] = {
            "Unary": grpc.unary_unary_rpc_method_handler(lambda data, _: data),
            "Both": grpc.stream_stream_rpc_method_handler(lambda parts, _: iter(parts)),
            "Up": grpc.stream_unary_rpc_method_handler(
                lambda parts, _: b"" * sum(1 for _ in parts)
            ),
            "Down": grpc.unary_stream_rpc_method_handler(
                lambda data, _: (chunk for _ in range(int(data)))
            ),
        }
        return table.get(details.method.removeprefix(METHOD))


def echo(target: str) -> None:
    """Serves the echo until its standard input ends."""
    from concurrent.futures import ThreadPoolExecutor

    server = grpc.server(ThreadPoolExecutor(CALLERS), options=LARGE)
    server.add_generic_rpc_handlers((_Echo(),))
    server.add_insecure_port(target)
    server.start()
    print("serving on", target, flush=True)
    sys.stdin.read()
    server.stop(0)


# ---- measuring
def _times(call: Callable[[], object], count: int) -> list[float]:
    """The seconds of each of so many calls."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def _percentiles(call: Callable[[], object], count: int) -> tuple[float, float]:
    """Median and 99th percentile of the seconds of a call."""
    times = _times(call, count)
    return float(np.percentile(times, 50)), float(np.percentile(times, 99))


class Figures:
    """Rounds of named figures; of each, the median over the rounds is told."""

    def __init__(self) -> None:
        self._rounds: dict[str, list[float]] = {}

    def add(self, name: str, value: float) -> None:
        """Notes one round of a figure."""
        self._rounds.setdefault(name, []).append(value)

    def latency(self, name: str, call: Callable[[], object], count: int = 300) -> None:
        """Notes one round of the microseconds of a call."""
        call()
        middle, tail = _percentiles(call, count)
        self.add(f"{name}, p50 us", middle * 1e6)
        self.add(f"{name}, p99 us", tail * 1e6)

    def beside(self, names: tuple[str, str], calls: tuple[Any, Any], count: int = 100) -> None:
        """Notes one round of a call beside another, in turns, and how much longer it takes.

        Whatever else the machine does meets both.
        """
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(4):
            for call, taken in zip(calls, times, strict=True):
                call()
                taken += _times(call, count)
        middles = [float(np.percentile(taken, 50)) * 1e6 for taken in times]
        for name, taken, middle in zip(names, times, middles, strict=True):
            self.add(f"{name}, p50 us", middle)
            self.add(f"{name}, p99 us", float(np.percentile(taken, 99)) * 1e6)
        self.add(f"{names[0]}, beyond the echo, us", middles[0] - middles[1])

    def together(self, name: str, call: Callable[[], object], count: int = 100) -> None:
        """Notes one round of a call that `CALLERS` threads make at the same time, so often each."""
        taken: list[float] = []
        failed: list[Exception] = []

        def caller() -> None:
            try:
                taken.extend(_times(call, count))
            except Exception as error:
                failed.append(error)

        threads = [threading.Thread(target=caller) for _ in range(CALLERS)]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.add(f"{name}, 1/s", len(taken) / (time.perf_counter() - start))
        self.add(f"{name}, p50 us", float(np.percentile(taken, 50)) * 1e6)
        self.add(f"{name}, p99 us", float(np.percentile(taken, 99)) * 1e6)
        self.add(f"{name}, callers that failed", len(failed))

    def each(self, name: str, call: Callable[[], object], count: int) -> None:
        """Notes one round of the microseconds per item of a call that handles many."""
        start = time.perf_counter()
        call()
        self.add(f"{name}, us", (time.perf_counter() - start) / count * 1e6)

    def rate(self, name: str, call: Callable[[], object], count: int) -> None:
        """Notes one round of items per second."""
        start = time.perf_counter()
        call()
        self.add(f"{name}, 1/s", count / (time.perf_counter() - start))

    def bulk(self, name: str, call: Callable[[], object]) -> None:
        """Notes one round of GB/s of a transfer of `BULK` bytes."""
        start = time.perf_counter()
        call()
        self.add(f"{name}, GB/s", BULK / (time.perf_counter() - start) / 1e9)

    def medians(self) -> dict[str, dict[str, float]]:
        """Median, least and greatest of each figure."""
        return {
            name: {
                "median": float(np.median(values)),
                "least": min(values),
                "greatest": max(values),
            }
            for name, values in self._rounds.items()
        }


def _tutorial() -> tuple[Any, tuple[np.ndarray[Any, Any], ...]]:
    """The logistic regression of Theano's tutorial, 400 x 784 in float32, and its data."""
    rng = np.random.default_rng(0)
    data = rng.standard_normal((ROWS, FEATURES)).astype("float32")
    labels = rng.integers(0, 2, ROWS).astype("float32")
    x, y = T.fmatrix("x"), T.fvector("y")
    w = exprd.shared(rng.standard_normal(FEATURES).astype("float32"), name="w")
    b = exprd.shared(np.float32(0), name="b")
    p = 1 / (1 + T.exp(-T.dot(x, w) - b))
    xent = -y * T.log(p) - (1 - y) * T.log(1 - p)
    cost = T.cast(xent.mean(), "float32") + np.float32(0.01) * (w**2).sum()
    gw, gb = exprd.grad(cost, [w, b])
    rate = np.float32(0.01)
    updates = [(w, w - rate * gw), (b, b - rate * gb)]
    return exprd.function([x, y], [p > 0.5, xent], updates=updates), (data, labels)


# ---- the subjects
class _Stream:
    """An echo of one message after the other on one stream."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._sent: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._answers = channel.stream_stream(f"{METHOD}Both")(iter(self._sent.get, None))

    def __call__(self) -> None:
        """One message there and back."""
        self._sent.put(SMALL)
        next(self._answers)

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._sent.put(None)


def _echoes(found: Figures, channel: grpc.Channel) -> None:
    unary = channel.unary_unary(f"{METHOD}Unary")
    small, step = SMALL, bytes(ROWS * FEATURES * 4)
    found.latency("echo, unary, 1.25 MB up and down", lambda: unary(step), 60)
    frames: list[bytes] = []
    both = channel.stream_stream(f"{METHOD}Both")

    def many() -> None:
        for _ in both(iter(frames)):
            pass

    frames[:] = [small] * 3000
    found.rate("echo, stream, messages pipelined", many, 3000)
    up = channel.stream_unary(f"{METHOD}Up")
    down = channel.unary_stream(f"{METHOD}Down")
    chunk, chunks = bytes(1 << 20), BULK >> 20
    found.bulk("echo, chunks of 1 MiB up", lambda: up(iter([chunk] * chunks)))
    found.bulk("echo, chunks of 1 MiB down", lambda: sum(1 for _ in down(str(chunks).encode())))


def _small(found: Figures, name: str, channel: grpc.Channel) -> None:
    unary = channel.unary_unary(f"{METHOD}Unary")
    x = T.dvector("x")
    add = exprd.function([x], x + 1)
    count = exprd.shared(0.0)
    tick = exprd.function([], count, updates=[(count, count + 1)])
    value = np.arange(8.0)
    names = (f"{name}, x + 1 of 8", "echo, unary, 64 B")
    found.beside(names, (lambda: add(value), lambda: unary(SMALL)))
    found.latency(f"{name}, counter", tick)
    with exprd.pipeline(), _Stream(channel) as stream:
        names = (f"{name}, x + 1 of 8, session", "echo, stream, 64 B, one by one")
        found.beside(names, (lambda: add(value), stream))
        found.latency(f"{name}, counter, session", tick)
    found.together(f"echo, unary, 64 B, {CALLERS} callers", lambda: unary(SMALL))
    found.together(f"{name}, x + 1 of 8, {CALLERS} callers", lambda: add(value))

    def submitted(call: Callable[[], Any], times: int) -> None:
        for future in [call() for _ in range(times)]:
            future.result()

    found.rate(
        f"{name}, x + 1 of 8, submitted", lambda: submitted(lambda: add.submit(value), 8000), 8000
    )
    found.rate(f"{name}, counter, submitted", lambda: submitted(tick.submit, 8000), 8000)
    found.rate(f"{name}, x + 1 of 8, batch", lambda: add.batch([(value,)] * 8192), 8192)
    found.each(f"{name}, counter, repeat", lambda: tick.repeat(5000), 5000)


def _steps(found: Figures, name: str) -> None:
    step, (data, labels) = _tutorial()
    x, y = exprd.put(data), exprd.put(labels)
    found.latency(f"{name}, tutorial step, data sent", lambda: step(data, labels), 100)
    found.latency(f"{name}, tutorial step, data put", lambda: step(x, y), 200)
    with exprd.pipeline():
        found.latency(f"{name}, tutorial step, data put, session", lambda: step(x, y), 200)

    def submitted() -> None:
        for future in [step.submit(x, y) for _ in range(500)]:
            future.result()

    found.each(f"{name}, tutorial step, data put, submitted", submitted, 500)
    found.each(f"{name}, tutorial step, data put, repeat", lambda: step.repeat(1000, x, y), 1000)


def _bulk(found: Figures, name: str) -> None:
    big = np.random.default_rng(1).standard_normal(BULK // 8)
    kept: list[Any] = []
    found.bulk(f"{name}, put 256 MiB", lambda: kept.append(exprd.put(big, resend=False)))
    found.bulk(f"{name}, get 256 MiB", kept[0].get)


def measured(folder: Path, rounds: int = ROUNDS, *, only_doorbell: bool = False) -> Figures:
    """All figures, in turns."""
    found = Figures()
    target, echoing = f"unix://{folder}/exprd.sock", f"unix://{folder}/echo.sock"
    server = ("exprd_server", "serve", "--listen", target, "--drain-seconds", "0")
    with serving("benchmarks.service", "--echo", echoing), serving(*server):
        for _ in range(rounds):
            if not only_doorbell:
                with grpc.insecure_channel(echoing, options=LARGE) as channel:
                    _echoes(found, channel)
                with (
                    grpc.insecure_channel(echoing, options=LARGE) as channel,
                    exprd.config.change_flags(doorbell="off"),
                    exprd.connect(target),
                ):
                    _small(found, "server", channel)
                    _steps(found, "server")
                    _bulk(found, "server")
            doorbell.measure(found, folder, target, _tutorial)
            with exprd.connect(""):
                _steps(found, "embedded")
    return found


def main() -> None:
    """Parse the command line, measure, report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures and the machine here")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--doorbell", action="store_true", help="the doorbell and its peer alone")
    parser.add_argument("--echo", metavar="TARGET", help="serve the echo, for the run itself")
    options = parser.parse_args()
    if options.echo:
        echo(options.echo)
        return
    with tempfile.TemporaryDirectory() as folder:
        found = measured(Path(folder), options.rounds, only_doorbell=options.doorbell)
        figures = found.medians()
    for name, facts in figures.items():
        print(
            f"{name:<58} {facts['median']:>10.4g}"
            f"  ({facts['least']:.4g} .. {facts['greatest']:.4g})"
        )
    if options.json:
        record = {"machine": machine(), "rounds": options.rounds, "figures": figures}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
