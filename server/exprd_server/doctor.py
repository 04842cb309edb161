"""Doctor: whether a server with given settings would work here, and what to do if not.

Invariant: it starts nothing that stays, changes nothing but files it removes again, and every
finding that is not fine says what to do.
"""

from __future__ import annotations

import fcntl
import os
import platform
import resource
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from exprd_compiler.errors import ExprdError
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.leaves import input_
from exprd_compiler.ops.linalg import dot
from exprd_compiler.ops.transcendental import exp
from exprd_server.address import parse_address
from exprd_server.auth import read_tokens
from exprd_server.compilers import WorkerCompiler
from exprd_server.expiry import days_left
from exprd_server.idlepoll import polling_seconds
from exprd_server.memory import machine_bytes, wanted_bytes
from exprd_server.metrics import page_address
from exprd_server.outline import outline_of
from exprd_server.serve import check_exposure
from exprd_server.stores.folder import LOCK
from exprd_server.tls import read_pem
from exprd_server.values import CompileChoices
from exprd_server.workers import WorkerPool

if TYPE_CHECKING:
    from exprd_server.address import Address
    from exprd_server.settings import Settings

FINE: Final = "ok"
WARNING: Final = "warn"
FAILURE: Final = "FAIL"
_PACKAGES: Final = ("numpy", "grpcio", "protobuf", "llvmlite", "scipy-openblas32")
_FEATURES: Final = frozenset({"avx2", "fma", "f16c", "bmi2"})
_FILES_BESIDE_CALLS: Final = 256
_ROOM: Final = 1 << 30
_DAYS: Final = 30
_DAY: Final = 86_400.0
_TAKEN: Final = "is a server running there already? exprd health tells"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: a level, what was looked at, what was found, what to do."""

    level: str
    what: str
    found: str
    todo: str = ""

    def __str__(self) -> str:
        todo = f"; {self.todo}" if self.todo else ""
        return f"{self.level:5}{self.what:10}{self.found}{todo}"


def findings(settings: Settings) -> Iterator[Finding]:
    """The findings of all checks, as they come; a check that breaks is a finding too."""
    for what, check in CHECKS:
        try:
            yield from check(settings)
        except (ExprdError, OSError) as error:
            hint = getattr(error, "hint", "")
            yield Finding(FAILURE, what, getattr(error, "message", str(error)), hint)
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
            yield Finding(FAILURE, what, found, "please report it, if the flags mean something")


def _machine(_: Settings) -> Iterator[Finding]:
    found = f"{platform.system()} on {platform.machine()}, Python {platform.python_version()}"
    missing = _FEATURES - _features()
    if missing:
        todo = "native code needs a processor of x86-64-v3 or better"
        yield Finding(FAILURE, "machine", f"{found}, without {', '.join(sorted(missing))}", todo)
    else:
        yield Finding(FINE, "machine", found)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
    yield Finding(FINE, "packages", versions)


def _cores(settings: Settings) -> Iterator[Finding]:
    cores, seconds = len(os.sched_getaffinity(0)), polling_seconds(settings.idle_poll)
    waking = f"those with nothing to do stay awake for {seconds:g} s after a call"
    if not seconds:
        waking = "those with nothing to do sleep at once, and a call has to wake them"
    yield Finding(FINE, "cores", f"{cores}; {waking}")


def _features() -> frozenset[str]:
    rows = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    flags = next((row.partition(":")[2] for row in rows if row.startswith("flags")), "")
    return frozenset(flags.split())


def _compiler(settings: Settings) -> Iterator[Finding]:
    """Native code of exp and of a matrix product, made by a worker, against numpy."""
    matrix = TensorType("float64", (None, None))
    x = input_(type=matrix)
    graph = Graph((x,), (exp(x), dot(x, x)))
    value = np.random.default_rng(0).standard_normal((64, 64))
    pool = WorkerPool(settings.workers)
    compiler = WorkerCompiler(pool, pool, settings.workers)
    try:
        start = time.perf_counter()
        compiled = compiler.compile(outline_of(graph), CompileChoices(), None)
        seconds = time.perf_counter() - start
        (powers, product), _ = compiled.run([value], None)
    finally:
        compiler.close()
    for what, given, wanted in (
        ("LLVM", powers, np.exp(value)),
        ("BLAS", product, value @ value),
    ):
        if np.allclose(given, wanted, rtol=1e-12):
            yield Finding(FINE, what, f"computes what numpy does; compiled in {seconds:.2f} s")
        else:
            yield Finding(FAILURE, what, "computes something else than numpy", "please report it")


def _cache(settings: Settings) -> Iterator[Finding]:
    if settings.cache is None:
        todo = "name one with --cache-dir, so that a restart need not compile again"
        yield Finding(WARNING, "cache", "compiled objects are not kept", todo)
    else:
        yield _folder("cache", settings.cache, "--cache-dir")


def _state(settings: Settings) -> Iterator[Finding]:
    if settings.state is None:
        todo = "name a directory with --state, unless that is meant"
        yield Finding(WARNING, "state", "shared variables end with the process", todo)
        return
    if _locked(settings.state / LOCK):
        todo = "stop it first, or name another directory with --state"
        yield Finding(FAILURE, "state", f"another process uses {settings.state}", todo)
        return
    yield _folder("state", settings.state, "--state")
    if settings.state.is_dir():
        yield Finding(FINE, "disk", f"a durable write takes {_sync_seconds(settings.state):.4f} s")


def _folder(what: str, path: Path, flag: str) -> Finding:
    there = next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Finding(FAILURE, what, f"{there} cannot be written", f"mend it, or change {flag}")
    free = shutil.disk_usage(there).free
    found = f"{path}, {free >> 20} MiB free"
    if free < _ROOM:
        return Finding(WARNING, what, found, "make room")
    return Finding(FINE, what, found)


def _locked(path: Path) -> bool:
    """Whether some process has a file locked."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _sync_seconds(folder: Path) -> float:
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        start = time.perf_counter()
        file.write(b"x" * 4096)
        file.flush()
        os.fsync(file.fileno())
        return time.perf_counter() - start


