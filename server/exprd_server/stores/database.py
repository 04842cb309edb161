"""Database: the SQLite file of a state, as one writer sees it.

Invariant: a batch is one transaction; when `write` returns, the kernel was told to bring it to the
disk and has said that it has. Only chunks that differ are written. One thread at a time.

The file is in WAL mode with synchronous=FULL: a commit is one sequential write and one fsync, and
after a crash the log's own checksums cut it where it was torn, between two transactions.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from exprd_compiler.errors import LimitExceeded
from exprd_server.stores.chunks import (
    bytes_of,
    changed_chunks,
    checksum,
    chunk,
    chunk_count,
)
from exprd_server.stores.faults import FAULTS, fault_of, is_fatal
from exprd_server.stores.journal import patch_crc
from exprd_server.stores.rows import Head, Row, Run
from exprd_server.stores.schema import PATCH_BITS, POSITION_BITS, prepare, row_crc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from exprd_server.store import Incarnation, StoredVariable
    from exprd_server.stores.batch import Batch, CallKey, EntryKey, VariableRows
    from exprd_server.stores.chunks import Bytes

_KEPT_RUNS: Final = 100
_MANY: Final = 16  # chunks of a value that is read and verified side by side
_AHEAD: Final = 4
_PRAGMAS: Final = (
    "PRAGMA locking_mode=EXCLUSIVE",  # no shared-memory file; the folder has a lock of its own
    "PRAGMA page_size=8192",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA wal_autocheckpoint=4000",  # 32 MiB: measured, fewer and longer pauses are worse
    "PRAGMA journal_size_limit=67108864",
    "PRAGMA cache_size=-16384",
)


def connect(path: Path) -> sqlite3.Connection:
    """A connection to a state file with its tables, made if there is none.

    Raises:
        DamagedFile: it is none, or not readable at all.
        UnsupportedVersion: it is of a later version.
        LimitExceeded: it cannot be written.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.text_factory = text_of
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        prepare(connection, path)
    except FAULTS as error:
        connection.close()
        raise fault_of(error, path, reading=True) from error
    except BaseException:
        connection.close()
        raise
    return connection


def text_of(data: bytes) -> str:
    """The text of a cell; what is no text is marked, and so fails the checksum of its row."""
    return data.decode("utf-8", "replace")


