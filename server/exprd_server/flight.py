"""Single flight: equal work that is wanted by many at a time is done once.

Invariant: a waiter never inherits the leader's own deadline or cancellation; it takes
the lead and tries again.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, TypeVar

from exprd_compiler.errors import Cancelled, DeadlineExceeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from exprd_server.deadline import Deadline

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """The work that is being done now, by key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flying: dict[str, Future[T]] = {}

    def get(self, key: str, work: Callable[[], T], deadline: Deadline | None) -> T:
        """The result of the work, done here or by whoever does it already."""
        while True:
            future, leads = self._join(key)
            if leads:
                return self._lead(key, future, work)
            try:
                return future.result(None if deadline is None else deadline.remaining())
            except (Cancelled, DeadlineExceeded):
                continue  # the leader's trouble, not ours
            except TimeoutError:
                assert deadline is not None  # without a timeout the wait cannot fail
                raise deadline.lapsed("an equal request finished") from None

    def _join(self, key: str) -> tuple[Future[T], bool]:
        with self._lock:
            future = self._flying.get(key)
            if future is not None:
                return future, False
            future = self._flying[key] = Future()
            return future, True

    def _lead(self, key: str, future: Future[T], work: Callable[[], T]) -> T:
        try:
            result = work()
        except BaseException as error:
            self._land(key)
            future.set_exception(error)
            raise
        self._land(key)
        future.set_result(result)
        return result

    def _land(self, key: str) -> None:
        with self._lock:
            del self._flying[key]
