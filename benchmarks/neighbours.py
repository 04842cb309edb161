"""What a client feels of its neighbours: one server, four quiet clients, four that trouble it.

The quiet ones call a small function every few milliseconds, first alone, then beside the others; of
both the 99th percentile is told. The troublemakers: one compiles graphs of 5,000 ops, one runs
graphs node by node with numpy, one makes calls that end only at their deadline, one submits without
bound and opens many connections. Each client is a process of its own. Those that trouble run when
nobody else wants a core (SCHED_IDLE): they stand for other machines, and what they may cost is the
server's time, not its cores, nor those of the quiet ones. What they got done is told as well.

A virtual core that halts takes a while to wake, which is most of what a call of an idle server
takes and none of what it takes on a busy one. `--awake` has a spinner on each core, which gives way
to all else, and so measures both alike.

How much of it is the machine's, whose two cores eight clients share, shows the peer: a bare gRPC
echo beside the server, which nobody troubles. The quiet ones call it in turns with the server.
"""

from __future__ import annotations

import argparse
import json
import os
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
from typing import Any, Final, NamedTuple

import grpc
import numpy as np

import exprd
import exprd.tensor as T
from benchmarks.harness import machine, serving
from benchmarks.service import METHOD, SMALL
from exprd.errors import DeadlineExceeded, ExprdError, LimitExceeded

QUIET: Final = 4
PAUSE: Final = 0.003  # seconds between the calls of a quiet client
OPS: Final = 5_000
FEW: Final = 1_000
STEPS: Final = 1_000_000_000
THREADS: Final = 64
CONNECTIONS: Final = 100
OWN: Final = (("grpc.use_local_subchannel_pool", 1),)  # channels do not share a connection


# ---- the clients, each in a process of its own
def quiet(peer: str) -> Callable[[float], dict[str, Any]]:
    """What calls every few milliseconds, for some seconds; the seconds of each, and what failed.

    With a peer, every second call goes there.
    """
    x = T.dvector("x")
    w = exprd.shared(np.zeros(8), name="w")
    step = exprd.function([x], (x * w).sum(), updates=[(w, w + x)])
    value = np.arange(8.0)
    channel = grpc.insecure_channel(peer or "unix:///nobody")  # which connects when it is used
    echo: Any = channel.unary_unary(f"{METHOD}Unary")
    for _ in range(50):
        step(value)

    def measured(seconds: float) -> dict[str, Any]:
        times, beside, failed = [], [], []
        end = time.perf_counter() + seconds
        while (start := time.perf_counter()) < end:
            try:
                step(value)
            except ExprdError as error:
                failed.append(repr(error)[:200])
            times.append(time.perf_counter() - start)
            time.sleep(PAUSE)
            if peer:
                start = time.perf_counter()
                echo(SMALL)
                beside.append(time.perf_counter() - start)
                time.sleep(PAUSE)
        return {"times": times, "peer": beside, "failed": failed}

    return measured


