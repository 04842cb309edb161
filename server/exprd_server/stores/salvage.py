"""Salvage: what is damaged in a state directory, and a new file of what is not.

Invariant: a repair never changes the damaged file. It writes a new one, keeps the old one beside
it, and puts the new one in its place at once.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exprd_compiler.errors import Conflict, DamagedFile, ExprdError
from exprd_server.store import Incarnation, State
from exprd_server.stores.batch import Batch, VariableRows, call_row
from exprd_server.stores.checkpoints import Checkpoints
from exprd_server.stores.database import Database, connect
from exprd_server.stores.faults import unusable
from exprd_server.stores.folder import MARKER, log_of, sync_directory
from exprd_server.stores.marker import answered, read_marker
from exprd_server.stores.reading import Found, emptied, last_run, read_state
from exprd_server.values import Durability

if TYPE_CHECKING:
    from pathlib import Path

    from exprd_server.store import StoredVariable
    from exprd_server.stores.folder import StateFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """What a repair did.

    Attributes:
        kept: how many variables were sound.
        restored: variables whose value comes from a checkpoint, and that checkpoint's name.
        lost: what the new file does not have, one error each.
        damaged: where the old file lies; None when there was nothing to repair.
    """

    kept: int
    restored: tuple[tuple[StoredVariable, str], ...] = ()
    lost: tuple[ExprdError, ...] = ()
    damaged: Path | None = None


def check_state(folder: StateFolder) -> tuple[ExprdError, ...]:
    """Everything that is damaged: the file, its rows and chunks, the checkpoints."""
    found = _examine(folder)
    checkpoints = Checkpoints(folder.checkpoints)
    out = list(found.damage)
    for name in checkpoints.present():
        try:
            checkpoints.read(name)
        except ExprdError as error:
            out.append(error)
    return tuple(out)


def repair_state(folder: StateFolder) -> Repaired:
    """Writes a file of all that is sound; damaged variables come from the newest checkpoint.

    Raises:
        Conflict: an earlier damaged file is still there.
        LimitExceeded: the disk has no room for another file; nothing has changed.
    """
    found = _examine(folder)
    kept = len(found.numbers)
    if not found.damage:
        return Repaired(kept=kept)
    aside = folder.damaged
    if aside.exists():
        raise Conflict(
            f"{aside} is the damaged file of an earlier repair", hint="move it elsewhere first"
        )
    older = _from_checkpoints(folder, found)
    named = {error.fields["uuid"] for error in found.damage if "uuid" in error.fields}
    wanted = named if _all_are_named(found, len(named)) else older.keys()
    restored = tuple(older[uuid] for uuid in older if uuid in wanted)
    for variable, _ in restored:
        found.state.place(variable)
    saved = {variable.uuid for variable, _ in restored}
    lost = tuple(error for error in found.damage if error.fields.get("uuid") not in saved)
    try:
        _replace(folder, found, aside)
    except OSError as error:
        raise unusable(folder.path, error) from None
    return Repaired(kept=kept, restored=restored, lost=lost, damaged=aside)


def _all_are_named(found: Found, named: int) -> bool:
    """Whether every variable that is not sound is known by its uuid."""
    return bool(found.runs) and found.runs[-1].counts[0] == len(found.numbers) + named


def _examine(folder: StateFolder) -> Found:
    path = folder.database
    try:
        connection = connect(path)
    except DamagedFile as error:
        return Found(State(), {}, [], [error])
    try:
        found = read_state(connection, path)
        found.damage.extend(_structure(connection))
        if empty := emptied(found, path, answered(folder.path / MARKER)):
            found.damage.append(empty)
    finally:
        connection.close()
    return found


def _structure(connection: sqlite3.Connection) -> list[ExprdError]:
    """What SQLite itself finds wrong with its pages."""
    try:
        rows = connection.execute("PRAGMA integrity_check(20)").fetchall()
    except sqlite3.Error as error:
        return [DamagedFile(f"the file's structure is damaged: {error}")]
    return [DamagedFile(f"the file's structure is damaged: {x}") for (x,) in rows if x != "ok"]


def _from_checkpoints(folder: StateFolder, found: Found) -> dict[str, tuple[StoredVariable, str]]:
    """The newest sound copies of variables that the file has not; the first of each wins."""
    out: dict[str, tuple[StoredVariable, str]] = {}
    checkpoints = Checkpoints(folder.checkpoints)
    for info in reversed(checkpoints.sound()):
        name = info.name
        try:
            variables = checkpoints.read(name)
        except DamagedFile:  # an older one may have them too
            continue
        for variable in variables:
            lasting = variable.durability is not Durability.VOLATILE
            if lasting and variable.uuid not in found.numbers:
                out.setdefault(variable.uuid, (variable, name))
    return out


def _replace(folder: StateFolder, found: Found, aside: Path) -> None:
    fresh = folder.database.with_name(f"{folder.database.name}.repaired")
    _discard(fresh)
    try:
        _write(fresh, folder, found)
    except BaseException:
        _discard(fresh)
        raise
    os.link(folder.database, aside)
    sync_directory(folder.path)
    log = log_of(folder.database)
    if log.exists():  # it belongs to the old file, and would be read into the new one
        log.rename(log_of(aside))
        sync_directory(folder.path)
    fresh.replace(folder.database)
    sync_directory(folder.path)


def _discard(database: Path) -> None:
    for file in (log_of(database), database):
        file.unlink(missing_ok=True)


def _write(path: Path, folder: StateFolder, found: Found) -> None:
    last = found.runs[-1].facts.id if found.runs else ""
    run = last_run(found, read_marker(folder.path / MARKER, last))
    facts = run.facts if run is not None else _unknown_run()
    database = Database(path, connect(path))
    try:
        database.begin_run(facts, 1 if run is None else run.number, None)
        database.write(_everything(found.state, facts.durable))
        database.fold()  # the log stays behind when the file takes its place
    finally:
        database.close()


def _unknown_run() -> Incarnation:
    return Incarnation(
        id=secrets.token_hex(8),
        started=time.time(),
        policy="unknown",
        first=0,
        durable=0,
        acknowledged=0,
        clean=False,
    )


def _everything(state: State, sequence: int) -> Batch:
    calls = [record for found in state.records.values() for record in found.values()]
    return Batch(
        sequence=sequence,
        variables=tuple(VariableRows(v.uuid, v, v.version, v.value) for v in state.variables()),
        calls=tuple(((r.client_id, r.seq), call_row(r)) for r in calls),
        floors=tuple(state.floors.items()),
        entries=tuple(
            ((kind, key), data)
            for kind, found in state.entries.items()
            for key, data in found.items()
        ),
    )
