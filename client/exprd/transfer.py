"""Transfer: arrays in chunks, which go on where a broken connection left them.

Every chunk has its offset and its checksum. What one attempt has brought over, the next need not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import grpc

import exprd_proto as wire
from exprd.statuses import error_of
from exprd.transport import Array
from exprd_compiler.errors import Conflict
from exprd_proto import framing
from exprd_proto.ahead import ahead
from exprd_proto.arrays import CHUNK_BYTES, Assembler, Chunk, header_of
from exprd_proto.growing import keep_freed_memory

__all__ = ["Way", "downloading", "uploading"]

_GET = "/exprd.v1.DataService/Get"
_CHUNKS = 2  # field of a message of either
_PUT = "/exprd.v1.DataService/Put"


class Way(Protocol):
    """The connection over which arrays go."""

    @property
    def channel(self) -> grpc.Channel:
        """The channel to the server."""
        ...

    @property
    def client_id(self) -> str:
        """Whose arrays they are."""
        ...

    @property
    def data(self) -> wire.DataServiceStub:
        """The stub of the service that keeps arrays."""
        ...


def uploading(way: Way, handle: str, value: Array) -> Callable[[float], wire.BufferInfo]:
    """Attempts to put an array under a handle; each goes on where the one before it ended."""
    keep_freed_memory()
    return _Uploading(way, handle, value)


class _Uploading:
    """An upload; called with the seconds that the next attempt may take."""

    def __init__(self, way: Way, handle: str, value: Array) -> None:
        self._way, self._handle, self._value = way, handle, value
        self._again = False
        # its messages are bytes already
        self._put: Callable[..., wire.DataServicePutResponse] = way.channel.stream_unary(
            _PUT, None, response_deserializer=wire.DataServicePutResponse.FromString
        )

    def __call__(self, timeout: float) -> wire.BufferInfo:
        offset = 0
        if self._again:
            way = self._way
            asked = wire.PutStatusRequest(client_id=way.client_id, handle=self._handle)
            status = way.data.PutStatus(asked, timeout=timeout)
            if status.HasField("buffer"):
                return status.buffer
            offset = status.received
        self._again = True
        for anew in (False, True):
            try:
                return self._sent(offset, timeout)
            except grpc.RpcError as failure:
                if not offset or failure.code() is not grpc.StatusCode.ABORTED:
                    raise
                # What was there has made room for others, or more of it has arrived meanwhile.
                offset = 0 if anew else _received(failure)
        return self._sent(offset, timeout)

    def _sent(self, offset: int, timeout: float) -> wire.BufferInfo:
        messages = _messages(self._way.client_id, self._handle, self._value, offset)
        return self._put(messages, timeout=timeout).buffer


def _received(failure: grpc.RpcError) -> int:
    """Where a refused upload could go on."""
    return int(error_of(failure, "").fields.get("received", 0))


def downloading(way: Way, handle: str) -> Callable[[float], Array]:
    """Attempts to get the array of a handle; each goes on where the one before it ended."""
    keep_freed_memory()
    assembler: Assembler | None = None
    get: Callable[..., Any] = way.channel.unary_stream(
        _GET,
        request_serializer=wire.DataServiceGetRequest.SerializeToString,
        response_deserializer=framing.chunk_or(_CHUNKS, wire.DataServiceGetResponse.FromString),
    )

    def attempt(timeout: float) -> Array:
        nonlocal assembler
        request = wire.DataServiceGetRequest(
            client_id=way.client_id,
            handle=handle,
            offset=0 if assembler is None else assembler.received,
        )
        parts = get(request, timeout=timeout)
        header = next(parts).header
        if assembler is None:
            assembler = Assembler(header)
        elif header != assembler.header:
            raise Conflict(f"buffer {handle} has become another array while it was read")
        try:
            for part in ahead(parts, assembler.nbytes):
                assembler.add(part if isinstance(part, Chunk) else part.chunk)
        finally:
            parts.cancel()  # says nothing when it has ended
        value = assembler.finish()
        value.flags.writeable = True  # its memory is ours, and the caller's own from here on
        return value

    return attempt


def _messages(client_id: str, handle: str, value: Array, offset: int) -> Iterator[bytes]:
    header = wire.PutHeader(
        client_id=client_id, array=header_of(value), handle=handle, offset=offset
    )
    yield framing.field(1, header.SerializeToString())
    yield from framing.chunks(2, value, CHUNK_BYTES, offset)
