"""Loops within this process: the same words, without messages.

Loaded by `exprd.embedded` alone.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from exprd.futures import Future
from exprd.looping import Given, RepeatJob
from exprd.transport import InputValue
from exprd_compiler.errors import ExprdError

__all__ = ["EmbeddedLoops"]

Single: TypeAlias = Callable[[str, Sequence[InputValue], int], Given]
Repeated: TypeAlias = Callable[[str, Sequence[InputValue], int, RepeatJob], Given]


class EmbeddedLoops:
    """The loops of the engine of this process. Thread safe.

    Args:
        run: runs a function once.
        repeat: runs a function several times.
    """

    def __init__(self, run: Single, repeat: Repeated) -> None:
        self._run = run
        self._repeat = repeat
        self._changed = threading.Condition(threading.Lock())
        self._queued: deque[tuple[str, Sequence[InputValue], int, Future[Any]]] = deque()
        self._busy = False
        self.entered = 0

    def enter(self) -> None:
        """From now on, single calls wait for those submitted."""
        with self._changed:
            self.entered += 1

    def leave(self) -> None:
        """Waits until everything submitted is answered, and ends what `enter` began."""
        with self._changed:
            self.entered -= 1
        self.drain()

    def drain(self) -> None:
        """Returns when everything submitted so far is answered."""
        with self._changed:
            self._changed.wait_for(lambda: not self._busy)

    def submit(
        self, handle: str, inputs: Sequence[InputValue], outputs: int, future: Future[Any]
    ) -> None:
        """Runs a call after those submitted before, in a thread of its own."""
        with self._changed:
            self._queued.append((handle, inputs, outputs, future))
            if not self._busy:
                self._busy = True
                threading.Thread(target=self._work, name="exprd-submitted", daemon=True).start()

    def batch(
        self, handle: str, items: Sequence[Sequence[InputValue]], outputs: int
    ) -> Sequence[Given]:
        """Runs a function over several lists of inputs, in order."""
        found: list[Given] = []
        for position, inputs in enumerate(items):
            try:
                found.append(self._run(handle, inputs, outputs))
            except ExprdError as error:
                error.fields = {**error.fields, "item": str(position)}
                raise
        return found

    def repeat(
        self, handle: str, inputs: Sequence[InputValue], outputs: int, job: RepeatJob
    ) -> Given:
        """Runs a function several times and gives the outputs of the last."""
        return self._repeat(handle, inputs, outputs, job)

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._queued:
                    self._busy = False
                    self._changed.notify_all()
                    return
                handle, inputs, outputs, future = self._queued.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = self._run(handle, inputs, outputs)
            except Exception as error:
                future.fail(error)
            else:
                future.set_result(result)
