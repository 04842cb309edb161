"""Replay: the memory that turns retries into repeats of the answer.

Invariant: a call id is executed at most once. A retry waits for a running attempt,
gets the recorded answer of a finished one, and is refused when the answer is no longer
known. A failed attempt leaves no trace, because it changed nothing.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from exprd_compiler.errors import CallError, ResultExpired
from exprd_server.leases import check_client_id
from exprd_server.store import CallRecord
from exprd_server.values import BufferInfo, ExecuteReply

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from exprd_server.deadline import Deadline
    from exprd_server.settings import Limits
    from exprd_server.store import Store
    from exprd_server.values import CallId, Reply


_LAST: Final = (1 << 63) - 1  # what a store can keep


@dataclass(slots=True)
class _Client:
    """What is known of one client's calls.

    Nothing up to `floor` is run any more; its records up to `forgotten` are gone.
    """

    floor: int = 0
    forgotten: int = 0
    nbytes: int = 0
    done: dict[int, CallRecord] = field(default_factory=dict[int, CallRecord])
    running: dict[int, bytes] = field(default_factory=dict[int, bytes])


class Attempt:
    """The right to run one call, or the answer of an earlier run; a context.

    Whoever runs it commits with `record_of`, then says `committed`; without that the
    attempt counts as failed and may be made again.
    """

    __slots__ = ("_limits", "_settle", "call_id", "client", "digest", "record", "replay")

    def __init__(
        self,
        client: _Client,
        call_id: CallId,
        digest: bytes,
        replay: Reply | None,
        limits: Limits,
        settle: Callable[[Attempt], None],
    ) -> None:
        self.client = client
        self.call_id = call_id
        self.digest = digest
        self.replay = replay
        self.record: CallRecord | None = None
        self._limits = limits
        self._settle = settle

    def __enter__(self) -> Attempt:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.settle()

    def settle(self) -> None:
        """Ends the attempt; its record, if it has one, answers whoever asks again."""
        if self.replay is None or _is_unfinished(self.replay):
            self._settle(self)

    def record_of(self, reply: Reply, nbytes: int) -> CallRecord:
        """The record that goes into the commit of this attempt; `nbytes` is the answer's size."""
        client_id, seq, _ = self.call_id
        if nbytes > self._limits.replay_bytes:
            return CallRecord(client_id, seq, self.digest, None)
        return CallRecord(client_id, seq, self.digest, reply, nbytes)

    def committed(self, record: CallRecord) -> None:
        """Notes that the commit with this record has succeeded."""
        self.record = record


