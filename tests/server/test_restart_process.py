"""A real server that is killed or told to end under load: what was answered is there afterwards.

2 kills, 3 named places and a stop in every run; `make soak` makes 400 kills
and 100 named places (`EXPRD_SOAK` scales them).
"""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest

import exprd_proto as wire
from exprd_proto.arrays import array_from_wire
from tests.client.restarts import RestartableServer
from tests.server import graphs
from tests.server.conftest import Client
from tests.server.stores.recording import Recorder, compiled, rule
from tests.server.wire import bundle

THREADS = 4
ANSWERS = 40  # before each end
OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 10),
    ("grpc.min_reconnect_backoff_ms", 10),
    ("grpc.max_reconnect_backoff_ms", 20),
    ("grpc.enable_retries", 0),
)
GONE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
LOG = "state.db-wal$"
# Where the process ends by itself, and the range of how often it passes there before.
POINTS: dict[str, tuple[str, str, str, tuple[int, int]]] = {
    "before a write": ("w", LOG, "before", (40, 400)),
    "between write and sync": ("s", LOG, "before", (10, 60)),
    "between sync and answer": ("s", LOG, "after", (10, 60)),
    "within a write": ("w", LOG, "tear", (40, 400)),
    "within a checkpoint": ("w", "variables.safetensors", "tear", (2, 12)),
    "before a checkpoint is there": ("r", ".unfinished-", "before", (1, 4)),
    "when a checkpoint is there": ("r", ".unfinished-", "after", (1, 4)),
}


class Caller:
    """A client that adds 1, and knows of each call whether it was answered."""

    def __init__(self, target: str, *totals: str) -> None:
        self._channel = grpc.insecure_channel(target, options=OPTIONS)
        self.client = Client(self._channel)
        durable = wire.Durability.DURABILITY_DURABLE
        self.totals = totals or tuple(
            self.client.variable(0.0, durability=durable) for _ in range(2)
        )
        self.handle = self.client.compile(bundle(graphs.mirrored()), *self.totals).handle
        self._open: wire.CallId | None = None
        self.answered = 0

    def work(self, tell: Callable[[], None]) -> None:
        """Calls until the server goes away; the last call may be open then."""
        while True:
            self._open = self._open or self.client.next_id(acked=self.answered)
            try:
                self.client.execute(self.handle, 1.0, call_id=self._open)
            except grpc.RpcError as error:
                assert error.code() in GONE  # noqa: PT017
                return
            self._open = None
            self.answered += 1
            tell()

    def wait(self) -> None:
        """Returns once the server answers this client."""
        self.client.admin.GetInfo(
            wire.GetInfoRequest(client_id=self.client.client_id), wait_for_ready=True, timeout=60
        )

    def total(self) -> float:
        """How many calls have happened; the mirror agrees."""
        request = wire.StateServiceSnapshotRequest(
            client_id=self.client.client_id, uuids=self.totals
        )
        readings = self.client.state.Snapshot(request).readings
        total, mirror = (float(array_from_wire(x.value.array)) for x in readings)
        assert total + mirror == 0, "an update is torn"
        return total

    def repeat(self) -> None:
        """Makes the open call again, under its number."""
        if self._open is not None:
            self.client.execute(self.handle, 1.0, call_id=self._open)
            self.answered += 1

    def close(self) -> None:
        self._channel.close()


def be_busy(caller: Caller, lengths: Iterator[int]) -> None:
    """Compiles graphs of some lengths and writes checkpoints until the server goes away."""
    try:
        for length in lengths:
            caller.client.compile(bundle(graphs.chain(length)))
            caller.client.admin.Checkpoint(wire.CheckpointRequest())
    except grpc.RpcError as error:
        assert error.code() in GONE  # noqa: PT017


@dataclass(frozen=True)
class End:
    """How a server ends: the environment that it runs in, and what is done once it has answered."""

    end: Callable[[RestartableServer], object]
    env: dict[str, str] | None = None
    answers: int = ANSWERS


def in_order(server: RestartableServer) -> None:
    assert server.stop() == 0


def by_itself(server: RestartableServer) -> None:
    server.process.wait(60)
    server.kill()


KILL = End(RestartableServer.kill)
STOP = End(in_order)


