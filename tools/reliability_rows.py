"""The rows of the table of reliability: what is done to a server, and what must hold then.

A row is data. Its figures come from tests, which note them under its area (the fixture `figure`),
and from benchmarks, whose results it names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

EVERY_RUN: Final = "`make test`"
SOAK: Final = "`make soak`"
BENCH: Final = "`make bench-service`"
STORE: Final = "`make bench-store`"
CONTAINER: Final = "`make container-check`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """A figure of a benchmark: where it lies, and how it is told.

    Attributes:
        file: under benchmarks/results, without its ending.
        path: keys from the top of the file to the number.
        label: what it is.
        unit: what follows the number.
        scale: what the number is multiplied with, to be in that unit.
    """

    file: str
    path: tuple[str, ...]
    label: str
    unit: str = ""
    scale: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the table.

    Attributes:
        area: its name, under which tests note their figures.
        injected: what is done.
        bar: what must hold.
        run: the command that measures it.
        picks: its figures of benchmarks.
    """

    area: str
    injected: str
    bar: str
    run: str = SOAK
    picks: tuple[Pick, ...] = ()


def _service(name: str, label: str, unit: str, scale: float = 1.0) -> Pick:
    return Pick(
        file="service", path=("figures", name, "median"), label=label, unit=unit, scale=scale
    )


def _sparse(label: str, *path: str, scale: float = 1e6, unit: str = "us") -> Pick:
    return Pick(file="sparse", path=path, label=label, unit=unit, scale=scale)


def _neighbours(label: str, key: str, unit: str = "ms") -> Pick:
    return Pick(file="neighbours", path=("all", key), label=label, unit=unit)


def _store(label: str, *path: str, scale: float = 1e3, unit: str = "ms") -> Pick:
    return Pick(file="store", path=path, label=label, unit=unit, scale=scale)


