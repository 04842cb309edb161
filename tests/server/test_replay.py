from __future__ import annotations

import threading
import time

import pytest

from exprd_compiler.errors import CallError, DeadlineExceeded, ResultExpired
from exprd_server.deadline import Deadline
from exprd_server.replay import ReplayWindow
from exprd_server.settings import Limits
from exprd_server.store import MemoryStore
from exprd_server.values import CallId, ExecuteReply

LIMITS = Limits(replay_bytes=100, replay_calls=3, replay_client_bytes=150)
REPLY = ExecuteReply(outputs=(), versions=(("v", 2),))


def call(seq: int, acked: int = 0) -> CallId:
    return CallId(client_id="c", seq=seq, acked_through=acked)


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def window(store):
    return ReplayWindow(store, LIMITS)


def run(window, store, call_id, *, digest=b"d", nbytes=0, deadline=None):
    """Runs a call as the engine does; the answer, and whether it was replayed."""
    with window.attempt(call_id, digest, deadline) as attempt:
        if attempt.replay is not None:
            return attempt.replay, True
        record = attempt.record_of(REPLY, nbytes)
        store.commit([], record)
        attempt.committed(record)
        return REPLY, False


def test_a_retry_gets_the_recorded_answer(window, store):
    assert run(window, store, call(1)) == (REPLY, False)
    assert run(window, store, call(1)) == (REPLY, True)


def test_an_id_names_one_call_only(window, store):
    run(window, store, call(1))
    with pytest.raises(CallError, match="was another call"):
        run(window, store, call(1), digest=b"other")


def test_a_failed_attempt_may_be_made_again(window, store):
    with pytest.raises(ZeroDivisionError), window.attempt(call(1), b"d", None):
        raise ZeroDivisionError
    assert run(window, store, call(1)) == (REPLY, False)


def test_a_failed_commit_is_not_recorded(window, store):
    with window.attempt(call(1), b"d", None) as attempt:
        attempt.record_of(REPLY, 0)  # and then the commit fails
    assert run(window, store, call(1)) == (REPLY, False)


def test_a_large_answer_is_not_kept_but_never_run_again(window, store):
    assert run(window, store, call(1), nbytes=101) == (REPLY, False)
    with pytest.raises(ResultExpired, match="larger than 100 bytes"):
        run(window, store, call(1))


def test_an_acknowledged_call_is_forgotten_but_never_run_again(window, store):
    run(window, store, call(1))
    run(window, store, call(2, acked=1))
    with pytest.raises(ResultExpired, match="acknowledged"):
        run(window, store, call(1))
    assert [r.seq for r in store.records()] == [2]


def test_what_a_running_call_acknowledges_is_not_run_from_then_on(window, store):
    run(window, store, call(1))
    with window.attempt(call(3, acked=2), b"d", None):
        with pytest.raises(ResultExpired, match="acknowledged"):
            run(window, store, call(2))  # which never came before
        assert run(window, store, call(1)) == (REPLY, True)  # its record goes with the call
    with pytest.raises(ResultExpired, match="acknowledged"):
        run(window, store, call(1))
    assert store.floors() == {"c": 2}
    assert not store.records()


def test_the_window_is_bounded(window, store):
    for seq in range(1, 6):
        run(window, store, call(seq))
    assert sorted(r.seq for r in store.records()) == [3, 4, 5]
    with pytest.raises(ResultExpired):
        run(window, store, call(2))
    assert run(window, store, call(3))[1]


def test_the_bytes_of_a_window_are_bounded(window, store):
    run(window, store, call(1), nbytes=100)
    run(window, store, call(2), nbytes=50)
    assert run(window, store, call(1))[1]
    run(window, store, call(3), nbytes=1)
    with pytest.raises(ResultExpired):
        run(window, store, call(1))
    run(window, store, call(4, acked=3), nbytes=100)
    run(window, store, call(5), nbytes=50)
    assert run(window, store, call(4))[1]


def test_calls_may_arrive_out_of_order(window, store):
    for seq in (3, 1, 2):
        assert run(window, store, call(seq)) == (REPLY, False)


@pytest.mark.parametrize(
    "call_id",
    [call(0), call(1 << 63), call(3, acked=3), call(3, acked=9), CallId(client_id="", seq=1)],
)
def test_malformed_ids_are_refused(window, store, call_id):
    with pytest.raises(CallError):
        run(window, store, call_id)


def test_a_retry_waits_for_the_running_attempt(window, store):
    inside, leave = threading.Event(), threading.Event()
    results = []

    def first() -> None:
        with window.attempt(call(1), b"d", None) as attempt:
            inside.set()
            leave.wait()
            record = attempt.record_of(REPLY, 0)
            store.commit([], record)
            attempt.committed(record)

    def second() -> None:
        results.append(run(window, store, call(1)))

    threads = [threading.Thread(target=first)]
    threads[0].start()
    inside.wait()
    threads.append(threading.Thread(target=second))
    threads[1].start()
    with pytest.raises(DeadlineExceeded, match="first attempt"):
        run(window, store, call(1), deadline=Deadline(0.01))
    leave.set()
    for thread in threads:
        thread.join()
    assert results == [(REPLY, True)]


def test_a_window_starts_from_its_store(window, store):
    run(window, store, call(7))
    assert run(ReplayWindow(store, LIMITS), store, call(7)) == (REPLY, True)


def test_a_client_that_is_gone_is_forgotten(window, store):
    run(window, store, call(1))
    window.forget_client("c")
    window.forget_client("never seen")
    assert not store.records()


def test_a_client_that_is_forgotten_during_its_call_stays_forgotten(window, store):
    """A retry that waits for the call gets its answer all the same."""
    results = []
    retry = threading.Thread(target=lambda: results.append(run(window, store, call(1))))
    with window.attempt(call(1), b"d", None) as attempt:
        retry.start()
        while not window._waiting:
            time.sleep(0)
        window.forget_client("c")
        record = attempt.record_of(REPLY, 0)
        store.commit([], record)
        attempt.committed(record)
    retry.join()
    assert results == [(REPLY, True)]
    assert not window.clients()
    assert not store.records()
