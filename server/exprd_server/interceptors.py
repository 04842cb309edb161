"""Interceptors: malformed messages, errors, the log of requests.

Invariant: this is the one place where an exception becomes a status. A caller never
sees a traceback, a path or the text of an unknown exception.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

import exprd_proto as wire
from exprd_compiler.errors import Cancelled, ConnectionLost, LimitExceeded
from exprd_proto import framing
from exprd_server.answers import encoder
from exprd_server.decode import malformed
from exprd_server.fairness import client_of
from exprd_server.inplace import in_place
from exprd_server.log import Shed
from exprd_server.statuses import RETRY_FIELD, TRAILER, Status, status_of
from exprd_server.throttle import BESIDE, MOST

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from exprd_compiler.errors import ExprdError
    from exprd_server.fairness import FairShare
    from exprd_server.idlepoll import IdlePoll
    from exprd_server.log import Logger
    from exprd_server.throttle import Throttle

_RICH_TRAILER = "grpc-status-details-bin"
_OUR_SERVICES = "/exprd."
_ALWAYS = ".AdminService/"  # is answered even when there is no room for other calls
_PARSERS: Final[Mapping[str, Callable[[bytes], Any]]] = MappingProxyType(
    {
        "/exprd.v1.CompilerService/Compile": wire.CompileHead.FromString,  # graphs are read apart
        "/exprd.v1.ExecutorService/Session": wire.SessionFrame.FromString,  # and so are calls
        "/exprd.v1.ExecutorService/ExecuteBatch": wire.BatchFrame.FromString,
    }
)
_CHUNKS = 2  # field of a message of Put
_REQUEST_ID = "x-request-id"
_ID_LENGTH = 64
_KEPT_REFUSALS: Final = 1024  # they differ in little but how long to wait; of 1 KB each


@dataclass(frozen=True, slots=True)
class _Malformed:
    """A request whose bytes are not a message; raised as an error inside the handler."""

    def error(self, method: str) -> ExprdError:
        return malformed(method)


class _RichStatus(grpc.Status):
    """A status with our own detail and google.rpc's among its trailing metadata."""

    def __init__(self, status: Status) -> None:
        self.code = grpc.StatusCode[status.code]
        self.details = status.details
        self.trailing_metadata = (
            (TRAILER, status.detail.SerializeToString()),
            (_RICH_TRAILER, _rich(status).SerializeToString()),
        )


