"""Calls of a client on the server's own host go through its doorbell, and mean the same."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd import function, shared
from exprd.bell import Bell, BellLost
from exprd.errors import ConnectionLost, DeadlineExceeded, IndexOutOfRange, Unauthenticated
from tests.client.restarts import RestartableServer
from tests.server.bells import belfry

SHAPES = [(), (0,), (5,), (3, 0, 2), (7, 4), (300, 70)]
DTYPES = ["bool", "int8", "uint16", "int64", "float16", "float32", "float64", "complex64"]


@pytest.fixture
def session(server: str) -> Iterator[exprd.Session]:
    with exprd.connect(server) as session:
        yield session


def opened(session: exprd.Session) -> set[Bell]:
    """The connections to the doorbell that a session has open."""
    return set(session.transport.bells.open)  # type: ignore[attr-defined]


def ringing(session: exprd.Session) -> Bell:
    """The one connection of a session that has made calls; a busy server opens it in its time."""
    while not opened(session):
        function([], T.constant(1.0) + 1)()
    (bell,) = opened(session)
    return bell


def counted(bell: Bell, work: Callable[[], object]) -> int:
    """How many bytes work has sent over a connection."""
    before = bell.sent
    work()
    return bell.sent - before


@pytest.mark.parametrize("dtype", [*DTYPES, "bfloat16"])
def test_arrays_of_every_kind_come_back(
    session: exprd.Session, rng: np.random.Generator, dtype: str
) -> None:
    bell = ringing(session)
    kind = np.dtype(ml_dtypes.bfloat16) if dtype == "bfloat16" else np.dtype(dtype)
    for shape in SHAPES:
        value = np.asarray(rng.integers(0, 2, shape), dtype=kind)
        x = T.TensorType(dtype, [False] * len(shape))("x")
        f = function([x], [x.flatten(), x])
        for given in (value, value.T.copy().T):
            assert counted(bell, lambda f=f, given=given: f(given)) > 0
            flat, same = f(given)
            assert same.dtype == kind
            assert same.shape == shape
            assert same.tobytes() == value.tobytes() == flat.tobytes()
            assert same.flags.writeable
            assert same.flags.owndata


def test_each_size_has_its_way_and_all_agree(session: exprd.Session) -> None:
    """In the frame, in the region, and in pieces; results as well."""
    bell = ringing(session)
    x = T.dvector("x")
    f = function([x], x + 1)
    for count in (1, 3000, 5000, 400_000, 2_500_000, 10_000_000):
        value = np.arange(float(count))
        assert np.array_equal(f(value), value + 1)
        assert np.array_equal(f(value[::2]), value[::2] + 1)
    assert opened(session) == {bell}


def test_what_is_put_comes_back(session: exprd.Session, rng: np.random.Generator) -> None:
    bell = ringing(session)
    for value in (
        rng.standard_normal(1_000_003),
        np.zeros((0, 4), "float32"),
        np.array(True),
        np.arange(6, dtype="int16").reshape(2, 3).T,
        np.arange(9).astype(ml_dtypes.bfloat16),
    ):
        put = exprd.put(value)
        found = put.get()
        assert found.dtype == value.dtype
        assert found.shape == value.shape
        assert found.tobytes() == value.tobytes()
        assert found.flags.writeable
    assert opened(session) == {bell}


def test_buffers_are_inputs_and_outputs(session: exprd.Session) -> None:
    bell = ringing(session)
    x, y = T.dvectors("x", "y")
    f = function([x, y], x * y)
    value = np.arange(50_000.0)
    kept = exprd.put(value)
    assert counted(bell, lambda: f(kept, kept)) < 4096
    assert np.array_equal(f(kept, value), value**2)
    assert np.array_equal(f(value, kept), value**2)


def test_state_changes_once_per_call(session: exprd.Session) -> None:
    ringing(session)
    x = T.dvector("x")
    total = shared(np.zeros(3))
    add = function([x], [total, total.sum()], updates=[(total, total + x)])
    for turn in range(20):
        before, _ = add(np.ones(3))
        assert before.tolist() == [turn] * 3
    assert total.version == 21


def test_errors_and_warnings_are_those_of_any_call(session: exprd.Session) -> None:
    bell = ringing(session)
    x, i = T.dvector("x"), T.lscalar("i")
    f = function([x, i], x[i])
    for _ in range(3):
        with pytest.raises(IndexOutOfRange) as caught:
            f(np.zeros(3), 7)
        assert "test_bells.py" in str(caught.value)
    a, b = T.lvector("a"), T.lvector("b")
    divide = function([a, b], a // b)
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="division by zero"):
            divide(np.array([1]), np.array([0]))
    assert opened(session) == {bell}


def test_threads_do_not_wait_for_each_other(session: exprd.Session) -> None:
    ringing(session)
    x = T.dmatrix("x")
    f = function([x], x.sum(axis=0))
    failed: list[object] = []

    def work(number: int) -> None:
        value = np.full((40, 10 * number + 1), float(number))
        if not all(np.array_equal(f(value), value.sum(axis=0)) for _ in range(60)):
            failed.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert 1 <= len(opened(session)) <= 8


def test_a_broken_connection_doubles_and_loses_nothing(session: exprd.Session) -> None:
    ringing(session)
    total = shared(0)
    add = function([], total, updates=[(total, total + 1)])
    over = threading.Event()
    broken = 0

    def disturb() -> None:
        nonlocal broken
        while not over.is_set():
            for bell in tuple(opened(session)):
                bell.break_off()
                broken += 1
            over.wait(0.001)

    thread = threading.Thread(target=disturb)
    thread.start()
    seen: list[int] = []
    while len(seen) < 300 or broken <= 10:
        seen.append(int(add()))
    over.set()
    thread.join()
    assert seen == list(range(len(seen)))
    assert total.get_value() == len(seen)


@pytest.mark.parametrize("count", [1, 700_000, 8_300_000])
def test_a_lost_answer_is_asked_for_again_under_its_number(
    session: exprd.Session, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Large arguments, which travel in chunks otherwise, are a part of both calls."""
    bell = ringing(session)
    x, total = T.vector("x"), shared(0.0)
    summed = function([x], total, updates=[(total, total + x[-1])])
    value = np.ones(count)

    def add() -> float:
        return float(summed(value))

    assert add() == 0
    answer = Bell._answer

    def lose(self: Bell, *given: object) -> object:
        answer(self, *given)  # type: ignore[arg-type]
        self.close()
        raise BellLost("lost on its way")

    with monkeypatch.context() as patched:
        patched.setattr(Bell, "_answer", lose)
        assert add() == 1
    assert bell.closed
    assert [add() for _ in range(3)] == [2, 3, 4]


