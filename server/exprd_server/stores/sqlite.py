"""The SQLite store: a state in memory, and one writer at a time behind the commits.

Invariant: readers never touch the file, which is read once at the start. A commit changes the state
in memory under a short lock; under `always` it is on disk before it returns, and undone if that
fails. Whoever finds no writer at work writes itself, which saves two changes of threads; what comes
meanwhile is written by the store's own thread, all of it in one transaction.

Lock order: `_writing`, then `_changed`.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from exprd_compiler.errors import CompilerBug, ExprdError, LimitExceeded
from exprd_server.policy import ALWAYS
from exprd_server.store import Incarnation
from exprd_server.stores.batch import Dirty, Patch, call_row
from exprd_server.stores.chunks import bytes_of, chunk, chunks_of
from exprd_server.stores.database import Database, connect
from exprd_server.stores.folder import MARKER, StateFolder
from exprd_server.stores.journal import Journal, is_narrow, pack_patch
from exprd_server.stores.marker import Marker, answered, read_marker
from exprd_server.stores.reading import emptied, last_run, load
from exprd_server.stores.waiting import Waiting, again, tried
from exprd_server.values import Durability

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from exprd_server.policy import Policy
    from exprd_server.store import CallRecord, Change, StoredVariable
    from exprd_server.stores.batch import Batch

_RETRY_SECONDS = 1.0
# When patches that wait for the disk have so many bytes, a commit waits with them.
_PENDING_BYTES = 64 << 20
# Records that nobody asks for any more leave the file so many at a time: to remove one with every
# commit costs as much as to add one.
_FORGOTTEN = 16


class SqliteStore:
    """The store of a state directory.

    Args:
        folder: which this store takes over.
        policy: of commits that bring none.

    Raises:
        CallError: the directory cannot be used.
        DamagedFile: the state is damaged; the error names the variable.
    """

    name = "sqlite"
    lasting = True

    def __init__(self, folder: StateFolder, policy: Policy = ALWAYS) -> None:
        self._folder = folder
        self._policy = policy
        self._writing = threading.Lock()
        self._changed = threading.Condition(threading.Lock())
        self._dirty = Dirty()
        self._flying = Dirty()  # what is being written
        self._forgotten = Dirty()  # records in the file that may go whenever it suits
        self._waiting: list[Waiting] = []
        self._leaving: dict[str, StoredVariable] = {}  # until their removal is on the disk
        self._due = math.inf
        self._fault: ExprdError | None = None
        self._closing = False
        self._closed = False
        try:
            self._database = Database(folder.database, connect(folder.database))
        except BaseException:
            folder.close()
            raise
        try:
            self._runs = self._open()
        except BaseException:
            self._database.close()
            folder.close()
            raise
        self._thread = threading.Thread(target=self._work, name="exprd-store", daemon=True)
        self._thread.start()

    def _open(self) -> list[Incarnation]:
        found = load(self._database, self._folder.database)
        self._state = found.state
        self._journals = found.journals
        marker = self._folder.path / MARKER
        if error := emptied(found, self._folder.database, answered(marker)):
            raise error
        earlier = found.runs[-1].facts.id if found.runs else ""
        last = last_run(found, read_marker(marker, earlier))
        first = 0 if last is None else max(last.facts.durable, last.facts.acknowledged)
        self._sequence = self._durable = self._acknowledged = first
        run = Incarnation(
            id=secrets.token_hex(8),
            started=time.time(),
            policy=str(self._policy),
            first=first,
            durable=first,
            acknowledged=first,
            clean=False,
        )
        number = 1 if last is None else last.number + 1
        self._database.begin_run(run, number, None if last is None else (last.facts, last.number))
        self._marker = Marker(marker, run.id, first)
        before = [r.facts for r in found.runs[:-1]] + ([] if last is None else [last.facts])
        return [*before, run]

    # -- facts

    def incarnations(self) -> Sequence[Incarnation]:
        """The runs on this store, oldest first; the last is this one."""
        with self._changed:
            now = replace(self._runs[-1], durable=self._durable, acknowledged=self._acknowledged)
            return (*self._runs[:-1], now)

    def variables(self) -> Sequence[StoredVariable]:
        """Everything stored."""
        with self._changed:
            return self._state.variables()

    def records(self) -> Sequence[CallRecord]:
        """The call records that were not forgotten."""
        with self._changed:
            return tuple(r for calls in self._state.records.values() for r in calls.values())

    def floors(self) -> Mapping[str, int]:
        """Per client, the number through which its calls were forgotten."""
        with self._changed:
            return dict(self._state.floors)

    def entries(self, kind: str) -> Mapping[str, bytes]:
        """All entries of a kind by key."""
        with self._changed:
            return dict(self._state.entries.get(kind, {}))

    @property
    def chunks_written(self) -> int:
        """How many chunks were written to the file so far."""
        return self._database.chunks_written

    @property
    def patched_bytes(self) -> int:
        """The size of all patches that were written to the file so far."""
        return self._database.patched_bytes

    @property
    def journal_bytes(self) -> int:
        """The size of the patches that are in the file."""
        with self._changed:
            return sum(journal.nbytes for journal in self._journals.values())

    # -- changes

    def create(self, variable: StoredVariable) -> None:
        """Adds a variable; under `always` it is on disk afterwards."""
        with self._changed:
            self._state.create(variable)
            if variable.durability is Durability.VOLATILE:
                return
            self._dirty.touch(variable.uuid, None)
            waiting = self._schedule(self._policy, lambda: self._state.delete(variable.uuid))
        self._finish(waiting)

    def delete(self, uuids: Iterable[str]) -> None:
        """Removes variables."""
        gone: list[StoredVariable] = []
        try:
            with self._changed:
                gone += [v for uuid in uuids if (v := self._state.variable(uuid)) is not None]
                waiting = self._remove(gone)
            self._finish(waiting)
        finally:
            with self._changed:
                for variable in gone:
                    self._leaving.pop(variable.uuid, None)

    def commit(
        self, changes: Sequence[Change], record: CallRecord | None, policy: Policy | None = None
    ) -> int:
        """Applies all changes and keeps the record, or neither."""
        with self._changed:
            lasting = [change for change in changes if self._is_lasting(change.uuid)]
            if changes and not lasting:
                self._state.commit(changes, record)
                return self._sequence
            row = None if record is None else call_row(record)
            old = [(c.uuid, now) for c in changes if (now := self._state.current(c.uuid))]
            before = None if record is None else self._state.record(record.client_id, record.seq)
            patched = {c.uuid for c in lasting if c.value is self._state.value(c.uuid)}
            self._state.commit(changes, record)
            number = self._sequence + 1
            for change in lasting:
                self._note(change, number if change.uuid in patched else None)
            if row is not None:
                self._dirty.calls[row[0], row[1]] = row
                self._forgotten.calls.pop(row[:2], None)
            full = self._dirty.nbytes > _PENDING_BYTES
            waiting = self._schedule(
                ALWAYS if full else policy or self._policy,
                lambda: self._undo(old, record, before, number),
            )
        self._finish(waiting)
        return number

    def may_patch(self, uuid: str, dirty: Sequence[tuple[int, int]]) -> bool:
        """Whether the value is not to be read later on, and a patch costs less than its chunks."""
        with self._changed:
            if not self._is_lasting(uuid):
                return True
            value = self._state.value(uuid)
            read = self._dirty.reads(uuid) or self._flying.reads(uuid)
            return value is not None and not read and is_narrow(dirty, value.nbytes)

    def forget(self, client_id: str, through_seq: int) -> None:
        """Drops old records of a client; the file follows with a later commit."""
        with self._changed:
            self._drop_calls(client_id, self._state.forget(client_id, through_seq))
            if len(self._forgotten.calls) >= _FORGOTTEN:
                self._drop_forgotten()

    def drop_client(self, client_id: str) -> None:
        """Drops all records of a client, and its floor."""
        with self._changed:
            self._drop_calls(client_id, self._state.drop_client(client_id))
            self._drop_forgotten()

    def put_entry(self, kind: str, key: str, data: bytes) -> None:
        """Keeps an entry."""
        with self._changed:
            before = self._state.entries.get(kind, {}).get(key)
            self._set_entry(kind, key, data)
            waiting = self._schedule(self._policy, lambda: self._set_entry(kind, key, before))
        self._finish(waiting)

    def drop_entry(self, kind: str, key: str) -> None:
        """Removes an entry."""
        with self._changed:
            before = self._state.entries.get(kind, {}).get(key)
            if before is None:
                return
            self._set_entry(kind, key, None)
            waiting = self._schedule(self._policy, lambda: self._set_entry(kind, key, before))
        self._finish(waiting)

    # -- the whole

    def flush(self) -> None:
        """Returns once everything so far is on disk."""
        with self._changed:
            self._drop_forgotten()
            if not self._dirty and not self._waiting and self._durable == self._sequence:
                return
            waiting = self._enqueue(ALWAYS, lambda: None)
        self._finish(waiting)

    def close(self) -> None:
        """Writes what is left, ends the run in order, gives the directory up.

        Raises:
            LimitExceeded: the disk does not take what was answered before it was written.
        """
        with self._changed:
            self._drop_forgotten()
            self._closing = True
            self._changed.notify()
        self._thread.join()
        if self._closed:
            return
        self._closed = True
        try:
            self._write_next()
            if self._fault is not None and self._acknowledged > self._durable:
                raise LimitExceeded(
                    f"{self._acknowledged - self._durable} answered commits are lost:"
                    f" {self._fault.message}",
                    hint="what is on disk is whole; `exprd state checkpoint` saves a running state",
                )
            if not self._dirty:
                self._database.end_run()
        finally:
            self._database.close()
            self._marker.close()
            self._folder.close()

    # -- under the lock

    def _is_lasting(self, uuid: str) -> bool:
        variable = self._state.created(uuid)
        return variable is not None and variable.durability is not Durability.VOLATILE

    def _note(self, change: Change, number: int | None) -> None:
        """Notes what is to be written of a change; the number is of a commit that patches."""
        uuid, dirty = change.uuid, change.dirty
        if number is None or dirty is None:
            self._dirty.touch(uuid, dirty)
            return
        value = bytes_of(change.value)
        journal = self._journals.setdefault(uuid, Journal())
        journal.stale |= chunks_of(dirty)
        packed = pack_patch(value, dirty) if dirty else b""
        due = journal.due(value.nbytes, len(packed))
        chunks = tuple([chunk(value, index).copy() for index in due.chunks])
        self._dirty.patch(uuid, number, Patch(packed, due, chunks))

    def _schedule(self, policy: Policy, undo: Callable[[], None]) -> Waiting | None:
        """Numbers a commit and sees to it that it is written in time."""
        try:
            if self._closing or (self._fault is not None and not policy.waits):
                raise again(self._fault) if self._fault else CompilerBug("the store is closed")
            if not policy.waits:
                self._acknowledge(self._sequence + 1)
        except ExprdError:
            undo()
            raise
        self._sequence += 1
        return self._enqueue(policy, undo)

    def _enqueue(self, policy: Policy, undo: Callable[[], None]) -> Waiting | None:
        if policy.waits:
            waiting = Waiting(undo)
            self._waiting.append(waiting)
            return waiting
        due = time.monotonic() + policy.seconds
        if due < self._due:
            self._due = due
            self._changed.notify()
        return None

    def _acknowledge(self, sequence: int) -> None:
        if sequence > self._acknowledged:
            self._marker.write(sequence)
            self._acknowledged = sequence

    def _remove(self, gone: Iterable[StoredVariable]) -> Waiting | None:
        for variable in gone:
            self._state.delete(variable.uuid)
        lasting = [v.uuid for v in gone if v.durability is not Durability.VOLATILE]
        for uuid in lasting:
            self._dirty.touch(uuid, None)
        if not lasting:
            return None
        self._leaving.update((variable.uuid, variable) for variable in gone)
        return self._schedule(self._policy, lambda: self._bring_back(gone))

    def _bring_back(self, gone: Iterable[StoredVariable]) -> None:
        for variable in gone:
            self._state.place(self._leaving[variable.uuid])

    def _undo(
        self,
        old: Iterable[tuple[str, tuple[int, NDArray[Any]]]],
        record: CallRecord | None,
        before: CallRecord | None,
        number: int,
    ) -> None:
        for uuid, (version, value) in old:
            if (leaving := self._leaving.get(uuid)) is not None:
                self._leaving[uuid] = replace(leaving, version=version, value=value)
            self._state.put_back(uuid, version, value)
            patch = self._dirty.retract(uuid, number)
            journal = self._journals.get(uuid)
            if patch is not None and journal is not None:
                journal.put_back(patch.due)
        if record is not None:
            self._undo_record(record, before)

    def _undo_record(self, record: CallRecord, before: CallRecord | None) -> None:
        """Puts back what was known of the call: of a repetition, that earlier steps are done."""
        kept = self._state.records.get(record.client_id, {})
        known = kept.pop(record.seq, None) is not None  # else the client has gone meanwhile
        if known and before is not None:
            kept[record.seq] = before
        row = call_row(before) if known and before is not None else None
        self._dirty.calls[record.client_id, record.seq] = row

    def _set_entry(self, kind: str, key: str, data: bytes | None) -> None:
        entries = self._state.entries.setdefault(kind, {})
        if data is None:
            entries.pop(key, None)
        else:
            entries[key] = data
        self._dirty.entries.add((kind, key))

    def _drop_calls(self, client_id: str, seqs: Iterable[int]) -> None:
        """Drops records; one that is in the file stays until its floor is written with it."""
        self._forgotten.floors.add(client_id)
        for seq in seqs:
            key = client_id, seq
            if key in self._dirty.calls:  # it never comes into the file, but its floor does
                self._dirty.calls[key] = None
                self._dirty.floors.add(client_id)
            elif key in self._flying.calls or self._database.has_call(key):
                self._forgotten.calls[key] = None

    def _drop_forgotten(self) -> None:
        self._dirty.calls.update(self._forgotten.calls)
        self._dirty.floors |= self._forgotten.floors
        self._forgotten = Dirty()

    # -- the writer

    def _finish(self, waiting: Waiting | None) -> None:
        if waiting is None:
            return
        if self._writing.acquire(blocking=False):
            try:
                self._write()
            finally:
                self._writing.release()
            with self._changed:
                if self._waiting:  # who came meanwhile found the writer at work
                    self._changed.notify()
        waiting.done.wait()
        if waiting.error is not None:
            raise again(waiting.error)

    def _work(self) -> None:
        while self._await_work():
            self._write_next()

    def _write_next(self) -> None:
        with self._writing:
            self._write()

    def _await_work(self) -> bool:
        with self._changed:
            while True:
                if self._waiting:
                    return True
                if self._closing:
                    return False
                left = self._due - time.monotonic()
                if left <= 0:
                    return True
                self._changed.wait(min(left, threading.TIMEOUT_MAX))

    def _write(self) -> None:
        with self._changed:
            dirty, self._dirty = self._dirty, Dirty()
            waiting, self._waiting = self._waiting, []
            self._due = math.inf
            if not dirty and not waiting:
                return
            self._flying = dirty
            batch = tried(lambda: dirty.batch(self._state, self._sequence, self._journals))
        done = batch if isinstance(batch, ExprdError) else tried(partial(self._bring, batch))
        error = done if isinstance(done, ExprdError) else None
        try:
            with self._changed:
                self._flying = Dirty()
                if isinstance(done, ExprdError):
                    self._give_back(dirty, waiting, done)
                else:
                    self._settle(done, dirty)
        finally:
            for each in waiting:
                each.tell(error)

    def _bring(self, batch: Batch) -> Batch:
        self._database.write(batch)
        return batch

    def _settle(self, batch: Batch, dirty: Dirty) -> None:
        """Notes what has been written."""
        self._fault = None
        self._durable = batch.sequence
        with suppress(LimitExceeded):  # what is on disk is not lost, whatever the marker says
            self._acknowledge(batch.sequence)
        for rows in batch.variables:
            if rows.whole or rows.variable is None:
                self._journals.pop(rows.uuid, None)
                continue
            journal = self._journals[rows.uuid]
            if rows.patch is not None:
                journal.add(rows.patch[0], len(rows.patch[1]))
            journal.drop(rows.dropped[1])
            if any(patch.due.last for patch in dirty.variables[rows.uuid].patches.values()):
                journal.end_pass()

    def _give_back(self, dirty: Dirty, waiting: Sequence[Waiting], error: ExprdError) -> None:
        """Undoes what waits, and keeps the rest for another attempt."""
        self._fault = error
        self._dirty.absorb(dirty)
        for each in reversed(waiting):
            each.undo()
        self._due = time.monotonic() + _RETRY_SECONDS
        self._changed.notify()
