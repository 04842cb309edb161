"""A recorded process: it commits, writes checkpoints, stops, starts, and says all of it.

One step rewrites several variables with the number of the step, and a call record with it. The log
is folded in every few steps, so that a short run meets everything that a long one does.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from exprd_server.policy import Policy, parse_policy
from exprd_server.stores.checkpoints import Checkpoints
from exprd_server.stores.folder import StateFolder
from exprd_server.stores.sqlite import SqliteStore
from tests.server.stores.facts import change, record, variable

SIZES = (1, 16, 1000, 3000)
FOLDED = 40  # pages of the log
SPARSE = "sparse"  # a variable of two chunks, of which a step writes a block
BLOCKS, BLOCK = 30, 5000


def sparse(number: int) -> np.ndarray:
    """The value of that variable after a step."""
    value = np.ones((BLOCKS, BLOCK))
    for n in range(max(2, number - BLOCKS + 1), number + 1):
        value[n % BLOCKS] = n
    return value


def say(what: str) -> None:
    os.write(1, f"{what}\n".encode())


def opened(path: Path, policy: Policy, synchronous: str) -> SqliteStore:
    store = SqliteStore(StateFolder(path), policy)
    store._database.connection.execute(f"PRAGMA synchronous={synchronous}")
    store._database.connection.execute(f"PRAGMA wal_autocheckpoint={FOLDED}")
    return store


def step(store: SqliteStore, number: int) -> None:
    """Commits the step of a number."""
    changes = [
        change(str(k), number - 1, np.full(size, float(number))) for k, size in enumerate(SIZES)
    ]
    start = number % BLOCKS * BLOCK * 8
    changes.append(change(SPARSE, number - 1, sparse(number), ((start, start + BLOCK * 8),)))
    store.commit(changes, record(number, value=float(number)))
    store.forget("c", number - 5)
    say(f"step {number}")


def main(path: str, policy: str, runs: str, steps: str, synchronous: str = "FULL") -> None:
    place, number = Path(path), 1
    checkpoints = Checkpoints(place / "checkpoints")
    for run in range(int(runs)):
        store = opened(place, parse_policy(policy), synchronous)
        if run == 0:
            for k, size in enumerate(SIZES):
                store.create(variable(str(k), np.ones(size)))
            store.create(variable(SPARSE, sparse(1)))
            store.flush()
            say("step 1")
        for _ in range(int(steps)):
            number += 1
            step(store, number)
        checkpoints.write(f"c{run}", store.variables())
        say(f"checkpoint c{run} {number}")
        checkpoints.remove(f"c{k}" for k in range(run - 1))
        store.close()
        say(f"closed {number}")


if __name__ == "__main__":
    main(*sys.argv[1:])
