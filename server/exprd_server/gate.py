"""The gate: every call of a server with tokens shows one, and reaches its own namespace.

Invariant: a method is open to those whom `auth.METHODS` names, and a method that is not in that
table to nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import grpc

from exprd_compiler.errors import ExprdError, PermissionDenied
from exprd_server.auth import METHODS, OPEN
from exprd_server.statuses import status_of
from exprd_server.tenants import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable

    from exprd_server.auth import TokenFile
    from exprd_server.tenants import Tenants

_HEADER: Final = "authorization"
_OURS: Final = "/exprd."
_KINDS: Final = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


class Gate(grpc.ServerInterceptor):
    """Lets calls in by their tokens. It lies inside of `Boundary`, which tells its refusals."""

    def __init__(self, tokens: TokenFile, tenants: Tenants) -> None:
        self._tokens = tokens
        self._tenants = tenants

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Any],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The handler of a method in the caller's namespace, or one that refuses."""
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or METHODS.get(method) == OPEN:
            return handler
        try:
            namespace = self._namespace(handler_call_details)
        except ExprdError as error:
            return _with(handler, _refusal(error, method))
        if namespace == DEFAULT or not method.startswith(_OURS):
            return handler
        return _with(handler, self._elsewhere(namespace, method, handler))

    def _namespace(self, details: grpc.HandlerCallDetails) -> str:
        shown = [str(value) for key, value in details.invocation_metadata if key == _HEADER]
        grant = self._tokens.grant(shown[0] if len(shown) == 1 else "")
        grant.check(details.method)
        return grant.namespace

    def _elsewhere(self, namespace: str, method: str, handler: Any) -> Callable[..., Any]:
        """A behaviour that looks its namespace up on a thread of the call, not on gRPC's."""
        kind, _ = _kind_of(handler)

        def behave(request: Any, context: grpc.ServicerContext) -> Any:
            found = self._tenants.handler(namespace, method)
            if found is None:
                raise PermissionDenied(f"{method} is not served here")
            return getattr(found, kind)(request, context)

        return behave


def _kind_of(handler: Any) -> tuple[str, Callable[..., Any]]:
    return _KINDS[handler.request_streaming, handler.response_streaming]


def _with(handler: Any, behave: Callable[..., Any]) -> Any:
    """A handler of the same kind that behaves otherwise."""
    _, make = _kind_of(handler)
    return make(behave, handler.request_deserializer, handler.response_serializer)


def _refusal(error: ExprdError, method: str) -> Callable[..., Any]:
    def refuse(_: Any, context: grpc.ServicerContext) -> Any:
        if method.startswith(_OURS):
            raise error  # which Boundary makes a status of
        status = status_of(error)
        context.abort(grpc.StatusCode[status.code], status.details)

    return refuse
