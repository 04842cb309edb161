"""Uploads: arrays that arrive in chunks, and go on where a broken connection left them.

Invariant: the bytes of an upload are charged to its client before they are taken, until they are
gone or a buffer. What it has left here passed its checksums and belongs to the one who sent it; it
goes with the client's lease, or when nobody has come back for it. Of two uploads under one handle
the newer one is meant: the older, whose connection may have broken without anybody here having
noticed, is ended first.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from exprd_compiler.errors import CallError, Cancelled, Conflict, LimitExceeded
from exprd_server.leases import Account, check_client_id

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from numpy.typing import NDArray

    import exprd_proto as wire
    from exprd_proto.arrays import Assembler, Chunk
    from exprd_server.buffers import BufferTable
    from exprd_server.leases import LeaseTable
    from exprd_server.settings import Limits
    from exprd_server.values import BufferInfo

_KEPT_SECONDS: Final = 120.0
_KEPT: Final = 64  # parts of all clients together; the oldest makes room
_ENDING_SECONDS: Final = 10.0  # for an older upload to end; it is told to


@dataclass(slots=True, eq=False)
class _Upload:
    """What has arrived of an array, and what its client is charged for that."""

    assembler: Assembler
    account: Account


@dataclass(slots=True, eq=False)
class _Part:
    """An upload that was broken off."""

    client_id: str
    upload: _Upload
    since: float


@dataclass(slots=True, eq=False)
class _Arriving:
    """An upload whose stream is open, as far as is known here."""

    assembler: Assembler
    stop: Callable[[], object]
    ended: threading.Event


class UploadTable:
    """Uploads that arrive or were broken off, by the handles their senders chose. Thread safe."""

    def __init__(
        self,
        leases: LeaseTable,
        buffers: BufferTable,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leases = leases
        self._buffers = buffers
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._parts: dict[str, _Part] = {}
        self._arriving: dict[tuple[str, str], _Arriving] = {}

    def receive(
        self,
        messages: Iterator[wire.DataServicePutRequest | Chunk],
        stop: Callable[[], object] = lambda: None,
    ) -> BufferInfo:
        """Keeps the array of a Put stream.

        Args:
            messages: of the stream; `Cancelled` says that it broke.
            stop: breaks the stream off.

        Raises:
            CallError: the messages are no upload.
            Conflict: it goes on elsewhere than where it was broken off.
            LimitExceeded: there is no room for it, or none on the account of its client.
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
            with self._opened(header, stop) as upload:
                value = self._filled(header, upload, messages)
                return self.keep(upload.account, value, header.handle)
        except WireError as error:
            raise CallError(str(error)) from None

    def account(self, client_id: str, nbytes: int) -> Account:
        """The account of an array of so many bytes that is to arrive."""
        return Account(self._leases, client_id, nbytes)

    def keep(self, account: Account, value: NDArray[Any], handle: str) -> BufferInfo:
        """Makes a buffer of what has arrived; its charge is handed over, or given back."""
        try:
            self._leases.touch(account.client_id)
            return self._buffers.put(account.client_id, value, handle, account)
        finally:
            account.free()

    def received(self, client_id: str, handle: str) -> int:
        """How many bytes of an upload are here that was broken off, or may be."""
        with self._lock:
            if (open_ := self._arriving.get((client_id, handle))) is not None:
                return open_.assembler.received
            part = self._parts.get(handle)
            mine = part is not None and part.client_id == client_id
            return part.upload.assembler.received if part is not None and mine else 0

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
    def _opened(self, header: wire.PutHeader, stop: Callable[[], object]) -> Generator[_Upload]:
        """An upload, which others can find while it is filled."""
        upload = self._upload(header)
        if not header.handle:  # nobody can go on with it
            yield upload
            return
        key = (header.client_id, header.handle)
        this = _Arriving(upload.assembler, stop, threading.Event())
        with self._lock:
            self._arriving[key] = this
        try:
            yield upload
        finally:
            with self._lock:
                if self._arriving.get(key) is this:
                    del self._arriving[key]
            this.ended.set()

    def _upload(self, header: wire.PutHeader) -> _Upload:
        """A fresh upload, or the one that this goes on with."""
        fresh = self._fresh(header)
        with self._lock:
            part = self._parts.get(header.handle)
            mine = part is not None and part.client_id == header.client_id
            upload = part.upload if part is not None and mine else fresh
            received = upload.assembler.received
            if header.offset != 0 and header.offset != received:
                raise Conflict(
                    f"the upload goes on at {header.offset}, but {received} bytes are here",
                    hint="ask PutStatus, or begin at 0",
                    fields={"received": str(received)},
                )
            if header.offset and header.array != upload.assembler.header:
                raise CallError("the upload goes on as another array")
            if mine and header.offset:  # its charge goes on with it
                del self._parts[header.handle]
            elif mine:
                self._drop(header.handle)
        return upload if header.offset else fresh

    def _fresh(self, header: wire.PutHeader) -> _Upload:
        from exprd_proto.arrays import Assembler

        fresh = Assembler(header.array)
        if fresh.nbytes > self._limits.tensor_bytes:
            raise LimitExceeded(
                f"an array of {fresh.nbytes} bytes is above the limit of"
                f" {self._limits.tensor_bytes}",
                fields={"limit": "tensor_bytes"},
            )
        return _Upload(fresh, self.account(header.client_id, fresh.nbytes))

    def _filled(
        self,
        header: wire.PutHeader,
        upload: _Upload,
        messages: Iterator[wire.DataServicePutRequest | Chunk],
    ) -> NDArray[Any]:
        """The array, once all of it has arrived; what cannot be gone on with is given back."""
        assembler, account = upload.assembler, upload.account
        try:
            _take(messages, upload)
            if assembler.received == assembler.nbytes:
                return assembler.finish()
        except Cancelled:  # the connection broke, or the sender did
            self._break_off(header, upload)
            raise
        except BaseException:
            account.free()
            raise
        # gRPC may show a connection that broke as the end of a stream, when it hears of that first
        self._break_off(header, upload)
        raise CallError(
            f"the upload ended after {assembler.received} of {assembler.nbytes} bytes",
            hint="go on with it from there, under its handle, or begin at 0",
        )

    def _break_off(self, header: wire.PutHeader, upload: _Upload) -> None:
        """Keeps what has arrived for whoever goes on with it, or gives it back."""
        part = _Part(header.client_id, upload, self._clock())
        received = upload.assembler.received
        with self._lock:
            if not (header.handle and received) or header.handle in self._parts:
                upload.account.free()
                return
            while len(self._parts) >= _KEPT:
                self._drop(next(iter(self._parts)))
            upload.account.settle(received)
            self._parts[header.handle] = part

    def _drop(self, handle: str) -> None:
        self._parts.pop(handle).upload.account.free()


def _take(messages: Iterator[wire.DataServicePutRequest | Chunk], upload: _Upload) -> None:
    """Checks the chunks of an upload, charges for them and puts them in place."""
    from exprd_proto.ahead import ahead
    from exprd_proto.arrays import CHUNK_BYTES, Chunk
    from exprd_proto.checksums import take_long

    assembler, account = upload.assembler, upload.account
    # else a chunk is checked and put in place sooner than another thread has it
    for message in ahead(messages, assembler.nbytes) if take_long() else messages:
        account.cover(assembler.received + CHUNK_BYTES)
        if isinstance(message, Chunk):
            assembler.add(message)
        elif message.WhichOneof("part") == "chunk":
            assembler.add(message.chunk)
        else:
            raise CallError("after its header, an upload is chunks")
