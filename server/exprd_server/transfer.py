"""Uploads: arrays that arrive in chunks, and go on where a broken connection left them.

Invariant: what an upload has left here is charged to its client, passed its checksums, and belongs
to the one who sent it; it goes with the client's lease, or when nobody has come back for it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from exprd_compiler.errors import CallError, Cancelled, Conflict, LimitExceeded
from exprd_server.leases import check_client_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    import exprd_proto as wire
    from exprd_proto.arrays import Assembler
    from exprd_server.leases import LeaseTable
    from exprd_server.settings import Limits

_KEPT_SECONDS: Final = 120.0
_KEPT: Final = 64  # parts of all clients together; the oldest makes room


@dataclass(slots=True, eq=False)
class _Part:
    """What has arrived of an upload that was broken off."""

    client_id: str
    assembler: Assembler
    since: float


class UploadTable:
    """Uploads that were broken off, by the handles that their senders chose. Thread safe."""

    def __init__(
        self, leases: LeaseTable, limits: Limits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._leases = leases
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._parts: dict[str, _Part] = {}

    def receive(
        self, messages: Iterator[wire.DataServicePutRequest]
    ) -> tuple[str, NDArray[Any], str]:
        """The client, the array and the chosen handle of a Put stream.

        Raises:
            CallError: the messages are no upload.
            Conflict: it goes on elsewhere than where it was broken off.
        """
        from exprd_proto.arrays import WireError  # loads gRPC, which embedded use does without

        first = next(messages, None)
        if first is None or first.WhichOneof("part") != "header":
            raise CallError("an upload begins with its header")
        header = first.header
        check_client_id(header.client_id)
        try:
            assembler = self._assembler(header)
            self._fill(header, assembler, messages)
            return header.client_id, assembler.finish(), header.handle
        except WireError as error:
            raise CallError(str(error)) from None

    def received(self, client_id: str, handle: str) -> int:
        """How many bytes of a broken upload are here."""
        with self._lock:
            part = self._parts.get(handle)
            mine = part is not None and part.client_id == client_id
            return part.assembler.received if part is not None and mine else 0

    def sweep(self) -> None:
        """Drops what nobody has come back for."""
        oldest = self._clock() - _KEPT_SECONDS
        with self._lock:
            for handle in [h for h, part in self._parts.items() if part.since < oldest]:
                self._drop(handle)

    def release_client(self, client_id: str) -> None:
        """Drops the parts of a client."""
        with self._lock:
            for handle in [h for h, part in self._parts.items() if part.client_id == client_id]:
                self._drop(handle)

    def _assembler(self, header: wire.PutHeader) -> Assembler:
        from exprd_proto.arrays import Assembler

        fresh = Assembler(header.array)
        if fresh.nbytes > self._limits.tensor_bytes:
            raise LimitExceeded(
                f"an array of {fresh.nbytes} bytes is above the limit of"
                f" {self._limits.tensor_bytes}",
                fields={"limit": "tensor_bytes"},
            )
        with self._lock:
            part = self._parts.get(header.handle)
            mine = part is not None and part.client_id == header.client_id
            assembler = part.assembler if part is not None and mine else fresh
            if header.offset != 0 and header.offset != assembler.received:
                raise Conflict(
                    f"the upload goes on at {header.offset}, but {assembler.received} bytes are"
                    " here",
                    hint="ask PutStatus, or begin at 0",
                    fields={"received": str(assembler.received)},
                )
            if header.offset and header.array != assembler.header:
                raise CallError("the upload goes on as another array")
            if mine:
                self._drop(header.handle)
        return assembler if header.offset else fresh

    def _fill(
        self,
        header: wire.PutHeader,
        assembler: Assembler,
        messages: Iterator[wire.DataServicePutRequest],
    ) -> None:
        try:
            for message in messages:
                if message.WhichOneof("part") != "chunk":
                    raise CallError("after its header, an upload is chunks")
                assembler.add(message.chunk)
        except Cancelled:  # the connection broke, or the sender did
            if header.handle and assembler.received:
                self._keep(header, assembler)
            raise

    def _keep(self, header: wire.PutHeader, assembler: Assembler) -> None:
        part = _Part(header.client_id, assembler, self._clock())
        with self._lock:
            if header.handle in self._parts:
                return
            while len(self._parts) >= _KEPT:
                self._drop(next(iter(self._parts)))
            self._leases.charge(part.client_id, assembler.received)
            self._parts[header.handle] = part

    def _drop(self, handle: str) -> None:
        part = self._parts.pop(handle)
        self._leases.refund(part.client_id, part.assembler.received)
