"""Eight clients, a wire that loses answers, a server that dies: some order explains what they saw.

20 histories in every run; `make soak` draws 2,000 (`EXPRD_SOAK` scales them).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import exprd
import exprd.tensor as T
from exprd import function
from exprd.errors import Conflict
from tests.client.histories import Call, Refusal, check_order, check_refusals
from tests.client.restarts import LossyWire, RestartableServer

CLIENTS = 8
ROUNDS = 3
HISTORIES = 20
SOAKED = 2_000
KILL_EVERY = 7  # histories


@dataclass
class Seen:
    """What clients saw in one history."""

    adds: list[Call] = field(default_factory=list)
    sets: list[Call] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    sums: list[float] = field(default_factory=list)


class Client:
    """One client with a session of its own to the shared variables."""

    def __init__(self, target: str) -> None:
        self.session = exprd.connect(target)
        total, register = exprd.open_shared("total", 0), exprd.open_shared("register", 0)
        self.a, self.b = exprd.open_shared("a", 100.0), exprd.open_shared("b", 0.0)
        amount = T.scalar("amount")
        self.add = function([], total, updates=[(total, total + 1)])
        moved = [(self.a, self.a - amount), (self.b, self.b + amount)]
        self.move = function([amount], self.a + self.b, updates=moved)
        self.register = register
        self.total = total

    def round(self, amount: float, seen: Seen) -> None:
        """One call of each kind."""
        begin = time.monotonic()
        total = int(self.add())
        seen.adds.append(Call(begin, time.monotonic(), total))
        self._take(seen)
        seen.sums.append(float(self.move(amount)))
        seen.sums.append(float(sum(exprd.read([self.a, self.b]))))

    def _take(self, seen: Seen) -> None:
        """Compare-and-set until it has won once."""
        while True:
            version = self.register.version
            begin = time.monotonic()
            try:
                self.register.set_value(version, expected_version=version)
            except Conflict:
                seen.refusals.append(Refusal(begin, time.monotonic(), version))
            else:
                seen.sets.append(Call(begin, time.monotonic(), version))
                return


@dataclass
class Bench:
    """A server, eight clients behind a lossy wire."""

    server: RestartableServer
    wire: LossyWire
    clients: list[Client]

    def history(self, number: int, *, kill: bool) -> Seen:
        """What the clients see when all of them work at once, perhaps over a death."""
        seen = Seen()
        begun = threading.Barrier(CLIENTS + 1)
        failed: list[BaseException] = []

        def work(client: Client) -> None:
            begun.wait()
            try:
                for turn in range(ROUNDS):
                    client.round(float(number % 5 - turn), seen)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(client,)) for client in self.clients]
        for thread in threads:
            thread.start()
        begun.wait()
        if kill:
            self.server.restart()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        return seen


@pytest.fixture
def bench(tmp_path: Path, child_env: dict[str, str]) -> Iterator[Bench]:
    server = RestartableServer(tmp_path, child_env)
    wire = LossyWire(tmp_path / "wire", server.path, seed=5, fewest=4_000, most=40_000)
    clients = [Client(wire.target) for _ in range(CLIENTS)]
    yield Bench(server, wire, clients)
    for client in clients:
        client.session.close()
    wire.close()
    server.kill()


def judge(bench: Bench, count: int) -> dict[str, float]:
    """What was judged: every history has an order that explains it."""
    totals, versions = 0, 1
    for number in range(count):
        kills = number % KILL_EVERY == KILL_EVERY - 1
        seen = bench.history(number, kill=kills)
        check_order(seen.adds, totals)
        check_order(seen.sets, versions)
        check_refusals(seen.refusals, seen.sets)
        assert set(seen.sums) == {100.0}
        totals += CLIENTS * ROUNDS
        versions += CLIENTS * ROUNDS
    client = bench.clients[0]
    assert int(client.total.get_value()) == totals == client.total.version - 1
    assert client.register.version == versions
    assert bench.wire.broken >= count // 2
    assert bench.server.starts == 1 + count // KILL_EVERY
    return {
        "histories": count,
        "calls": count * CLIENTS * ROUNDS * 4,
        "broken_connections": bench.wire.broken,
        "kills": count // KILL_EVERY,
        "violations": 0,
    }


@pytest.mark.slow
def test_some_order_explains_what_eight_clients_saw(bench: Bench, figure) -> None:
    figure("linearizability", **judge(bench, HISTORIES))


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
def test_some_order_explains_every_history(bench: Bench, figure) -> None:
    count = max(1, int(SOAKED * float(os.environ.get("EXPRD_SOAK", "1"))))
    figure("linearizability", **judge(bench, count))


# ---- the judge is judged
def calls(*places: int) -> list[Call]:
    """Calls one after the other, with these places."""
    return [Call(float(n), n + 0.5, place) for n, place in enumerate(places)]


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (lambda: check_order(calls(0, 1, 1), 0), "twice"),
        (lambda: check_order(calls(0, 1, 3), 0), "missing"),
        (lambda: check_order(calls(1, 2, 3), 0), "missing"),
        (lambda: check_order(calls(0, 2, 1), 0), "begun after"),
        (lambda: check_refusals([Refusal(0, 1, 5)], calls(4)), "everybody"),
        (lambda: check_refusals([Refusal(0, 1, 5)], [Call(2, 3, 5)]), "before it was taken"),
    ],
)
def test_what_no_order_explains_is_noticed(wrong: Callable[[], None], what: str) -> None:
    with pytest.raises(AssertionError, match=what):
        wrong()


def test_calls_at_the_same_time_may_have_either_order() -> None:
    for places in ((0, 1), (1, 0)):
        check_order([Call(0.0, 2.0, places[0]), Call(1.0, 3.0, places[1])], 0)
    check_refusals([Refusal(0, 1, 5)], [Call(0.5, 3, 5)])
