from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from exprd_compiler.errors import (
    Cancelled,
    CompilerBug,
    DeadlineExceeded,
    LimitExceeded,
    ShapeError,
)
from exprd_server.deadline import Deadline
from exprd_server.settings import GIB, WorkerSettings
from exprd_server.workers import WorkerPool

COMMAND = (sys.executable, str(Path(__file__).with_name("echo_worker.py")))


class AtAnswer(Deadline):
    """A deadline with something that happens once the answer of a worker is waited for."""

    __slots__ = ("_happens",)

    def __init__(
        self, happens: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(60.0, clock)
        self._happens = happens

    def check(self, stage: str) -> None:
        if stage == "the worker answered":
            self._happens()
        super().check(stage)


@pytest.fixture
def pool():
    pool = WorkerPool(WorkerSettings(count=1, memory_bytes=GIB), command=COMMAND)
    yield pool
    pool.close()


def echo(pool, body=b"x", seconds=20.0):
    header, payload = pool.request({"do": "echo"}, body, Deadline(seconds))
    assert payload == body
    return header["pid"]


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_large_bodies_pass_both_ways(pool):
    echo(pool, os.urandom(5_000_000))
    echo(pool, b"")


def test_a_worker_serves_many_requests(pool):
    assert len({echo(pool) for _ in range(20)}) == 1


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"do": "die"}, "ended .exit status -11."),
        ({"do": "babble"}, "no JSON"),
        ({"do": "flood"}, "frame of"),
    ],
)
def test_a_broken_worker_costs_one_request(pool, request_, says):
    before = echo(pool)
    with pytest.raises(CompilerBug, match=says):
        pool.request(request_, b"", Deadline(20))
    assert echo(pool) != before
    assert gone(before)


@pytest.mark.parametrize(("request_", "body"), [("hang", b""), ("deaf", b"")])
def test_a_hanging_worker_is_killed_at_the_deadline(pool, request_, body):
    before = echo(pool)
    if request_ == "deaf":
        pool.request({"do": "deaf"}, body, Deadline(20))
        body = bytes(10_000_000)
    now = [0.0]
    deadline = AtAnswer(lambda: now.append(60.0), lambda: now[-1])
    with pytest.raises(DeadlineExceeded, match="before the worker answered"):
        pool.request({"do": request_}, body, deadline)
    assert gone(before)
    echo(pool)


def test_a_cancelled_request_frees_its_worker(pool):
    before = echo(pool)
    deadline = AtAnswer(lambda: deadline.cancel())
    with pytest.raises(Cancelled):
        pool.request({"do": "hang"}, b"", deadline)
    assert gone(before)
    echo(pool)


def test_memory_is_bounded(pool):
    pool.request({"do": "eat", "bytes": 1 << 20}, b"", Deadline(20))
    with pytest.raises(LimitExceeded, match="more memory"):
        pool.request({"do": "eat", "bytes": 2 * GIB}, b"", Deadline(20))
    echo(pool)


def test_workers_come_after_the_server(pool):
    pid = echo(pool)
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, pid) == min(mine + WorkerSettings().niceness, 19)
    assert os.sched_getscheduler(pid) == os.SCHED_BATCH
    assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "500"


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="the kernel has no sessions")
def test_the_session_of_a_worker_comes_after_the_servers(pool):
    for _ in range(1000):  # others than root may have to ask again, at the next request
        if Path(f"/proc/{echo(pool)}/autogroup").read_text().endswith("nice 5\n"):
            return
    raise AssertionError("the worker is not behind")


def test_a_lazy_pool_starts_with_its_first_request():
    settings = WorkerSettings(count=2, memory_bytes=GIB)
    pool = WorkerPool(settings, command=COMMAND, lazy=True)
    assert pool.pids == ()
    assert echo(pool) == echo(pool)
    assert len(pool.pids) == 1
    pool.close()


def test_errors_of_the_tree_come_back_as_themselves(pool):
    facts = {
        "kind": "ShapeError",
        "message": "m",
        "op": "add",
        "nodes": [1, 2],
        "hint": "h",
        "fields": {"a": "b"},
    }
    with pytest.raises(ShapeError) as caught:
        pool.request({"do": "fail", "error": facts}, b"", Deadline(20))
    error = caught.value
    assert (error.message, error.op, error.nodes, error.hint) == ("m", "add", (1, 2), "h")
    assert error.fields == {"a": "b"}


@pytest.mark.parametrize("facts", [{"kind": "OSError", "message": "/etc"}, None, "text"])
def test_other_errors_are_ours(pool, facts):
    with pytest.raises(CompilerBug):
        pool.request({"do": "fail", "error": facts}, b"", Deadline(20))
    echo(pool)


def test_requests_wait_for_a_free_worker_no_longer_than_they_may(pool):
    started = threading.Event()

    def occupy() -> None:
        started.set()
        with pytest.raises(DeadlineExceeded):
            pool.request({"do": "hang"}, b"", Deadline(1.0))

    thread = threading.Thread(target=occupy)
    thread.start()
    started.wait()
    thread.join()
    echo(pool)
    with pytest.raises(DeadlineExceeded, match="worker was free"):
        pool.request({"do": "echo"}, b"", Deadline(0))


def test_workers_run_beside_each_other():
    pool = WorkerPool(WorkerSettings(count=2, memory_bytes=GIB), command=COMMAND)
    try:
        hanging = Deadline(60)

        def hang() -> None:
            with pytest.raises(Cancelled):
                pool.request({"do": "hang"}, b"", hanging)

        thread = threading.Thread(target=hang)
        thread.start()
        echo(pool)
        hanging.cancel()
        thread.join()
    finally:
        pids = pool.pids
        pool.close()
    assert len(pids) == 2
    assert all(map(gone, pids))


def test_a_closed_pool_refuses(pool):
    pool.close()
    pool.close()
    with pytest.raises(CompilerBug):
        pool.request({"do": "echo"}, b"", Deadline(5))
