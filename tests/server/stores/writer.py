"""A process that commits until it is killed, and says each commit after it was acknowledged.

One step rewrites several variables of different sizes with the number of the step, and a call
record with it; so whoever reads what is left can tell a torn step from a whole one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from exprd_server.policy import parse_policy
from exprd_server.stores.folder import StateFolder
from exprd_server.stores.sqlite import SqliteStore
from tests.server.stores.facts import change, record, variable

SIZES = (1, 16, 1000, 4096, 140_000)  # the last one makes two chunks


def main(path: str, policy: str) -> None:
    store = SqliteStore(StateFolder(Path(path)), parse_policy(policy))
    present = {v.uuid: v.version for v in store.variables()}
    for k, size in enumerate(SIZES):
        if str(k) not in present:
            store.create(variable(str(k), np.ones(size)))
    store.flush()
    step = present.get("0", 1)
    while True:
        changes = [change(str(k), step, np.full(n, step + 1.0)) for k, n in enumerate(SIZES)]
        store.commit(changes, record(step + 1, value=step + 1.0))
        store.forget("c", step - 5)
        step += 1
        os.write(1, f"{step}\n".encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
