"""Loops within this process: the same words, without messages.

Loaded by `exprd.embedded` alone.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from exprd.futures import Future
from exprd.looping import Given, RepeatJob, kept_of
from exprd.transport import InputValue
from exprd_compiler.errors import ExprdError

__all__ = ["EmbeddedLoops"]


class Stoppable(Protocol):
    """The time of a call, which can be ended."""

    def cancel(self) -> None:
        """Ends it; the call stops."""
        ...


class Single(Protocol):
    """The run of a function, once."""

    def __call__(
        self,
        handle: str,
        inputs: Sequence[InputValue],
        outputs: int,
        *,
        keep: bool,
        time: Any = None,
    ) -> Given:
        """The outputs and events."""
        ...


Repeated: TypeAlias = Callable[[str, Sequence[InputValue], int, RepeatJob], Given]


class _Submitted(NamedTuple):
    """A call that waits for its turn."""

    number: int
    handle: str
    inputs: Sequence[InputValue]
    outputs: int
    keep: bool
    future: Future[Any]


class EmbeddedLoops:
    """The loops of the engine of this process. Thread safe.

    Args:
        run: runs a function once.
        repeat: runs a function several times.
        release: frees buffers.
        endless: makes the time of a call that can be stopped.
    """

    def __init__(
        self,
        run: Single,
        repeat: Repeated,
        release: Callable[[Sequence[str]], object],
        endless: Callable[[], Stoppable],
    ) -> None:
        self._run = run
        self._repeat = repeat
        self._release = release
        self._endless = endless
        self._changed = threading.Condition(threading.Lock())
        self._queued: deque[_Submitted] = deque()
        self._last = 0
        self._running: tuple[int, Stoppable] | None = None
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
        self,
        handle: str,
        inputs: Sequence[InputValue],
        outputs: int,
        future: Future[Any],
        *,
        keep: bool = False,
    ) -> None:
        """Runs a call after those submitted before, in a thread of its own."""
        inputs = [np.array(x) if isinstance(x, np.ndarray) else x for x in inputs]  # as they are
        with self._changed:
            self._last += 1
            future.stopped_by(self._stop, self._last)
            self._queued.append(_Submitted(self._last, handle, inputs, outputs, keep, future))
            if not self._busy:
                self._busy = True
                threading.Thread(target=self._work, name="exprd-submitted", daemon=True).start()

    def batch(
        self,
        handle: str,
        items: Sequence[Sequence[InputValue]],
        outputs: int,
        *,
        keep: bool = False,
    ) -> Sequence[Given]:
        """Runs a function over several lists of inputs, in order."""
        found: list[Given] = []
        for position, inputs in enumerate(items):
            try:
                found.append(self._run(handle, inputs, outputs, keep=keep))
            except ExprdError as error:
                self._release(kept_of(found))
                error.fields = {**error.fields, "item": str(position)}
                raise
        return found

    def repeat(
        self, handle: str, inputs: Sequence[InputValue], outputs: int, job: RepeatJob
    ) -> Given:
        """Runs a function several times and gives the outputs of the last."""
        return self._repeat(handle, inputs, outputs, job)

    def _stop(self, number: int) -> None:
        """Stops the call that runs now, if it is this one."""
        with self._changed:
            if self._running is not None and self._running[0] == number:
                self._running[1].cancel()

    def _work(self) -> None:
        while (found := self._next()) is not None:
            call, time = found
            if call.future.set_running_or_notify_cancel():
                self._settle(call, time)

    def _next(self) -> tuple[_Submitted, Stoppable] | None:
        """The call whose turn it is, and its time; without one, this thread ends."""
        with self._changed:
            self._running = None
            if self._queued:
                call, time = self._queued.popleft(), self._endless()
                self._running = (call.number, time)
                return call, time
            self._busy = False
            self._changed.notify_all()
            return None

    def _settle(self, call: _Submitted, time: Stoppable) -> None:
        try:
            result = self._run(call.handle, call.inputs, call.outputs, keep=call.keep, time=time)
        except Exception as error:
            call.future.fail(error)
        else:
            call.future.set_result(result)
