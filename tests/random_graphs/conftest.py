"""Fixtures of the random graphs: a session in this process, and one with a server process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import exprd
from exprd.session import Session


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of compiled objects that both sides share: each graph is compiled once."""
    folder = tmp_path_factory.mktemp("objects")
    with exprd.config.change_flags(cache_dir=str(folder)):
        yield folder


@pytest.fixture(scope="module")
def server(
    cache: Path, child_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The target of a server process that lives as long as the module."""
    folder = tmp_path_factory.mktemp("server")
    listen = f"unix://{folder / 'exprd.sock'}"
    command = ["-m", "exprd_server", "serve", "--listen", listen, "--drain-seconds", "0"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [sys.executable, *command, "--cache-dir", str(cache)],
            env=child_env,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()  # the server says when it can be called
        assert line.startswith("serving on"), (folder / "log").read_text()
        yield listen
        process.terminate()


@pytest.fixture(scope="module")
def here(cache: Path) -> Iterator[Session]:
    """A session within this process."""
    with exprd.connect("") as session:
        yield session


@pytest.fixture(scope="module")
def there(server: str) -> Iterator[Session]:
    """A session with the server."""
    with exprd.connect(server) as session:
        yield session
