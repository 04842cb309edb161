"""Buffers: arrays that stay on the server under a handle.

Invariant: a buffer never changes after it was put, and its bytes are charged to the
lease of the client that put it until it is released.
"""

from __future__ import annotations

import re
import secrets
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from exprd_compiler.errors import CallError, Conflict, LimitExceeded, UnknownHandle
from exprd_server.values import BufferInfo

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from exprd_server.leases import Account, LeaseTable
    from exprd_server.settings import Limits


# 128 random bits: a handle cannot be guessed by another client.
_HANDLE: Final = re.compile(r"buf-[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Buffer:
    info: BufferInfo
    value: NDArray[Any]
    owner: str


class BufferTable:
    """All buffers of a server."""

    def __init__(self, leases: LeaseTable, limits: Limits) -> None:
        self._leases = leases
        self._limits = limits
        self._lock = threading.Lock()
        self._buffers: dict[str, _Buffer] = {}

    def __len__(self) -> int:
        return len(self._buffers)

    def put(
        self,
        client_id: str,
        value: NDArray[Any],
        handle: str = "",
        account: Account | None = None,
    ) -> BufferInfo:
        """Keeps an array; the caller gives it up.

        Args:
            client_id: whose it is.
            value: the array.
            handle: drawn by the caller, so that a repeated upload has it again; "" draws one.
            account: of the client, where the array was charged as it arrived; handed over.

        Raises:
            Conflict: the handle belongs to another array.
            LimitExceeded: too many buffers, or too much memory.
        """
        if handle and not _HANDLE.fullmatch(handle):
            raise CallError("the handle of a buffer is buf- and 32 hexadecimal digits")
        if value.nbytes > self._limits.tensor_bytes:
            raise LimitExceeded(
                f"an array of {value.nbytes} bytes is above the limit of"
                f" {self._limits.tensor_bytes}",
                fields={"limit": "tensor_bytes"},
            )
        if account is None:
            self._leases.charge(client_id, value.nbytes)
        else:
            account.hand_over(value.nbytes)
        view = value.view()
        view.flags.writeable = False
        info = BufferInfo(
            handle=handle or f"buf-{secrets.token_hex(16)}",
            dtype=value.dtype.name,
            shape=value.shape,
            nbytes=value.nbytes,
        )
        present = self._add(_Buffer(info=info, value=view, owner=client_id))
        if present is not None:
            self._leases.refund(client_id, value.nbytes)
            if present.owner != client_id or present.info != info:
                raise Conflict(f"buffer {handle} exists already", hint="draw another handle")
        return info

    def _add(self, buffer: _Buffer) -> _Buffer | None:
        """Adds a buffer, or gives the one that has its handle."""
        with self._lock:
            present = self._buffers.get(buffer.info.handle)
            if present is not None:
                return present
            if len(self._buffers) < self._limits.buffers:
                self._buffers[buffer.info.handle] = buffer
                return None
        self._leases.refund(buffer.owner, buffer.info.nbytes)
        raise LimitExceeded(
            f"the server keeps {self._limits.buffers} buffers already",
            hint="release some",
            fields={"limit": "buffers"},
        )

    def info_of(self, client_id: str, handle: str) -> BufferInfo | None:
        """What is known of a client's buffer; None when it has none of this handle."""
        buffer = self._buffers.get(handle)
        return buffer.info if buffer is not None and buffer.owner == client_id else None

    def get(self, handle: str) -> NDArray[Any]:
        """The array of a handle, read-only."""
        buffer = self._buffers.get(handle)
        if buffer is None:
            raise UnknownHandle(
                f"no buffer {handle[:64]!r}; it was released, its lease has lapsed,"
                " or the server was restarted",
                hint="put the array again",
            )
        return buffer.value

    def release(self, handles: Iterable[str]) -> int:
        """Frees buffers; the count of those that existed."""
        with self._lock:
            gone = [b for h in handles if (b := self._buffers.pop(h, None)) is not None]
        for buffer in gone:
            self._leases.refund(buffer.owner, buffer.info.nbytes)
        return len(gone)

    def release_client(self, client_id: str) -> int:
        """Frees all buffers of a client."""
        with self._lock:
            mine = [h for h, buffer in self._buffers.items() if buffer.owner == client_id]
        return self.release(mine)