def _port(settings: Settings) -> Iterator[Finding]:
    address = parse_address(settings.listen)
    check_exposure(address, settings)
    if address.path:
        if _locked(Path(f"{address.path}.lock")):
            yield Finding(FAILURE, "port", f"another server listens on {settings.listen}", _TAKEN)
        else:
            yield _folder("port", Path(address.path).parent, "--listen")
        return
    trouble = _unbindable(address)
    if trouble:
        yield Finding(FAILURE, "port", f"{settings.listen}: {trouble}", _TAKEN)
    elif settings.insecure and not address.local:
        todo = "give --tls-cert, --tls-key and --tokens instead of --insecure"
        yield Finding(WARNING, "port", f"{settings.listen} is open to whoever reaches it", todo)
    else:
        yield Finding(FINE, "port", f"{settings.listen} is free")


def _metrics(settings: Settings) -> Iterator[Finding]:
    if not settings.metrics:
        yield Finding(FINE, "metrics", "not asked for")
        return
    trouble = _unbindable(page_address(settings.metrics))
    if trouble:
        todo = "free it, or change --metrics"
        yield Finding(FAILURE, "metrics", f"{settings.metrics}: {trouble}", todo)
    else:
        yield Finding(FINE, "metrics", f"{settings.metrics} is free")


def _unbindable(address: Address) -> str:
    """Why a socket cannot be bound to an address; "" when it can."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family) as probe:
        try:
            probe.bind((address.host.strip("[]"), address.port))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _tls(settings: Settings) -> Iterator[Finding]:
    if settings.tls is None:
        yield Finding(FINE, "TLS", "not asked for")
        return
    read_pem(settings.tls)
    left = days_left(settings.tls)
    found = f"{settings.tls.cert} is valid for {left} more days"
    if left <= 0:
        yield Finding(FAILURE, "TLS", f"{settings.tls.cert} has expired", "renew it")
    elif left < _DAYS:
        yield Finding(WARNING, "TLS", found, "renew it; the server reads it again by itself")
    else:
        yield Finding(FINE, "TLS", found)
    yield from _private("TLS", settings.tls.key)


def _tokens(settings: Settings) -> Iterator[Finding]:
    if settings.tokens is None:
        yield Finding(FINE, "tokens", "not asked for")
        return
    grants = [grant for _, grant in read_tokens(settings.tokens).grants]
    now = time.time()
    expired = sum(1 for g in grants if g.expires is not None and g.expires <= now)
    soon = sum(1 for g in grants if g.expires is not None and 0 < g.expires - now < _DAYS * _DAY)
    found = f"{len(grants) - expired} valid, {expired} expired"
    if len(grants) == expired:
        yield Finding(WARNING, "tokens", found, "nobody can call; add one")
    elif soon:
        found = f"{found}, {soon} of the valid ones for less than {_DAYS} days"
        yield Finding(WARNING, "tokens", found, "renew them; the file is read again by itself")
    else:
        yield Finding(FINE, "tokens", found)
    yield from _private("tokens", settings.tokens)


def _private(what: str, path: Path) -> Iterator[Finding]:
    if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        yield Finding(WARNING, what, f"{path} can be read by others", f"chmod 600 {path}")


def _memory(settings: Settings) -> Iterator[Finding]:
    machine, wanted = machine_bytes(), wanted_bytes(settings.memory_bytes)
    found = f"{machine >> 20} MiB here, of which the server takes {wanted >> 20} at most"
    if wanted > machine:
        yield Finding(WARNING, "memory", found, "lower --memory-bytes, or it may be killed")
    elif settings.limits.client_bytes > wanted:
        yield Finding(WARNING, "memory", found, "one client may hold more; give it more memory")
    else:
        yield Finding(FINE, "memory", found)


def _limits(settings: Settings) -> Iterator[Finding]:
    needed = settings.calls + settings.limits.sessions + _FILES_BESIDE_CALLS
    for what, number in (("files", resource.RLIMIT_NOFILE), ("threads", resource.RLIMIT_NPROC)):
        soft, _ = resource.getrlimit(number)
        unlimited = soft == resource.RLIM_INFINITY
        found = f"{'unlimited' if unlimited else soft}, {needed} needed"
        if unlimited or soft >= needed:
            yield Finding(FINE, what, found)
        else:
            flag = {"files": "-n", "threads": "-u"}[what]
            yield Finding(FAILURE, what, found, f"ulimit {flag} {needed}, or lower --calls")


CHECKS: Final[tuple[tuple[str, Callable[[Settings], Iterator[Finding]]], ...]] = (
    ("machine", _machine),
    ("cores", _cores),
    ("compiler", _compiler),
    ("cache", _cache),
    ("state", _state),
    ("port", _port),
    ("metrics", _metrics),
    ("TLS", _tls),
    ("tokens", _tokens),
    ("memory", _memory),
    ("limits", _limits),
)
