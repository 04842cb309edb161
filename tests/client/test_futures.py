"""Futures: calls that are taken back, stopped or awaited, in this process and against a server."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import threading
import weakref

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd import function, shared
from exprd.ahead import Ahead
from exprd.errors import IndexOutOfRange
from exprd.futures import Future
from exprd.session import current_session
from exprd.streaming import CallStream
from tests.client.counting import LONG, begun, counter, endless, heard
from tests.client.proxy import Proxy


# ---- calls that are no longer wanted
def test_a_call_that_was_not_sent_can_be_taken_back(mode: str) -> None:
    work, _ = endless()
    add, count = counter()
    first = work.submit(LONG)
    futures = [add.submit(1.0) for _ in range(1500)]
    assert all(f.cancel() for f in futures[600:])  # the server admits 512 at a time
    assert all(f.cancelled() and f.done() for f in futures[600:])
    with pytest.raises(concurrent.futures.CancelledError):
        futures[600].result()
    first.cancel()
    assert [float(f.result(60)[0]) for f in futures[:600]] == list(range(600))
    assert count.get_value() == 600


def test_a_call_that_runs_is_stopped(mode: str) -> None:
    work, count = endless()
    future = begun(work.submit(LONG))
    called = threading.Event()
    future.add_done_callback(lambda _: called.set())
    future.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(60)
    with pytest.raises(concurrent.futures.CancelledError):
        future.exception()
    assert called.wait(60)
    assert future.cancelled()
    assert future.done()
    assert future.cancel()
    assert concurrent.futures.wait([future], timeout=60).not_done == set()
    assert list(concurrent.futures.as_completed([future], timeout=60)) == [future]
    assert count.get_value() == 0
    assert work.submit(np.zeros(3)).result() == 0
    assert count.get_value() == 9


def test_a_call_that_waits_for_others_is_stopped(mode: str) -> None:
    """The server has not begun it; in this process it is taken back."""
    work, _ = endless()
    add, count = counter()
    first, second, third = begun(work.submit(LONG)), add.submit(1.0), add.submit(5.0)
    second.cancel()
    heard()
    first.cancel()
    assert third.result(60)[0] == 0
    assert first.cancelled()
    assert second.cancelled()
    assert count.get_value() == 5


def test_what_is_done_cannot_be_stopped(mode: str) -> None:
    add, count = counter()
    future = add.submit(1.0)
    assert future.result()[0] == 0
    assert not future.cancel()
    assert not future.cancelled()
    assert future.result()[0] == 0
    assert count.get_value() == 1


def test_however_a_race_ends_the_result_tells(mode: str) -> None:
    add, count = counter()
    done = 0
    for _ in range(60):
        future = add.submit(1.0)
        future.cancel()
        try:
            assert future.result(60)[0] == done
            done += 1
        except concurrent.futures.CancelledError:
            assert future.cancelled()
    assert count.get_value() == done


def test_an_awaited_call_is_stopped_with_its_task(mode: str) -> None:
    work, count = endless()
    future = begun(work.submit(LONG))

    async def wait() -> None:
        waiting = asyncio.ensure_future(asyncio.wrap_future(future))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(wait())
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(60)
    assert count.get_value() == 0


def test_a_call_is_stopped_over_a_cut_connection(proxy: Proxy) -> None:
    work, count = endless()
    future = begun(work.submit(LONG))
    proxy.cut_next_reply()
    future.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(60)
    assert count.get_value() == 0
    assert proxy.cuts == 1


# ---- arguments and results
def test_arguments_are_read_when_they_are_submitted(mode: str) -> None:
    x = T.dvector("x")
    double = function([x], x * 2)
    value = np.ones(1000)
    futures = []
    for turn in range(50):
        value[:] = turn
        futures.append(double.submit(value))
    assert [float(f.result()[0]) for f in futures] == [2.0 * turn for turn in range(50)]


def test_buffers_live_until_the_answer_is_there(mode: str) -> None:
    x = T.dvector("x")
    futures = [function([x], x * 2).submit(exprd.put(np.full(3, float(i)))) for i in range(20)]
    gc.collect()
    exprd.put(np.ones(1)).get()  # frees what nobody uses
    assert [f.result().tolist() for f in futures] == [[2.0 * i] * 3 for i in range(20)]


def test_outputs_of_many_calls_can_stay(mode: str) -> None:
    x = T.dvector("x")
    double, total = function([x], x * 2), function([x], x.sum())
    kept = double.submit_keep([1.0, 2.0]).result()
    assert isinstance(kept, exprd.Buffer)
    assert total(kept) == 6
    several = double.batch([([float(i)],) for i in range(5)], keep=True)
    assert [float(total(each)) for each in several] == [0, 2, 4, 6, 8]
    last = double.repeat(3, kept, keep=True)
    assert last.get().tolist() == [4, 8]
    stacked = double.repeat(3, kept, keep=True, stack=True)
    assert stacked.shape == (3, 2)


def buffers_there() -> int:
    session = current_session()
    session.sweep()
    return int(session.transport.info()["buffers"])


def test_kept_outputs_that_nobody_takes_are_freed(mode: str) -> None:
    x, i = T.dvector("x"), T.lscalar("i")
    pick = function([x, i], [x[i], x])
    before = buffers_there()
    pick.submit_keep([1.0, 2.0], 0)
    with pytest.raises(IndexOutOfRange):
        pick.submit_keep([1.0, 2.0], 9).result(60)
    with pytest.raises(IndexOutOfRange):
        pick.batch([([1.0], 0), ([1.0], 0), ([1.0], 5)], keep=True)
    with exprd.pipeline():  # at whose end all of them are answered
        pass
    while buffers_there() > before:  # the thread that got the answers may hold them a moment longer
        gc.collect()


# ---- compiling in the background


def test_a_lazy_function_waits_at_its_first_call(mode: str) -> None:
    x = T.dvector("x")
    f = function([x], T.tanh(x * 3.25), lazy=True)
    np.testing.assert_allclose(f([1.0]), np.tanh([3.25]))
    assert f.ready
    assert f.timings


def test_a_lazy_function_raises_at_its_first_call(server: str) -> None:
    with exprd.connect(server):
        state, x = shared(np.zeros(3), "state"), T.dvector("x")
        wrong = function([x], state + x, lazy=True)
        del state
        assert wrong([1.0, 2.0, 3.0]).tolist() == [1, 2, 3]
        with pytest.raises(exprd.ExprdError):
            wrong([1.0, 2.0])


def test_several_functions_compile_side_by_side(mode: str) -> None:
    x = T.dscalar("x")
    several = [function([x], x * (i + 0.125), lazy=True) for i in range(6)]
    assert [float(f.submit(2.0).result()) for f in several] == [2 * (i + 0.125) for i in range(6)]


def test_a_function_to_be_is_a_future(mode: str) -> None:
    x = T.dscalar("x")
    count = shared(0.0, "count")
    several = [
        exprd.compile_async([x], x * (i + 0.375), updates=[(count, count + x)], name=f"f{i}")
        for i in range(4)
    ]
    for future in concurrent.futures.as_completed(several, timeout=60):
        assert future.result().ready
    assert [f.result()(2.0) for f in several] == [2 * (i + 0.375) for i in range(4)]
    assert several[3].result().name == "f3"
    assert count.get_value() == 8

    async def wait() -> float:
        double = await asyncio.wrap_future(exprd.compile_async([x], x * 2.0625))
        return float(await asyncio.wrap_future(double.submit(2.0)))

    assert asyncio.run(wait()) == 4.125


def test_an_error_of_the_expressions_comes_at_once(mode: str) -> None:
    x = T.dvector("x")
    with pytest.raises(exprd.errors.MissingInput, match=r"test_futures\.py"):
        exprd.compile_async([], x * 2)


def test_an_error_of_the_compilation_comes_with_the_result(server: str) -> None:
    """With the flags of the block in which it was begun."""
    x = T.dscalar("x")
    with exprd.connect(server):
        with exprd.config.change_flags(deadline=1e-9):
            future = exprd.compile_async([x], x * 5.25)
            lazily = function([x], x * 6.25, lazy=True)
        with pytest.raises(exprd.errors.DeadlineExceeded):
            future.result(60)
        assert isinstance(lazily.when_ready().exception(60), exprd.errors.DeadlineExceeded)
        assert lazily(2.0) == 12.5  # the first call tries again


def test_whoever_waits_for_work_ahead_is_told() -> None:
    go_on, ahead = threading.Event(), Ahead()

    def work() -> None:
        go_on.wait(60)
        raise ValueError("of the work")

    assert ahead.then(1).result(0) == 1  # there is none
    ahead.begin(work)
    first, unwanted = ahead.then(2), ahead.then(3)
    assert unwanted.cancel()
    go_on.set()
    for future in (first, ahead.then(4)):
        with pytest.raises(ValueError, match="of the work"):
            future.result(60)
    assert unwanted.cancelled()


def test_a_function_that_was_awaited_is_freed_like_any_other(mode: str) -> None:
    x = T.dscalar("x")
    gone = weakref.ref(exprd.compile_async([x], x * 7.25).result(60))
    gc.disable()
    try:
        while gone() is not None:  # until the thread that made it has ended
            threading.Event().wait(0.001)
    finally:
        gc.enable()


# ---- the end of a call
def test_a_result_is_there_at_once_unless_something_is_called_then() -> None:
    quick, watched = Future[int](), Future[int]()
    called: list[object] = []
    watched.add_done_callback(called.append)
    assert not quick.settle(1)  # of a call that was not made
    for future in (quick, watched):
        assert future.set_running_or_notify_cancel()
    waiting = threading.Thread(target=quick.result)
    waiting.start()
    assert quick.settle(1)
    waiting.join(10)
    assert not waiting.is_alive()
    assert quick.result() == 1
    assert not quick.settle(2)
    assert not watched.settle(3)
    assert not called
    watched.set_result(3)
    assert called == [watched]


def test_what_is_called_at_the_end_may_call_the_server(mode: str) -> None:
    del mode
    x = T.dscalar("x")
    double = function([x], 2 * x)
    found: list[float] = []

    def follow(done: concurrent.futures.Future[object]) -> None:
        found.append(float(double(done.result())))

    for _ in range(50):
        future = double.submit(1.0)
        future.add_done_callback(follow)
        double.submit(2.0).result()
    assert found == [4.0] * 50


@pytest.mark.parametrize(
    ("queued", "sent", "sends"),
    [(0, 0, False), (1, 0, True), (1, 7, True), (2, 7, False), (2, 6, True), (9, 6, True)],
)
def test_frames_do_not_become_smaller_and_smaller(queued: int, sent: int, sends: bool) -> None:
    stream = CallStream(*[print] * 6)  # of which nothing is asked
    stream._window = (8, 1 << 20)
    stream._queued.extend(range(queued))
    stream._sent.update(dict.fromkeys(range(sent)))
    assert stream._can_send() is sends
