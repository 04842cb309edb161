"""Stores for the tests: a directory of one's own, and short forms of what is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exprd_server.policy import ALWAYS, Policy
from exprd_server.stores.folder import StateFolder
from exprd_server.stores.sqlite import SqliteStore
from tests.server.stores.recording import Recorder, compiled


@pytest.fixture
def open_store(tmp_path) -> Iterator[Callable[..., SqliteStore]]:
    """A function that opens the store of a directory; the test's own when none is given."""
    opened: list[SqliteStore] = []

    def open_(policy: Policy = ALWAYS, path: Path = tmp_path / "state") -> SqliteStore:
        opened.append(SqliteStore(StateFolder(path), policy))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


@pytest.fixture(scope="session")
def recorder(tmp_path_factory: pytest.TempPathFactory, child_env: dict[str, str]) -> Recorder:
    """The recorder of what a process does to its files, compiled; skips where no compiler is."""
    return Recorder(compiled(tmp_path_factory.mktemp("recorder")), child_env)
