"""The tables of the page on the protocol, against the protos, the errors and the limits."""

from __future__ import annotations

import re
from pathlib import Path

import exprd_proto as wire
from exprd_compiler.errors import GraphError, by_kind
from exprd_server.settings import Limits, Settings, WorkerSettings
from exprd_server.statuses import code_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
OF_CLIENTS = {"ConnectionLost", "StateMismatch", "MissingExtra", "GradientError"}


def quoted(text: str) -> list[str]:
    return re.findall(r"`(\w+)`", text)


def rows(head: str) -> list[list[str]]:
    """The cells of the table that begins with a head."""
    table = PAGE[PAGE.index(head) :].partition("\n\n")[0]
    return [line.strip("| ").split("|") for line in table.splitlines()[2:]]


def test_every_method_of_every_service_is_named() -> None:
    told = {quoted(name)[0]: quoted(calls) for name, calls, _ in rows("| Service | Calls |")}
    services = wire.SERVICE_DESCRIPTOR.services_by_name.values()
    assert {name: sorted(calls) for name, calls in told.items()} == {
        service.name: sorted(method.name for method in service.methods) for service in services
    }


def test_every_error_has_its_code() -> None:
    told: dict[str, str] = {}
    for kinds, codes, _ in rows("| Kind | Code | Retry |"):
        named = quoted(kinds)
        given = quoted(codes) * (len(named) if len(quoted(codes)) == 1 else 1)
        told |= dict(zip(named, given, strict=True))
    assert told == {kind: code_of(kind) for kind in told}
    whole = {kind for kind, error in by_kind().items() if not issubclass(error, GraphError)}
    assert whole - OF_CLIENTS - {"ExprdError"} == {k for k in told if k in whole}


def test_the_limits_are_those_of_a_server() -> None:
    told = {
        label.strip(): value.strip()
        for row in rows("| Limit | Default |")
        for label, value in (row[:2], row[3:])
    }
    limits, settings = Limits(), Settings()
    assert told["calls at a time"] == f"{settings.calls}, of one client {limits.client_calls}"
    assert told["sessions"] == f"{limits.sessions}, of one client {limits.client_sessions}"
    assert told["doorbell connections"] == f"{limits.doorbells}, of one client 32"
    seconds = f"{settings.execute_seconds:.0f} s, {settings.compile_seconds:.0f} s"
    assert told["Execute, Compile"] == seconds
    plain = {
        "message": f"{limits.message_bytes >> 20} MiB",
        "region of shared memory": f"{limits.region_bytes >> 20} MiB",
        "one array": f"{limits.tensor_bytes >> 30} GiB",
        "memory of a call": f"{limits.call_bytes >> 30} GiB",
        "memory of a client": f"{limits.client_bytes >> 30} GiB",
        "name": f"{limits.name_length:,} characters",
        "nodes of a bundle": f"{limits.graph_nodes:,}",
        "sub-graph nesting": str(limits.graph_nesting),
        "rank": str(limits.rank),
        "attributes of a node": str(limits.attributes),
        "functions": f"{limits.functions:,}",
        "buffers": f"{limits.buffers:,}",
        "variables": f"{limits.variables:,}",
        "published versions": f"{limits.published:,}",
        "compilations that wait": str(WorkerSettings().queue),
        "calls of a client that wait": str(limits.client_queue),
        "answers kept for retries": f"{limits.replay_calls:,} per client, 1 MiB each",
    }
    assert {label: told[label] for label in plain} == plain
