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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest

from exprd_proto.channels import Access, open_channel
from tests.server import graphs
from tests.server.abuser import KINDS, TLS_KINDS
from tests.server.conftest import Client, ServerProcess
from tests.server.test_tls import TOKEN, Pki
from tests.server.wire import bundle

CALLS = 100
SOAK_SECONDS = 10.0
GROWTH_MB = 200


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


class Watched:
    """A server under abuse, a client that uses it, and what was found."""

    def __init__(self, server: ServerProcess, channel: grpc.Channel, env: dict[str, str]) -> None:
        self._server = server
        self._env = env
        client = Client(channel)
        handle = client.compile(bundle(graphs.chain(1))).handle
        self._call = lambda: client.call(handle, [1.0])
        self.found: dict[str, float] = {}

    def suffer(self, kinds: dict[str, object], seconds: float) -> None:
        """Measures calls beside each kind of abuse, and as many beside none before each.

        Beside none means: on an idle machine, and beside a program that talks as much to another.
        """
        times_of(self._call, 0)
        before = resident_mb(self._server.process.pid)
        idle, peer = [], []
        for number, kind in enumerate(kinds):
            if number == 0 or seconds:
                idle += times_of(self._call, seconds / 5)
                with abuse("elsewhere", self._server.target, self._env):
                    peer += times_of(self._call, seconds / 5)
            with abuse(kind, self._server.target, self._env):
                self.found[f"{kind}_p99_ms"] = p99_ms(times_of(self._call, seconds))
            assert self._server.process.poll() is None, kind
        grown = resident_mb(self._server.process.pid) - before
        assert grown < GROWTH_MB
        base = p99_ms(idle), p99_ms(peer)
        worst = max(self.found.values())
        self.found = {"idle_p99_ms": base[0], "elsewhere_p99_ms": base[1], **self.found}
        self.found |= {"worst_ratio": round(worst / max(base), 1), "grown_mb": round(grown)}


def suffer(start_server, env: dict[str, str], seconds: float = 0) -> dict[str, float]:
    """Every kind of abuse of a server without TLS; what was found."""
    server = start_server("--listen", "127.0.0.1:0")
    with grpc.insecure_channel(server.target) as channel:
        watched = Watched(server, channel, env)
        watched.suffer(KINDS, seconds)
    assert server.stop() == 0
    return watched.found


def suffer_tls(start_server, env, folder: Path, seconds: float = 0) -> dict[str, float]:
    """Every kind of abuse of a server that asks for certificates and tokens; what was found.

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
    with open_channel(server.target, access) as channel:
        watched = Watched(server, channel, env)
        watched.suffer(TLS_KINDS, seconds)
    assert server.stop() == 0
    return watched.found


def test_others_are_served_beside_abuse(start_server, child_env, figure):
    figure("network abuse", **suffer(start_server, child_env))


@pytest.fixture
def seconds() -> float:
    """How long a soak does each kind of harm."""
    return SOAK_SECONDS * float(os.environ.get("EXPRD_SOAK", "1"))


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_others_are_served_beside_long_abuse(start_server, child_env, seconds, figure):
    figure("network abuse", **suffer(start_server, child_env, seconds))


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_others_are_served_beside_abuse_of_tls(start_server, child_env, tmp_path, seconds, figure):
    found = suffer_tls(start_server, child_env, tmp_path, seconds)
    figure("network abuse", **{f"tls_{name}": value for name, value in found.items()})