class Database:
    """The writer's side of a state file.

    Args:
        path: of the file.
        connection: to it.

    Attributes:
        chunks_written: how many so far; for measurements.
        patched_bytes: the size of all patches so far.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self.connection = connection
        self._rows: dict[str, Row] = {}
        self._calls: set[CallKey] = set()
        self._floors: set[str] = set()
        self._entries: set[EntryKey] = set()
        self._patches = 0
        # Rows to be changed, collected: one statement for all costs less than one for each.
        self._updated: list[tuple[int, str, int, int]] = []
        self._rewritten: list[tuple[bytes, Bytes, int]] = []
        self._next = 1
        self._run: Run | None = None
        self._broken = False
        self.chunks_written = 0
        self.patched_bytes = 0

    def adopt_variable(self, number: int, variable: StoredVariable, patches: int) -> None:
        """Notes that the file has this variable, with so many patches."""
        self._rows[variable.uuid] = Row(Head(number, variable), variable.value, patches)
        self._patches += patches
        self._next = max(self._next, number + 1)

    def adopt_keys(self, calls: set[CallKey], floors: set[str], entries: set[EntryKey]) -> None:
        """Notes that the file has these rows."""
        self._calls, self._floors, self._entries = calls, floors, entries

    @property
    def counts(self) -> tuple[int, ...]:
        """How many rows each table has: variables, calls, floors, entries, patches."""
        keyed = len(self._calls), len(self._floors), len(self._entries)
        return (len(self._rows), *keyed, self._patches)

    def begin_run(
        self, facts: Incarnation, number: int, ended: tuple[Incarnation, int] | None
    ) -> None:
        """Opens a run; what is now known of the one before is written with it."""

        def work() -> Run:
            if ended is not None:
                self._put_run(Run(ended[1], ended[0], self.counts))
            self._execute("DELETE FROM runs WHERE number <= ?", (number - _KEPT_RUNS,))
            run = Run(number, facts, self.counts)
            self._put_run(run)
            return run

        self._run = self._transaction(work)

    def end_run(self) -> None:
        """Closes the run in order."""
        if self._run is None or self._broken:
            return
        facts = replace(self._run.facts, acknowledged=self._run.facts.durable, clean=True)
        run = replace(self._run, facts=facts)
        self._transaction(lambda: self._put_run(run))

    def write(self, batch: Batch) -> None:
        """Brings the file to what a batch says, all of it or nothing.

        Raises:
            LimitExceeded: the disk takes no more.
            DamagedFile: the file turned out to be damaged.
        """
        staged: dict[str, Row | None] = {}
        run = self._transaction(lambda: self._write(batch, staged))
        self._patches = run.counts[-1]
        for uuid, row in staged.items():
            if row is None:
                self._rows.pop(uuid, None)
            else:
                self._rows[uuid] = row
        for table, changes in _keyed(self, batch):
            for key, present in changes:
                (table.add if present else table.discard)(key)
        self._run = run

    def close(self) -> None:
        """Closes the file; its log is folded in."""
        self.connection.close()

    def key_tables(self) -> tuple[set[Any], set[Any], set[Any]]:
        """The keys of calls, floors and entries that the file has."""
        return self._calls, self._floors, self._entries

    def _write(self, batch: Batch, staged: dict[str, Row | None]) -> Run:
        self._updated.clear()
        self._rewritten.clear()
        for rows in batch.variables:
            if rows.variable is None:
                self._delete(rows.uuid, staged)
            elif rows.whole:
                self._put(rows.variable, rows, staged)
            else:
                self._patch(rows.variable, rows, staged)
        many = self.connection.executemany
        many("UPDATE variables SET version = ?, shape = ?, crc = ? WHERE id = ?", self._updated)
        many("UPDATE chunks SET crc = ?, data = ? WHERE id = ?", self._rewritten)
        self._rewritten.clear()  # they refer to values
        self._write_calls(batch)
        self._write_floors(batch)
        self._write_entries(batch)
        assert self._run is not None
        run = replace(
            self._run,
            facts=replace(self._run.facts, durable=batch.sequence),
            counts=self._counts_after(batch, staged),
        )
        self._put_run(run)
        return run

    def _put(
        self, variable: StoredVariable, rows: VariableRows, staged: dict[str, Row | None]
    ) -> None:
        row = self._rows.get(variable.uuid)
        head = self._put_row(variable, row)
        old = None if row is None else bytes_of(row.value)
        old_count = 0 if old is None else chunk_count(old.nbytes)
        new = bytes_of(variable.value)
        base = head.number << POSITION_BITS
        count = chunk_count(new.nbytes)
        same = row is not None and row.value is variable.value
        changed = () if same else changed_chunks(old, new, rows.ranges)
        for index in sorted(rows.behind.union(changed)) if rows.behind else changed:
            if index < count:
                fresh = index >= old_count
                self._put_chunk(variable.uuid, base, index, chunk(new, index), new=fresh)
        if count < old_count:
            self._execute(
                "DELETE FROM chunks WHERE id >= ? AND id < ?", (base + count, base + old_count)
            )
        if row is not None and row.patches:
            self._drop_patches(head.number, 0, 1 << PATCH_BITS)
        staged[variable.uuid] = Row(head, variable.value)

    def _patch(
        self, variable: StoredVariable, rows: VariableRows, staged: dict[str, Row | None]
    ) -> None:
        row = self._rows[variable.uuid]
        head = self._put_row(variable, row)
        patches = row.patches
        if rows.patch is not None:
            number, packed = rows.patch
            crc = patch_crc(variable.uuid, number, packed)
            columns = ((head.number << PATCH_BITS) + number, crc, packed)
            self._execute("INSERT INTO patches VALUES (?, ?, ?)", columns)
            self.patched_bytes += len(packed)
            patches += 1
        for index, data in rows.chunks.items():
            base = head.number << POSITION_BITS
            self._put_chunk(variable.uuid, base, index, data, new=False)
        if rows.dropped[1]:
            self._drop_patches(head.number, *rows.dropped)
            patches -= rows.dropped[1] - rows.dropped[0]
        staged[variable.uuid] = Row(head, variable.value, patches)

    def _put_row(self, variable: StoredVariable, row: Row | None) -> Head:
        """Writes the row of a variable; only what has changed, which spares its index by uuid."""
        if row is not None and row.head.fits(variable):
            head = row.head
            self._updated.append((*head.rest(variable), head.number))
            return head
        if row is None:
            number, self._next = self._next, self._next + 1  # never given out again
        else:
            number = row.head.number
        head = Head(number, variable)
        self._execute(
            "INSERT OR REPLACE INTO variables VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*head.columns, *head.rest(variable)),
        )
        return head

    def _drop_patches(self, number: int, first: int, stop: int) -> None:
        base = number << PATCH_BITS
        self._execute("DELETE FROM patches WHERE id >= ? AND id < ?", (base + first, base + stop))

    def _put_chunk(self, uuid: str, base: int, index: int, data: Bytes, *, new: bool) -> None:
        crc = checksum(uuid, index, data)
        if new:
            self._execute("INSERT INTO chunks VALUES (?, ?, ?)", (base + index, crc, data))
        else:
            self._rewritten.append((crc, data, base + index))
        self.chunks_written += 1

    def _delete(self, uuid: str, staged: dict[str, Row | None]) -> None:
        row = self._rows.get(uuid)
        if row is None:
            return
        number = row.head.number
        base = number << POSITION_BITS
        last = base + (1 << POSITION_BITS)
        self._execute("DELETE FROM chunks WHERE id >= ? AND id < ?", (base, last))
        if row.patches:
            self._drop_patches(number, 0, 1 << PATCH_BITS)
        self._execute("DELETE FROM variables WHERE id = ?", (number,))
        staged[uuid] = None

    def _write_calls(self, batch: Batch) -> None:
        for (client, seq), row in batch.calls:
            if row is not None:
                self._execute("INSERT OR REPLACE INTO calls VALUES (?, ?, ?, ?, ?, ?)", row)
            elif (client, seq) in self._calls:
                self._execute("DELETE FROM calls WHERE client = ? AND seq = ?", (client, seq))

    def _write_floors(self, batch: Batch) -> None:
        for client, seq in batch.floors:
            if seq is not None:
                columns = (client, seq, row_crc(client, seq))
                self._execute("INSERT OR REPLACE INTO floors VALUES (?, ?, ?)", columns)
            elif client in self._floors:
                self._execute("DELETE FROM floors WHERE client = ?", (client,))

    def _write_entries(self, batch: Batch) -> None:
        for (kind, key), data in batch.entries:
            if data is not None:
                columns = (kind, key, data, row_crc(kind, key, data))
                self._execute("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", columns)
            elif (kind, key) in self._entries:
                self._execute("DELETE FROM entries WHERE kind = ? AND key = ?", (kind, key))

    def _counts_after(self, batch: Batch, staged: dict[str, Row | None]) -> tuple[int, ...]:
        rows, patches = len(self._rows), self._patches
        for uuid, row in staged.items():
            old = self._rows.get(uuid)
            rows += (row is not None) - (old is not None)
            patches += (row.patches if row else 0) - (old.patches if old else 0)
        keyed = (
            len(table) + sum(present - (key in table) for key, present in changes)
            for table, changes in _keyed(self, batch)
        )
        return (rows, *keyed, patches)

    def _put_run(self, run: Run) -> None:
        columns = run.row()
        places = ",".join("?" * len(columns))
        self._execute(f"INSERT OR REPLACE INTO runs VALUES ({places})", columns)

    def _execute(self, statement: str, values: tuple[Any, ...]) -> None:
        self.connection.execute(statement, values)

    def _transaction(self, work: Callable[[], Any]) -> Any:
        if self._broken:
            raise LimitExceeded(
                f"an earlier write to {self._path} failed, and nothing more is written",
                hint="mend the disk and start the server again; reads and volatile variables go on",
                fields={"limit": "state_bytes"},
            )
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            out = work()
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._broken = is_fatal(error)
            self._roll_back()
            raise fault_of(error, self._path) from error
        except BaseException:
            self._roll_back()
            raise
        return out

    def _roll_back(self) -> None:
        if self.connection.in_transaction:
            try:
                self.connection.execute("ROLLBACK")
            except sqlite3.Error:
                self._broken = True  # what the connection believes is no longer known


def _keyed(database: Database, batch: Batch) -> list[tuple[set[Any], list[tuple[Any, bool]]]]:
    """Per table with keys: those that the file has, and those that a batch sets or removes."""
    tables = database.key_tables()
    changes = (batch.calls, batch.floors, batch.entries)
    return [
        (table, [(key, row is not None) for key, row in rows])
        for table, rows in zip(tables, changes, strict=True)
    ]


def read_chunks(
    connection: sqlite3.Connection, number: int, uuid: str, nbytes: int
) -> tuple[Bytes, list[int]]:
    """The bytes of a variable, and the positions of the chunks that are damaged or missing.

    Raises:
        sqlite3.Error: the file cannot be read there.
    """
    base = number << POSITION_BITS
    count = chunk_count(nbytes)
    bounds = (base, base + (1 << POSITION_BITS))
    (present,) = connection.execute(
        "SELECT count(*) FROM chunks WHERE id >= ? AND id < ?", bounds
    ).fetchone()
    if count > 2 * present + 64:  # no memory is taken for a value that is not there
        return np.empty(0, np.uint8), list(range(11))
    data: Bytes = np.empty(nbytes, np.uint8)
    good: set[int] = set()
    rows = connection.execute(
        "SELECT id, crc, data FROM chunks WHERE id >= ? AND id < ? ORDER BY id",
        bounds,
    )

    def take(index: int, crc: Any, piece: Any) -> None:
        place = chunk(data, index)
        sound = isinstance(piece, bytes) and index < count and len(piece) == place.nbytes
        if sound and checksum(uuid, index, piece) == crc:
            place[:] = np.frombuffer(piece, np.uint8)
            good.add(index)

    if count < _MANY:
        for key, crc, piece in rows:
            take(key - base, crc, piece)
    else:
        _beside(((key - base, crc, piece) for key, crc, piece in rows), take)
    return data, [index for index in range(count) if index not in good]


def _beside(given: Iterable[tuple[Any, ...]], work: Callable[..., None]) -> None:
    """Does work on what an iterator gives, in a thread beside it and a few items behind."""
    with ThreadPoolExecutor(1, thread_name_prefix="exprd-read") as helper:
        ahead: deque[Future[None]] = deque()
        for arguments in given:
            ahead.append(helper.submit(work, *arguments))
            if len(ahead) > _AHEAD:
                ahead.popleft().result()
        for future in ahead:
            future.result()