def at_point(recorder: Recorder, root: Path, name: str, chance: random.Random) -> End:
    """The end of a server at a named place."""
    op, part, what, (fewest, most) = POINTS[name]
    text = rule(op, part, chance.randint(fewest, most), what)
    return End(by_itself, recorder.watching(root, rule=text), 0)


@pytest.fixture
def server(tmp_path: Path, child_env: dict[str, str]) -> Iterator[RestartableServer]:
    server = RestartableServer(tmp_path, child_env)
    yield server
    server.kill()


def end_under_load(server: RestartableServer, ends: Sequence[End]) -> list[float]:
    """Ends a server in the midst of calls, several times, and counts what is there in the end.

    Returns:
        how long each start took, in seconds.
    """
    first = Caller(server.target)
    callers = [first, *(Caller(server.target, *first.totals) for _ in range(THREADS - 1))]
    if ends[0].env is not None:
        server.stop()
        server.start(ends[0].env)
        first.wait()
    seconds = []
    lengths = itertools.count(2)  # each graph is a new one, and none is large
    for number, how in enumerate(ends):
        work(server, callers, how, lengths)
        begin = time.monotonic()
        server.start(ends[number + 1].env if number + 1 < len(ends) else None)
        seconds.append(time.monotonic() - begin)
        for caller in callers:
            caller.wait()
        # What was answered is there; of each caller, one call more may be.
        answered = sum(caller.answered for caller in callers)
        assert answered <= first.total() <= answered + THREADS
    finish(callers)
    return seconds


def work(
    server: RestartableServer, callers: list[Caller], how: End, lengths: Iterator[int]
) -> None:
    """Has all callers call until the server has ended."""
    enough = threading.Semaphore(0)
    threads = [threading.Thread(target=caller.work, args=(enough.release,)) for caller in callers]
    if how.env is not None:
        threads.append(threading.Thread(target=be_busy, args=(callers[0], lengths)))
    for thread in threads:
        thread.start()
    for _ in range(how.answers):
        enough.acquire()
    how.end(server)
    for thread in threads:
        thread.join()


def finish(callers: list[Caller]) -> None:
    """Repeats what is open: then every call has happened once, and none twice."""
    for caller in callers:
        caller.repeat()
    total = callers[0].total()
    assert total == sum(caller.answered for caller in callers)
    assert total == sum(caller.client.seq for caller in callers)
    for caller in callers:
        caller.close()


def times(whole: int) -> int:
    """How often a soak does something."""
    return max(1, int(whole * float(os.environ.get("EXPRD_SOAK", "1"))))


@pytest.fixture
def tell_crashes(figure):
    """Notes how many ends were survived, and how long the starts took."""

    def tell(area: str, seconds: list[float]) -> None:
        median, longest = float(np.median(seconds)), max(seconds)
        figure(
            area,
            kills=len(seconds),
            lost=0,
            torn=0,
            restart_p50_s=round(median, 2),
            restart_max_s=round(longest, 2),
        )

    return tell


@pytest.fixture
def points(tmp_path: Path, child_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory):
    """A function that gives the ends at named places, round after round."""
    recorder = Recorder(compiled(tmp_path_factory.mktemp("recorder")), child_env)
    chance = random.Random(9)

    def choose(count: int) -> list[End]:
        names = [*POINTS] * (count // len(POINTS) + 1)
        return [at_point(recorder, tmp_path / "state", name, chance) for name in names[:count]]

    return choose


@pytest.mark.slow
@pytest.mark.parametrize("ends", [[KILL] * 2, [STOP]], ids=["2 kills", "a stop"])
def test_what_was_answered_is_there(server: RestartableServer, ends: list[End]) -> None:
    end_under_load(server, ends)


@pytest.mark.slow
def test_what_was_answered_is_there_at_named_places(server, points, tell_crashes) -> None:
    tell_crashes("crash", end_under_load(server, points(3)))


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_what_was_answered_is_there_after_many_kills(server, tell_crashes) -> None:
    tell_crashes("crash", end_under_load(server, [KILL] * times(400)))


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_what_was_answered_is_there_at_every_named_place(server, points, tell_crashes) -> None:
    tell_crashes("crash", end_under_load(server, points(max(len(POINTS), times(100)))))
