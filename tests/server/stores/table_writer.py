"""A process that patches a table until it is killed, and says each step after it was acknowledged.

What a step writes follows from its number, so that whoever reads what is left can make it again.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from exprd_server.policy import parse_policy
from exprd_server.stores import journal
from exprd_server.stores.folder import StateFolder
from exprd_server.stores.sqlite import SqliteStore
from tests.server.stores.facts import change, variable

ROWS, COLUMNS = 5000, 128  # of float64: 5 chunks
WHOLE = 41  # every so many steps the whole table changes


def write(table: np.ndarray, step: int) -> tuple[tuple[int, int], ...]:
    """Makes a step in a table; the ranges of bytes it wrote, or none for all of it."""
    if step % WHOLE == 0:
        table += 1
        return ()
    rows = np.unique(np.random.default_rng(step).integers(0, ROWS, 20))
    table[rows] = step
    size = 8 * COLUMNS
    return tuple((int(row) * size, int(row + 1) * size) for row in rows)


def table_at(version: int) -> np.ndarray:
    """The table after the steps up to a version."""
    table = np.zeros((ROWS, COLUMNS))
    for step in range(2, version + 1):
        write(table, step)
    return table


def main(path: str, policy: str) -> None:
    journal._LEAST, journal._SHARE = 200_000, 10**9  # passes begin early
    store = SqliteStore(StateFolder(Path(path)), parse_policy(policy))
    if not store.variables():
        store.create(variable("t", np.zeros((ROWS, COLUMNS))))
        store.flush()
    (found,) = store.variables()
    version, value = found.version, found.value
    while True:
        ranges = write(np.zeros_like(value), version + 1)
        if not (ranges and store.may_patch("t", ranges)):
            value = value.copy()
        value.flags.writeable = True
        write(value, version + 1)
        value.flags.writeable = False
        store.commit([change("t", version, value, ranges or None)], None)
        version += 1
        os.write(1, f"{version}\n".encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