def test_time_is_up_here_as_anywhere(session: exprd.Session) -> None:
    bell = ringing(session)
    x = T.dmatrix("x")
    f = function([x], T.exp(x.dimshuffle(0, 1, "x") * x.dimshuffle("x", 0, 1)).sum())
    f(np.ones((2, 2)))
    with exprd.config.change_flags(deadline=0.3), pytest.raises(DeadlineExceeded):
        f(np.ones((3000, 3000)))
    assert f(np.zeros((2, 2))) == 8
    assert opened(session) == {bell}


INTERRUPTED = """
import os, signal, threading
import numpy as np
import exprd, exprd.tensor as T

x = T.dvector("x")
pairs = T.exp(x.dimshuffle(0, "x") * x.dimshuffle("x", 0)).sum()
total = exprd.shared(0.0)
for f in (exprd.function([x], pairs), exprd.function([x], pairs, updates=[(total, total + pairs)])):
    f(np.zeros(2)), f(np.zeros(2))
    while not (bells := exprd.session.current_session().transport.bells.open):
        f(np.zeros(0))
    (bell,) = bells
    sent = bell.sent

    def interrupt():
        while bell.sent == sent:
            pass
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    try:
        f(np.full(400_000, 1e-3))  # would take minutes
    except KeyboardInterrupt:
        print("interrupted", total.get_value())
    print("goes on", f(np.zeros(3)))
    f(np.zeros(3))
"""


def test_an_interrupt_stops_the_call_there(server: str, child_env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        env={**child_env, "EXPRD_TARGET": server},
        capture_output=True,
        text=True,
        timeout=100,
    )
    lines = ["interrupted 0.0", "goes on 9.0", "interrupted 8.0", "goes on 9.0"]
    assert done.stdout.splitlines() == lines, done.stderr


FORKED = """
import os, sys
import numpy as np
import exprd, exprd.tensor as T

x = T.dvector("x")
f = exprd.function([x], x + 1)
f(np.zeros(2)), f(np.zeros(2))
bells = exprd.session.current_session().transport.bells
while not bells.open:
    f(np.zeros(2))
child = os.fork()
if not child:
    os._exit(0 if not bells.open and not bells._idle and not bells._path else 1)
_, status = os.waitpid(child, 0)
print(status, f(np.zeros(2)), len(bells.open))
"""


def test_a_fork_leaves_the_connection_to_its_parent(server: str, child_env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKED],
        env={**child_env, "EXPRD_TARGET": server},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.stdout == "0 [1. 1.] 1\n", done.stderr


def test_it_can_be_turned_off(server: str) -> None:
    with exprd.config.change_flags(doorbell="off"), exprd.connect(server) as session:
        f = function([], T.constant(1.0) + 1)
        assert [float(f()) for _ in range(3)] == [2, 2, 2]
        assert not opened(session)
        with exprd.config.change_flags(doorbell="auto"):
            bell = ringing(session)
        f()
        assert bell.closed


