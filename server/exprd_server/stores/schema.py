"""Schema: the tables of a state file, and how older files become newer ones.

    variables  a row per variable; its value lies in chunks
    chunks     1 MiB of a value; the id is variable << 24 | position, and an update of the
               same size goes into the same place of the file
    patches    what small writes into a value have left, to be written over its chunks in the
               order of the ids, variable << 40 | number; see `journal`
    calls      records of calls, for retries
    floors     per client, the number through which its calls are forgotten
    entries    bytes by kind and key: compiled functions, published names, leases
    runs       a row per run of a server: commits, and how many rows the other tables have

Every row has a checksum over all its columns.
"""

from __future__ import annotations

import zlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from exprd_compiler.errors import DamagedFile, UnsupportedVersion

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping
    from pathlib import Path

VERSION: Final = 2  # PRAGMA user_version
APPLICATION: Final = 0x65787072  # "expr", PRAGMA application_id
POSITION_BITS: Final = 24
PATCH_BITS: Final = 40

_PATCHES: Final = """CREATE TABLE patches (id INTEGER PRIMARY KEY, crc BLOB NOT NULL,
    data BLOB NOT NULL) STRICT"""

_TABLES: Final = (
    """CREATE TABLE variables (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL, owner TEXT NOT NULL, durability TEXT NOT NULL, type TEXT NOT NULL,
        version INTEGER NOT NULL, shape TEXT NOT NULL, crc INTEGER NOT NULL) STRICT""",
    """CREATE TABLE chunks (id INTEGER PRIMARY KEY, crc BLOB NOT NULL, data BLOB NOT NULL)
        STRICT""",
    _PATCHES,
    """CREATE TABLE calls (client TEXT NOT NULL, seq INTEGER NOT NULL, digest BLOB NOT NULL,
        reply BLOB, nbytes INTEGER NOT NULL, crc INTEGER NOT NULL,
        PRIMARY KEY (client, seq)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE floors (client TEXT PRIMARY KEY, seq INTEGER NOT NULL, crc INTEGER NOT NULL)
        STRICT, WITHOUT ROWID""",
    """CREATE TABLE entries (kind TEXT NOT NULL, key TEXT NOT NULL, data BLOB NOT NULL,
        crc INTEGER NOT NULL, PRIMARY KEY (kind, key)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE runs (number INTEGER PRIMARY KEY, id TEXT NOT NULL, started REAL NOT NULL,
        policy TEXT NOT NULL, first INTEGER NOT NULL, durable INTEGER NOT NULL,
        acknowledged INTEGER NOT NULL, clean INTEGER NOT NULL, counts TEXT NOT NULL,
        crc INTEGER NOT NULL) STRICT""",
)


def _add_patches(connection: sqlite3.Connection) -> None:
    connection.execute(_PATCHES)


# From a version to the next one; each step runs inside the one transaction of the upgrade.
MIGRATIONS: Final[Mapping[int, Callable[[sqlite3.Connection], None]]] = MappingProxyType(
    {1: _add_patches}
)


def prepare(
    connection: sqlite3.Connection,
    path: Path,
    *,
    version: int = VERSION,
    migrations: Mapping[int, Callable[[sqlite3.Connection], None]] = MIGRATIONS,
) -> None:
    """Gives a new file its tables, and an older one what it lacks.

    Raises:
        UnsupportedVersion: the file is of a later version, or of one that has no way to here.
        DamagedFile: it is another program's.
    """
    found = _pragma(connection, "user_version")
    if found == 0 and not connection.execute("SELECT 1 FROM sqlite_schema").fetchone():
        _create(connection, version)
        return
    if _pragma(connection, "application_id") != APPLICATION:
        raise DamagedFile(f"{path} is no state of exprd")
    if found > version:
        raise UnsupportedVersion(
            f"{path} has format {found}, and this server knows formats up to {version}",
            hint="start the later version of exprd that wrote it",
        )
    if found < version:
        _upgrade(connection, path, range(found, version), migrations)


def row_crc(*columns: Any) -> int:
    """The checksum of a row."""
    # Bytes by checksum and length, since their text would be several times as long.
    marks = [(len(c), zlib.crc32(c)) if isinstance(c, bytes) else c for c in columns]
    return zlib.crc32(repr(marks).encode())


def _create(connection: sqlite3.Connection, version: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id={APPLICATION}")
    connection.execute(f"PRAGMA user_version={version}")
    connection.execute("COMMIT")


def _upgrade(
    connection: sqlite3.Connection,
    path: Path,
    steps: range,
    migrations: Mapping[int, Callable[[sqlite3.Connection], None]],
) -> None:
    if any(step not in migrations for step in steps):
        raise UnsupportedVersion(
            f"{path} has format {steps.start}, which has no way to {steps.stop}"
        )
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in steps:
            migrations[step](connection)
        connection.execute(f"PRAGMA user_version={steps.stop}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # an error of the disk may have ended it
            connection.execute("ROLLBACK")
        raise


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
