"""Running calls by their names, so that they can be cancelled from outside.

Invariant: to cancel is to ask. A call that has passed its commit point is not undone; one that has
not begun yet is stopped when it begins, since messages overtake each other.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Protocol

from exprd_server.lane import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from exprd_server.deadline import Deadline
    from exprd_server.values import CallId

_EXPECTED: Final = 4096  # calls of all clients that were cancelled and have not begun


class Turn(Protocol):
    """Whatever makes one call after another."""

    def cancel_if(self, meant: Callable[[str, int], bool], /) -> bool:
        """Cancels the call that runs there if it is meant; whether it was."""
        ...


class RunningCalls:
    """The deadlines of the calls that run at the moment. Thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._deadlines: dict[object, tuple[str, int, Deadline]] = {}
        self._turns: set[Turn] = set()
        self._early: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._nothing = Running(self, "", 0, None)

    def running(self, client_id: str, call_id: CallId | None, deadline: Deadline | None) -> Running:
        """The time during which a call runs, as a context; without a deadline none cancels it.

        A lane, which has joined, is asked by itself and needs no entry for each of its calls.
        """
        seq = 0 if call_id is None else call_id.seq
        if type(deadline) is not Lane:
            return Running(self, client_id, seq, deadline)
        if self._early:  # looked at after the lane has taken the number: see `cancel`
            self._meet(client_id, seq, deadline)
        return self._nothing

    def begin(self, key: object, client_id: str, seq: int, deadline: Deadline) -> None:
        """Notes that a call runs."""
        with self._lock:
            self._deadlines[key] = (client_id, seq, deadline)
        if self._early:
            self._meet(client_id, seq, deadline)

    def end(self, key: object) -> None:
        """Notes that it has ended."""
        with self._lock:
            del self._deadlines[key]

    def _meet(self, client_id: str, seq: int, deadline: Deadline) -> None:
        """Stops a call that was cancelled before it began."""
        with self._lock:
            unwanted = self._early.pop((client_id, seq), deadline) is None
        if unwanted:
            deadline.cancel()

    def join(self, turn: Turn) -> None:
        """Asks a turn as well when calls are to be cancelled."""
        with self._lock:
            self._turns.add(turn)

    def part(self, turn: Turn) -> None:
        """Asks it no more."""
        with self._lock:
            self._turns.discard(turn)

    def cancel(self, client_id: str, seqs: Iterable[int]) -> int:
        """Cancels calls of a client by their numbers; how many of them were running."""
        wanted = set(seqs)
        with self._lock:
            here = {seq for owner, seq, _ in self._deadlines.values() if owner == client_id}
            for seq in sorted(wanted - here):
                self._early[client_id, seq] = None
            while len(self._early) > _EXPECTED:
                self._early.popitem(last=False)
        return self._cancel(lambda owner, seq: owner == client_id and seq in wanted)

    def cancel_client(self, client_id: str) -> int:
        """Cancels whatever a client runs."""
        with self._lock:
            for key in [key for key in self._early if key[0] == client_id]:
                del self._early[key]
        return self._cancel(lambda owner, _: owner == client_id)

    def cancel_all(self) -> int:
        """Cancels whatever runs."""
        return self._cancel(lambda _owner, _seq: True)

    def _cancel(self, meant: Callable[[str, int], bool]) -> int:
        with self._lock:
            found = [d for owner, seq, d in self._deadlines.values() if meant(owner, seq)]
            turns = tuple(self._turns)
        for deadline in found:
            deadline.cancel()
        return len(found) + sum(turn.cancel_if(meant) for turn in turns)


class Running:
    """The time of one call, as a context: written out, since every call makes one."""

    __slots__ = ("_calls", "_client_id", "_deadline", "_seq")

    def __init__(
        self, calls: RunningCalls, client_id: str, seq: int, deadline: Deadline | None
    ) -> None:
        self._calls = calls
        self._client_id = client_id
        self._seq = seq
        self._deadline = deadline

    def __enter__(self) -> None:
        if self._deadline is not None:
            self._calls.begin(self, self._client_id, self._seq, self._deadline)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._deadline is not None:
            self._calls.end(self)
