"""Ahead: work that is done in the background before anybody needs it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar

from exprd.futures import Future

__all__ = ["Ahead"]

T = TypeVar("T")


class Ahead:
    """One piece of work in the background, and those who are told of its end. Thread safe.

    Without work, its end has come.
    """

    # Whoever is told is let go then, so that nothing outlives its last reference for a while.

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Callable[[], None]] | None = None
        self._failure: Exception | None = None

    def begin(self, work: Callable[[], object]) -> None:
        """Starts the work in a thread, with the flags of the caller's block."""
        self._waiting = []
        run = copy_context().run
        thread = threading.Thread(
            target=run, args=(self._work, work), name="exprd-ahead", daemon=True
        )
        thread.start()

    def then(self, result: T) -> Future[T]:
        """A future that has a result when the work is done, or its error."""
        future: Future[T] = Future()

        def tell() -> None:
            if not future.set_running_or_notify_cancel():
                return
            if self._failure is None:
                future.set_result(result)
            else:
                future.fail(self._failure)

        with self._lock:
            if self._waiting is not None:
                self._waiting.append(tell)
                return future
        tell()
        return future

    def _work(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # raised by those who asked for the result
            self._failure = error
        with self._lock:
            waiting, self._waiting = self._waiting, None
        for tell in waiting or ():
            tell()