class ReplayWindow:
    """The calls of all clients that may still be retried."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting = 0  # nobody is woken when nobody waits
        self._clients: dict[str, _Client] = {}
        for record in store.records():
            client = self._client(record.client_id)
            client.done[record.seq] = kept = _of_earlier_process(record)
            client.nbytes += kept.nbytes
        for client_id, floor in store.floors().items():
            client = self._client(client_id)
            client.floor = client.forgotten = floor
        for client_id, client in self._clients.items():
            self._trim(client_id, client)

    def attempt(self, call_id: CallId, digest: bytes, deadline: Deadline | None) -> Attempt:
        """Admits a call, whose attempt is to be entered; waits while the same runs elsewhere.

        Raises:
            CallError: the id is malformed, or was used for another call.
            ResultExpired: the call was answered, but the answer is gone.
            DeadlineExceeded: the earlier attempt did not finish in time.
        """
        _check_call_id(call_id)
        client, replay = self._admit(call_id, digest, deadline)
        return Attempt(client, call_id, digest, replay, self._limits, self._settle)

    def forget_client(self, client_id: str) -> None:
        """Drops all that is known of a client."""
        with self._lock:
            known = self._clients.pop(client_id, None) is not None
        if known:
            self._store.drop_client(client_id)

    def clients(self) -> frozenset[str]:
        """The ids of all clients with calls that may be retried."""
        with self._lock:
            return frozenset(self._clients)

    def _admit(
        self, call_id: CallId, digest: bytes, deadline: Deadline | None
    ) -> tuple[_Client, Reply | None]:
        with self._lock:
            client = self._client(call_id.client_id)
            # The records of what is acknowledged go when this call is settled: that can wait.
            client.floor = max(client.floor, call_id.acked_through)
            if call_id.seq in client.running:
                self._await(call_id, client, deadline)
            record = client.done.get(call_id.seq)
            if record is None:
                if call_id.seq <= client.floor:
                    raise _expired(call_id, "was acknowledged or is too old")
                client.running[call_id.seq] = digest
                return client, None
            if record.digest != digest:
                raise CallError(
                    f"call {call_id.seq} of this client was another call",
                    hint="use every sequence number once",
                )
            if record.reply is None:
                limit = self._limits.replay_bytes
                raise _expired(
                    call_id, f"was larger than {limit} bytes or lay in buffers that are gone"
                )
            if _is_unfinished(record.reply):
                client.running[call_id.seq] = digest
            return client, record.reply

    def _await(self, call_id: CallId, client: _Client, deadline: Deadline | None) -> None:
        timeout = None if deadline is None else deadline.remaining()
        self._waiting += 1
        try:
            done = self._changed.wait_for(lambda: call_id.seq not in client.running, timeout)
        finally:
            self._waiting -= 1
        if not done:
            assert deadline is not None  # without a timeout the wait cannot fail
            raise deadline.lapsed("the first attempt of this call finished")

    def _settle(self, attempt: Attempt) -> None:
        record, client, call_id = attempt.record, attempt.client, attempt.call_id
        with self._lock:
            client.running.pop(call_id.seq, None)
            now = self._clients.get(call_id.client_id)
            if call_id.acked_through > client.forgotten and now is client:
                self._forget(call_id.client_id, client, call_id.acked_through)
            if record is not None:
                client.done[record.seq] = record
                client.nbytes += record.nbytes
                if now is client:
                    self._trim(call_id.client_id, client)
                elif now is None:  # it was forgotten meanwhile, and nobody would do it again
                    self._store.drop_client(call_id.client_id)
            if self._waiting:
                self._changed.notify_all()

    def _trim(self, client_id: str, client: _Client) -> None:
        while self._is_full(client):
            self._forget(client_id, client, min(client.done))

    def _forget(self, client_id: str, client: _Client, through: int) -> None:
        client.floor = max(client.floor, through)
        client.forgotten = max(client.forgotten, through)
        for seq in [seq for seq in client.done if seq <= through]:
            client.nbytes -= client.done.pop(seq).nbytes
        self._store.forget(client_id, through)

    def _is_full(self, client: _Client) -> bool:
        return (
            len(client.done) > self._limits.replay_calls
            or client.nbytes > self._limits.replay_client_bytes
        )

    def _client(self, client_id: str) -> _Client:
        client = self._clients.get(client_id)
        if client is None:
            client = self._clients[client_id] = _Client()
        return client


def _of_earlier_process(record: CallRecord) -> CallRecord:
    """The record without an answer that lay in buffers: those ended with their process."""
    reply = record.reply
    lost = isinstance(reply, ExecuteReply) and any(
        isinstance(value, BufferInfo) for value in reply.outputs
    )
    return record._replace(reply=None, nbytes=0) if lost else record


def _is_unfinished(reply: Reply) -> bool:
    """Whether a call has begun, in steps that stay done, and is to go on."""
    return isinstance(reply, ExecuteReply) and reply.unfinished


def _check_call_id(call_id: CallId) -> None:
    check_client_id(call_id.client_id)
    if not 1 <= call_id.seq <= _LAST or call_id.acked_through >= call_id.seq:
        raise CallError(
            f"call_id with seq {call_id.seq} and acked_through {call_id.acked_through}",
            hint="seq counts from 1 to 2^63 - 1, and a call cannot have been answered before it was"
            " made",
        )


def _expired(call_id: CallId, why: str) -> ResultExpired:
    return ResultExpired(
        f"call {call_id.seq} has run, but its answer {why}; it is not run again",
        hint="read the state to see its effect",
        fields={"seq": str(call_id.seq)},
    )