class Boundary(grpc.ServerInterceptor):
    """Wraps every handler of ours: bad bytes and exceptions in, statuses and log lines out.

    Args:
        log: where they go.
        share: who may begin a call.
        throttle: has clients rest that keep the server busy.
        stream_seconds: time that a stream of chunks gets.
        poll: is told of every answer.
    """

    def __init__(
        self,
        log: Logger,
        share: FairShare,
        throttle: Throttle,
        stream_seconds: float,
        poll: IdlePoll,
    ) -> None:
        self._log = log
        self._verbose = log.is_enabled_for(logging.DEBUG)  # what is not written is not gathered
        self._share = share
        self._throttle = throttle
        self._touch = poll.touch
        self._shed = Shed(log)
        self._stream_seconds = stream_seconds
        self._known: dict[str, tuple[Any, Any]] = {}
        self._refusing = False

    def refuse(self) -> None:
        """Refuses calls from now on, as a server that ends; those that run go on."""
        self._refusing = True

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Any],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The handler of a method, wrapped; those of other services stay as they are."""
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(_OUR_SERVICES):
            return handler
        if self._refusing:
            return self._refusal(method, _ending)
        if self._share.full and handler.stream_stream is None and _ALWAYS not in method:
            return self._refusal(method, self._share.refusal)
        # gRPC asks anew for every call, and to wrap a handler costs more than what it does then.
        known = self._known.get(method)
        if known is None or known[0] is not handler:
            known = self._known[method] = (handler, self._wrapped(handler, method))
        return known[1]

    def _wrapped(self, handler: Any, method: str) -> Any:
        parse = _tolerant(_PARSERS.get(method, handler.request_deserializer))
        encode = encoder(handler.response_serializer)
        if handler.unary_unary is not None:
            inner = handler.unary_unary
            admitted = inner if _ALWAYS in method else self._admitted(inner)
            unary = self._unary(admitted, method, _checked)
            return grpc.unary_unary_rpc_method_handler(unary, parse, encode)
        if handler.stream_unary is not None:
            # an upload: its chunks are read in place, since a message would copy them twice
            parse = _tolerant(framing.chunk_or(_CHUNKS, handler.request_deserializer))
            unary = self._unary(self._upload(handler.stream_unary), method, _checked_each)
            return grpc.stream_unary_rpc_method_handler(unary, parse, encode)
        if handler.stream_stream is not None:
            both = self._session(handler.stream_stream, method)
            return grpc.stream_stream_rpc_method_handler(both, parse, encode)
        stream = self._stream(handler.unary_stream, method)
        return grpc.unary_stream_rpc_method_handler(stream, parse, encode)

    def _refusal(self, method: str, error: Callable[[], ExprdError]) -> Any:
        """A handler of calls of any kind, which reads nothing and needs no thread."""

        def call(_requests: Any, context: grpc.ServicerContext) -> NoReturn:
            self._abort(error(), method, time.perf_counter(), context)

        return grpc.stream_unary_rpc_method_handler(in_place(call), bytes, bytes)

    @contextmanager
    def _time_limit(self, context: grpc.ServicerContext) -> Generator[None]:
        """The time that a stream gets, since it holds a thread for as long as the caller likes."""
        timer = threading.Timer(self._stream_seconds, context.cancel)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _admitted(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        # written out, because most calls go this way
        share, throttle, clock = self._share, self._throttle, time.thread_time

        def call(request: Any, context: grpc.ServicerContext) -> Any:
            client_id = client_of(request)
            begun = share.begin(client_id)
            try:
                throttle.rest(client_id)
                start = clock()
                try:
                    return inner(request, context)
                finally:
                    throttle.spend(client_id, min(clock() - start, MOST) + BESIDE)
            finally:
                share.end(client_id, begun)

        return call

    def _upload(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Any:
            # whose upload it is stands in its first message; it has the address as a name till then
            with self._share.place(context.peer()), self._time_limit(context):
                return inner(request, context)

        return call

    def _unary(
        self, inner: Callable[..., Any], method: str, checked: Callable[[Any, str], Any]
    ) -> Callable[..., Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Any:
            start = time.perf_counter()
            try:
                reply = inner(checked(request, method), context)
            except Exception as error:
                self._abort(error, method, start, context)
            self._note(method, start, context)
            self._touch()
            return reply

        return call

    def _stream(self, inner: Callable[..., Iterator[Any]], method: str) -> Callable[..., Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            start = time.perf_counter()
            try:
                checked = _checked(request, method)
                client_id = client_of(checked)
                with self._share.place(client_id), self._time_limit(context):
                    self._throttle.rest(client_id)
                    self._throttle.spend(client_id, BESIDE)
                    yield from inner(checked, context)
            except Exception as error:
                self._abort(error, method, start, context)
            self._note(method, start, context)

        return call

    def _session(self, inner: Callable[..., Iterator[Any]], method: str) -> Callable[..., Any]:
        """A stream both ways, which may last; whoever serves it bounds how many there are."""
        touch = self._touch

        def call(requests: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            start = time.perf_counter()
            try:
                for answer in inner(_checked_each(requests, method), context):
                    touch()
                    yield answer
            except Exception as error:
                self._abort(error, method, start, context)
            self._note(method, start, context)

        return call

    def _note(self, method: str, start: float, context: grpc.ServicerContext) -> None:
        if self._verbose:
            seconds, named = _since(start), _given(context)
            self._log.debug("call", method=method, seconds=seconds, request_id=named)

    def _abort(
        self, error: Exception, method: str, start: float, context: grpc.ServicerContext
    ) -> NoReturn:
        status, rich = told(error)
        if status.detail.retry_after_ms:
            # a server that has too much to do does not write a line for each call that it refuses
            self._shed.note(status.detail.fields.get("limit", ""))
            context.abort_with_status(rich)
        facts: dict[str, Any] = {
            "method": method,
            "seconds": _since(start),
            "code": status.code,
            "peer": context.peer(),
            "request_id": _given(context) or secrets.token_hex(8),
        }
        if status.expected:
            self._log.info(
                "refused", kind=status.detail.kind, reason=status.detail.message, **facts
            )
        else:
            self._log.error("failed", incident=status.detail.incident, exc_info=error, **facts)
        context.abort_with_status(rich)
        raise AssertionError("abort_with_status returns by raising")


def _ending() -> ExprdError:
    return ConnectionLost(
        "the server ends; nothing has changed", hint="call again, once it is back"
    )


def told(error: Exception) -> tuple[Status, _RichStatus]:
    """The status of an error, as we read it and as gRPC does.

    Those of refusals for want of room are kept: to make one takes longer than all else of such a
    call, and the server has no time for it just then.
    """
    if type(error) is LimitExceeded and RETRY_FIELD in error.fields:
        fields = tuple(error.fields.items())
        return _refused(error.message, error.hint, error.op, error.nodes, fields)
    status = status_of(error)
    return status, _RichStatus(status)


@lru_cache(_KEPT_REFUSALS)
def _refused(
    message: str, hint: str, op: str, nodes: tuple[int, ...], fields: tuple[tuple[str, str], ...]
) -> tuple[Status, _RichStatus]:
    error = LimitExceeded(message, hint=hint, op=op, nodes=nodes, fields=dict(fields))
    status = status_of(error)
    return status, _RichStatus(status)


def _tolerant(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """A deserializer whose failure reaches the handler, instead of gRPC's INTERNAL."""

    def tolerant(data: bytes) -> Any:
        try:
            return parse(data)
        except Exception:  # protobuf's error class differs between its implementations
            return _Malformed()

    return tolerant


