"""Journals: a patch costs what it writes, and chunks and patches give the value at any moment."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from exprd_compiler.errors import DamagedFile, LimitExceeded
from exprd_server.policy import ALWAYS, OFF, Policy
from exprd_server.store import CallRecord
from exprd_server.stores import journal as journals
from exprd_server.stores import sqlite as stores
from exprd_server.stores.chunks import CHUNK_BYTES
from exprd_server.stores.journal import apply_patches, is_narrow, pack_patch
from exprd_server.values import ExecuteReply
from tests.server.stores.facts import change, content, variable
from tests.server.stores.table_writer import table_at

ROOT = Path(__file__).parents[3]
ROW = 1024  # bytes
POLICIES = [ALWAYS, Policy(0.005), OFF]


class Table:
    """A table in a store, patched in place where the store admits it; its values by version."""

    def __init__(self, store, nbytes: int, rng) -> None:
        self.store = store
        self.rng = rng
        self.memory = rng.integers(0, 256, nbytes, dtype=np.uint8)
        self.value = self.memory.view()
        self.version = 1
        self.history = {1: self.digest()}
        store.create(variable("t", self.value))
        store.flush()

    def digest(self) -> int:
        return zlib.crc32(self.memory)

    def rows(self, count: int) -> tuple[tuple[int, int], ...]:
        starts = np.unique(self.rng.integers(0, self.memory.size // ROW, count)) * ROW
        return tuple((int(start), int(start) + ROW) for start in starts)

    def patch(self, ranges, policy=None, call=None) -> bool:
        """Whether it was made in place."""
        in_place = self.store.may_patch("t", ranges)
        before = self.memory
        if not in_place:
            self.memory = before.copy()
            self.value = self.memory.view()
        saved = [before[a:b].copy() for a, b in ranges]
        for a, b in ranges:
            self.memory[a:b] = self.rng.integers(0, 256, b - a)
        try:
            self.store.commit([change("t", self.version, self.value, ranges)], call, policy)
        except LimitExceeded:
            for (a, b), old in zip(ranges, saved, strict=True):
                self.memory[a:b] = old
            raise
        self._next()
        return in_place

    def assign(self, policy=None) -> None:
        """A new value that differs from the old one in a few bytes."""
        self.memory = self.memory.copy()
        self.memory[self.rng.integers(0, self.memory.size, 3)] += 1
        self.value = self.memory.view()
        self.store.commit([change("t", self.version, self.value)], None, policy)
        self._next()

    def _next(self) -> None:
        self.version += 1
        self.history[self.version] = self.digest()


@pytest.fixture
def eager(monkeypatch):
    """Passes that begin early and take small steps."""
    monkeypatch.setattr(journals, "_LEAST", 40 * ROW)
    monkeypatch.setattr(journals, "_SHARE", 10**9)
    monkeypatch.setattr(journals, "_FOLDED", 32)


def found(open_store, path, place):
    """Version and digest of the table as a crash at this moment would leave it, and its patches."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(path, place)
    connection = sqlite3.connect(place / "state.db")
    (patches,) = connection.execute("SELECT count(*) FROM patches").fetchone()
    connection.close()
    store = open_store(path=place)
    (table,) = store.variables()
    store.close()
    return table.version, zlib.crc32(table.value), patches


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_a_crash_at_any_moment_leaves_a_value_that_was(eager, open_store, tmp_path, rng, policy):
    """Patches, new values and refused commits in any order, passes under way or not."""
    store = open_store(policy)
    table = Table(store, 2 * CHUNK_BYTES + 3 * ROW, rng)
    in_place, versions, patches = 0, set(), [0]
    for _ in range(30):
        move = rng.random()
        durable = ALWAYS if rng.random() < 0.3 else None
        if move < 0.9:
            in_place += table.patch(table.rows(int(rng.integers(1, 12))), durable)
        elif move < 0.93:
            table.patch(((0, CHUNK_BYTES),), durable)
        elif move < 0.96:
            table.assign(durable)
        else:
            refuse(table)
            continue
        version, digest, count = found(open_store, tmp_path / "state", tmp_path / "crashed")
        assert digest == table.history[version]
        if policy is ALWAYS or durable:
            assert version == table.version
        versions.add(version)
        patches.append(count)
    assert in_place > 8
    assert len(versions) > 8
    assert max(patches) > 2
    assert patches != sorted(patches)  # some were dropped
    store.close()
    (stored,) = open_store().variables()
    assert (stored.version, zlib.crc32(stored.value)) == (table.version, table.digest())


