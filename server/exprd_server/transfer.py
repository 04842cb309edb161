"""Uploads: arrays that arrive in chunks, and go on where a broken connection left them.

Invariant: what an upload has left here is charged to its client, passed its checksums, and belongs
to the one who sent it; it goes with the client's lease, or when nobody has come back for it. Of two
uploads under one handle the newer one is meant: the older, whose connection may have broken without
anybody here having noticed, is ended first.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from exprd_compiler.errors import CallError, Cancelled, Conflict, LimitExceeded
from exprd_server.leases import check_client_id

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from numpy.typing import NDArray

    import exprd_proto as wire
    from exprd_proto.arrays import Assembler, Chunk
    from exprd_server.leases import LeaseTable
    from exprd_server.settings import Limits

_KEPT_SECONDS: Final = 120.0
_KEPT: Final = 64  # parts of all clients together; the oldest makes room
_ENDING_SECONDS: Final = 10.0  # for an older upload to end; it is told to


@dataclass(slots=True, eq=False)
class _Part:
    """What has arrived of an upload that was broken off."""

    client_id: str
    assembler: Assembler
    since: float


@dataclass(slots=True, eq=False)
class _Arriving:
    """An upload whose stream is open, as far as is known here."""

    assembler: Assembler
    stop: Callable[[], object]
    ended: threading.Event


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
        self._arriving: dict[tuple[str, str], _Arriving] = {}

    def receive(
        self,
        messages: Iterator[wire.DataServicePutRequest | Chunk],
        stop: Callable[[], object] = lambda: None,
    ) -> tuple[str, NDArray[Any], str]:
        """The client, the array and the chosen handle of a Put stream.

        Args:
            messages: of the stream; `Cancelled` says that it broke.
            stop: breaks the stream off.

        Raises:
            CallError: the messages are no upload.
            Conflict: it goes on elsewhere than where it was broken off.
        """
        # loads gRPC, which embedded use does without
        from exprd_proto.arrays import Chunk, WireError

        first = next(messages, None)
        if first is None or isinstance(first, Chunk) or first.WhichOneof("part") != "header":
            raise CallError("an upload begins with its header")
        header = first.header
        check_client_id(header.client_id)
        try:
            self._end_older(header)
            with self._opened(header, stop) as assembler:
                self._fill(header, assembler, messages)
            return header.client_id, assembler.finish(), header.handle
        except WireError as error:
            raise CallError(str(error)) from None

    def received(self, client_id: str, handle: str) -> int:
        """How many bytes of an upload are here that was broken off, or may be."""
        with self._lock:
            if (open_ := self._arriving.get((client_id, handle))) is not None:
                return open_.assembler.received
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

    def _end_older(self, header: wire.PutHeader) -> None:
        with self._lock:
            older = self._arriving.get((header.client_id, header.handle))
        if older is None:
            return
        older.stop()
        if not older.ended.wait(_ENDING_SECONDS):
            raise Conflict(
                "another upload under this handle does not end", hint="try again in a moment"
            )

    @contextmanager
    def _opened(self, header: wire.PutHeader, stop: Callable[[], object]) -> Generator[Assembler]:
        """The assembler of an upload, which others can find while it is filled."""
        assembler = self._assembler(header)
        key, this = (header.client_id, header.handle), _Arriving(assembler, stop, threading.Event())
        if not header.handle:  # nobody can go on with it
            yield assembler
            return
        with self._lock:
            self._arriving[key] = this
        try:
            yield assembler
        finally:
            with self._lock:
                if self._arriving.get(key) is this:
                    del self._arriving[key]
            this.ended.set()

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
        messages: Iterator[wire.DataServicePutRequest | Chunk],
    ) -> None:
        from exprd_proto.ahead import ahead
        from exprd_proto.arrays import Chunk

        try:
            for message in ahead(messages, assembler.nbytes):
                if isinstance(message, Chunk):
                    assembler.add(message)
                elif message.WhichOneof("part") == "chunk":
                    assembler.add(message.chunk)
                else:
                    raise CallError("after its header, an upload is chunks")
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
