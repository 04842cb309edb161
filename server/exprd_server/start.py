"""A server process put together: workers, engine, network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exprd_server.compilers import WorkerCompiler
from exprd_server.engine import LocalEngine
from exprd_server.serve import Server, serve_until_signalled
from exprd_server.store import MemoryStore
from exprd_server.workers import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from exprd_server.log import Logger
    from exprd_server.settings import Settings


def run_server(settings: Settings, log: Logger, announce: Callable[[str], None]) -> None:
    """Serves until the process is told to end.

    Args:
        settings: of the server.
        log: where events go.
        announce: is told the target once clients can connect.
    """
    # Workers start first: a child must not inherit the state of gRPC's threads.
    pool = WorkerPool(settings.workers)
    try:
        engine = LocalEngine(settings, WorkerCompiler(pool, settings.workers), MemoryStore())
        log.warning("state is kept in memory and ends with this process")
        serve_until_signalled(Server(settings, engine, log), announce)
    finally:
        pool.close()
