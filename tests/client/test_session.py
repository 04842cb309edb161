"""Sessions: which server is in use, and what happens when it is not there."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd import function, shared
from exprd.errors import CallError, ConnectionLost, DeadlineExceeded, GraphError
from exprd.session import current_session


def started(folder: Path, env: dict[str, str]) -> tuple[subprocess.Popen[str], str]:
    target = f"unix://{folder / 'own.sock'}"
    process = subprocess.Popen(
        [sys.executable, "-m", "exprd_server", "serve", "--listen", target, "--drain-seconds", "0"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("serving on")
    return process, target


def test_the_innermost_connection_is_in_use(server: str) -> None:
    outside = current_session()
    with exprd.connect(server) as session:
        assert current_session() is session
        assert session.target == server
        x = T.scalar("x")
        f = function([x], x + 1)
        assert f(1) == 2
        assert int(session.info()["functions"]) >= 1
    assert current_session() is outside
    with pytest.raises(ConnectionLost):
        f(1)
    with pytest.raises(ConnectionLost, match="closed"):
        session.info()
    session.close()  # once more does no harm


def test_the_target_of_the_environment_is_used(server: str, child_env: dict[str, str]) -> None:
    program = (
        "import exprd, exprd.tensor as T\n"
        "x = T.scalar('x')\n"
        "print(exprd.function([x], x * 2)(21), exprd.session.current_session().target)\n"
        "import sys; print('exprd_server' in sys.modules, 'llvmlite' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**child_env, "EXPRD_TARGET": server},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["42.0", server, "False", "False"]


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(ConnectionLost, match="exprd serve"):
        exprd.connect(f"unix://{tmp_path / 'none.sock'}")
    with pytest.raises(CallError, match="host:port"):
        exprd.connect("nonsense")


def test_a_server_that_ends_is_a_clear_error(tmp_path: Path, child_env: dict[str, str]) -> None:
    process, target = started(tmp_path, child_env)
    try:
        with exprd.connect(target), exprd.config.change_flags(ride_through=0.2):
            x = T.vector("x")
            state = shared(np.zeros(2), "state")
            f = function([x], x + state)
            assert f([1, 2]).tolist() == [1, 2]
            process.kill()
            process.wait()
            with pytest.raises(ConnectionLost, match="no answer") as caught:
                f([1, 2])
            assert any("may have done" in note for note in caught.value.__notes__)
            with pytest.raises(ConnectionLost):
                state.get_value()
            with pytest.raises(ConnectionError):
                state.set_value(np.ones(2))
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_variables_do_not_mix_targets(server: str) -> None:
    here = shared(np.ones(2), "here")
    assert function([], here.sum())() == 2
    with exprd.connect(server), pytest.raises(GraphError, match="lives in"):
        function([], here.sum())
    unbound = shared(np.ones(2), "unbound")
    with exprd.connect(server):
        function([], [], updates=[(unbound, unbound * 3)])()
        assert unbound.get_value().tolist() == [3, 3]
    with pytest.raises(ConnectionLost):
        unbound.get_value()


def test_buffers_do_not_mix_targets(server: str) -> None:
    local = exprd.put(np.ones(2))
    with exprd.connect(server):
        x = T.vector("x")
        with pytest.raises(CallError, match="lives elsewhere"):
            function([x], x)(local)


def test_a_session_serves_many_threads(server: str) -> None:
    with exprd.connect(server):
        x = T.scalar("x")
        f = function([x], x * x)
        results: dict[int, float] = {}

        def work(k: int) -> None:
            results[k] = float(f(float(k)))

        threads = [threading.Thread(target=work, args=(k,)) for k in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == {k: float(k * k) for k in range(16)}


def test_deadlines_hold(server: str) -> None:
    with exprd.connect(server):
        x = T.matrix("x")
        count = shared(0)
        f = function([x], T.dot(T.dot(T.dot(x, x), x), x).sum(), updates=[(count, count + 1)])
        value = exprd.put(np.ones((1500, 1500)))
        with exprd.config.change_flags(deadline=0.005), pytest.raises(DeadlineExceeded):
            f(value)
        with pytest.raises(TimeoutError), exprd.config.change_flags(deadline=0.005):
            f(value)
        # now and then the server says so before the client does
        words = r"no answer .* config\.deadline|ran out of time in step 1"
        told = pytest.raises(DeadlineExceeded, match=words)
        with exprd.config.change_flags(deadline=1e-9), told:
            f.repeat(2, value)
        with exprd.config.change_flags(deadline=0.005):
            late = f.submit(value)  # the block ends before the call is sent
        in_time = f.submit(np.ones((2, 2)))
        with pytest.raises(DeadlineExceeded):
            late.result(60)
        assert in_time.result(60) == 32
        assert f(np.ones((2, 2))) == 32


def test_equal_graphs_are_compiled_once(server: str) -> None:
    with exprd.connect(server):
        x, y = T.scalars("x", "y")
        assert function([x], x * 12345).handle == function([y], y * 12345).handle


def test_a_step_on_resident_data_sends_a_few_hundred_bytes(server: str) -> None:
    assert exprd.connect("").traffic == (0, 0)
    current_session().close()
    with exprd.connect(server) as session:
        x = T.matrix("x")
        w = shared(np.zeros(500), "w")
        step = function([x], T.dot(x, w).sum(), updates=[(w, w + x.sum(axis=0))])
        data = exprd.put(np.ones((200, 500)))
        step(data)
        before = session.traffic
        step(data)
        sent, received = (b - a for a, b in zip(before, session.traffic, strict=True))
        assert 0 < sent < 500
        assert 0 < received < 500