def refuse(table: Table) -> None:
    """A commit that a full disk refuses."""
    connection = table.store._database.connection  # the fault is injected below SQLite
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (limit,) = connection.execute("PRAGMA max_page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages}")
    before = table.digest()
    reply = ExecuteReply(outputs=(np.zeros((free + 100) * 1024),))
    call = CallRecord(client_id="c", seq=table.version, digest=b"d", reply=reply, nbytes=8)
    with pytest.raises(LimitExceeded, match="full"):
        table.patch(table.rows(5), ALWAYS, call)
    connection.execute(f"PRAGMA max_page_count={limit}")
    table.store.flush()
    assert table.digest() == before


def test_a_patch_writes_what_it_must(open_store, tmp_path, rng, figure):
    """The bytes of the log are those of the patch and of a few pages, not of its 64 chunks."""
    store = open_store()
    table = Table(store, 64 * CHUNK_BYTES, rng)
    store._database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    chunks = store.chunks_written
    ranges = table.rows(100)
    assert table.patch(ranges)
    written = (tmp_path / "state" / "state.db-wal").stat().st_size
    payload = sum(b - a for a, b in ranges)
    assert store.chunks_written == chunks
    assert payload <= store.patched_bytes < payload + 3000
    assert written < payload + 8 * 8192
    figure("sparse updates", rows=len(ranges), payload_bytes=payload, log_bytes=written)


def test_a_journal_stays_below_half_of_its_value(open_store, rng, tmp_path):
    store = open_store(OFF)
    table = Table(store, 16 * CHUNK_BYTES, rng)
    largest = 0
    for _ in range(70):
        table.patch(table.rows(400), ALWAYS)
        largest = max(largest, store.journal_bytes)
    assert store.patched_bytes > 1.5 * table.memory.size
    assert largest < 0.6 * table.memory.size
    # Each byte costs its patch, and at most a few times itself in chunks.
    assert store.chunks_written * CHUNK_BYTES < 5 * store.patched_bytes + table.memory.size
    store.close()
    (stored,) = open_store().variables()
    assert zlib.crc32(stored.value) == table.digest()


def test_patches_that_wait_for_the_disk_are_bounded(open_store, rng, monkeypatch):
    monkeypatch.setattr(stores, "_PENDING_BYTES", 50_000)
    store = open_store(OFF)
    table = Table(store, 4 * CHUNK_BYTES, rng)
    for _ in range(30):
        assert table.patch(table.rows(10))
    run = store.incarnations()[-1]
    assert run.acknowledged - run.durable < 10


@pytest.mark.parametrize("harm", ["flip", "remove", "move"])
def test_a_damaged_patch_is_found_and_its_variable_named(open_store, tmp_path, rng, harm):
    store = open_store()
    table = Table(store, 2 * CHUNK_BYTES, rng)
    for _ in range(3):
        assert table.patch(table.rows(4))
    store.close()
    connection = sqlite3.connect(tmp_path / "state" / "state.db")
    key, data = connection.execute("SELECT id, data FROM patches ORDER BY id LIMIT 1").fetchone()
    if harm == "flip":
        flipped = data[:-5] + bytes([data[-5] ^ 4]) + data[-4:]
        connection.execute("UPDATE patches SET data = ? WHERE id = ?", (flipped, key))
    elif harm == "remove":
        connection.execute("DELETE FROM patches WHERE id = ?", (key,))
    else:
        connection.execute("UPDATE patches SET id = id + 10 WHERE id = ?", (key,))
    connection.commit()
    connection.close()
    with pytest.raises(DamagedFile, match="patches" if harm == "remove" else "'t'"):
        open_store()


