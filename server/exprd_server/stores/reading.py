"""Reading: a state file into memory, with every checksum verified.

Invariant: either the state is what was written, to the bit, or an error names what is not.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from exprd_compiler.errors import DamagedFile, ExprdError
from exprd_server.store import CallRecord, State
from exprd_server.stores.database import read_chunks
from exprd_server.stores.faults import FAULTS, damaged_table, damaged_value, fault_of
from exprd_server.stores.journal import Journal, apply_patches, patch_crc
from exprd_server.stores.packing import unpack_reply
from exprd_server.stores.rows import described, run_of
from exprd_server.stores.schema import PATCH_BITS, POSITION_BITS, row_crc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from exprd_server.store import StoredVariable
    from exprd_server.stores.chunks import Bytes
    from exprd_server.stores.database import Database
    from exprd_server.stores.rows import Described, Run


@dataclass(slots=True)
class Found:
    """What a file holds, and what of it is damaged.

    Attributes:
        state: everything that is sound.
        numbers: of the variables in the file.
        journals: of the variables that have patches.
        runs: oldest first.
        damage: one error per thing that is not sound.
    """

    state: State
    numbers: dict[str, int]
    runs: list[Run]
    damage: list[ExprdError]
    journals: dict[str, Journal] = field(default_factory=dict[str, Journal])


def read_state(connection: sqlite3.Connection, path: Path) -> Found:
    """All that a file holds; damage is collected, not raised."""
    found = Found(State(), {}, [], [])
    parts = (_read_variables, _read_calls, _read_floors, _read_entries, _read_runs, _check_counts)
    for part in parts:
        if part is _check_counts and found.damage:
            break
        try:
            part(connection, found)
        except FAULTS as error:
            found.damage.append(fault_of(error, path, reading=True))
    return found


def load(database: Database, path: Path) -> Found:
    """All that a file holds, known to its writer as well.

    Raises:
        DamagedFile: something is damaged; the error names the first.
    """
    found = read_state(database.connection, path)
    if found.damage:
        first = found.damage[0]
        more = len(found.damage) - 1
        if more:
            raise type(first)(
                f"{first.message}, and {more} more", hint=first.hint, fields=first.fields
            )
        raise first
    for variable in found.state.variables():
        journal = found.journals.get(variable.uuid)
        patches = 0 if journal is None else len(journal.rows)
        database.adopt_variable(found.numbers[variable.uuid], variable, patches)
    database.adopt_keys(*_keys(found.state))
    return found


def _keys(state: State) -> tuple[set[tuple[str, int]], set[str], set[tuple[str, str]]]:
    calls = {(client, seq) for client, calls in state.records.items() for seq in calls}
    entries = {(kind, key) for kind, found in state.entries.items() for key in found}
    return calls, set(state.floors), entries


def _read_variables(connection: sqlite3.Connection, found: Found) -> None:
    for row in connection.execute("SELECT * FROM variables ORDER BY id").fetchall():
        facts = described(row)
        if facts is None:
            found.damage.append(damaged_value(str(row[1]), str(row[2]), "its description"))
            continue
        variable = _read_value(connection, facts, found)
        if variable is not None:
            found.state.place(variable)
            found.numbers[facts.uuid] = facts.number


def _read_value(
    connection: sqlite3.Connection, facts: Described, found: Found
) -> StoredVariable | None:
    try:
        data, bad = read_chunks(connection, facts.number, facts.uuid, facts.nbytes)
        journal = None if bad else _patched(connection, facts, data)
    except sqlite3.Error as error:
        found.damage.append(damaged_value(facts.uuid, facts.name, str(error)))
        return None
    if bad:
        which = ", ".join(map(str, bad[:10])) + (", ..." if len(bad) > 10 else "")
        found.damage.append(damaged_value(facts.uuid, facts.name, f"chunk {which} of its value"))
        return None
    if journal is None:
        found.damage.append(damaged_value(facts.uuid, facts.name, "a patch of its value"))
        return None
    if journal.rows:
        found.journals[facts.uuid] = journal
    return facts.with_bytes(data)


def _patched(connection: sqlite3.Connection, facts: Described, data: Bytes) -> Journal | None:
    """Writes the patches of a variable over its chunks; None if one of them is damaged.

    Raises:
        sqlite3.Error: the file cannot be read there.
    """
    journal = Journal()
    base = facts.number << PATCH_BITS
    rows = connection.execute(
        "SELECT id, crc, data FROM patches WHERE id >= ? AND id < ? ORDER BY id",
        (base, base + (1 << PATCH_BITS)),
    )
    for key, crc, packed in rows:
        number = key - base
        follows = not journal.rows or number == journal.next_number
        if not follows or patch_crc(facts.uuid, number, packed) != crc:
            return None
        try:
            journal.stale |= apply_patches(data, packed)
        except ValueError:
            return None
        journal.add(number, len(packed))
    return journal


def _sound(connection: sqlite3.Connection, table: str, found: Found) -> Iterator[tuple[Any, ...]]:
    """The rows of a table without their checksums; those that fail them are damage."""
    for row in connection.execute(f"SELECT * FROM {table}"):
        *columns, crc = row
        if row_crc(*columns) == crc:
            yield tuple(columns)
        else:
            found.damage.append(damaged_table(f"a row of {table} ({str(columns[:2])[:100]})"))


def _read_calls(connection: sqlite3.Connection, found: Found) -> None:
    for client, seq, digest, reply, nbytes in _sound(connection, "calls", found):
        try:
            answer = unpack_reply(reply)
        except DamagedFile as error:
            found.damage.append(error)
            continue
        record = CallRecord(client_id=client, seq=seq, digest=digest, reply=answer, nbytes=nbytes)
        found.state.records.setdefault(client, {})[seq] = record


def _read_floors(connection: sqlite3.Connection, found: Found) -> None:
    for client, seq in _sound(connection, "floors", found):
        found.state.floors[client] = seq


def _read_entries(connection: sqlite3.Connection, found: Found) -> None:
    for kind, key, data in _sound(connection, "entries", found):
        found.state.entries.setdefault(kind, {})[key] = data


def _read_runs(connection: sqlite3.Connection, found: Found) -> None:
    for row in connection.execute("SELECT * FROM runs ORDER BY number"):
        run = run_of(row)
        if run is None:
            found.damage.append(damaged_table("a row of runs"))
        else:
            found.runs.append(run)


def _check_counts(connection: sqlite3.Connection, found: Found) -> None:
    """Notes rows that have vanished without leaving a bad checksum."""
    if not found.runs:
        if len(found.numbers):
            found.damage.append(damaged_table("the table of runs is empty"))
        return
    calls, floors, entries = _keys(found.state)
    patches = sum(len(journal.rows) for journal in found.journals.values())
    counts = (len(found.numbers), len(calls), len(floors), len(entries), patches)
    names = ("variables", "calls", "floors", "entries", "patches")
    # A run of format 1 counted no patches, and had none.
    known = (*found.runs[-1].counts, 0)[: len(counts)]
    if len(known) != len(counts):
        found.damage.append(damaged_table("the counts of the last run"))
        return
    for name, wanted, count in zip(names, known, counts, strict=True):
        if wanted != count:
            found.damage.append(damaged_table(f"{name} has {count} rows, not {wanted}"))
    _check_strays(connection, found)


def _check_strays(connection: sqlite3.Connection, found: Found) -> None:
    """Notes chunks and patches of no variable, which a damaged key makes."""
    owned = set(found.numbers.values())
    for table, bits in (("chunks", POSITION_BITS), ("patches", PATCH_BITS)):
        rows = connection.execute(f"SELECT DISTINCT id >> {bits} FROM {table}")
        strays = {number for (number,) in rows} - owned
        if strays:
            found.damage.append(damaged_table(f"{table} of no variable ({sorted(strays)[:10]})"))


def emptied(found: Found, database: Path, commits: int) -> DamagedFile | None:
    """The damage of a file without any run, if commits on it were answered once."""
    if found.runs or found.damage or not commits:
        return None
    return DamagedFile(
        f"{database} is empty, but up to {commits} commits on it were answered",
        hint="bring the file back; or have `exprd state repair` take what checkpoints hold; or, to"
        " begin with nothing, remove the file `acknowledged` as well",
    )


def last_run(found: Found, acknowledged: int) -> Run | None:
    """The run before this one, with what the marker has told of it."""
    if not found.runs:
        return None
    run = found.runs[-1]
    if run.facts.clean:
        return run
    answered = max(acknowledged, run.facts.durable)
    return replace(run, facts=replace(run.facts, acknowledged=answered))
