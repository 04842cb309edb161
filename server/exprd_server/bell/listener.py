"""The doorbell of a server: its socket, tickets, and the threads of its connections.

Invariant: whoever connects runs as the server's own user, and shows a ticket that was given to a
caller of OpenDoorbell, who passed every check of that call; each ticket opens one connection.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from exprd_compiler.errors import CallError, LimitExceeded
from exprd_proto import doorbell
from exprd_server.bell.connection import PREPARED, BellConnection, BrokenFrame
from exprd_server.bell.counting import Counts
from exprd_server.bell.lending import Gone
from exprd_server.bell.turns import Watch
from exprd_server.leases import check_client_id
from exprd_server.requests import reply_bytes

if TYPE_CHECKING:
    from exprd_server.engine import LocalEngine
    from exprd_server.log import Logger
    from exprd_server.settings import Settings

_TICKET_BYTES: Final = 32
_TICKET_SECONDS: Final = 10.0
_TICKETS: Final = 1024  # given out and not shown yet
_SEND_SECONDS: Final = 30  # a client that reads no answers is given up
_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid, as SO_PEERCRED has them
_TIME: Final = struct.Struct("ll")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """Who may connect, until when."""

    client_id: str
    engine: LocalEngine
    settings: Settings
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a client is told that may connect."""

    ticket: bytes
    region_bytes: int
    calls: int = PREPARED


