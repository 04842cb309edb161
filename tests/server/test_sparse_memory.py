"""Updates of a part of a table take no second table: the peak of a process that makes them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE_BYTES = 64_000_000
# What SQLite's cache and a pass of the journal take beside the table, whatever its size.
FIXED = {"volatile": 8_000_000, "durable": 40_000_000}


@pytest.mark.parametrize("kind", ["volatile", "durable"])
def test_sparse_updates_take_no_second_table_and_dense_ones_one(kind, child_env, tmp_path, figure):
    command = [sys.executable, "-m", "benchmarks.sparse", "--only", kind, "--folder", str(tmp_path)]
    command += ["--bytes", str(TABLE_BYTES), "--calls", "20"]
    done = subprocess.run(command, env=child_env, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    found = json.loads(done.stdout)
    slack = FIXED[kind] / TABLE_BYTES
    assert 0.9 < found["peak_sparse"] < 1.1 + slack
    assert 1.9 < found["peak_dense"] < 2.1 + slack
    peaks = {f"{name}_{kind}": round(found[f"peak_{name}"], 2) for name in ("sparse", "dense")}
    figure("sparse updates", table_mb=TABLE_BYTES // 10**6, **peaks)
