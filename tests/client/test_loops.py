"""Submitted calls, pipelines, batches and repetitions, in this process and against a server."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd import function, shared
from exprd.errors import CallError, IndexOutOfRange
from exprd.looping import Progress
from tests.client.counting import LONG, begun, counter, endless
from tests.client.proxy import Proxy

LARGE = 700_000  # float64s above what travels inside a message


# ---- submitted calls


def test_submitted_calls_run_in_order(mode: str) -> None:
    add, count = counter()
    futures = [add.submit(1.0) for _ in range(200)]
    assert [float(f.result()[0]) for f in futures] == list(range(200))
    assert count.get_value() == 200
    assert all(f.done() and f.exception() is None for f in futures)


def test_a_submitted_call_gives_what_a_call_gives(mode: str) -> None:
    x = T.dvector("x")
    single = function([x], x * 2)
    named = function([exprd.In(x, value=[1.0, 2.0])], {"a": x + 1, "b": x.sum()})
    assert single.submit([1, 2]).result().tolist() == [2, 4]
    found = named.submit(x=[3.0]).result()
    assert found["a"].tolist() == [4]
    assert named.submit().result()["b"] == 3
    buffer = exprd.put(np.ones(3))
    assert single.submit(buffer).result().tolist() == [2, 2, 2]
    mine = single.submit(np.ones(2)).result()
    mine[0] = 7  # the caller's own
    large = single.submit(np.ones(LARGE)).result()
    assert large.shape == (LARGE,)
    assert (large == 2).all()


def test_arguments_are_checked_when_they_are_submitted(mode: str) -> None:
    add, count = counter()
    with pytest.raises(CallError, match="misses the input by"):
        add.submit()
    assert count.get_value() == 0


def test_a_failure_is_its_own(mode: str) -> None:
    x, i = T.dvector("x"), T.lscalar("i")
    count = shared(0, "count")
    pick = function([x, i], x[i], updates=[(count, count + 1)])
    futures = [pick.submit([1.0, 2.0], place) for place in (0, 9, 1)]
    assert futures[0].result() == 1
    with pytest.raises(IndexOutOfRange) as caught:
        futures[1].result()
    assert isinstance(futures[1].exception(), IndexOutOfRange)
    assert "test_loops.py" in str(caught.value)  # the user's line
    assert futures[2].result() == 2
    assert count.get_value() == 2


def test_futures_are_those_of_the_standard_library(mode: str) -> None:
    add, _ = counter()
    futures = [add.submit(1.0) for _ in range(20)]
    done, rest = concurrent.futures.wait(futures, timeout=30)
    assert (len(done), len(rest)) == (20, 0)
    seen = {float(f.result()[0]) for f in concurrent.futures.as_completed(futures)}
    assert seen == set(range(20))
    called = threading.Event()
    add.submit(1.0).add_done_callback(lambda _: called.set())
    assert called.wait(30)

    async def wait() -> float:
        return float((await asyncio.wrap_future(add.submit(1.0)))[0])

    assert asyncio.run(wait()) == 21


def test_a_timeout_of_result_leaves_the_call_alone(mode: str) -> None:
    work, _ = endless()
    add, _ = counter()
    running, waiting = begun(work.submit(LONG)), add.submit(1.0)
    for future in (running, waiting):
        with pytest.raises(TimeoutError):
            future.result(0)
    assert running.running()
    running.cancel()
    assert waiting.result(60)[0] == 0


def test_calls_of_a_pipeline_keep_their_order(mode: str) -> None:
    add, count = counter()
    with exprd.pipeline():
        futures = [add.submit(1.0) for _ in range(10)]
        assert float(add(1.0)[0]) == 10  # after those before it
        futures += [add.submit(1.0) for _ in range(10)]
    assert all(f.done() for f in futures)
    assert count.get_value() == 21
    assert float(add(1.0)[0]) == 21


def test_threads_share_a_session(mode: str) -> None:
    add, count = counter()
    found: list[float] = []

    def work() -> None:
        found.extend(float(f.result()[0]) for f in [add.submit(1.0) for _ in range(100)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(found) == list(range(400))
    assert count.get_value() == 400


def test_submitted_calls_survive_cut_connections(proxy: Proxy) -> None:
    add, count = counter()
    add(0.0)
    seen: list[float] = []
    for turn in range(6):
        futures = [add.submit(1.0) for _ in range(100)]
        proxy.cut_after(500 * (1 + turn % 3), replies=turn % 2 == 0)
        seen += [float(f.result(60)[0]) for f in futures]
    assert seen == list(range(600))
    assert count.get_value() == 600
    assert proxy.cuts >= 3


def test_a_closed_session_takes_no_calls(server: str) -> None:
    with exprd.connect(server):
        add, _ = counter()
        add.submit(1.0).result()
    with pytest.raises(exprd.errors.ConnectionLost, match="closed"):
        add.submit(1.0)


# ---- batches


def test_a_batch_is_calls_in_a_row(mode: str) -> None:
    add, count = counter()
    found = add.batch([(float(i),) for i in range(1200)])  # more than one message takes
    assert [float(x[0]) for x in found] == [i * (i - 1) / 2 for i in range(1200)]
    assert count.get_value() == 1200 * 1199 / 2
    assert add.batch([]) == []


def test_a_batch_of_arrays_of_any_size(mode: str) -> None:
    x = T.dvector("x")
    double = function([x], x * 2)
    values = [np.full(n, float(n)) for n in (0, 1, LARGE, 3, 200_000, 200_000, 200_000)]
    values += [np.ones(150_000)] * 20
    for given, found in zip(values, double.batch([(v,) for v in values]), strict=True):
        np.testing.assert_array_equal(found, given * 2)


def test_a_batch_ends_at_its_first_failure(mode: str) -> None:
    x, i = T.dvector("x"), T.lscalar("i")
    count = shared(0, "count")
    pick = function([x, i], x[i], updates=[(count, count + 1)])
    with pytest.raises(IndexOutOfRange) as caught:
        pick.batch([([1.0], 0), ([1.0], 0), ([1.0], 5), ([1.0], 0)])
    assert caught.value.fields["item"] == "2"
    assert count.get_value() == 2


def test_a_failure_in_a_later_message_of_a_batch_says_which_item(mode: str) -> None:
    count, i = shared(0, "count"), T.lscalar("i")
    pick = function([i], T.as_tensor([1.0, 2.0])[i], updates=[(count, count + 1)])
    items = [(k % 2,) for k in range(1300)]
    items[1100] = (9,)
    with pytest.raises(IndexOutOfRange) as caught:
        pick.batch(items)
    assert caught.value.fields["item"] == "1100"
    assert count.get_value() == 1100


def test_a_batch_survives_cut_connections(proxy: Proxy) -> None:
    add, count = counter()
    for turn in range(4):
        proxy.cut_next_reply()
        found = add.batch([(1.0,)] * 50)
        assert [float(x[0]) for x in found] == list(range(50 * turn, 50 * turn + 50))
    assert count.get_value() == 200


# ---- repetitions


def test_a_repetition_is_calls_in_a_row(mode: str) -> None:
    add, count = counter()
    last, above = add.repeat(10, 2.0)
    assert (float(last), bool(above)) == (18, True)
    assert count.get_value() == 20


def test_a_repetition_ends_when_an_output_says_so(mode: str) -> None:
    add, count = counter()
    last, _ = add.repeat(1000, 1.0, until=1)
    assert last == 8
    assert count.get_value() == 9


def test_progress_is_told(mode: str) -> None:
    add, _ = counter()
    told: list[Progress] = []
    add.repeat(10, 1.0, every=4, on_progress=told.append)
    assert [(p.step, float(p.outputs[0])) for p in told] == [(4, 3), (8, 7), (10, 9)]


def test_outputs_of_all_steps(mode: str) -> None:
    add, _ = counter()
    counts, above = add.repeat(10, 1.0, stack=True)
    assert counts.tolist() == list(range(10))
    assert above.dtype == bool
    assert above.sum() == 2


def test_outputs_that_grow_are_not_stacked(mode: str) -> None:
    """Nor gathered until the end: the step in which one differs is the first that is not done."""
    w = shared(np.ones(1), "w")
    grow = function([], w, updates=[(w, T.concatenate([w, w[:1]]))])
    with pytest.raises(CallError, match="differ in shape") as caught:
        grow.repeat(5, stack=True)
    assert caught.value.fields["steps"] == "1"
    assert w.get_value().tolist() == [1, 1]


def test_a_progress_function_that_fails_ends_the_repetition(mode: str) -> None:
    add, count = counter()

    def tell(progress: Progress) -> None:
        if progress.step == 5:
            raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        add.repeat(5_000_000, 1.0, on_progress=tell)
    assert 5 <= count.get_value() < 5_000_000


def test_a_step_that_fails_leaves_those_before_it(mode: str) -> None:
    place, x = shared(0, "place"), T.dvector("x")
    walk = function([x], x[place], updates=[(place, place + 1)])
    with pytest.raises(IndexOutOfRange):
        walk.repeat(10, [1.0, 2.0, 3.0])
    assert place.get_value() == 3


def test_a_repetition_survives_cut_connections(proxy: Proxy) -> None:
    add, count = counter()
    told: list[int] = []
    proxy.cut_after(10_000, replies=True)
    last, _ = add.repeat(5_000, 1.0, on_progress=lambda p: told.append(p.step))
    assert proxy.cuts == 1
    assert last == 4_999
    assert count.get_value() == 5_000
    assert told == sorted(set(told))  # no step twice; some may not have been told
    assert told[-1] == 5_000


class Lost:
    """The messages of a repetition that was done to its end, without the last ones."""

    def __init__(self, parts: Iterator[object], lost: int) -> None:
        self._parts = list(parts)[: -lost or None]

    def __iter__(self) -> Iterator[object]:
        return iter(self._parts)

    def cancel(self) -> None:
        """Nothing is left to be broken off."""


@pytest.mark.parametrize("lost", [0, 1, 2, 4])
@pytest.mark.parametrize("way", [{}, {"stack": True}, {"keep": True}])
def test_the_last_step_is_told_once_whatever_is_lost(
    server: str, monkeypatch: pytest.MonkeyPatch, lost: int, way: dict[str, bool]
) -> None:
    with exprd.connect(server) as session:
        add, count = counter()
        loops: Any = session.transport.loops
        real, cut = loops._repeat, [lost]

        def repeat(data: bytes, timeout: float) -> object:
            parts = real(data, timeout=timeout)
            return Lost(parts, cut.pop()) if cut else parts

        monkeypatch.setattr(loops, "_repeat", repeat)
        told: list[Progress] = []
        add.repeat(10, 1.0, every=2, on_progress=told.append, **way)
        steps = [p.step for p in told]
        assert steps == sorted(set(steps))
        assert steps[-1] == 10
        assert [float(x) for x in told[-1].outputs] == [9.0, 1.0]
        assert count.get_value() == 10


@pytest.mark.parametrize(("steps", "every"), [(0, 1), (-1, 1), (1, -1)])
def test_numbers_that_make_no_sense(mode: str, steps: int, every: int) -> None:
    add, count = counter()
    with pytest.raises(CallError, match="repeat"):
        add.repeat(steps, 1.0, every=every, on_progress=print)
    with pytest.raises(CallError, match=r"outputs \[5\]"):
        add.repeat(3, 1.0, until=5)
    assert count.get_value() == 0


def test_events_of_all_steps_are_counted(mode: str) -> None:
    x = T.lvector("x")
    divide = function([x], 1 // x)
    with pytest.warns(exprd.NumericWarning, match="6"):
        divide.repeat(3, [0, 0, 1])


def test_printed_values_of_the_last_step(mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    x = T.dscalar("x")
    show = function([x], exprd.printing.Print("seen")(x) * 2)
    assert show.repeat(3, 4.0) == 8
    assert capsys.readouterr().out.count("seen") == 1
