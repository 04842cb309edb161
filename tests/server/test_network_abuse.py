"""Callers that abuse TCP, HTTP/2 or TLS: others are served as before, and memory stays bounded.

A client calls a small function while a process of its own does each kind of harm in turn: a
hundred calls in every run, ten seconds of each kind in `make soak`. How much slower the calls
become is noted, not asserted; that all of them are answered is. What they are compared with is a
program that sends as many bytes to somebody else, for on two cores that alone is felt.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest

from exprd_proto.channels import Access, open_channel
from tests.server import graphs
from tests.server.abuser import KINDS, TLS_KINDS
from tests.server.bare import METHOD
from tests.server.conftest import Client, ServerProcess
from tests.server.test_tls import TOKEN, Pki
from tests.server.wire import bundle

CALLS = 100
SOAK_SECONDS = 10.0
GROWTH_MB = 200

Found = dict[str, float]


@contextmanager
def abuse(kind: str, target: str, env: dict[str, str]) -> Iterator[None]:
    """Does harm of one kind to a server, until the end of the context."""
    port = target.rpartition(":")[2]
    command = [sys.executable, "-m", "tests.server.abuser", kind, port]
    with subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "under way\n", kind
        yield
        process.stdin.close()
        assert int(process.stdout.read()) > 0, kind
    assert process.returncode == 0, kind


def resident_mb(pid: int) -> float:
    """The memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def times_of(call: Callable[[], object], seconds: float) -> list[float]:
    """How long calls take one after the other; all of them are answered."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < CALLS or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def p99_ms(times: list[float]) -> float:
    return round(float(np.percentile(times, 99)) * 1e3, 2)


@contextmanager
def bare(env: dict[str, str], *files: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server of gRPC alone, as a process of its own, and its target."""
    command = [sys.executable, "-m", "tests.server.bare", *files]
    quiet = {**env, "GRPC_VERBOSITY": "ERROR"}
    with subprocess.Popen(
        command, env=quiet, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process, process.stdout.readline().removeprefix("serving on ").strip()
        process.stdin.close()


class Asked:
    """A call of a server of gRPC alone, under abuse: it may fail, and how often is counted."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._ask = channel.unary_unary(METHOD)
        self.failed = 0

    def __call__(self) -> None:
        try:
            self._ask(bytes(64), timeout=30)
        except grpc.RpcError:
            self.failed += 1


class Watched:
    """A server under abuse, a client that uses it, and what the client felt.

    Attributes:
        found: the 99th percentile of its calls beside each kind of abuse, in milliseconds.
        ratio: how many times that of calls beside none the worst of them is.
    """

    def __init__(
        self,
        process: subprocess.Popen[str],
        target: str,
        call: Callable[[], object],
        env: dict[str, str],
    ) -> None:
        self._process = process
        self._target = target
        self._call = call
        self._env = env
        self._idle: list[float] = []
        self._elsewhere: list[float] = []
        self.found: dict[str, float] = {}
        times_of(call, 0)
        self._before = resident_mb(process.pid)

    @property
    def idle_ms(self) -> float:
        return p99_ms(self._idle)

    @property
    def elsewhere_ms(self) -> float:
        return p99_ms(self._elsewhere)

    @property
    def ratio(self) -> float:
        return round(max(self.found.values()) / max(self.idle_ms, self.elsewhere_ms), 1)

    @property
    def grown_mb(self) -> float:
        return resident_mb(self._process.pid) - self._before

    def rest(self, seconds: float) -> None:
        """Measures calls beside no abuse.

        That is: on an idle machine, and beside a program that talks as much to another.
        """
        self._idle += times_of(self._call, seconds)
        with abuse("elsewhere", self._target, self._env):
            self._elsewhere += times_of(self._call, seconds)

    def suffer(self, kind: str, seconds: float) -> None:
        """Measures calls beside a kind of abuse."""
        with abuse(kind, self._target, self._env):
            self.found[f"{kind}_p99_ms"] = p99_ms(times_of(self._call, seconds))
        assert self._process.poll() is None, kind


def measured(kinds: Iterable[str], seconds: float, ours: Watched, *peers: Watched) -> Found:
    """What is found by abusing servers in turns, for so long in all with each kind."""
    each = seconds / (1 + len(peers))
    for number, kind in enumerate(kinds):
        for server in (ours, *peers):
            if number == 0 or seconds:
                server.rest(each / 5)
            server.suffer(kind, each)
    assert ours.grown_mb < GROWTH_MB
    found = {"idle_p99_ms": ours.idle_ms, "elsewhere_p99_ms": ours.elsewhere_ms, **ours.found}
    found |= {"worst_ratio": ours.ratio, "grown_mb": round(ours.grown_mb)}
    for peer in peers:
        found |= {"bare_grpc_idle_p99_ms": peer.idle_ms}
        found |= {"bare_grpc_worst_p99_ms": max(peer.found.values())}
        found |= {"bare_grpc_worst_ratio": peer.ratio}
    return found


def of_ours(server: ServerProcess, channel: grpc.Channel, env: dict[str, str]) -> Watched:
    """Our server, by a client that calls a small function."""
    client = Client(channel)
    handle = client.compile(bundle(graphs.chain(1))).handle
    return Watched(server.process, server.target, lambda: client.call(handle, [1.0]), env)


def suffer(start_server, env: dict[str, str]) -> Found:
    """Every kind of abuse of a server without TLS, for a moment; what was found."""
    server = start_server("--listen", "127.0.0.1:0")
    with grpc.insecure_channel(server.target) as channel:
        found = measured(KINDS, 0, of_ours(server, channel, env))
    assert server.stop() == 0
    return found


def suffer_long(start_server, env: dict[str, str], seconds: float) -> Found:
    """Every kind of abuse of a server without TLS, and of one of gRPC alone; what was found."""
    server = start_server("--listen", "127.0.0.1:0")
    with (
        bare(env) as (process, target),
        grpc.insecure_channel(server.target) as channel,
        grpc.insecure_channel(target) as other,
    ):
        asked = Asked(other)
        peer = Watched(process, target, asked, env)
        found = measured(KINDS, seconds, of_ours(server, channel, env), peer)
    assert server.stop() == 0
    return {**found, "bare_grpc_failed": asked.failed}


def suffer_tls(start_server, env, folder: Path, seconds: float) -> Found:
    """Every kind of abuse of servers that ask for certificates, ours for tokens too.

    `test_tls.py` has who is refused; here it is done without end.
    """
    pki = Pki(folder / "pki")
    files, mine = pki.issue("server"), pki.issue("me", "me@example.org")
    tokens = folder / "tokens.toml"
    tokens.write_text(f'[[token]]\ntoken = "{TOKEN}"\n')
    server = start_server(
        *("--listen", "127.0.0.1:0", "--tokens", str(tokens), "--tls-client-ca", pki.ca),
        *("--tls-cert", str(files.cert), "--tls-key", str(files.key)),
    )
    access = Access(token=TOKEN, ca=pki.ca, cert=str(mine.cert), key=str(mine.key))
    with (
        bare(env, str(files.cert), str(files.key), pki.ca) as (process, target),
        open_channel(server.target, access) as channel,
        open_channel(target, access) as other,
    ):
        peer = Watched(process, target, Asked(other), env)
        found = measured(TLS_KINDS, seconds, of_ours(server, channel, env), peer)
    assert server.stop() == 0
    return found


def test_others_are_served_beside_abuse(start_server, child_env, figure):
    figure("network abuse", **suffer(start_server, child_env))


@pytest.fixture
def seconds() -> float:
    """How long a soak does each kind of harm."""
    return SOAK_SECONDS * float(os.environ.get("EXPRD_SOAK", "1"))


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_others_are_served_beside_long_abuse(start_server, child_env, seconds, figure):
    figure("network abuse", **suffer_long(start_server, child_env, seconds))


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_others_are_served_beside_abuse_of_tls(start_server, child_env, tmp_path, seconds, figure):
    found = suffer_tls(start_server, child_env, tmp_path, seconds)
    figure("network abuse", **{f"tls_{name}": value for name, value in found.items()})
