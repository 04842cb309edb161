"""Metering: counts every call at the outermost edge, refused ones as well.

Invariant: it changes nothing of a call, and sees what goes over the wire.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from exprd_server.metrics import Metrics

_OURS: Final = "/exprd."


class Meter(grpc.ServerInterceptor):
    """Counts the calls of our services."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._known: dict[str, tuple[Any, Any]] = {}

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Any],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The handler of a method, counted; those of other services stay as they are."""
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(_OURS):
            return handler
        known = self._known.get(method)  # as in `Boundary`
        if known is None or known[0] is not handler:
            known = self._known[method] = (handler, self._counted(handler, method))
        return known[1]

    def _counted(self, handler: Any, method: str) -> Any:
        name = method.rpartition(".")[2]
        parse = self._parsed(handler.request_deserializer)
        encode = self._encoded(handler.response_serializer)
        if handler.unary_unary is not None:
            behave = self._one(handler.unary_unary, name)
            return grpc.unary_unary_rpc_method_handler(behave, parse, encode)
        if handler.stream_unary is not None:
            behave = self._one(handler.stream_unary, name)
            return grpc.stream_unary_rpc_method_handler(behave, parse, encode)
        if handler.unary_stream is not None:
            many = self._many(handler.unary_stream, name)
            return grpc.unary_stream_rpc_method_handler(many, parse, encode)
        many = self._many(handler.stream_stream, name)
        return grpc.stream_stream_rpc_method_handler(many, parse, encode)

    def _parsed(self, parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
        received = self._metrics.received

        def counted(data: bytes) -> Any:
            received.inc(len(data))
            return parse(data)

        return counted

    def _encoded(self, encode: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
        metrics = self._metrics

        def counted(message: Any) -> bytes:
            metrics.answered(message)
            data = encode(message)
            metrics.sent.inc(len(data))
            return data

        return counted

    @contextmanager
    def _call(self, method: str, context: grpc.ServicerContext) -> Generator[None]:
        start = time.perf_counter()
        self._metrics.running.inc()
        try:
            yield
        finally:
            self._metrics.running.dec()
            told: Any = context  # the stubs know no code()
            name = getattr(told.code(), "name", "OK")  # None, or 0, as long as nobody has set one
            self._metrics.called(method, name, time.perf_counter() - start)

    def _one(self, inner: Callable[..., Any], method: str) -> Callable[..., Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Any:
            with self._call(method, context):
                return inner(request, context)

        return call

    def _many(self, inner: Callable[..., Iterator[Any]], method: str) -> Callable[..., Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            with self._call(method, context):
                yield from inner(request, context)

        return call
