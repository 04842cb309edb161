"""Futures on their own: what `concurrent.futures` does with its own works with them."""

from __future__ import annotations

import concurrent.futures
import threading

import pytest

from exprd.futures import Future
from exprd_compiler.errors import CallError


def settled(value: object) -> Future[object]:
    future: Future[object] = Future()
    assert future.set_running_or_notify_cancel()
    future.set_result(value)
    return future


def in_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_result_that_is_there_is_given_at_once() -> None:
    future = settled(3)
    assert future.done()
    assert not future.running()
    assert not future.cancelled()
    assert future.result(0) == 3
    assert future.exception(0) is None
    assert future.result() == 3


def test_a_result_is_finished_once_by_whoever_asks_first() -> None:
    made: list[object] = []
    future: Future[int] = Future(lambda x: made.append(x) or x * 2)
    future.before(lambda x: x + 1)
    assert future.set_running_or_notify_cancel()
    future.set_result(4)
    threads = [in_thread(future.result) for _ in range(8)]
    for thread in threads:
        thread.join()
    assert future.result() == 10
    assert made == [5]


def test_an_error_of_finishing_is_raised_each_time() -> None:
    def finish(_: object) -> None:
        raise CallError("no")

    future: Future[None] = Future(finish)
    assert future.set_running_or_notify_cancel()
    future.set_result(1)
    for _ in range(2):
        with pytest.raises(CallError):
            future.result()
    assert isinstance(future.exception(), CallError)


def test_none_is_a_result() -> None:
    future: Future[None] = Future(lambda _: None)
    assert future.set_running_or_notify_cancel()
    future.set_result("raw")
    assert future.result() is None


def test_those_who_wait_are_woken() -> None:
    future: Future[object] = Future()
    assert future.set_running_or_notify_cancel()
    found: list[object] = []
    begun = threading.Barrier(5)

    def wait() -> None:
        begun.wait()
        found.append(future.result(60))

    threads = [in_thread(wait) for _ in range(4)]
    begun.wait()
    future.set_result("here")
    for thread in threads:
        thread.join()
    assert found == ["here"] * 4


def test_a_wait_may_run_out() -> None:
    future: Future[object] = Future()
    with pytest.raises(TimeoutError):
        future.result(0)
    assert not future.done()


def test_wait_and_as_completed() -> None:
    futures: list[Future[object]] = [Future() for _ in range(4)]
    for future in futures:
        assert future.set_running_or_notify_cancel()
    futures[2].set_result(2)
    done, rest = concurrent.futures.wait(futures, 0)
    assert done == {futures[2]}
    assert len(rest) == 3

    def settle() -> None:
        for place in (3, 0, 1):
            futures[place].set_result(place)

    thread = in_thread(settle)
    found = [future.result() for future in concurrent.futures.as_completed(futures, 60)]
    thread.join()
    assert sorted(found, key=str) == [0, 1, 2, 3]
    assert found[0] == 2
    assert not concurrent.futures.wait(futures).not_done


def test_callbacks_are_called_once_before_and_after_the_end() -> None:
    told: list[object] = []
    future: Future[object] = Future()
    future.add_done_callback(lambda f: told.append(("first", f.result())))
    assert future.set_running_or_notify_cancel()
    future.set_result(1)
    future.add_done_callback(lambda f: told.append(("then", f.result())))
    assert told == [("first", 1), ("then", 1)]


def test_what_was_not_begun_can_be_taken_back() -> None:
    future: Future[object] = Future()
    assert future.cancel()
    assert not future.set_running_or_notify_cancel()
    assert future.cancelled()
    assert future.done()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()
    begun: Future[object] = Future()
    assert begun.set_running_or_notify_cancel()
    assert not begun.cancel()
    begun.set_result(1)
    assert begun.result() == 1


def test_a_failure_is_explained_and_raised() -> None:
    explained: list[object] = []
    future: Future[object] = Future(explain=explained.append)
    assert future.set_running_or_notify_cancel()
    error = CallError("no")
    future.fail(error)
    assert explained == [error]
    assert future.exception() is error
    with pytest.raises(CallError):
        future.result()


def test_no_future_ends_twice() -> None:
    future = settled(1)
    with pytest.raises(concurrent.futures.InvalidStateError):
        future.set_result(2)
    assert future.result() == 1
