"""Leases: who holds what, and when it is collected.

Invariant: memory is charged to a lease before it is taken and refunded once it is
free. This table only keeps the accounts; the engine frees what a lapsed client held. What is still
arriving, or lent to a connection, cannot be freed from here: it stays on its client's account even
when the lease has ended.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from exprd_compiler.errors import CallError, LimitExceeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from exprd_server.settings import Limits

_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
_ID_LENGTH = 64
_STEP: Final = 8 << 20  # what arrives is charged so many bytes at a time


@dataclass(slots=True)
class _Lease:
    seen: float
    nbytes: int = 0
    arriving: int = 0  # of these


class LeaseTable:
    """The leases of all clients."""

    def __init__(
        self, seconds: float, limits: Limits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._leases: dict[str, _Lease] = {}

    def touch(self, client_id: str) -> None:
        """Opens or renews a lease; the anonymous client "" has none."""
        if client_id:
            with self._lock:
                self._lease(client_id).seen = self._clock()

    def restore(self, client_id: str, nbytes: int = 0) -> None:
        """Opens the lease of a client of an earlier process, as if it had just been heard of.

        It has the whole time of a lease to come back; what it held is not refused now.
        """
        if client_id:
            with self._lock:
                lease = self._leases.setdefault(client_id, _Lease(self._clock()))
                lease.nbytes += nbytes

    def charge(self, client_id: str, nbytes: int) -> None:
        """Charges memory to a client, or refuses it."""
        with self._lock:
            self._charge(self._lease(client_id), nbytes)

    def charge_arriving(self, client_id: str, nbytes: int) -> None:
        """Charges a difference in what is arriving or lent; one of 0 or below is never refused."""
        with self._lock:
            lease = self._lease(client_id)
            self._charge(lease, nbytes)
            lease.arriving += nbytes

    def arrived(self, client_id: str, nbytes: int) -> None:
        """Makes a charge for what was arriving an ordinary one."""
        with self._lock:
            self._lease(client_id).arriving -= nbytes

    def adjust(self, client_id: str, nbytes: int) -> None:
        """Charges a difference; one of 0 or below is never refused."""
        if nbytes > 0:
            self.charge(client_id, nbytes)
        else:
            self.refund(client_id, -nbytes)

    def refund(self, client_id: str, nbytes: int) -> None:
        """Takes a charge back."""
        with self._lock:
            lease = self._leases.get(client_id)
            if lease is not None:
                lease.nbytes -= nbytes

    def held_bytes(self, client_id: str) -> int:
        """The memory charged to a client."""
        with self._lock:
            lease = self._leases.get(client_id)
            return 0 if lease is None else lease.nbytes

    def left(self, client_id: str) -> float:
        """Seconds until the lease of a client lapses, unless it is heard of; at least 0."""
        with self._lock:
            lease = self._leases.get(client_id)
            return 0.0 if lease is None else max(0.0, lease.seen + self._seconds - self._clock())

    def lapsed(self) -> tuple[str, ...]:
        """Clients that have been silent for too long."""
        with self._lock:
            oldest = self._clock() - self._seconds
            return tuple(name for name, lease in self._leases.items() if lease.seen < oldest)

    def end(self, client_id: str) -> None:
        """Forgets a client, but for what is still arriving or lent."""
        with self._lock:
            lease = self._leases.pop(client_id, None)
            if lease is not None and (left := lease.arriving):
                self._leases[client_id] = _Lease(self._clock(), left, left)

    def _charge(self, lease: _Lease, nbytes: int) -> None:
        if nbytes > 0 and lease.nbytes + nbytes > self._limits.client_bytes:
            raise LimitExceeded(
                f"{nbytes} bytes more than the {lease.nbytes} that this client holds are above"
                f" its limit of {self._limits.client_bytes}",
                hint="release buffers or delete variables",
                fields={"limit": "client_bytes", "value": str(self._limits.client_bytes)},
            )
        lease.nbytes += nbytes

    def _lease(self, client_id: str) -> _Lease:
        lease = self._leases.get(client_id)
        if lease is None:
            check_client_id(client_id)
            if len(self._leases) >= self._limits.clients:
                raise LimitExceeded(
                    f"{self._limits.clients} clients hold leases already",
                    hint="end leases that are no longer needed",
                    fields={"limit": "clients"},
                )
            lease = self._leases[client_id] = _Lease(self._clock())
        return lease


class Account:
    """What is charged for one array that arrives: in steps, each before its bytes are taken.

    Used by one thread at a time.

    Args:
        leases: where it is charged.
        client_id: to whom.
        most: bytes of the array; never more than these are charged.

    Attributes:
        client_id: who is charged.
        nbytes: charged now.
    """

    __slots__ = ("_leases", "_most", "client_id", "nbytes")

    def __init__(self, leases: LeaseTable, client_id: str, most: int) -> None:
        self._leases = leases
        self._most = most
        self.client_id = client_id
        self.nbytes = 0

    def cover(self, nbytes: int) -> None:
        """Charges for the steps that so many bytes of the array need, unless that was done.

        Raises:
            LimitExceeded: they are above the limit of the client; what was charged stays.
        """
        if self.nbytes < nbytes and self.nbytes < self._most:
            self.settle(min(self._most, -(-nbytes // _STEP) * _STEP))

    def settle(self, nbytes: int) -> None:
        """Makes the charge exactly this; a smaller one is never refused."""
        self._leases.charge_arriving(self.client_id, nbytes - self.nbytes)
        self.nbytes = nbytes

    def hand_over(self, nbytes: int) -> None:
        """Leaves a charge of so many bytes to whoever keeps the array from here on."""
        self.settle(nbytes)
        self._leases.arrived(self.client_id, nbytes)
        self.nbytes = 0

    def free(self) -> None:
        """Takes the charge back; nothing after it was handed over."""
        if self.nbytes:
            self.settle(0)


@lru_cache(maxsize=4096)  # every call asks it of the same few
def check_client_id(client_id: str) -> None:
    """Returns if the id is one: 1 to 64 characters that are safe in a log line."""
    if not 0 < len(client_id) <= _ID_LENGTH or not _ID_CHARACTERS.issuperset(client_id):
        raise CallError(
            "client_id must be 1 to 64 letters, digits, '-', '_' or '.'",
            hint="draw a random uuid once per client process",
        )