def _checked(request: Any, method: str) -> Any:
    if isinstance(request, _Malformed):
        raise request.error(method)
    return request


def _checked_each(requests: Iterator[Any], method: str) -> Iterator[Any]:
    try:
        for request in requests:
            yield _checked(request, method)
    except grpc.RpcError:  # how gRPC says that the caller has gone
        raise Cancelled(f"{method} was broken off; nothing has changed") from None


def _given(context: grpc.ServicerContext) -> str:
    """The name that the caller gave the request, by which it is found in several logs; or ""."""
    for key, value in context.invocation_metadata() or ():
        if key == _REQUEST_ID:
            return "".join(c for c in str(value)[:_ID_LENGTH] if c.isprintable())
    return ""


def _since(start: float) -> float:
    return round(time.perf_counter() - start, 6)


def _rich(status: Status) -> status_pb2.Status:
    """The same error for clients that know google.rpc.Status."""
    details = [_packed(status.detail)]
    path = status.detail.fields.get("path", "")
    if status.code == "INVALID_ARGUMENT" and path:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=path, description=status.detail.kind
        )
        details.append(_packed(error_details_pb2.BadRequest(field_violations=[violation])))
    if status.detail.retry_after_ms:
        pause = duration_pb2.Duration(nanos=status.detail.retry_after_ms % 1000 * 1_000_000)
        pause.seconds = status.detail.retry_after_ms // 1000
        details.append(_packed(error_details_pb2.RetryInfo(retry_delay=pause)))
    code: int = grpc.StatusCode[status.code].value[0]
    # Readers of rich statuses insist that the message is that of the status itself.
    return status_pb2.Status(code=code, message=status.details, details=details)


def _packed(message: Any) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