def compiles(found: Counter[str], _target: str, ops: int = OPS) -> None:
    """Compiles one graph of thousands of ops after the other, all different."""
    while True:
        x = T.dvector("x")
        y = x
        for op in range(ops // 2):
            y = y * (1.0 + 1e-9 * (op + found["compiled"] * ops)) + x
        exprd.function([x], y)
        found["compiled"] += 1


def interprets(found: Counter[str], _target: str) -> None:
    """Runs a graph of a thousand ops node by node."""
    x = T.dmatrix("x")
    y = x
    for _ in range(500):
        y = T.tanh(y) + x
    function = exprd.function([x], y, mode=exprd.Mode(linker="py"))
    while True:
        function(np.ones((64, 64)))
        found["interpreted"] += 1


def lapses(found: Counter[str], _target: str) -> None:
    """Loops that only their deadline ends: of many steps, and of one huge kernel."""
    n = T.lscalar("n")
    count = exprd.shared(0.0)
    tick = exprd.function([], count, updates=[(count, count + 1)])
    huge = exprd.function([n], T.exp(T.sin(T.arange(n) * 1e-9)).sum())
    calls: Sequence[Callable[[], Any]] = (lambda: huge(1 << 40), lambda: tick.repeat(STEPS))
    with exprd.config.change_flags(deadline=1.0):
        while True:
            try:
                calls[found["lapsed"] % 2]()
            except DeadlineExceeded:
                found["lapsed"] += 1


def floods(found: Counter[str], target: str) -> None:
    """Submits without bound, calls from many threads, and holds many connections."""
    x = T.dvector("x")
    function = exprd.function([x], x + 1)

    def call() -> None:
        with exprd.config.change_flags(ride_through=0.0):
            while True:
                try:
                    function(np.zeros(8))
                    found["called"] += 1
                except LimitExceeded:
                    found["refused"] += 1
                except ExprdError:
                    found["other errors"] += 1

    held = [grpc.insecure_channel(target, options=OWN) for _ in range(CONNECTIONS)]
    for channel in held:
        grpc.channel_ready_future(channel).result(10)
    for _ in range(THREADS):
        threading.Thread(target=call, daemon=True).start()
    while True:
        for future in [function.submit(np.zeros(8)) for _ in range(4096)]:
            future.result()
            found["submitted"] += 1


TROUBLE: Final[Mapping[str, Callable[[Counter[str], str], None]]] = {
    "compiles": compiles,
    "interprets": interprets,
    "lapses": lapses,
    "floods": floods,
}
ROLES: Final[Mapping[str, Callable[[Counter[str], str], None]]] = {
    **TROUBLE,
    "compiles_few": partial(compiles, ops=FEW),
}


def play(role: str, target: str, peer: str) -> None:
    """One client: says that it is ready, and does as the lines of its standard input say.

    One that troubles says so once more when it has done for the first time what it does.
    """
    if role != "quiet":
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with exprd.connect(target):
        measured = quiet(peer) if role == "quiet" else None
        print("ready", flush=True)
        if measured is not None:
            for line in sys.stdin:
                print(json.dumps(measured(float(line))), flush=True)
            return
        sys.stdin.readline()
        found = Counter[str]()
        threading.Thread(target=ROLES[role], args=(found, target), daemon=True).start()
        while not found:
            time.sleep(PAUSE)
        print("under way", flush=True)
        sys.stdin.read()
        print(json.dumps(found), flush=True)
        os._exit(0)  # whatever it is doing: that, too, happens to servers


# ---- the audience
class Client:
    """A process that plays a role."""

    def __init__(self, role: str, target: str, peer: str = "") -> None:
        self.role = role
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.neighbours"),
                *("--role", role, "--target", target, "--peer", peer),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout

    def wait(self) -> None:
        """Waits until it is ready, or well under way."""
        if not self._stdout.readline():
            raise RuntimeError(f"the client that {self.role} did not start")

    def begin(self, seconds: float = 0.0) -> None:
        """Has it start, for so long if it is a quiet one."""
        self._stdin.write(f"{seconds}\n")
        self._stdin.flush()

    def figures(self) -> dict[str, Any]:
        """What it has to tell, when it is through."""
        found: dict[str, Any] = json.loads(self._stdout.readline() or "{}")
        return found

    def end(self) -> dict[str, Any]:
        """Has it stop; what it did."""
        self._stdin.close()
        found = {} if self.role == "quiet" else self.figures()
        self._process.wait()
        self._stdout.close()
        return found


class Felt(NamedTuple):
    """What quiet clients felt: of their calls, and of those to the peer, in ms; and what failed."""

    p50: float
    p99: float
    peer_p99: float
    failed: list[str]


def of_quiet(clients: Sequence[Client], seconds: float) -> Felt:
    """What quiet clients feel for some seconds."""
    for client in clients:
        client.begin(seconds)
    found = [client.figures() for client in clients]
    times, peer = ([t for f in found for t in f.get(what, ())] for what in ("times", "peer"))
    failed = [message for facts in found for message in facts.get("failed", ())]
    if not all(found):
        failed.append("a quiet client ended before its time")
    middle, tail = np.percentile(times or [np.nan], [50, 99]) * 1e3
    beside = np.percentile(peer or [np.nan], 99) * 1e3
    return Felt(float(middle), float(tail), float(beside), failed)


def beside(target: str, seconds: float, roles: Sequence[str], peer: str = "") -> dict[str, Any]:
    """The figures of quiet clients alone and beside others."""
    quiets = [Client("quiet", target, peer) for _ in range(QUIET)]
    others = [Client(role, target) for role in roles]
    for client in (*quiets, *others):
        client.wait()
    alone = of_quiet(quiets, seconds)
    for client in others:
        client.begin()
    for client in others:
        client.wait()
    loaded = of_quiet(quiets, seconds)
    trouble = {client.role: client.end() for client in others}
    for client in quiets:
        client.end()
    compared = {
        "peer, idle p99 ms": round(alone.peer_p99, 3),
        "peer, p99 ms": round(loaded.peer_p99, 3),
        "peer, ratio": round(loaded.peer_p99 / alone.peer_p99, 2),
    }
    return {
        "idle p50 ms": round(alone.p50, 3),
        "p50 ms": round(loaded.p50, 3),
        "idle p99 ms": round(alone.p99, 3),
        "p99 ms": round(loaded.p99, 3),
        "ratio": round(loaded.p99 / alone.p99, 2),
        **(compared if peer else {}),
        "failed": [*alone.failed, *loaded.failed],
        "errors": len(alone.failed) + len(loaded.failed),
        "trouble": trouble,
    }


@contextmanager
def awake(*, wanted: bool) -> Iterator[None]:
    """Cores that never halt, if that is wanted: a loop on each that gives way to all else."""
    spinners: list[subprocess.Popen[bytes]] = []
    try:
        for core in os.sched_getaffinity(0) if wanted else ():
            spinner = subprocess.Popen(["/bin/sh", "-c", "while :; do :; done"])
            spinners.append(spinner)
            os.sched_setaffinity(spinner.pid, {core})
            os.sched_setscheduler(spinner.pid, os.SCHED_IDLE, os.sched_param(0))
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


@contextmanager
def server(listen: str) -> Iterator[str]:
    """A server process; its target."""
    with tempfile.TemporaryDirectory() as folder:
        address = listen or f"unix://{folder}/s.sock"
        command = ("exprd_server", "serve", "--listen", address)
        with serving(*command, "--drain-seconds", "0", "--cache-dir", "") as target:
            yield target


@contextmanager
def bare_echo() -> Iterator[str]:
    """A process that echoes bytes by gRPC itself; its target."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serving("benchmarks.service", "--echo", f"unix://{folder}/echo.sock") as target,
    ):
        yield target


def main() -> None:
    """Parse the command line, measure, report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.neighbours", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--json", type=Path, help="put the figures in this file")
    parser.add_argument(
        "--listen",
        default="127.0.0.1:0",
        help="empty: a Unix socket, so that quiet clients go by the doorbell",
    )
    parser.add_argument(
        "--only", choices=(*ROLES, "all"), help="one troublemaker, or all at once, and no more"
    )
    parser.add_argument("--rounds", type=int, default=1, help="of which the middle one counts")
    parser.add_argument("--awake", action="store_true", help="no core ever halts")
    parser.add_argument("--role", choices=("quiet", *ROLES), help="play it, for the run itself")
    parser.add_argument("--target", default="")
    parser.add_argument("--peer", default="")
    options = parser.parse_args()
    if options.role:
        play(options.role, options.target, options.peer)
        return
    figures: dict[str, Any] = {"machine": machine()}
    if options.json and options.json.exists():
        figures = {**json.loads(options.json.read_text(encoding="utf-8")), **figures}
    roles = [*((role,) for role in ROLES), tuple(TROUBLE)]
    if options.only:
        roles = [tuple(TROUBLE) if options.only == "all" else (options.only,)]
    with awake(wanted=options.awake), server(options.listen) as target, bare_echo() as peer:
        for chosen in roles:
            name = "all" if len(chosen) > 1 else chosen[0]
            runs = [beside(target, options.seconds, chosen, peer) for _ in range(options.rounds)]
            middle = sorted(runs, key=lambda run: run["ratio"])[len(runs) // 2]
            figures[f"{name}, cores awake" if options.awake else name] = middle
            print(f"{name:<12} {json.dumps(middle)}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
