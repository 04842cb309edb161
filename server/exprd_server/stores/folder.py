"""Folder: a state directory, and the exclusive right to it.

Invariant: one process at a time uses a directory.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from exprd_compiler.errors import CallError
from exprd_server.exclusive import Occupied, take
from exprd_server.stores.faults import unusable

DATABASE: Final = "state.db"
MARKER: Final = "acknowledged"
CHECKPOINTS: Final = "checkpoints"
LOCK: Final = "lock"


class StateFolder:
    """A state directory that this process holds until `close`.

    Args:
        path: of the directory; it is made, unless `must_exist`.
        must_exist: refuse a directory without state.

    Raises:
        CallError: it cannot be used, or another process holds it.
    """

    def __init__(self, path: Path, *, must_exist: bool = False) -> None:
        self.path = path.absolute()
        self._lock = -1
        try:
            if must_exist and not self.database.is_file():
                raise CallError(
                    f"{self.path} holds no state",
                    hint="name the directory of `exprd serve --state`",
                )
            make_folder(self.path)
            self._take()
            self._undo_repair()
        except OSError as error:
            self.close()
            raise unusable(self.path, error) from None

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.path / DATABASE

    @property
    def damaged(self) -> Path:
        """Where a repair leaves the file that it has replaced."""
        return self.path / f"{DATABASE}.damaged"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints; it may not exist yet."""
        return self.path / CHECKPOINTS

    def close(self) -> None:
        """Gives the directory up; may be called again."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _take(self) -> None:
        try:
            self._lock = take(self.path / LOCK)
        except Occupied as error:
            raise CallError(
                f"another process ({error.holder or 'unknown'}) uses the state in {self.path}",
                hint="stop it first, or give this one a directory of its own;"
                " --target asks a running server",
            ) from None

    def _undo_repair(self) -> None:
        """Takes back a repair that ended before the new file was in its place."""
        if not (self.damaged.exists() and self.database.exists()):
            return
        if self.damaged.samefile(self.database):
            log = log_of(self.damaged)
            if log.exists():
                log.rename(log_of(self.database))
            sync_directory(self.path)
            self.damaged.unlink()
            sync_directory(self.path)


def log_of(database: Path) -> Path:
    """The write-ahead log of a file."""
    return database.with_name(f"{database.name}-wal")


def make_folder(path: Path) -> None:
    """Makes a folder and those above it where they are missing; their names are on disk then."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in missing:
        sync_directory(folder.parent)


def sync_directory(path: Path) -> None:
    """Returns once the names in a directory are on disk."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
