"""A server process put together: workers, engine, network."""

from __future__ import annotations

import contextlib
import gc
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from exprd_compiler.backends.llvm.objects import ObjectCache
from exprd_server.address import parse_address
from exprd_server.auth import read_tokens
from exprd_server.checkpointing import CheckpointSchedule
from exprd_server.compilers import WorkerCompiler
from exprd_server.engine import LocalEngine
from exprd_server.memory import bound_memory, wanted_bytes
from exprd_server.serve import Server, check_exposure, serve_until_signalled
from exprd_server.store import MemoryStore
from exprd_server.stores.folder import StateFolder
from exprd_server.stores.sqlite import SqliteStore
from exprd_server.throttle import Throttle
from exprd_server.tls import read_pem
from exprd_server.workers import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from exprd_server.log import Logger
    from exprd_server.settings import Settings
    from exprd_server.store import Store

_NAMESPACES = "namespaces"  # folder within a state directory, one folder each within it


def run_server(settings: Settings, log: Logger, announce: Callable[[str], None]) -> None:
    """Serves until the process is told to end.

    Args:
        settings: of the server.
        log: where events go.
        announce: is told the target once clients can connect.
    """
    check_settings(settings)
    # Workers start first: a child must not inherit the state of gRPC's threads.
    with contextlib.ExitStack() as ends:
        pool, evaluators, readers = (
            ends.enter_context(contextlib.closing(WorkerPool(settings.workers, lazy=lazy)))
            for lazy in (False, True, True)
        )
        bound_memory(settings.memory_bytes)
        cache = usable_cache(settings.cache, log)
        throttle = Throttle(settings.least_share)  # of all namespaces, which share the interpreter

        def engine_of(own: Settings) -> LocalEngine:
            store = ends.enter_context(contextlib.closing(open_store(own, log)))
            room = own.limits.call_bytes
            compiler = WorkerCompiler(pool, evaluators, own.workers, cache, room, readers)
            engine = LocalEngine(own, compiler, store, throttle=throttle)
            if own.state is not None and own.checkpoint_seconds > 0:
                schedule = CheckpointSchedule(
                    engine.checkpoints, own.checkpoint_seconds, own.checkpoint_keep, log
                )
                ends.callback(schedule.close)
            return engine

        def beside(namespace: str, own: Settings) -> LocalEngine:
            return engine_of(replace(own, state=own.state and own.state / _NAMESPACES / namespace))

        server = Server(
            settings,
            engine_of(settings),
            log,
            make=beside,
            waiting=lambda: pool.waiting,
            readers=readers,
        )
        # What there is now stays; the collector need not look at it ever again, which takes
        # longer than a call.
        gc.collect()
        gc.freeze()
        serve_until_signalled(server, announce)


def check_settings(settings: Settings) -> None:
    """Returns if a server with these settings may start: said before anything is begun.

    Raises:
        CallError: of the address, or of a file of certificates or tokens.
    """
    check_exposure(parse_address(settings.listen), settings)
    wanted_bytes(settings.memory_bytes)
    if settings.tls is not None:
        read_pem(settings.tls)
    if settings.tokens is not None:
        read_tokens(settings.tokens)


def open_store(settings: Settings, log: Logger) -> Store:
    """The store of the settings, and a word in the log on what it holds or will lose.

    Raises:
        CallError: the state directory cannot be used, or another server uses it.
        DamagedFile: what lies there is damaged.
    """
    if settings.state is None:
        log.warning("state is kept in memory and ends with this process")
        return MemoryStore()
    start = time.perf_counter()
    store = SqliteStore(StateFolder(settings.state), settings.durability)
    log.info(
        "state opened",
        directory=str(settings.state),
        durability=str(settings.durability),
        variables=len(store.variables()),
        seconds=round(time.perf_counter() - start, 3),
    )
    for run in store.incarnations()[-2:-1]:  # of what an older one lost, the log has told already
        if run.lost:
            log.warning("answered updates are gone", incarnation=run.id, commits=run.lost)
    return store


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
