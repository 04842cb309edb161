"""What a client feels of its neighbours: one server, four quiet clients, four that trouble it.

The quiet ones call a small function every few milliseconds, first alone, then beside the others; of
both the 99th percentile is told. The troublemakers: one compiles graphs of 5,000 ops, one runs
graphs node by node with numpy, one makes calls that end only at their deadline, one submits without
bound and opens many connections. Each client is a process of its own. Those that trouble are niced:
they stand for other machines, and what they may cost is the server's time, not its cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np

import exprd
import exprd.tensor as T
from exprd.errors import DeadlineExceeded, ExprdError, LimitExceeded

QUIET: Final = 4
PAUSE: Final = 0.003  # seconds between the calls of a quiet client
OPS: Final = 5_000
FEW: Final = 1_000
STEPS: Final = 1_000_000_000
TROUBLE_NICENESS: Final = "10"
THREADS: Final = 64
CONNECTIONS: Final = 100
OWN: Final = (("grpc.use_local_subchannel_pool", 1),)  # channels do not share a connection


# ---- the clients, each in a process of its own
def quiet(_stop: threading.Event, _target: str, seconds: float) -> dict[str, Any]:
    """Calls every few milliseconds; the seconds of each, and what failed."""
    x = T.dvector("x")
    w = exprd.shared(np.zeros(8), name="w")
    step = exprd.function([x], (x * w).sum(), updates=[(w, w + x)])
    value, times, failed = np.arange(8.0), [], []
    for _ in range(50):
        step(value)
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        try:
            step(value)
        except ExprdError as error:
            failed.append(repr(error)[:200])
        times.append(time.perf_counter() - start)
        time.sleep(PAUSE)
    return {"times": times, "failed": failed}


def compiles(
    stop: threading.Event, _target: str, _seconds: float, ops: int = OPS
) -> dict[str, Any]:
    """Compiles one graph of thousands of ops after the other, all different."""
    done = 0
    while not stop.is_set():
        x = T.dvector("x")
        y = x
        for op in range(ops // 2):
            y = y * (1.0 + 1e-9 * (op + done * ops)) + x
        exprd.function([x], y)
        done += 1
    return {"done": done}


def interprets(stop: threading.Event, _target: str, _seconds: float) -> dict[str, Any]:
    """Runs a graph of a thousand ops node by node."""
    x = T.dmatrix("x")
    y = x
    for _ in range(500):
        y = T.tanh(y) + x
    function = exprd.function([x], y, mode=exprd.Mode(linker="py"))
    value, done = np.ones((64, 64)), 0
    while not stop.is_set():
        function(value)
        done += 1
    return {"done": done}


def lapses(stop: threading.Event, _target: str, _seconds: float) -> dict[str, Any]:
    """Loops that only their deadline ends: of many steps, and of one huge kernel."""
    n = T.lscalar("n")
    count = exprd.shared(0.0)
    tick = exprd.function([], count, updates=[(count, count + 1)])
    huge = exprd.function([n], T.exp(T.sin(T.arange(n) * 1e-9)).sum())
    calls: Sequence[Callable[[], Any]] = (lambda: huge(1 << 40), lambda: tick.repeat(STEPS))
    done = 0
    with exprd.config.change_flags(deadline=1.0):
        while not stop.is_set():
            try:
                calls[done % 2]()
            except DeadlineExceeded:
                done += 1
    return {"done": done}


def floods(stop: threading.Event, target: str, _seconds: float) -> dict[str, Any]:
    """Submits without bound, calls from many threads, and holds many connections."""
    x = T.dvector("x")
    function = exprd.function([x], x + 1)
    done, refused = Counter[str](), Counter[str]()

    def call() -> None:
        while not stop.is_set():
            try:
                function(np.zeros(8))
                done["calls"] += 1
            except LimitExceeded:
                refused["calls"] += 1

    held = [grpc.insecure_channel(target, options=OWN) for _ in range(CONNECTIONS)]
    for channel in held:
        grpc.channel_ready_future(channel).result(10)
    threads = [threading.Thread(target=call) for _ in range(THREADS)]
    with exprd.config.change_flags(ride_through=0.0):
        for thread in threads:
            thread.start()
        while not stop.is_set():
            for future in [function.submit(np.zeros(8)) for _ in range(4096)]:
                future.result()
                done["submitted"] += 1
        for thread in threads:
            thread.join()
    return {**done, "refused": refused["calls"]}


ROLES: Final[Mapping[str, Callable[[threading.Event, str, float], dict[str, Any]]]] = {
    "quiet": quiet,
    "compiles": compiles,
    "compiles_few": partial(compiles, ops=FEW),
    "interprets": interprets,
    "lapses": lapses,
    "floods": floods,
}
TROUBLE: Final = ("compiles", "interprets", "lapses", "floods")


def play(role: str, target: str, seconds: float) -> None:
    """One client: says that it is ready, works until its standard input ends, tells its figures."""
    stop = threading.Event()
    with exprd.connect(target):
        print("ready", flush=True)
        sys.stdin.readline()

        def watch() -> None:
            sys.stdin.read()
            stop.set()

        threading.Thread(target=watch, daemon=True).start()
        print(json.dumps(ROLES[role](stop, target, seconds)), flush=True)


# ---- the audience
class Client:
    """A process that plays a role."""

    def __init__(self, role: str, target: str, seconds: float) -> None:
        nice = () if role == "quiet" else ("nice", "-n", TROUBLE_NICENESS)
        self.role = role
        self._process = subprocess.Popen(
            [
                *(*nice, sys.executable, "-m", "benchmarks.neighbours"),
                *("--role", role, "--target", target, "--seconds", str(seconds)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._stdout.readline()

    def begin(self) -> None:
        """Has it start."""
        self._stdin.write("begin\n")
        self._stdin.flush()

    def end(self) -> dict[str, Any]:
        """Has it stop unless it does by itself; its figures."""
        if self.role != "quiet":
            self._stdin.close()
        line = self._stdout.readline()
        self._stdin.close()
        self._process.wait()
        self._stdout.close()
        found: dict[str, Any] = json.loads(line or "{}")
        return found


def of_quiet(target: str, seconds: float) -> tuple[float, float, list[str]]:
    """Median and 99th percentile in ms over the calls of all quiet clients, and what failed."""
    clients = [Client("quiet", target, seconds) for _ in range(QUIET)]
    for client in clients:
        client.begin()
    found = [client.end() for client in clients]
    times = [t for facts in found for t in facts.get("times", ())]
    failed = [message for facts in found for message in facts.get("failed", ())]
    if not times:
        failed.append("no call was made")
    middle, tail = np.percentile(times or [np.nan], [50, 99]) * 1e3
    return float(middle), float(tail), failed


@contextmanager
def troubled(target: str, roles: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The time during which others trouble a server; their figures, when it is over."""
    clients = [Client(role, target, 0.0) for role in roles]
    found: dict[str, Any] = {}
    for client in clients:
        client.begin()
    try:
        yield found
    finally:
        found.update((client.role, client.end()) for client in clients)


