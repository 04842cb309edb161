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
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from exprd_compiler.errors import CallError, LimitExceeded
from exprd_server.stores.chunks import (
    bytes_of,
    changed_chunks,
    checksum,
    chunk,
    chunk_count,
)
from exprd_server.stores.faults import FAULTS, fault_of, is_fatal, is_full, used_elsewhere
from exprd_server.stores.journal import patch_crc
from exprd_server.stores.rows import NUMBERS, Head, Progress, Row, Run
from exprd_server.stores.schema import PATCH_BITS, POSITION_BITS, prepare, row_crc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from exprd_server.store import Incarnation, StoredVariable
    from exprd_server.stores.batch import Batch, CallKey, EntryKey, VariableRows
    from exprd_server.stores.chunks import Bytes

_KEPT_RUNS: Final = 100
_MANY: Final = 16  # chunks of a value that is read and verified side by side
_AHEAD: Final = 4
_BUSY_SECONDS = 5.0  # for a program that knows nothing of our lock
_LOG_BYTES: Final = 32 << 20  # before it is folded in; fewer and longer pauses are worse
_PRAGMAS: Final = (
    "PRAGMA locking_mode=EXCLUSIVE",  # no shared-memory file; the folder has a lock of its own
    # Of new files. Beside 8192, ten tensors of 64 KiB take a tenth less processor time, as they are
    # half as many writes to the log; a counter has as much, and twice the bytes.
    "PRAGMA page_size=16384",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA journal_size_limit=67108864",
    "PRAGMA cache_size=-16384",
)


