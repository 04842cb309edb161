"""Future: the result of a call that was submitted and may still be on its way."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from exprd_compiler.errors import Cancelled, ExprdError

__all__ = ["Future"]

T = TypeVar("T")


class Future(concurrent.futures.Future[T]):
    """The result of a submitted call; everything that `concurrent.futures` offers works with it.

    What the function computed is brought into its final form by whoever first asks for it.

    Args:
        finish: makes the result of what the transport gives.
        explain: adds what the client knows to an error.
        held: what is not to be freed before the call is answered.
    """

    # A subclass, because `concurrent.futures.wait` and `as_completed` work on the inside of theirs.

    def __init__(
        self,
        finish: Callable[[Any], T] | None = None,
        explain: Callable[[ExprdError], None] | None = None,
        held: object = None,
    ) -> None:
        super().__init__()
        self._held = held
        self._finish: Callable[[Any], Any] | None = finish
        self._explain = explain
        self._finishing = threading.Lock()
        self._value: T | None = None
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
        raw: Any = super().result(timeout)
        with self._finishing:
            if self._finish is not None:
                finish, self._finish, self._held = self._finish, None, None
                self._bring(finish, raw)
            if self._error is not None:
                raise self._error
            return self._value if self._value is not None else raw

    def _bring(self, finish: Callable[[Any], T], raw: object) -> None:
        try:
            self._value = finish(raw)
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

    # ---- for those who make futures
    def before(self, step: Callable[[Any], Any]) -> None:
        """Has what comes pass a step before `finish`, for transports that give messages."""
        finish = self._finish

        def both(raw: Any) -> Any:
            given = step(raw)
            return given if finish is None else finish(given)

        self._finish = both

    def stopped_by(self, stop: Callable[[int], object], number: int) -> None:
        """Has `stop(number)` called when a call that was sent is no longer wanted."""
        self._stop, self._number = stop, number

    def fail(self, error: BaseException) -> None:
        """Ends the future with an error."""
        if self._unwanted and isinstance(error, Cancelled):
            self._stopped = True
            self.set_exception(concurrent.futures.CancelledError(error.message))
            return
        if self._explain is not None and isinstance(error, ExprdError):
            self._explain(error)
        self.set_exception(error)
