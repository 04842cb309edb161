"""Tenants: one engine per namespace, so that nobody can name what belongs to another.

Invariant: what two namespaces share is the compiler and its cache of native code, whose keys are
hashes of graphs; handles, variables, buffers, published names and quotas are each one's own.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from exprd_server.engine import LocalEngine
    from exprd_server.session import SessionTable
    from exprd_server.settings import Settings

DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """What serves one namespace; its settings differ from the server's in limits alone."""

    engine: LocalEngine
    sessions: SessionTable
    settings: Settings


class Handlers:
    """The handlers of some servicers by full method name; it collects them as a server does."""

    def __init__(self) -> None:
        self._by_method: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, generic: Sequence[Any]) -> None:
        """Accepts what generated code offers to old servers; the registered form has it all."""

    def add_registered_method_handlers(self, service: str, methods: Mapping[str, Any]) -> None:
        """Takes the handlers of a service."""
        for name, handler in methods.items():
            self._by_method[f"/{service}/{name}"] = handler

    def get(self, method: str) -> Any:
        """The handler of a method; None when there is none."""
        return self._by_method.get(method)


class _Place:
    """Where what serves a namespace is made, once: its own callers wait for that, others do not."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.handlers: Handlers | None = None


class Tenants:
    """What serves all namespaces; those beyond the first are made when they are first used.

    Args:
        first: of the namespace "default", which also serves where there are no tokens.
        make: makes what serves a namespace.
        serve: adds the servicers of a tenant to a server, or to `Handlers`.
    """

    def __init__(
        self,
        first: Tenant,
        make: Callable[[str], Tenant],
        serve: Callable[[Tenant, Any], None],
    ) -> None:
        self._make = make
        self._serve = serve
        self._lock = threading.Lock()
        self._tenants = {DEFAULT: first}
        self._places: defaultdict[str, _Place] = defaultdict(_Place)

    def each(self) -> tuple[tuple[str, Tenant], ...]:
        """All namespaces that were used so far, and what serves them."""
        with self._lock:
            return tuple(self._tenants.items())

    def handler(self, namespace: str, method: str) -> Any:
        """The handler of a method in a namespace; None when there is no such method."""
        with self._lock:
            place = self._places[namespace]
        with place.lock:
            handlers = place.handlers or self._made(namespace)
            place.handlers = handlers
        return handlers.get(method)

    def _made(self, namespace: str) -> Handlers:
        """The handlers of a namespace; to open a large state takes seconds."""
        tenant = self._tenants.get(namespace) or self._make(namespace)
        with self._lock:
            self._tenants[namespace] = tenant
        handlers = Handlers()
        self._serve(tenant, handlers)
        return handlers
