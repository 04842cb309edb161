"""The fixture that runs every behavioural test in this process and against a real server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import exprd
from tests.client.proxy import Proxy
from tests.client.restarts import patience


@pytest.fixture(scope="session")
def server(
    cache_folder: Path, child_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The target of a server process that lives as long as the tests."""
    folder: Path = tmp_path_factory.mktemp("server")
    listen = f"unix://{folder / 'exprd.sock'}"
    log = (folder / "log").open("w")
    command = ["-m", "exprd_server", "serve", "--listen", listen, "--drain-seconds", "0"]
    process = subprocess.Popen(
        [sys.executable, *command, "--cache-dir", str(cache_folder)],
        env=child_env,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()  # the server says when it can be called
    assert line.startswith("serving on"), (folder / "log").read_text()
    yield listen
    process.terminate()
    process.wait(30)
    process.stdout.close()
    log.close()


@pytest.fixture(autouse=True, scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of compiled objects that belongs to this run alone, and to both of its modes."""
    folder = tmp_path_factory.mktemp("objects")
    with exprd.config.change_flags(cache_dir=str(folder)):
        yield folder


@pytest.fixture(autouse=True, scope="session")
def patient() -> Iterator[None]:
    """No test is about how soon a server is back, unless it says so."""
    with patience():
        yield


@pytest.fixture(params=["embedded", "remote"])
def mode(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs a test in this process, in an engine of its own, then against the server."""
    target = "" if request.param == "embedded" else request.getfixturevalue("server")
    with exprd.connect(target):
        yield request.param


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    """The server behind connections that a test can cut; it is in use."""
    between = Proxy(server.removeprefix("unix://"))
    try:
        with exprd.connect(between.target):
            yield between
    finally:
        between.close()


@pytest.fixture
def float32() -> Iterator[None]:
    """floatX=float32 for one test."""
    with exprd.config.change_flags(floatX="float32"):
        yield
