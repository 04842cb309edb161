"""Fairness: places for calls, of which no client can take so many that others go without.

Invariant: a call that gets no place is told so at once and nothing waits without bound. Of one
client only a few calls are begun at a time; the next of its calls wait for those, and not for long,
since a call that lasts leaves the interpreter to others anyway. So a client that sends many calls
at once queues behind itself.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from exprd_compiler.errors import LimitExceeded
from exprd_server.appointments import Appointments
from exprd_server.deadline import check

if TYPE_CHECKING:
    from collections.abc import Generator

    from exprd_server.deadline import Deadline

# Calls of one client that are begun at a time: enough for all cores. Each thread more that wants
# the interpreter makes everybody wait longer for it, above all the one that takes calls in.
AT_A_TIME: Final = max(2, os.cpu_count() or 1)
# A call waits no longer for those before it, and not at all for those that last so long already:
# they compute or wait themselves, and leave the interpreter to others.
_PATIENCE: Final = 0.1
_LASTS: Final = 0.05
_RETRY_MS: Final = "50"
_COMPILING: Final = 4  # compilations of one client that may ask for a worker at a time
_TICK: Final = 0.05  # seconds; how soon a cancellation is noticed


class _Turn:
    """A call that waits to be begun; the lock is released when it is."""

    __slots__ = ("begun", "lock")

    def __init__(self) -> None:
        self.begun = 0.0
        self.lock = threading.Lock()
        self.lock.acquire()


class _Mine:
    """The calls of one client.

    Attributes:
        places: how many it has.
        begun: when its calls were begun that are not over.
        waiting: those that wait, in order.
    """

    __slots__ = ("begun", "places", "waiting")

    def __init__(self) -> None:
        self.places = 0
        self.begun: list[float] = []
        self.waiting: deque[_Turn] = deque()

    def begin(self, turn: _Turn) -> None:
        """Has a call begin that no longer waits."""
        turn.begun = time.monotonic()
        self.begun.append(turn.begun)

    def busy(self, now: float) -> bool:
        """Whether as many calls as may be are in their first moments."""
        begun = self.begun
        return (
            len(begun) >= AT_A_TIME and sum([now - start < _LASTS for start in begun]) >= AT_A_TIME
        )


class FairShare:
    """Places for calls. Thread safe.

    Args:
        calls: places in all.
        client_calls: places that one client may have.
        client_queue: calls of one client that may wait to be begun.
    """

    def __init__(self, calls: int, client_calls: int, client_queue: int) -> None:
        self._calls = self._free = calls
        self._client_calls = client_calls
        self._client_queue = client_queue
        self._lock = threading.Lock()
        self._clients: dict[str, _Mine] = {}
        self._appointments = Appointments()
        self._freed = 0  # places that were given back so far

    @property
    def full(self) -> bool:
        """Whether there is no place for anybody, at this moment."""
        return not self._free

    def refusal(self) -> LimitExceeded:
        """The error of a call that comes when there is no place."""
        with self._lock:
            return self._no_place()

    def begin(self, client_id: str) -> float:
        """Takes a place, and returns when it is the call's turn.

        Returns:
            What `end` wants to have, which gives the place back.

        Raises:
            LimitExceeded: there is no place, or none for this client.
        """
        now = time.monotonic()
        with self._lock:
            mine = self._placed(client_id)
            if not mine.busy(now):
                mine.begun.append(now)
                return now
            if len(mine.waiting) >= self._client_queue:
                self._leave(client_id, mine)
                raise _too_many("client_queue", f"{self._client_queue} calls of this client wait")
            turn = _Turn()
            mine.waiting.append(turn)
        if not turn.lock.acquire(timeout=_PATIENCE):
            with self._lock:
                if turn in mine.waiting:  # else its turn came at this moment
                    mine.waiting.remove(turn)
                    mine.begin(turn)
        return turn.begun

    def end(self, client_id: str, begun: float) -> None:
        """Gives the place of a call back that was begun, and has the next one begin."""
        with self._lock:
            mine = self._clients[client_id]
            mine.begun.remove(begun)
            if mine.waiting and not mine.busy(time.monotonic()):
                turn = mine.waiting.popleft()
                mine.begin(turn)
                turn.lock.release()
            self._leave(client_id, mine)

    @contextmanager
    def place(self, client_id: str) -> Generator[None]:
        """A place for something that lasts, which waits for nothing.

        Raises:
            LimitExceeded: there is no place, or none for this client.
        """
        with self._lock:
            mine = self._placed(client_id)
        try:
            yield
        finally:
            with self._lock:
                self._leave(client_id, mine)

    def _placed(self, client_id: str) -> _Mine:
        if not self._free:
            raise self._no_place()
        mine = self._clients.get(client_id)
        if mine is None:
            mine = self._clients[client_id] = _Mine()
        if mine.places >= self._client_calls:
            raise _too_many("client_calls", f"{self._client_calls} calls of this client run")
        mine.places += 1
        self._free -= 1
        return mine

    def _no_place(self) -> LimitExceeded:
        seconds = self._appointments.next(time.monotonic(), self._freed)
        what = f"the server handles {self._calls} calls"
        return _too_many("calls", what, str(round(1000 * seconds)))

    def _leave(self, client_id: str, mine: _Mine) -> None:
        self._free += 1
        self._freed += 1
        mine.places -= 1
        if not mine.places:
            del self._clients[client_id]


def _too_many(limit: str, what: str, retry_ms: str = _RETRY_MS) -> LimitExceeded:
    return LimitExceeded(
        f"{what} already; nothing has changed",
        hint="try again in a moment",
        fields={"limit": limit, "retry_after_ms": retry_ms},
    )


def client_of(request: Any) -> str:
    """Whose call a request is, as it says itself; "" for those that do not say."""
    way = _way(request.__class__)
    for name in way:
        request = getattr(request, name)
    return str(request) if way else ""


@cache
def _way(kind: Any) -> tuple[str, ...]:
    """The fields that lead from a message to the id of its client."""
    way: list[str] = []
    message: Any = kind.DESCRIPTOR
    for name in ("call", "call_id"):  # of a repetition, of a call
        if name in message.fields_by_name:
            way.append(name)
            message = message.fields_by_name[name].message_type
    return (*way, "client_id") if "client_id" in message.fields_by_name else ()


class CompilerTurns:
    """Compilations, of which one client has only a few ask for a worker at a time. Thread safe.

    The others of that client wait here, so that the queue for workers has places for everybody.
    """

    def __init__(self, at_a_time: int = _COMPILING) -> None:
        self._at_a_time = at_a_time
        self._changed = threading.Condition(threading.Lock())
        self._running: dict[str, int] = {}

    @contextmanager
    def turn(self, client_id: str, deadline: Deadline | None) -> Generator[None]:
        """The time during which a compilation of a client may ask for a worker.

        Raises:
            DeadlineExceeded, Cancelled: its turn did not come in time.
        """
        with self._changed:
            while self._running.get(client_id, 0) >= self._at_a_time:
                check(deadline, "the client's earlier compilations were done")
                self._changed.wait(_TICK)
            self._running[client_id] = self._running.get(client_id, 0) + 1
        try:
            yield
        finally:
            with self._changed:
                self._running[client_id] -= 1
                if not self._running[client_id]:
                    del self._running[client_id]
                self._changed.notify_all()
