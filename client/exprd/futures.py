"""Future: the result of a call that was submitted and may still be on its way."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from exprd_compiler.errors import Cancelled, ExprdError

__all__ = ["Future"]

T = TypeVar("T")

# Of all futures: what is done under it is short, and a lock for each would cost more than the rest.
_GATE = threading.RLock()
_RUNNING: Final = "RUNNING"
_FINISHED: Final = "FINISHED"


class Ready(Protocol):
    """A call, as far as its future knows it."""

    def finish(self, given: Any, /) -> Any:
        """The result of what the transport gives."""
        ...

    def explain(self, error: ExprdError, /) -> None:
        """Adds what the client knows to an error."""
        ...


class Future(concurrent.futures.Future[T]):
    """The result of a submitted call; everything that `concurrent.futures` offers works with it.

    What the function computed is brought into its final form by whoever first asks for it.

    Args:
        ready: the call; without one, the result is what the transport gives.
        held: what is not to be freed before the call is answered.
    """

    # A subclass, because `concurrent.futures.wait` and `as_completed` work on the inside of theirs.
    # Thousands are made a second, and few of them are waited for: the condition to wait on and the
    # lists of who waits are made when they are asked for, and what most futures go through is
    # written out here. The collector of garbage looks at each list of each future that is open.

    def __init__(self, ready: Ready | None = None, held: object = None) -> None:
        self._state = "PENDING"
        self._result: Any = None
        self._exception: BaseException | None = None
        self._waiting: list[Any] | None = None
        self._calling: list[Callable[[Any], object]] | None = None
        self._own: threading.Condition | None = None
        self._held = held
        self._before: Callable[[Any], Any] | None = None
        self._ready = ready
        self._finishing = threading.Lock()
        self._brought = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._stop: Callable[[int], object] | None = None
        self._number = 0
        self._unwanted = self._stopped = False

    # ---- for those who wait
    def cancel(self) -> bool:
        """Takes the call back, or asks that it be stopped; returns at once.

        Returns:
            Whether it is certain by now that the call does nothing. A call that was sent may be
            done before the wish arrives, so there `result` tells how it ended: it gives the result
            of a call that was done, and raises CancelledError for one that has changed nothing.
        """
        if super().cancel():
            return True
        if not self.done() and self._stop is not None:
            self._unwanted = True
            self._stop(self._number)
        return self.cancelled()

    def cancelled(self) -> bool:
        """Whether the call was taken back or stopped, and has changed nothing."""
        return self._stopped or super().cancelled()

    def result(self, timeout: float | None = None) -> T:
        """The result, once it is there.

        Args:
            timeout: seconds to wait at most.

        Raises:
            TimeoutError: it was not there in time; the call goes on.
            concurrent.futures.CancelledError: the call was taken back or stopped; it has changed
                nothing.
            ExprdError: whatever the call raised.
        """
        if self._state != _FINISHED or self._exception is not None:
            super().result(timeout)
        with self._finishing:
            if not self._brought:
                self._bring()
        if self._error is not None:
            raise self._error
        value: T = self._value
        return value

    def _bring(self) -> None:
        """Makes the value of what the transport gave, once."""
        self._brought, value = True, self._result
        before, ready, self._result = self._before, self._ready, None
        self._before = self._ready = self._held = None
        try:
            if before is not None:
                value = before(value)
            self._value = value if ready is None else ready.finish(value)
        except Exception as error:
            self._error = error

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The exception that `result` raises, or None; see there.

        Raises:
            concurrent.futures.CancelledError: the call was taken back or stopped.
        """
        found = super().exception(timeout)
        if self._stopped:
            raise found or concurrent.futures.CancelledError()
        if found is not None:
            return found
        try:
            self.result()
        except Exception as error:
            return error
        return None

    def done(self) -> bool:
        """Whether the call was answered or taken back."""
        return self._state == _FINISHED or super().done()

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]
        """What those wait on who wait; asked for by the base class."""
        with _GATE:
            if self._own is None:
                self._own = threading.Condition(_GATE)
            return self._own

    @property
    def _waiters(self) -> list[Any]:  # type: ignore[override]
        """Who is told of the end, by those who wait for several; asked for by the base class."""
        if self._waiting is None:
            self._waiting = []
        return self._waiting

    @property
    def _done_callbacks(self) -> list[Callable[[Any], object]]:
        """What is called at the end; asked for by the base class."""
        if self._calling is None:
            self._calling = []
        return self._calling

    # ---- for those who make futures
    def before(self, step: Callable[[Any], Any]) -> None:
        """Has what comes pass a step before `finish`, for transports that give messages."""
        self._before = step

    def set_running_or_notify_cancel(self) -> bool:
        """Whether the call is still to be made; from now on it cannot be taken back."""
        with _GATE:
            if self._state == "PENDING":
                self._state = _RUNNING
                return True
        return super().set_running_or_notify_cancel()

    def set_result(self, result: Any) -> None:
        """Ends the future with what the transport gave."""
        if not self.settle(result):
            super().set_result(result)

    def settle(self, result: Any) -> bool:
        """Ends the future with what the transport gave, unless something is to be called then.

        Returns:
            Whether it has ended now. Those who wait were told; nothing of theirs runs here.
        """
        with _GATE:
            if self._calling or self._state != _RUNNING:
                return False
            self._result, self._state = result, _FINISHED
            if self._waiting:
                for waiter in self._waiting:
                    waiter.add_result(self)
            if self._own is not None:
                self._own.notify_all()
            return True

    def stopped_by(self, stop: Callable[[int], object], number: int) -> None:
        """Has `stop(number)` called when a call that was sent is no longer wanted."""
        self._stop, self._number = stop, number

    def fail(self, error: BaseException) -> None:
        """Ends the future with an error."""
        if self._unwanted and isinstance(error, Cancelled):
            self._stopped = True
            self.set_exception(concurrent.futures.CancelledError(error.message))
            return
        if self._ready is not None and isinstance(error, ExprdError):
            self._ready.explain(error)
        self.set_exception(error)