class Doorbell:
    """The doorbell beside a server's Unix socket. Thread safe.

    Args:
        connections: how many there may be at a time.
        share: how many of them one client may have.
        log: where events go.
    """

    def __init__(self, connections: int, share: int, log: Logger) -> None:
        self._limit = connections
        self._share = share
        self._log = log
        self._lock = threading.Lock()
        self._tickets: dict[bytes, Ticket] = {}
        self._open: dict[socket.socket, threading.Thread] = {}
        self._clients: dict[socket.socket, str] = {}  # of those whose ticket was taken
        self._serving: set[BellConnection] = set()
        self._ended = Counts()
        self._listener: socket.socket | None = None
        self._watch = Watch()
        self._path = ""

    def start(self, path: str) -> None:
        """Listens beside a socket that this server owns."""
        self._path = path + doorbell.SUFFIX
        Path(self._path).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            listener.bind(self._path)
            os.chmod(self._path, 0o600)  # noqa: PTH101 - a socket, not a file
            listener.listen(16)
        except OSError:
            listener.close()
            raise
        self._listener = listener
        threading.Thread(target=self._accept, name="exprd-doorbell", daemon=True).start()

    def offer(self, client_id: str, engine: LocalEngine, settings: Settings) -> Offer:
        """A ticket for one connection.

        Raises:
            CallError: this server has no doorbell.
            LimitExceeded: there are too many connections.
        """
        check_client_id(client_id)
        if self._listener is None:
            raise CallError(
                "this server has no doorbell", hint="it has one when it listens on a Unix socket"
            )
        ticket = Ticket(
            client_id=client_id,
            engine=engine,
            settings=settings,
            end=time.monotonic() + _TICKET_SECONDS,
        )
        secret = secrets.token_bytes(_TICKET_BYTES)
        with self._lock:
            self._drop_old()
            if len(self._open) >= self._limit or len(self._tickets) >= _TICKETS:
                raise _too_many("doorbells", f"{self._limit} connections to the doorbell")
            if self._of(client_id) >= self._share:
                raise _too_many("client_doorbells", f"{self._share} of this client")
            self._tickets[secret] = ticket
        # a call whose answer was lost is made again in one message
        largest = min(settings.limits.region_bytes, reply_bytes(settings.limits))
        return Offer(ticket=secret, region_bytes=largest)

    def close(self, seconds: float = 5.0) -> None:
        """Takes no more calls; those that run are answered, if they end within some seconds."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # which ends a blocked accept
        listener.close()
        Path(self._path).unlink(missing_ok=True)
        with self._lock:
            threads = tuple(self._open.items())
            for end, _ in threads:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RD)
        last = time.monotonic() + seconds
        for _, thread in threads:
            thread.join(max(0.0, last - time.monotonic()))
        self._watch.close()

    def counts(self) -> Counts:
        """What all connections have done so far."""
        whole = Counts()
        with self._lock:
            for counts in (self._ended, *[c.counts for c in self._serving]):
                whole.add(counts)
        return whole

    def __len__(self) -> int:
        return len(self._open)

    def _of(self, client_id: str) -> int:
        """The connections of a client, those to come included."""
        coming = sum(ticket.client_id == client_id for ticket in self._tickets.values())
        return coming + sum(one == client_id for one in self._clients.values())

    def _drop_old(self) -> None:
        now = time.monotonic()
        for secret in [s for s, ticket in self._tickets.items() if ticket.end < now]:
            del self._tickets[secret]

    def _accept(self) -> None:
        listener = self._listener
        while listener is not None:
            try:
                end, _ = listener.accept()
            except OSError:  # closed, or out of descriptors
                if self._listener is None:
                    return
                time.sleep(_PAUSE)
                continue
            self._admit(end)

    def _admit(self, end: socket.socket) -> None:
        """Begins to serve a connection, if it comes from this user and there is room."""
        refusal = self._begin(end)
        if refusal:
            self._log.info("refused", method="doorbell", reason=refusal)
            end.close()

    def _begin(self, end: socket.socket) -> str:
        """Has a thread serve a connection; "", or else why there is none."""
        thread = threading.Thread(target=self._serve, args=(end,), name="exprd-bell", daemon=True)
        with self._lock:
            room = len(self._open) < self._limit and self._listener is not None
            if not room or _peer_uid(end) != os.geteuid():
                return "another user, or no room"
            self._open[end] = thread
            try:
                thread.start()
            except RuntimeError as error:  # the system gives no more threads at this moment
                del self._open[end]
                return f"no thread: {error}"
        return ""

    def _serve(self, end: socket.socket) -> None:
        try:
            connection = self._greeted(end)
            if connection is not None:
                self._attend(connection)
        except BrokenFrame as error:
            self._log.info("refused", method="doorbell", reason=str(error))
        except (OSError, Gone):  # the client has gone
            pass
        finally:
            with self._lock:
                self._open.pop(end, None)
                self._clients.pop(end, None)
            end.close()

    def _attend(self, connection: BellConnection) -> None:
        with self._lock:
            self._serving.add(connection)
        try:
            connection.serve()
        finally:
            with self._lock:
                self._serving.discard(connection)
                self._ended.add(connection.counts)

    def _greeted(self, end: socket.socket) -> BellConnection | None:
        """The connection of a client that has shown a ticket."""
        end.settimeout(_TICKET_SECONDS)
        frame = end.recv(doorbell.ASK.size + _TICKET_BYTES + 1)
        secret = frame[doorbell.ASK.size :]
        kind = doorbell.ASK.unpack(frame[: doorbell.ASK.size])[0] if len(secret) else 0
        with self._lock:
            self._drop_old()
            ticket = self._tickets.pop(secret, None) if kind == doorbell.HELLO else None
            if ticket is not None:
                self._clients[end] = ticket.client_id  # at once, so that no moment misses it
        if ticket is None:
            self._log.info("refused", method="doorbell", reason="no ticket")
            return None
        end.settimeout(None)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIME.pack(_SEND_SECONDS, 0))
        end.send(doorbell.ANSWER.pack(doorbell.DONE, 0, 0, 0))
        return BellConnection(
            end, ticket.client_id, ticket.engine, ticket.settings, self._watch, self._log
        )


_PAUSE: Final = 0.05


def _too_many(limit: str, what: str) -> LimitExceeded:
    return LimitExceeded(
        f"{what} are open already", hint="make the calls over gRPC", fields={"limit": limit}
    )


def _peer_uid(end: socket.socket) -> int:
    """The user at the other end of a Unix socket."""
    data = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(data)[1]
    return uid
