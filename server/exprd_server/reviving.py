"""Revivals: functions of an earlier process, made again when somebody asks for them.

Invariant: callers wait as long as their own time lasts, in the turns of their clients; a revival
that was begun goes on without them, so that even callers with little time get their function.
"""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import Future, wait
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from exprd_server.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable

    from exprd_server.fairness import CompilerTurns
    from exprd_server.functions import Function

    # What makes a function until a deadline; None when it has been released meanwhile.
    Work: TypeAlias = Callable[[Deadline], Function | None]

_TICK: Final = 0.05  # seconds; how soon a cancellation is noticed


class Revivals:
    """The functions that are being made again, each once. Thread safe.

    Args:
        turns: of the clients at the compiler.
        seconds: that one may take.
    """

    def __init__(self, turns: CompilerTurns, seconds: float) -> None:
        self._turns = turns
        self._seconds = seconds
        self._lock = threading.Lock()
        self._running: dict[str, Future[Function | None]] = {}

    def get(
        self, handle: str, client_id: str, deadline: Deadline | None, work: Work
    ) -> Function | None:
        """What the work gives, begun for this caller or for another one.

        Args:
            handle: of the function.
            client_id: whose turn it takes to begin.
            deadline: of the caller.
            work: makes the function, or finds it made.

        Raises:
            DeadlineExceeded, Cancelled: the caller's time is up; the work goes on.
        """
        future = self._running.get(handle) or self._begun(handle, client_id, deadline, work)
        while deadline is not None and not wait((future,), min(_TICK, deadline.remaining())).done:
            deadline.check("the function was compiled again")
        return future.result()

    def _begun(
        self, handle: str, client_id: str, deadline: Deadline | None, work: Work
    ) -> Future[Function | None]:
        with contextlib.ExitStack() as turn:
            turn.enter_context(self._turns.turn(client_id, deadline))
            with self._lock:
                future = self._running.get(handle)
                if future is not None:
                    return future
                future = self._running[handle] = Future()
            run = partial(self._run, handle, future, turn.pop_all(), work)
        try:
            threading.Thread(target=run, name="exprd-revive", daemon=True).start()
        except RuntimeError:  # no thread more: whoever asks does it
            run()
        return future

    def _run(
        self,
        handle: str,
        future: Future[Function | None],
        turn: contextlib.ExitStack,
        work: Work,
    ) -> None:
        try:
            with turn:
                function = work(Deadline(self._seconds))
        except BaseException as error:
            self._land(handle)
            future.set_exception(error)
        else:
            self._land(handle)
            future.set_result(function)

    def _land(self, handle: str) -> None:
        with self._lock:
            del self._running[handle]