ROWS: Final = (
    Row(
        area="latency",
        injected="small calls, beside a bare gRPC echo of 64 B in the same run",
        bar="unary ≤ echo + 60 us p50, session ≤ 0.25 ms p50, doorbell ≤ 20 us p50",
        run=BENCH,
        picks=(
            _service("echo, unary, 64 B, p50 us", "echo", "us"),
            _service("server, x + 1 of 8, p50 us", "unary", "us"),
            _service("server, x + 1 of 8, beyond the echo, us", "beyond the echo in pairs", "us"),
            _service("server, x + 1 of 8, session, p50 us", "session", "us"),
            _service("server, x + 1 of 8, doorbell, p50 us", "doorbell", "us"),
        ),
    ),
    Row(
        area="throughput",
        injected="64 callers of a small function; one caller whose calls are pipelined",
        bar="≥ 70 % of the echo with 0 errors; ≥ 30,000 calls/s pipelined",
        run=BENCH,
        picks=(
            _service("echo, unary, 64 B, 64 callers, 1/s", "echo, 64 callers", "calls/s"),
            _service("server, x + 1 of 8, 64 callers, 1/s", "64 callers", "calls/s"),
            _service("server, x + 1 of 8, submitted, 1/s", "pipelined", "calls/s"),
            _service("server, x + 1 of 8, batch, 1/s", "in batches", "calls/s"),
        ),
    ),
    Row(
        area="bulk",
        injected="256 MiB up and down in chunks of 1 MiB; through shared memory",
        bar="≥ 1.8 GB/s; shared memory ≥ 12 GB/s",
        run=BENCH,
        picks=(
            _service("echo, chunks of 1 MiB up, GB/s", "echo up", "GB/s"),
            _service("server, put 256 MiB, GB/s", "up", "GB/s"),
            _service("echo, chunks of 1 MiB down, GB/s", "echo down", "GB/s"),
            _service("server, get 256 MiB, GB/s", "down", "GB/s"),
            _service("server, shared memory 256 MiB, GB/s", "shared memory", "GB/s"),
        ),
    ),
    Row(
        area="compile isolation",
        injected="a graph of 1,000 nodes compiles while small calls go on",
        bar="p99 of the calls ≤ 3x idle",
    ),
    Row(
        area="load shedding",
        injected="four times as many calls as there is room for, for a minute",
        bar="goodput ≥ 80 % of the peak, the rest refused within 10 ms, memory bounded, "
        "recovery < 2 s",
    ),
    Row(
        area="soak",
        injected="compile, execute, state, cancel, disconnect, mixed, 1 M executions",
        bar="memory drifts ≤ 5 MB; files, threads, handles as at the beginning",
    ),
    Row(
        area="crash",
        injected="SIGKILL under load, at random times and at named points",
        bar="0 acknowledged updates lost, 0 torn",
    ),
    Row(
        area="power cut",
        injected="writes that were not synced are dropped, in any order",
        bar="0 acknowledged updates lost under `always`",
    ),
    Row(
        area="torn files",
        injected="files of the store cut at every byte and with bits flipped; disk full, "
        "errors of the disk, read-only",
        bar="detected and named, every time; reads are served on",
    ),
    Row(
        area="restart",
        injected="a server starts on the state that another has left",
        bar="100 MB ≤ 2 s, 1 GB ≤ 5 s",
        run=STORE,
        picks=(
            _store("100 MB", "variable of 100 MB", "open", scale=1.0, unit="s"),
            _store("1 GB", "variable of 1000 MB", "open", scale=1.0, unit="s"),
        ),
    ),
    Row(
        area="durable step",
        injected="10 tensors of 64 KiB in one commit under `always`, beside bare SQLite",
        bar="≤ 1.5 ms p50",
        run=STORE,
        picks=(
            _store("write + fdatasync of 4 KiB", "raw write and fdatasync of 4 KiB", "p50"),
            _store("bare SQLite", "step of 10 x 64 KiB, bare SQLite", "p50"),
            _store("step", "step of 10 x 64 KiB, always", "p50"),
        ),
    ),
    Row(
        area="sparse updates",
        injected="100 rows of 256 float32 increased in a table of 1 GB",
        bar="volatile ≤ 100 us, durable ≤ 2 ms; memory ≤ 1.1x the state, dense ≤ 2.1x",
        run="`python -m benchmarks.sparse`",
        picks=(
            _sparse("numpy", "numpy", "p50"),
            _sparse("volatile", "volatile", "engine", "p50"),
            _sparse("bare SQLite", "sqlite", "p50", scale=1e3, unit="ms"),
            _sparse("durable", "durable", "engine", "p50", scale=1e3, unit="ms"),
            _sparse("memory, sparse, volatile", "volatile", "peak_sparse", scale=1.0, unit="x"),
            _sparse("durable", "durable", "peak_sparse", scale=1.0, unit="x"),
            _sparse("dense, volatile", "volatile", "peak_dense", scale=1.0, unit="x"),
            _sparse("durable", "durable", "peak_dense", scale=1.0, unit="x"),
        ),
    ),
    Row(
        area="linearizability",
        injected="8 clients: fetch-and-add, compare-and-set, transfers, kills, lost answers",
        bar="one order explains every history",
    ),
    Row(
        area="exactly once",
        injected="a wire that drops 5 % of the requests and 5 % of the answers, and resets",
        bar="0 calls applied twice, 0 lost",
    ),
    Row(
        area="cancel and deadline",
        injected="cancellation at random phases",
        bar="stopped within 100 ms; state old or new",
    ),
    Row(
        area="worker faults",
        injected="compile workers killed, hung, out of memory",
        bar="one request fails with a typed error; replaced ≤ 1 s",
    ),
    Row(
        area="neighbours",
        injected="of 8 clients one compiles 5,000 ops, one runs the interpreter, one loops "
        "without end, one floods",
        bar="the other four: p99 ≤ 3x idle, no errors",
        run="`python -m benchmarks.neighbours`",
        picks=(
            _neighbours("idle p99", "idle p99 ms"),
            _neighbours("beside all of them", "p99 ms"),
            _neighbours("ratio", "ratio", ""),
            _neighbours("a bare gRPC echo of the same clients, idle p99", "peer, idle p99 ms"),
            _neighbours("beside all of them", "peer, p99 ms"),
            _neighbours("ratio", "peer, ratio", ""),
        ),
    ),
    Row(
        area="bad input",
        injected="messages, chunks, descriptors and files made at random out of valid ones",
        bar="0 crashes, 0 hangs > 1 s; every refusal is typed",
    ),
    Row(
        area="named bad inputs",
        injected="a list of bad requests: cycles, overflows, names like paths, wrong sizes …",
        bar="≥ 60; a typed error each, p99 < 50 ms",
    ),
    Row(
        area="limits",
        injected="every limit met and passed by one",
        bar="served at the limit, a typed error beyond it",
    ),
    Row(
        area="network abuse",
        injected="garbage, half-open, slow and mute connections, 10,000 resets, pings, settings "
        "or frames a second, 17 KB of metadata, compressed bombs, wrong TLS",
        bar="others' p99 ≤ 2x, memory bounded, no crash",
    ),
    Row(
        area="auth",
        injected="every method with no token, a wrong, an expired one, wrong and right scopes",
        bar="as the table of methods says, each; a method that is not in it is nobody's",
    ),
    Row(
        area="shutdown",
        injected="SIGTERM under load",
        bar="0 acknowledged lost, exit 0 within 30 s",
    ),
    Row(
        area="upgrade",
        injected="clients and state directories of earlier versions",
        bar="they work",
        run=EVERY_RUN,
    ),
    Row(
        area="container",
        injected="built, run as another user with a read-only root, asked from outside, "
        "killed, restarted on its volume",
        bar="state, versions and functions are found; no token, no service",
        run=CONTAINER,
    ),
)
AREAS: Final = frozenset(row.area for row in ROWS)
