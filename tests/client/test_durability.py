"""When what functions change is on disk, whose variables last, and repetitions as one commit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import exprd
import exprd.tensor as T
from exprd import function, shared
from exprd.errors import CallError, IndexOutOfRange, StateRolledBack
from exprd_server.cli import main
from exprd_server.stores.checkpoints import Checkpoints
from tests.client.restarts import KillAt, RestartableServer

Start = Callable[..., RestartableServer]


@pytest.fixture
def start(tmp_path: Path, child_env: dict[str, str]) -> Iterator[Start]:
    """A function that starts a server which can be killed."""
    started: list[RestartableServer] = []

    def begin(*flags: str) -> RestartableServer:
        started.append(RestartableServer(tmp_path, child_env, *flags))
        return started[-1]

    yield begin
    for server in started:
        server.kill()


def counting(count, durability: str = ""):
    return function([], count, updates=[(count, count + 1)], durability=durability)


def seconds_to_disk(log: Path, call: Callable[[], object]) -> float:
    """How long after the begin of a call the log of the store has grown."""
    before, begun = log.stat().st_size, time.monotonic()
    call()
    while log.stat().st_size == before:
        threading.Event().wait(0.002)
    return time.monotonic() - begun


def test_a_function_may_be_less_durable_than_its_server(start: Start, tmp_path, figure) -> None:
    """Whole commits are missing from the end; what `always` has answered is there."""
    server = start()
    with exprd.connect(server.target):
        count = shared(0, "count", durability="durable")
        slowly, never = counting(count, "interval=0.3"), counting(count, "off")
        counting(count)()
        waited = seconds_to_disk(tmp_path / "state" / "state.db-wal", slowly)
        never(), never()
        server.restart()
        with pytest.raises(StateRolledBack, match="lost acknowledged values of count"):
            never()
        assert count.get_value() == 2
    assert 0.1 < waited < 10  # of 0.3, on a busy machine
    figure("crash", policy="of a function", interval_s=0.3, on_disk_after_s=round(waited, 2))


def test_a_function_may_be_more_durable_than_its_server(start: Start) -> None:
    """And variables that nobody called durable are so where that is the default.

    Published, it keeps its durability.
    """
    server = start("--durability", "off", "--default-durability", "durable")
    with exprd.connect(server.target):
        count, fleeting = shared(0), shared(0, durability="volatile")
        assert count.durability == "default"
        surely, carelessly = counting(count, "always"), counting(count)
        assert (count.durability, fleeting.durability) == ("durable", "volatile")
        exprd.publish("surely", surely)
        carelessly(), surely(), carelessly()
        counting(fleeting)()
        assert carelessly.handle != surely.handle
        server.restart()
        with pytest.raises(StateRolledBack, match="lost acknowledged values"):
            surely()
        assert count.get_value() == 2  # `surely` took along what was before it
        assert surely() == 2
        assert exprd.lookup("surely").handle == surely.handle


def test_config_says_what_variables_are_that_name_no_durability(mode: str) -> None:
    with exprd.config.change_flags(durability="durable"):
        assert shared(0).durability == "durable"
        assert shared(0, durability="constant").durability == "constant"
    count = shared(0)
    counting(count)()
    assert count.durability == "volatile"


def test_a_policy_must_be_one(mode: str) -> None:
    count = shared(0)
    assert counting(count, "always")() == 0  # without effect where nothing is kept
    with pytest.raises(CallError, match="no durability policy"):
        counting(count, "sometimes")


# ---- repetitions that commit once


def walk():
    """A function of dense and sparse updates, and what it updates."""
    x, i = T.dvector("x"), T.lvector("i")
    total, table = shared(np.zeros(3), "total"), shared(np.zeros((40, 2)), "table")
    rows = T.inc_subtensor(table[i], total.sum() + 1)
    step = function([x, i], [total.sum(), table], updates=[(total, total + x), (table, rows)])
    return step, total, table


@pytest.mark.parametrize("stack", [False, True])
def test_all_steps_are_one_commit(mode: str, stack: bool) -> None:
    given = (np.ones(3), np.array([1, 5, 5]))
    step, total, table = walk()
    wanted = step.repeat(7, *given, stack=stack)
    once, total_once, table_once = walk()
    seen: list[tuple[int, float]] = []
    found = once.repeat(
        7,
        *given,
        commit="once",
        stack=stack,
        every=2,
        on_progress=lambda p: seen.append((p.step, float(p.outputs[0]))),
    )
    for a, b in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(total.get_value(), total_once.get_value())
    np.testing.assert_array_equal(table.get_value(), table_once.get_value())
    assert (total.version, total_once.version, table_once.version) == (8, 2, 2)
    assert seen == [(2, 3.0), (4, 9.0), (6, 15.0), (7, 18.0)]


def test_a_repetition_that_fails_on_the_way_changes_nothing(mode: str) -> None:
    count, i = shared(0, "count"), T.lscalar("i")
    data = shared(np.arange(5.0), "data")
    step = function([i], data[count], updates=[(count, count + i), (data, data + 1)])
    with pytest.raises(IndexOutOfRange) as caught:
        step.repeat(9, 2, commit="once")
    assert caught.value.fields["steps"] == "0"
    assert (count.version, data.version) == (1, 1)
    assert step.repeat(3, 2, commit="once") == 6  # data[4] + 2
    assert (count.get_value(), data.get_value()[0]) == (6, 3)
    ends = function([], [T.ge(count, 8), count], updates=[(count, count + 1)])
    assert ends.repeat(50, until=0, commit="once")[1] == 8
    assert (count.get_value(), count.version) == (9, 3)
    with pytest.raises(CallError, match="once"):
        step.repeat(3, 0, commit="never")


def test_other_updates_wait_for_the_commit_and_readers_do_not(mode: str) -> None:
    count = shared(0, "count")
    step = counting(count)
    read = function([], count)
    met: list[int] = []
    other = threading.Thread(target=lambda: met.append(int(counting(count)())))

    def look(progress: exprd.Progress) -> None:
        if progress.step == 5:
            other.start()
        # What is told may come behind the repetition, but nothing in between is ever seen.
        assert read() in (0, 20, 21)

    step.repeat(20, every=5, on_progress=look, commit="once")
    other.join()
    assert met == [20]
    assert (count.get_value(), count.version) == (21, 3)


def test_a_repetition_over_a_kill_is_made_once(start: Start) -> None:
    server = start()
    with exprd.connect(server.target):
        count = shared(0, "count", durability="durable")
        step = counting(count)
        turn, steps = 0, list[int]()
        while steps.count(20) < 2:  # once more if the kill came when all was done
            turn, steps = turn + 1, []
            with KillAt(server, 1) as tell:

                def note(progress: exprd.Progress) -> None:
                    steps.append(progress.step)  # noqa: B023 - it is called in this turn alone
                    tell(len(steps))  # noqa: B023

                last = step.repeat(4000, on_progress=note, every=20, commit="once")
            assert last == 4000 * turn - 1
            assert (count.get_value(), count.version) == (4000 * turn, 1 + turn)
    assert server.starts == 1 + turn
    assert steps.count(20) == 2  # nothing was left of the first attempt


# ---- rows of a table


def test_rows_that_were_written_over_a_kill_are_those_of_an_uninterrupted_run(
    start: Start, tmp_path, rng
) -> None:
    """In place, in a journal beside the chunks, in checkpoints, and sound in the end."""
    server = start()
    rows = [rng.integers(0, 2048, 20) for _ in range(60)]
    expected = np.zeros((2048, 256), "float32")
    for index in rows:
        np.add.at(expected, index, np.float32(1))
    with exprd.connect(server.target), KillAt(server, 30) as tell:
        table = shared(np.zeros((2048, 256), "float32"), "table", durability="durable")
        i = T.lvector("i")
        add = function([i], [], updates=[(table, T.inc_subtensor(table[i], np.float32(1)))])
        for number, index in enumerate(rows):
            tell(number)
            add(index)
        np.testing.assert_array_equal(table.get_value(), expected)
        assert state("checkpoint", "c", "--target", server.target) == 0
    assert (server.starts, server.stop()) == (2, 0)
    folder = tmp_path / "state"
    assert state("check", "--state", str(folder)) == 0
    assert state("get", "table", "--state", str(folder), "-o", str(tmp_path / "t.npy")) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy"), expected)
    (kept,) = Checkpoints(folder / "checkpoints").read("c")
    np.testing.assert_array_equal(kept.value, expected)


def state(*words: str) -> int:
    """The exit status of `exprd state`."""
    return CliRunner().invoke(main, ["state", *words]).exit_code
