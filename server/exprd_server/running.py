"""Running calls by their names, so that they can be cancelled from outside.

Invariant: to cancel is to ask. A call that has passed its commit point is not undone, and one that
is not running, or not yet, is left alone.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from exprd_server.deadline import Deadline
    from exprd_server.values import CallId


class RunningCalls:
    """The deadlines of the calls that run at the moment. Thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._deadlines: dict[object, tuple[str, int, Deadline]] = {}

    @contextmanager
    def running(
        self, client_id: str, call_id: CallId | None, deadline: Deadline | None
    ) -> Generator[None]:
        """The time during which a call runs; one without a deadline cannot be cancelled."""
        if deadline is None:
            yield
            return
        key = object()
        with self._lock:
            self._deadlines[key] = (client_id, 0 if call_id is None else call_id.seq, deadline)
        try:
            yield
        finally:
            with self._lock:
                del self._deadlines[key]

    def cancel(self, client_id: str, seqs: Iterable[int]) -> int:
        """Cancels calls of a client by their numbers; how many of them were running."""
        wanted = set(seqs)
        return self._cancel(lambda owner, seq: owner == client_id and seq in wanted)

    def cancel_client(self, client_id: str) -> int:
        """Cancels whatever a client runs."""
        return self._cancel(lambda owner, _: owner == client_id)

    def cancel_all(self) -> int:
        """Cancels whatever runs."""
        return self._cancel(lambda _owner, _seq: True)

    def _cancel(self, meant: Callable[[str, int], bool]) -> int:
        with self._lock:
            found = [d for owner, seq, d in self._deadlines.values() if meant(owner, seq)]
        for deadline in found:
            deadline.cancel()
        return len(found)
