"""Quiet clients beside four that trouble the server: no errors, the same process, and how fast.

The clients are those of `benchmarks.neighbours`, each a process. How much slower calls become is
noted, and bounded only loosely: on a busy machine it is other programs that one measures.
"""

from __future__ import annotations

import os

import grpc
import pytest

import exprd_proto as wire
from benchmarks import neighbours

SECONDS = max(2.5, 30 * float(os.environ.get("EXPRD_SOAK", "1")))
LOOSE_MS = 2_000


def incarnation(target: str) -> str:
    with grpc.insecure_channel(target) as channel:
        return wire.AdminServiceStub(channel).GetInfo(wire.GetInfoRequest()).incarnation


@pytest.mark.soak
@pytest.mark.parametrize(
    ("area", "roles"),
    [("compile isolation", ("compiles_few",)), ("neighbours", tuple(neighbours.TROUBLE))],
)
def test_quiet_clients_hardly_notice_the_others(start_server, figure, area, roles):
    process = start_server("--listen", "127.0.0.1:0")
    before = incarnation(process.target)
    found = neighbours.beside(process.target, SECONDS, roles)
    figure(
        area,
        idle_p99_ms=found["idle p99 ms"],
        p99_ms=found["p99 ms"],
        ratio=found["ratio"],
        errors=len(found["failed"]),
    )
    assert found["failed"] == []
    assert set(found["trouble"]) == set(roles)
    assert all(any(facts.values()) for facts in found["trouble"].values()), found["trouble"]
    assert process.process.poll() is None
    assert incarnation(process.target) == before
    assert found["p99 ms"] < LOOSE_MS
