"""A server process put together: workers, engine, network."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from exprd_compiler.backends.llvm.objects import ObjectCache
from exprd_server.compilers import WorkerCompiler
from exprd_server.engine import LocalEngine
from exprd_server.memory import bound_memory
from exprd_server.serve import Server, serve_until_signalled
from exprd_server.store import MemoryStore
from exprd_server.workers import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
        bound_memory(settings.memory_bytes)
        compiler = WorkerCompiler(pool, settings.workers, usable_cache(settings.cache, log))
        engine = LocalEngine(settings, compiler, MemoryStore())
        log.warning("state is kept in memory and ends with this process")
        serve_until_signalled(Server(settings, engine, log), announce)
    finally:
        pool.close()


def usable_cache(path: Path | None, log: Logger) -> Path | None:
    """The directory of the object cache, or None when it cannot be used."""
    if path is None:
        return None
    try:
        ObjectCache(path)
    except OSError as error:
        log.warning("objects are not cached", directory=str(path), reason=str(error))
        return None
    if not os.access(path, os.W_OK | os.X_OK):
        log.warning("objects are not cached", directory=str(path), reason="not writable")
        return None
    return path
