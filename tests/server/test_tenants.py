"""Namespaces: each is opened once, by who comes first, and nobody else waits for that."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from exprd_server.tenants import DEFAULT, Tenant, Tenants

METHOD = "/exprd.v1.AdminService/GetInfo"


def tenant(name: str) -> Tenant:
    """What would serve a namespace, as far as the table looks at it: its name."""
    made: Any = name
    return made


def serve(served: Any, handlers: Any) -> None:
    handlers.add_registered_method_handlers("exprd.v1.AdminService", {"GetInfo": served})


def test_a_namespace_that_opens_slowly_holds_up_its_own_callers_alone() -> None:
    opening, go_on, made = threading.Event(), threading.Event(), list[str]()

    def make(namespace: str) -> Tenant:
        made.append(namespace)
        if namespace == "large":
            opening.set()
            assert go_on.wait(20)
        return tenant(namespace)

    table = Tenants(tenant(DEFAULT), make, serve)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(table.handler, "large", METHOD) for _ in range(2)]
        assert opening.wait(20)
        assert table.handler("small", METHOD) == "small"
        assert table.handler(DEFAULT, METHOD) == DEFAULT
        assert [name for name, _ in table.each()] == [DEFAULT, "small"]
        go_on.set()
        assert [x.result() for x in waiting] == ["large", "large"]
    assert made == ["large", "small"]
    assert table.handler("small", "/exprd.v1.AdminService/Other") is None


def test_a_namespace_that_could_not_be_opened_is_tried_again() -> None:
    tries = iter([OSError("no such disk"), None])

    def make(namespace: str) -> Tenant:
        error = next(tries)
        if error is not None:
            raise error
        return tenant(namespace)

    table = Tenants(tenant(DEFAULT), make, serve)
    with pytest.raises(OSError, match="no such disk"):
        table.handler("a", METHOD)
    assert table.handler("a", METHOD) == "a"
