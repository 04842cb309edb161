"""What durability costs: commits, large variables, restarts. `python -m benchmarks.store`.

Beside the figures stand the disk's own, a write of 4 KiB that is waited for, and SQLite's, the same
values in one table; both are taken in the same run. The data of every
commit are new, since SQLite does not write what has not changed.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.harness import machine
from exprd_compiler.ir.type import TensorType
from exprd_server.policy import ALWAYS, Policy
from exprd_server.store import CallRecord, Change, StoredVariable
from exprd_server.stores.checkpoints import Checkpoints
from exprd_server.stores.folder import StateFolder
from exprd_server.stores.sqlite import SqliteStore
from exprd_server.values import Durability, ExecuteReply

STEPS, WARM = 200, 60
WORDS = 8192  # 64 KiB
# What a step assigns: the sizes of its variables.
KINDS = {"10 x 64 KiB": (WORDS,) * 10, "a counter": (1,)}
LARGE = (2_000, 62_500)  # 1 GB of float64, in rows of 500 kB
MEDIUM = (200, 62_500)
# A restart is a new process, whose memory is new as well.
OPENS = """
import sys, time
from pathlib import Path
from exprd_server.stores.folder import StateFolder
from exprd_server.stores.sqlite import SqliteStore
start = time.perf_counter()
store = SqliteStore(StateFolder(Path(sys.argv[1])))
print(time.perf_counter() - start)
store.close()
"""


def variable(uuid: str, value: np.ndarray) -> StoredVariable:
    """A durable variable."""
    return StoredVariable(
        uuid=uuid,
        name=uuid,
        type=TensorType("float64", (None,) * value.ndim),
        durability=Durability.DURABLE,
        version=1,
        value=value,
    )


def taken(call: Callable[[], object]) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def raw_syncs(folder: Path) -> list[float]:
    """Seconds of a write of 4 KiB and fdatasync, as the disk gives them."""
    handle = os.open(folder / "raw", os.O_RDWR | os.O_CREAT)

    def write() -> None:
        os.write(handle, os.urandom(4096))
        os.fdatasync(handle)

    try:
        return [taken(write) for _ in range(STEPS)]
    finally:
        os.close(handle)


def drawn(sizes: Sequence[int]) -> list[list[np.ndarray]]:
    """New values for every step."""
    rng = np.random.default_rng(0)
    return [[rng.standard_normal(size) for size in sizes] for _ in range(WARM + STEPS)]


@contextmanager
def bare(folder: Path, sizes: Sequence[int]) -> Generator[Callable[[int], None]]:
    """A commit of the same values in SQLite alone: one table, no checksums, no records."""
    connection = sqlite3.connect(folder / f"bare-{len(sizes)}.db", isolation_level=None)
    for pragma in ("page_size=8192", "journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB)")
    values = drawn(sizes)

    def commit(step: int) -> None:
        connection.execute("BEGIN IMMEDIATE")
        rows = list(enumerate(values[step]))
        connection.executemany("INSERT OR REPLACE INTO t VALUES (?, ?)", rows)
        connection.execute("COMMIT")

    try:
        yield commit
    finally:
        connection.close()


@contextmanager
def ours(folder: Path, sizes: Sequence[int], policy: Policy) -> Generator[Callable[[int], None]]:
    """A commit of values and a call record."""
    store = SqliteStore(StateFolder(folder / f"steps-{len(sizes)}-{policy}"), policy)
    names = [f"w{k}" for k in range(len(sizes))]
    for name, size in zip(names, sizes, strict=True):
        store.create(variable(name, np.zeros(size)))
    values = drawn(sizes)
    reply = ExecuteReply(outputs=(np.asarray(1.0),))

    def commit(step: int) -> None:
        changes = [Change(n, step + 1, v) for n, v in zip(names, values[step], strict=True)]
        record = CallRecord(client_id="c", seq=step + 1, digest=b"d" * 16, reply=reply, nbytes=8)
        store.commit(changes, record)
        store.forget("c", step)

    try:
        yield commit
    finally:
        store.close()


def steps(folder: Path, kind: str) -> dict[str, list[float]]:
    """Seconds of steps, SQLite's and ours in turn, so that the disk is the same for both.

    The first ones are not counted: until a log has been full once, its file grows, and the disk has
    more to do.
    """
    found: dict[str, list[float]] = {"bare SQLite": [], "always": [], "interval=1": []}
    sizes = KINDS[kind]
    with bare(folder, sizes) as peer, ours(folder, sizes, ALWAYS) as always:
        for step in range(WARM + STEPS):
            found["bare SQLite"].append(taken(functools.partial(peer, step)))
            found["always"].append(taken(functools.partial(always, step)))
    with ours(folder, sizes, Policy(1.0)) as interval:
        for step in range(WARM + STEPS):
            found["interval=1"].append(taken(functools.partial(interval, step)))
    return {f"step of {kind}, {who}": seconds[WARM:] for who, seconds in found.items()}


def restart(folder: Path, shape: tuple[int, int]) -> dict[str, float]:
    """Seconds to create, to commit one row, to checkpoint and to open again."""
    rng = np.random.default_rng(0)
    value = np.zeros(shape) + rng.standard_normal(shape[1])
    touched = taken(lambda: np.empty(shape).fill(1.0))
    path = folder / f"restart-{value.nbytes}"
    store = SqliteStore(StateFolder(path))
    out = {"bytes": float(value.nbytes), "memory_touched": touched}
    out["create"] = taken(lambda: store.create(variable("w", value)))
    new = value.copy()
    new[1] += 1.0  # a row within one chunk
    row = value.strides[0]
    before = store.chunks_written
    dirty = ((row, row + value.strides[0]),)
    out["commit_row"] = taken(lambda: store.commit([Change("w", 1, new, dirty)], None))
    out["commit_row_chunks"] = float(store.chunks_written - before)
    newer = new.copy()
    newer[7] += 1.0
    before = store.chunks_written
    out["commit_row_compared"] = taken(lambda: store.commit([Change("w", 2, newer)], None))
    out["commit_row_compared_chunks"] = float(store.chunks_written - before)
    checkpoints = Checkpoints(path / "checkpoints")
    out["checkpoint"] = taken(lambda: checkpoints.write("c", store.variables()))
    store.close()
    opened = subprocess.run(
        [sys.executable, "-c", OPENS, str(path)], stdout=subprocess.PIPE, check=True, text=True
    )
    out["open"] = float(opened.stdout)
    return out


def main() -> None:
    """Measures, prints, and writes JSON if asked to."""
    parser = argparse.ArgumentParser(description="What durability costs.")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--small", action="store_true", help="leave the 1 GB variable out")
    chosen = parser.parse_args()
    report: dict[str, object] = {"machine": machine()}
    Path("build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir="build") as name:
        folder = Path(name)
        timed = {"raw write and fdatasync of 4 KiB": raw_syncs(folder)}
        for kind in KINDS:
            timed.update(steps(folder, kind))
        for label, seconds in timed.items():
            p50, p99 = statistics.median(seconds), sorted(seconds)[int(len(seconds) * 0.99)]
            report[label] = {"p50": p50, "p99": p99}
            sys.stdout.write(f"{label}: p50 {p50 * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms\n")
        for shape in (MEDIUM,) if chosen.small else (MEDIUM, LARGE):
            found = restart(folder, shape)
            label = f"variable of {found['bytes'] / 1e6:.0f} MB"
            report[label] = found
            sys.stdout.write(f"{label}: {json.dumps({k: round(v, 4) for k, v in found.items()})}\n")
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
