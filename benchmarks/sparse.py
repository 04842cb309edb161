"""What updates of a part of a table cost, and how much memory. `python -m benchmarks.sparse`.

Every call adds to 100 random rows of 256 float32 in a table of 1 GB. Beside it stand numpy doing
the same in this process, and for durable tables SQLite committing the bytes of those rows alone.
Peaks of memory are those of the process, over what it takes without the table, by its table.
"""

from __future__ import annotations

import argparse
import gc
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.harness import machine
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add
from exprd_compiler.ops.index import scatter
from exprd_compiler.ops.leaves import const, input_, shared
from exprd_server.compilers import InProcessCompiler
from exprd_server.engine import LocalEngine
from exprd_server.settings import Settings
from exprd_server.store import MemoryStore
from exprd_server.stores.folder import StateFolder
from exprd_server.stores.sqlite import SqliteStore
from exprd_server.values import CallId, CompileCall, Durability, ExecuteCall
from exprd_server.variables import NewVariable

COLUMNS, ROWS = 256, 100
TABLE, INDEX = TensorType("float32", (None, None)), TensorType("int64", (None,))


def resident(field: str = "VmRSS") -> int:
    """Bytes of memory of this process: now, or VmHWM at most."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field}")


def reset_peak() -> None:
    """Begins the peak anew."""
    Path("/proc/self/clear_refs").write_text("5")


class Bench:
    """An engine with one table, and functions that change it."""

    def __init__(self, nbytes: int, state: Path | None) -> None:
        store = MemoryStore() if state is None else SqliteStore(StateFolder(state))
        self.store = store
        self.engine = LocalEngine(Settings(), InProcessCompiler(), store)
        self.table_bytes = nbytes
        self.rows = nbytes // (4 * COLUMNS)
        durability = Durability.VOLATILE if state is None else Durability.DURABLE
        i, y, w = input_(type=INDEX), input_(type=TABLE), shared(type=TABLE)
        sparse = Graph((i, y), (), (w,), ((0, scatter(w, y, i, mode="inc")),))
        dense = Graph((), (), (w,), ((0, add(w, const(np.float32(1.0)))),))
        self._seq = 0
        for rows in (1, self.rows):  # native code is made for the first, and is no part of the peak
            gc.collect()
            self.base = resident()
            new = NewVariable(value=np.ones((rows, COLUMNS), np.float32), durability=durability)
            bound = (self.engine.create_variable("c", new).uuid,)
            del new
            self.sparse, self.dense = (
                self.engine.compile(CompileCall(client_id="c", graph=g, bindings=bound)).handle
                for g in (sparse, dense)
            )

    def call(self, handle: str, *inputs: np.ndarray) -> None:
        """One call with a record, as a client's."""
        self._seq += 1
        identity = CallId(client_id="c", seq=self._seq, acked_through=self._seq - 1)
        self.engine.execute(
            ExecuteCall(handle=handle, inputs=inputs, call_id=identity, client_id="c")
        )

    def rows_of(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Rows that are to be changed, and by what."""
        index = rng.integers(0, self.rows, ROWS)
        return index, rng.standard_normal((ROWS, COLUMNS)).astype(np.float32)

    def peak(self, work: Callable[[], None]) -> float:
        """The peak of memory during some work, by the size of the table."""
        gc.collect()
        reset_peak()
        work()
        return (resident("VmHWM") - self.base) / self.table_bytes


def timed(
    calls: Mapping[str, Callable[..., object]], given: Sequence[tuple[np.ndarray, ...]]
) -> dict[str, dict[str, float]]:
    """Median and 99th percentile of calls that take turns, in seconds."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for arguments in given:
        for name, call in calls.items():
            start = time.perf_counter()
            call(*arguments)
            found[name].append(time.perf_counter() - start)
    return {
        name: {"p50": statistics.median(x), "p99": sorted(x)[int(len(x) * 0.99)]}
        for name, x in found.items()
    }


def of_table(nbytes: int, folder: Path, calls: int, *, durable: bool) -> dict[str, object]:
    """Times and peaks of one table; a durable one takes turns with SQLite."""
    bench = Bench(nbytes, folder / "state" if durable else None)
    rng = np.random.default_rng(0)
    given = [bench.rows_of(rng) for _ in range(calls)]
    out: dict[str, object] = {"bytes": nbytes}

    def sparse(index: np.ndarray, values: np.ndarray) -> None:
        bench.call(bench.sparse, index, values)

    def dense() -> None:
        for _ in range(2):
            bench.call(bench.dense)

    sparse(*given[0])
    direct = bench.engine.direct(bench.sparse)
    kinds: dict[str, Callable[..., object]] = {"direct": lambda i, y: direct([i, y])}
    with bare(folder) as peer:
        if isinstance(bench.store, SqliteStore):
            kinds["sqlite"] = peer
        out.update(timed(kinds, given))
    out["peak_sparse"] = bench.peak(lambda: out.update(timed({"engine": sparse}, given)))
    if isinstance(bench.store, SqliteStore):
        out["patch_bytes"] = bench.store.patched_bytes // (2 * calls + 1)
    out["peak_dense"] = bench.peak(dense)
    bench.engine.close()
    return out


def of_numpy(nbytes: int, calls: int) -> dict[str, float]:
    """The same rows by numpy, in one thread and without any promise."""
    rng = np.random.default_rng(0)
    table = np.ones((nbytes // (4 * COLUMNS), COLUMNS), np.float32)
    given = [
        (rng.integers(0, len(table), ROWS), rng.standard_normal((ROWS, COLUMNS), np.float32))
        for _ in range(calls)
    ]
    return timed({"numpy": lambda i, y: np.add.at(table, i, y)}, given)["numpy"]


@contextmanager
def bare(folder: Path) -> Generator[Callable[[np.ndarray, np.ndarray], None]]:
    """A commit of as many bytes as the rows have, in one row of SQLite's."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    for pragma in ("page_size=8192", "journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB)")

    def commit(index: np.ndarray, values: np.ndarray) -> None:
        del index
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO t (v) VALUES (?)", (values.tobytes(),))
        connection.execute("COMMIT")

    try:
        yield commit
    finally:
        connection.close()


def alone(kind: str, nbytes: int, calls: int, folder: Path) -> dict[str, object]:
    """A measurement in a process of its own, whose memory is its own."""
    command = [sys.executable, "-m", "benchmarks.sparse", "--only", kind, "--folder", str(folder)]
    command += ["--bytes", str(nbytes), "--calls", str(calls)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def one(kind: str, nbytes: int, calls: int, folder: Path) -> object:
    """A measurement in this process."""
    if kind == "numpy":
        return of_numpy(nbytes, calls)
    return of_table(nbytes, folder, calls, durable=kind == "durable")


def main() -> None:
    """Measures, prints, and writes JSON if asked to."""
    parser = argparse.ArgumentParser(description="What updates of a part of a table cost.")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--bytes", type=int, default=10**9)
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--only", choices=["volatile", "durable", "numpy"])
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    if chosen.only:
        alone_here = one(chosen.only, chosen.bytes, chosen.calls, chosen.folder)
        sys.stdout.write(json.dumps(alone_here))
        return
    report: dict[str, object] = {"machine": machine()}
    Path("build").mkdir(exist_ok=True)
    for kind in ("numpy", "volatile", "durable"):
        with tempfile.TemporaryDirectory(dir="build") as name:
            found = alone(kind, chosen.bytes, chosen.calls, Path(name))
        if "sqlite" in found:
            report["sqlite"] = found.pop("sqlite")
            sys.stdout.write(f"sqlite: {json.dumps(report['sqlite'])}\n")
        report[kind] = found
        sys.stdout.write(f"{kind}: {json.dumps(report[kind])}\n")
        sys.stdout.flush()
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