def test_a_deleted_variable_takes_its_patches_along(open_store, tmp_path, rng):
    store = open_store()
    table = Table(store, 2 * CHUNK_BYTES, rng)
    table.patch(table.rows(4))
    store.delete(["t"])
    store.create(variable("t", np.zeros(3)))
    store.close()
    store = open_store()
    assert content(store) == {"t": (1, [0.0] * 3)}
    store.close()
    connection = sqlite3.connect(tmp_path / "state" / "state.db")
    assert connection.execute("SELECT count(*) FROM patches").fetchone() == (0,)
    connection.close()


def test_what_is_read_behind_a_commit_is_not_patched(open_store, rng):
    store = open_store(OFF)
    table = Table(store, 2 * CHUNK_BYTES, rng)
    ranges = table.rows(3)
    assert store.may_patch("t", ranges)
    table.assign()
    assert not store.may_patch("t", ranges)
    store.flush()
    assert store.may_patch("t", ranges)
    assert not store.may_patch("t", ((0, CHUNK_BYTES),))  # its chunk costs as much


def test_patches_are_packed_and_applied_in_order(rng):
    value = rng.integers(0, 256, 3 * CHUNK_BYTES, dtype=np.uint8)
    new = value.copy()
    packed = b""
    for a, b in ((5, 9), (7, 2 * CHUNK_BYTES + 1), (0, 6)):
        new[a:b] = rng.integers(0, 256, b - a)
        packed += pack_patch(new, ((a, b), (b, b)))
    assert apply_patches(value, packed) == {0, 1, 2}
    assert (value == new).all()
    for bad in (packed[:-1], packed[8:], pack_patch(new, ((0, 1),))[:8]):
        with pytest.raises(ValueError, match="a patch"):
            apply_patches(value, bad)
    with pytest.raises(ValueError, match="no value"):
        apply_patches(value[:100], packed)


def test_a_patch_is_narrow_if_its_chunks_would_cost_more():
    assert is_narrow((), 100)
    assert is_narrow(((0, 10),), 100)
    assert not is_narrow(((0, 50),), 100)
    assert not is_narrow(((0, 1 << 30),), 4 << 30)  # beyond the size of a row
    assert is_narrow(((0, 1000), (CHUNK_BYTES, CHUNK_BYTES + 1000)), 2 * CHUNK_BYTES)


def killed(env, path: Path, policy: str, steps: int) -> int:
    """Has a process patch a table so many times, and kills it; the last step it acknowledged."""
    command = [sys.executable, "-m", "tests.server.stores.table_writer", str(path), policy]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=env, cwd=ROOT)
    said = [process.stdout.readline() for _ in range(steps)]
    process.kill()
    said += process.stdout.read().splitlines(keepends=True)
    process.wait()
    process.stdout.close()
    return int([line for line in said if line.endswith(b"\n")][-1])


def kill_and_compare(env, path: Path, open_store, policy: str, kills: int, rng) -> list[int]:
    """How far the table was behind what had been acknowledged, after each kill."""
    behind = []
    for _ in range(kills):
        acknowledged = killed(env, path, policy, int(rng.integers(10, 60)))
        store = open_store(path=path)
        (table,) = store.variables()
        np.testing.assert_array_equal(table.value, table_at(table.version))
        behind.append(acknowledged - table.version)
        store.close()
    return behind


@pytest.mark.parametrize(("policy", "most"), [("always", 0), ("interval=0.02", 10**6)])
def test_patches_over_kills(child_env, tmp_path, open_store, rng, figure, policy, most):
    """Nothing that `always` has answered is gone, and the table is that of a step."""
    behind = kill_and_compare(child_env, tmp_path / "k", open_store, policy, 2, rng)
    assert -1 <= min(behind) <= max(behind) <= most
    figure("crash", patched_table=policy, kills=len(behind), torn=0)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_patches_over_kills_for_long(child_env, tmp_path, open_store, rng, figure):
    kills = max(4, int(200 * float(os.environ.get("EXPRD_SOAK", "1"))))
    behind = kill_and_compare(child_env, tmp_path / "k", open_store, "always", kills, rng)
    assert -1 <= min(behind) <= max(behind) <= 0
    figure("crash", patched_table="always", kills=len(behind), torn=0)
