"""A process whose files are recorded: it spoils the head of a state file and repairs the state."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from exprd_server.stores.folder import StateFolder
from exprd_server.stores.salvage import repair_state


def main(path: str) -> None:
    folder = StateFolder(Path(path), must_exist=True)
    file = os.open(folder.database, os.O_RDWR)
    os.pwrite(file, bytes(100), 0)
    os.fsync(file)
    os.close(file)
    os.write(1, b"spoilt\n")
    repair_state(folder)
    folder.close()
    os.write(1, b"repaired\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
