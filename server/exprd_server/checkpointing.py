"""Checkpointing: checkpoints of a running engine, written and restored while it serves.

Invariant: a checkpoint is one snapshot of all variables, and nobody waits for it. To restore one is
a commit like any other: all values at once, versions go on.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from exprd_compiler.errors import CallError, ExprdError
from exprd_server.locks import Hold, in_order
from exprd_server.stores.checkpoints import SCHEDULED, Checkpoints, scheduled_name
from exprd_server.stores.folder import CHECKPOINTS
from exprd_server.values import Durability

if TYPE_CHECKING:
    from pathlib import Path

    from exprd_server.deadline import Deadline
    from exprd_server.log import Logger
    from exprd_server.stores.checkpoints import CheckpointInfo
    from exprd_server.variables import VariableTable


class Checkpointer:
    """The checkpoints of an engine.

    Args:
        variables: of the engine.
        state: its state directory; None has no checkpoints.
    """

    def __init__(self, variables: VariableTable, state: Path | None) -> None:
        self._variables = variables
        self._files = None if state is None else Checkpoints(state / CHECKPOINTS)
        self._one = threading.Lock()

    def write(self, name: str = "") -> CheckpointInfo:
        """Writes a checkpoint; one without a name is pruned like the scheduled ones."""
        files = self._found()
        with self._one:
            return files.write(name or scheduled_name(time.time()), self._variables.every())

    def write_scheduled(self, keep: int) -> CheckpointInfo:
        """Writes a checkpoint and removes the oldest scheduled ones."""
        info = self.write()
        with self._one:
            self._found().prune(keep)
        return info

    def all(self) -> tuple[CheckpointInfo, ...]:
        """All checkpoints, oldest first."""
        return self._found().all()

    def last_scheduled(self, now: float) -> float | None:
        """When the newest sound checkpoint was made that is pruned; None without any.

        One of a time that is yet to come was made before somebody put the clock back, and is none.
        """
        made = [x.created for x in self._found().sound() if x.name.startswith(SCHEDULED)]
        return max((created for created in made if created <= now), default=None)

    def restore(self, name: str, deadline: Deadline | None = None) -> tuple[int, int]:
        """Gives variables the values of a checkpoint, all at once.

        Variables that are gone are made again first; those that are not in it stay as they are.

        Returns:
            How many were assigned, and how many made.
        """
        stored = self._found().read(name)
        present = {variable.uuid for variable in self._variables.every()}
        for variable in stored:
            if variable.uuid not in present:
                self._variables.revive(variable)
        found = [
            (self._variables.find(variable.uuid), variable.value)
            for variable in stored
            if variable.uuid in present and variable.durability is not Durability.CONSTANT
        ]
        with Hold(in_order([variable for variable, _ in found], ()), deadline):
            self._variables.commit(found, None)
        made = sum(variable.uuid not in present for variable in stored)
        return len(found), made

    def _found(self) -> Checkpoints:
        if self._files is None:
            raise CallError(
                "this server keeps its state in memory and has no checkpoints",
                hint="start it with --state",
            )
        return self._files


class CheckpointSchedule:
    """A thread that writes a checkpoint every so many seconds, until `close`.

    The time counts from the newest scheduled checkpoint, whichever process made it, so that a
    server that is often started anew makes them, too.
    """

    def __init__(self, checkpointer: Checkpointer, seconds: float, keep: int, log: Logger) -> None:
        self._checkpointer = checkpointer
        self._seconds = min(seconds, threading.TIMEOUT_MAX)
        self._keep = keep
        self._log = log
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="exprd-checkpoints", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the schedule; a checkpoint that is being written is finished."""
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        pause = self._first_pause()
        while not self._ended.wait(pause):
            self._write()
            pause = self._seconds  # after a failure as well: the disk may have room by then

    def _first_pause(self) -> float:
        now = time.time()
        try:
            return until_due(self._checkpointer.last_scheduled(now), now, self._seconds)
        except OSError as error:
            self._log.error("no checkpoint", reason=str(error))
            return self._seconds

    def _write(self) -> None:
        try:
            info = self._checkpointer.write_scheduled(self._keep)
        except (ExprdError, OSError, MemoryError) as error:  # the next one may succeed
            self._log.error("no checkpoint", reason=str(error) or type(error).__name__)
        else:
            self._log.info("checkpoint", name=info.name, nbytes=info.nbytes)


def until_due(made: float | None, now: float, seconds: float) -> float:
    """The seconds until a checkpoint is due, after one that was made at some time; 0 without."""
    return 0.0 if made is None else max(0.0, made + seconds - now)