def beside(target: str, seconds: float, roles: Sequence[str] = TROUBLE) -> dict[str, Any]:
    """The figures of quiet clients alone and beside others."""
    idle, alone, failed = of_quiet(target, seconds)
    with troubled(target, roles) as trouble:
        middle, loaded, failures = of_quiet(target, seconds)
    return {
        "idle p50 ms": round(idle, 3),
        "p50 ms": round(middle, 3),
        "idle p99 ms": round(alone, 3),
        "p99 ms": round(loaded, 3),
        "ratio": round(loaded / alone, 2),
        "failed": [*failed, *failures],
        "trouble": trouble,
    }


@contextmanager
def server(listen: str) -> Iterator[str]:
    """A server process; its target."""
    with tempfile.TemporaryDirectory() as folder:
        address = listen or f"unix://{folder}/s.sock"
        command = ("-m", "exprd_server", "serve", "--listen", address)
        process = subprocess.Popen(
            [sys.executable, *command, "--drain-seconds", "0", "--cache-dir", ""],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        try:
            yield process.stdout.readline().removeprefix("serving on ").strip()
            if process.poll() is not None:
                raise RuntimeError(f"the server ended with status {process.returncode}")
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()


def main() -> None:
    """Parse the command line, measure, report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.neighbours", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument(
        "--listen",
        default="127.0.0.1:0",
        help="empty: a Unix socket, so that quiet clients go by the doorbell",
    )
    parser.add_argument(
        "--only", choices=("compiles_few", *TROUBLE), help="one troublemaker instead of all"
    )
    parser.add_argument("--role", choices=tuple(ROLES), help="play it, for the run itself")
    parser.add_argument("--target", default="")
    options = parser.parse_args()
    if options.role:
        play(options.role, options.target, options.seconds)
        return
    figures: dict[str, Any] = {}
    each = ("compiles_few", *TROUBLE)
    roles = ((options.only,),) if options.only else (*((role,) for role in each), TROUBLE)
    with server(options.listen) as target:
        for chosen in roles:
            name = "all" if chosen == TROUBLE else chosen[0]
            figures[name] = beside(target, options.seconds, chosen)
            print(f"{name:<12} {json.dumps(figures[name])}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