def test_it_comes_back_with_a_restarted_server(tmp_path: Path, child_env: dict[str, str]) -> None:
    own = RestartableServer(tmp_path, child_env)
    try:
        with exprd.connect(own.target) as session:
            total = shared(0, durability="durable")
            add = function([], total, updates=[(total, total + 1)])
            kept = exprd.put(np.ones(400_000))
            x = T.dvector("x")
            f = function([x], x.sum())
            for turn in range(2):
                assert [int(add()) for _ in range(5)] == list(range(5 * turn, 5 * turn + 5))
                assert f(kept) == 400_000
                bell = ringing(session)
                assert counted(bell, add) > 0
                total.set_value(5 * turn + 5)
                own.restart()
            assert add() == 10
    finally:
        own.kill()


def test_a_client_that_may_not_have_a_region_calls_over_grpc(tmp_path: Path) -> None:
    with belfry(tmp_path, client_bytes=1 << 20) as tower, exprd.connect(tower.target) as session:
        x = T.dvector("x")
        f = function([x], x + 1)
        small, large = np.zeros(8), np.zeros(20_000)
        assert f(small).tolist() == [1] * 8
        bell = ringing(session)
        for value in (large, small, large, small):
            assert np.array_equal(f(value), value + 1)
        assert np.array_equal(exprd.put(large).get(), large)
        assert opened(session) == {bell}


def test_a_token_that_was_taken_back_is_asked_for_again(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text('[[token]]\ntoken = "may-do-everything"\n')
    with (
        belfry(tmp_path, tokens=tokens) as tower,
        exprd.connect(tower.target, token="may-do-everything") as session,
    ):
        total = shared(0)
        add = function([], total, updates=[(total, total + 1)])
        assert [int(add()) for _ in range(3)] == [0, 1, 2]
        bell = ringing(session)
        tokens.write_text('[[token]]\ntoken = "another-one-entirely"\n')
        assert int(add()) == 3  # until the connection has to show its token again
        bell.break_off()
        with pytest.raises(Unauthenticated):
            add()


def test_nothing_is_left_when_clients_have_gone(
    tmp_path: Path, child_env: dict[str, str], figure: Callable[..., None]
) -> None:
    own = RestartableServer(tmp_path, child_env, durable=False)
    folder = Path(f"/proc/{own.process.pid}")

    def held() -> tuple[int, int]:
        maps = (folder / "maps").read_text().count("exprd-region")
        return len(list((folder / "fd").iterdir())), maps

    x = T.dvector("x")
    counts = []
    try:
        for _ in range(3):
            with exprd.connect(own.target) as session:
                f = function([x], x + 1)
                ringing(session)
                f(np.ones(10))
                f(np.ones(300_000))
                exprd.put(np.ones(300_000)).get()
                assert held()[1] == 2
                for bell in tuple(opened(session)):
                    bell.close()
                f(np.ones(10))
            with exprd.connect(own.target), exprd.config.change_flags(doorbell="off"):
                while held()[1]:  # the server notices in its own time
                    pass
            now = held()[0]
            while len(counts) > 1 and now > counts[1] + 2:  # gRPC's own come and go
                now = held()[0]
            counts.append(now)
    finally:
        own.kill()
    figure(
        "soak", doorbell_regions_left=0, descriptors_first=counts[0], descriptors_last=counts[-1]
    )


def test_a_closed_session_says_so(server: str) -> None:
    with exprd.connect(server):
        x = T.dvector("x")
        f = function([x], x + 1)
        f(np.ones(2))
        f(np.ones(2))
    with pytest.raises(ConnectionLost):
        f(np.ones(2))


@pytest.mark.soak
def test_a_million_calls_leave_nothing_behind(
    tmp_path: Path, child_env: dict[str, str], figure: Callable[..., None]
) -> None:
    """Small ones, some through the region, some with state; `EXPRD_SOAK` scales their number."""
    calls = max(20_000, int(1_000_000 * float(os.environ.get("EXPRD_SOAK", "1"))))
    own = RestartableServer(tmp_path, child_env, durable=False)
    pages = Path(f"/proc/{own.process.pid}/statm")

    def resident() -> float:
        return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    try:
        with exprd.connect(own.target) as session:
            x = T.dvector("x")
            total = shared(0.0)
            f = function([x], x + 1)
            add = function([x], total, updates=[(total, total + x.sum())])
            small, large = np.ones(8), np.ones(20_000)
            warm = calls // 10

            def some(count: int) -> None:
                for turn in range(count):
                    f(large if turn % 100 == 0 else small)
                    if turn % 4 == 0:
                        add(small)

            some(warm)
            before = resident()
            some(calls)
            grown = resident() - before
            assert len(opened(session)) == 1
            assert total.version == 1 + -(-warm // 4) + -(-calls // 4)
    finally:
        own.kill()
    figure("soak", doorbell_calls=calls, doorbell_grown_MiB=round(grown, 2))
    assert grown <= 5