def connect(path: Path) -> sqlite3.Connection:
    """A connection to a state file with its tables, made if there is none.

    Raises:
        DamagedFile: it is none, or not readable at all.
        UnsupportedVersion: it is of a later version.
        LimitExceeded: it cannot be written.
        CallError: another program has it open, or it is none that this user may open.
    """
    try:
        connection = sqlite3.connect(
            path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise CallError(
            f"{path} cannot be opened: {error}",
            hint="it must be a file that this user may read and write",
        ) from None
    connection.text_factory = text_of
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        prepare(connection, path)
        (page,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute(f"PRAGMA wal_autocheckpoint={_LOG_BYTES // page}")
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


class _Keys(NamedTuple):
    """The keys of a table, those that a batch adds, and those that it removes."""

    table: set[Any]
    new: list[Any]
    gone: list[Any]

    @property
    def total(self) -> int:
        """How many there are with the batch."""
        return len(self.table) + len(self.new) - len(self.gone)

    def settle(self) -> None:
        """Notes that the batch was written."""
        self.table.update(self.new)
        self.table.difference_update(self.gone)


def _staged_keys(table: set[Any], rows: Sequence[tuple[Any, object]]) -> _Keys:
    new = [key for key, row in rows if row is not None and key not in table]
    return _Keys(table, new, [key for key, row in rows if row is None and key in table])


@dataclass(slots=True)
class _Staged:
    """What is known of the file once a batch is written.

    Attributes:
        calls, floors, entries: keys of these tables.
        rows: of variables that were written.
        new: how many of these the file had not.
        gone: uuids of those that it has no more.
        patches: how many more there are.
    """

    calls: _Keys
    floors: _Keys
    entries: _Keys
    rows: dict[str, Row] = field(default_factory=dict[str, Row])
    new: int = 0
    gone: list[str] = field(default_factory=list[str])
    patches: int = 0


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
        self._last = 0  # the highest number of a variable that was found
        self._numbers = self._free_numbers()
        self._run: Run | None = None
        self._progress: Progress | None = None
        self._durable = 0
        self._broken = False
        self.chunks_written = 0
        self.patched_bytes = 0

    def adopt_variable(self, number: int, variable: StoredVariable, patches: int) -> None:
        """Notes that the file has this variable, with so many patches."""
        self._rows[variable.uuid] = Row(Head(number, variable), variable.value, patches)
        self._patches += patches
        self._last = max(self._last, number)

    def adopt_keys(self, calls: set[CallKey], floors: set[str], entries: set[EntryKey]) -> None:
        """Notes that the file has these rows."""
        self._calls, self._floors, self._entries = calls, floors, entries

    def has_call(self, key: CallKey) -> bool:
        """Whether the file has the record of a call; any thread may ask."""
        return key in self._calls

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

        self._run = run = self._transaction(work)
        self._progress = Progress(run)
        self._durable = facts.durable

    def end_run(self) -> None:
        """Closes the run in order."""
        if self._run is None or self._broken:
            return
        last = self._durable
        facts = replace(self._run.facts, durable=last, acknowledged=last, clean=True)
        run = Run(self._run.number, facts, self.counts)
        self._transaction(lambda: self._put_run(run))

    def write(self, batch: Batch) -> None:
        """Brings the file to what a batch says, all of it or nothing.

        Raises:
            LimitExceeded: the disk takes no more.
            DamagedFile: the file turned out to be damaged.
        """
        staged = _Staged(
            calls=_staged_keys(self._calls, batch.calls),
            floors=_staged_keys(self._floors, batch.floors),
            entries=_staged_keys(self._entries, batch.entries),
        )
        self._transaction(lambda: self._write(batch, staged))
        self._rows.update(staged.rows)
        for uuid in staged.gone:
            del self._rows[uuid]
        for keys in (staged.calls, staged.floors, staged.entries):
            keys.settle()
        self._patches += staged.patches
        self._durable = batch.sequence

    def fold(self) -> None:
        """Folds the log in and brings the file to the disk; `close` would not tell if that fails.

        Raises:
            LimitExceeded: the disk takes no more.
        """
        try:
            busy, _, _ = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            raise fault_of(error, self._path, full=is_full(error, self._path)) from error
        if busy:
            raise used_elsewhere(self._path)

    def close(self) -> None:
        """Closes the file; its log is folded in."""
        self.connection.close()

    def _write(self, batch: Batch, staged: _Staged) -> None:
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
        self._write_calls(batch, staged.calls.gone)
        self._write_floors(batch, staged.floors.gone)
        self._write_entries(batch, staged.entries.gone)
        assert self._progress is not None
        self._execute(
            "UPDATE runs SET durable = ?, counts = ?, crc = ? WHERE number = ?",
            self._progress.at(batch.sequence, self._counts_after(staged)),
        )

    def _put(self, variable: StoredVariable, rows: VariableRows, staged: _Staged) -> None:
        row = self._rows.get(variable.uuid)
        head = self._put_row(variable, rows, row)
        old = None if row is None else bytes_of(row.value)
        old_count = 0 if old is None else chunk_count(old.nbytes)
        new = bytes_of(rows.value)
        base = head.number << POSITION_BITS
        count = chunk_count(new.nbytes)
        same = row is not None and row.value is rows.value
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
            staged.patches -= row.patches
        staged.new += row is None
        staged.rows[variable.uuid] = Row(head, rows.value)

    def _patch(self, variable: StoredVariable, rows: VariableRows, staged: _Staged) -> None:
        row = self._rows[variable.uuid]
        head = self._put_row(variable, rows, row)
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
        staged.patches += patches - row.patches
        staged.rows[variable.uuid] = Row(head, rows.value, patches)

    def _put_row(self, variable: StoredVariable, rows: VariableRows, row: Row | None) -> Head:
        """Writes the row of a variable; only what has changed, which spares its index by uuid."""
        if row is not None and row.head.fits(variable):
            head = row.head
            self._updated.append((*head.rest(rows.version, rows.value.shape), head.number))
            return head
        number = next(self._numbers) if row is None else row.head.number
        head = Head(number, variable)
        self._execute(
            "INSERT OR REPLACE INTO variables VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*head.columns, *head.rest(rows.version, rows.value.shape)),
        )
        return head

    def _free_numbers(self) -> Iterator[int]:
        """Numbers of no variable, ascending; from 1 again when the ids of chunks end.

        So that of one which has gone is not given again in the same transaction.
        """
        first = self._last + 1
        while True:
            used = {row.head.number for row in self._rows.values()}
            yield from (number for number in range(first, NUMBERS) if number not in used)
            first = 1

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

    def _delete(self, uuid: str, staged: _Staged) -> None:
        row = self._rows.get(uuid)
        if row is None:
            return
        number = row.head.number
        base = number << POSITION_BITS
        last = base + (1 << POSITION_BITS)
        self._execute("DELETE FROM chunks WHERE id >= ? AND id < ?", (base, last))
        if row.patches:
            self._drop_patches(number, 0, 1 << PATCH_BITS)
            staged.patches -= row.patches
        self._execute("DELETE FROM variables WHERE id = ?", (number,))
        staged.gone.append(uuid)

    def _write_calls(self, batch: Batch, gone: Iterable[CallKey]) -> None:
        for _, row in batch.calls:
            if row is not None:
                self._execute("INSERT OR REPLACE INTO calls VALUES (?, ?, ?, ?, ?, ?)", row)
        for key in gone:
            self._execute("DELETE FROM calls WHERE client = ? AND seq = ?", key)

    def _write_floors(self, batch: Batch, gone: Iterable[str]) -> None:
        for client, seq in batch.floors:
            if seq is not None:
                columns = (client, seq, row_crc(client, seq))
                self._execute("INSERT OR REPLACE INTO floors VALUES (?, ?, ?)", columns)
        for client in gone:
            self._execute("DELETE FROM floors WHERE client = ?", (client,))

    def _write_entries(self, batch: Batch, gone: Iterable[EntryKey]) -> None:
        for (kind, key), data in batch.entries:
            if data is not None:
                columns = (kind, key, data, row_crc(kind, key, data))
                self._execute("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", columns)
        for entry in gone:
            self._execute("DELETE FROM entries WHERE kind = ? AND key = ?", entry)

    def _counts_after(self, staged: _Staged) -> tuple[int, ...]:
        keyed = staged.calls.total, staged.floors.total, staged.entries.total
        variables = len(self._rows) + staged.new - len(staged.gone)
        return (variables, *keyed, self._patches + staged.patches)

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
            full = is_full(error, self._path)
            self._broken = not full and is_fatal(error)
            self._roll_back()
            raise fault_of(error, self._path, full=full) from error
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
