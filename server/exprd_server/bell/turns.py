"""The time of calls that come by the doorbell, and the thread that watches over it.

A call of a few microseconds cannot afford an alarm of its own. Here each connection has one turn,
which its calls take one after another, and one thread looks at all of them every few milliseconds
while there are calls. Invariant: a wish to stop names the call's number, and never meets the next.
"""

from __future__ import annotations

import select
import threading
import time
from typing import TYPE_CHECKING, Final

from exprd_compiler.errors import Cancelled
from exprd_server.deadline import Deadline

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from exprd_server.alarm import Alarm

_LOOK_SECONDS: Final = 0.02
_IDLE_LOOKS: Final = 50  # without any call; then the thread sleeps until there is one
_NONE: Final = -1


class Turn(Deadline):
    """The deadline of whichever call a connection runs.

    Args:
        client_id: whose calls these are.
        end: the connection; who closes it wants no answer any more.

    Attributes:
        seq: the number of the call; 0 between calls.
    """

    __slots__ = ("_client_id", "_guarding", "_outlives", "_poll", "_stop", "_unwanted", "seq")

    def __init__(self, client_id: str, end: socket.socket) -> None:
        super().__init__(0.0)
        self.seq = 0
        self._client_id = client_id
        self._guarding = threading.Lock()
        self._stop: Callable[[], None] | None = None
        self._unwanted = _NONE  # the number of the call that nobody wants
        self._outlives = False
        self._poll = select.poll()
        self._poll.register(end, 0)  # reports the hangup alone

    def begin(self, seq: int, seconds: float) -> float:
        """Takes the turn for a call; the time now, as `time.monotonic` has it."""
        now = time.monotonic()
        self._seconds = seconds
        self._end = now + seconds
        self._unwanted = _NONE
        self._outlives = False
        self.seq = seq
        return now

    def over(self) -> None:
        """Gives the turn up."""
        self.seq = 0

    def cancel(self) -> None:
        """Notes that nobody wants the answer; running native code stops."""
        with self._guarding:
            self._cancel(self.seq)

    def leave(self) -> None:
        """Notes that the caller has gone."""
        if not self._outlives:
            self.cancel()

    def outlive_caller(self) -> None:
        """Lets the call go on when its caller has gone, because a retry will ask for its answer."""
        self._outlives = True

    def check(self, stage: str) -> None:
        """As `Deadline.check`."""
        if self._unwanted == self.seq:
            raise Cancelled(f"cancelled before {stage}; nothing has changed")
        if self._clock() >= self._end:
            raise self.lapsed(stage)

    def guard(self, alarm: Alarm, native: Callable[[], int], stop: Callable[[], None], /) -> int:
        """What `native()` gives; `stop()` is called if that must end while it runs."""
        del alarm
        self._stop = stop
        if self._unwanted == self.seq:
            stop()
        try:
            return native()
        finally:
            with self._guarding:
                self._stop = None

    def cancel_if(self, meant: Callable[[str, int], bool]) -> bool:
        """Cancels the call if it is meant."""
        with self._guarding:
            seq = self.seq  # which ends without this lock
            found = seq > 0 and meant(self._client_id, seq)
            if found:
                self._cancel(seq)
            return found

    def look(self) -> None:
        """Stops the call if its time is up, or if its caller has gone."""
        with self._guarding:
            seq = self.seq
            if self._stop is None:
                return
            if self._clock() >= self._end:
                self._stop()
            elif not self._outlives and self._poll.poll(0):
                self._cancel(seq)

    def _cancel(self, seq: int) -> None:
        self._unwanted = seq
        if self._stop is not None and self.seq == seq:
            self._stop()


class Watch:
    """The thread that looks at turns. Thread safe.

    Attributes:
        sleeps: whether it waits for `wake`.
    """

    def __init__(self) -> None:
        self.sleeps = False
        self._turns: set[Turn] = set()
        self._woken = threading.Event()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, turn: Turn) -> None:
        """Looks at a turn from now on."""
        with self._lock:
            self._turns.add(turn)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="exprd-watch", daemon=True)
                self._thread.start()

    def drop(self, turn: Turn) -> None:
        """Looks at it no more."""
        with self._lock:
            self._turns.discard(turn)

    def wake(self) -> None:
        """Has the thread look again."""
        self._woken.set()

    def close(self) -> None:
        """Ends the thread."""
        self._closed.set()
        self._woken.set()

    def _run(self) -> None:
        idle = 0
        while not self._closed.wait(_LOOK_SECONDS):
            idle = 0 if self._looked() else idle + 1
            if idle < _IDLE_LOOKS:
                continue
            self._woken.clear()
            self.sleeps = True
            # A call that began before that has not seen it.
            if not self._looked():
                self._woken.wait()
            self.sleeps, idle = False, 0

    def _looked(self) -> bool:
        """Looks at every call; whether there is one."""
        with self._lock:
            busy = [turn for turn in self._turns if turn.seq]
        for turn in busy:
            turn.look()
        return bool(busy)
