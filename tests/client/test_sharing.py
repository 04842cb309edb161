"""Versions, snapshots and variables by name, in this process and on a server."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd import function, shared
from exprd.errors import CallError, Conflict, UnknownHandle
from exprd.session import current_session

pytestmark = pytest.mark.usefixtures("mode")


def test_versions_count_assignments() -> None:
    w = shared(np.zeros(2), "w")
    assert w.version == 1
    w.set_value(np.ones(2))
    step = function([], w.sum(), updates=[(w, w + 1)])
    step()
    assert w.version == 3
    w.set_value([5, 5], expected_version=3)
    for stale in (1, 3, 5):
        with pytest.raises(Conflict, match="version 4"):
            w.set_value([0, 0], expected_version=stale)
    assert w.get_value().tolist() == [5, 5]


def test_calls_run_only_at_expected_versions() -> None:
    x = T.vector("x")
    w, b = shared(np.zeros(2), "w"), shared(1.0, "b")
    step = function([x], {"sum": (w * x).sum() + b}, updates=[(w, w + x)])
    assert step.expecting({w: 1, b: 1})(np.ones(2)) == {"sum": 1.0}
    with pytest.raises(Conflict):
        step.expecting({w: 1})(x=np.ones(2))
    b.set_value(2.0)
    with pytest.raises(Conflict):  # of a variable that it only reads
        step.expecting({w: 2, b: 1})(np.ones(2))
    assert step.expecting({w: 2, b: 2})(np.ones(2)) == {"sum": 4.0}
    other = shared(0.0, "other")
    with pytest.raises(CallError, match="not bound"):
        step.expecting({other: other.version})(np.ones(2))
    assert w.version == 3


def test_compare_and_set_from_many_threads() -> None:
    count = shared(0, "count")
    assert count.version == 1

    def work() -> None:
        done = 0
        while done < 10:
            version, value = count.version, count.get_value()
            try:
                count.set_value(value + 1, expected_version=version)
            except Conflict:
                continue
            done += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count.get_value() == 40
    assert count.version == 41


def test_reads_are_of_one_moment() -> None:
    a, b = shared(np.full(50_000, 7.0), "a"), shared(np.zeros(50_000), "b")
    move = function([], [], updates=[(a, a - 1), (b, b + 1)])
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            move()

    mover = threading.Thread(target=work)
    mover.start()
    for _ in range(30):
        first, second = exprd.read([a, b])
        assert first[0] + second[0] == 7
        assert np.all(first + second == 7)
    stop.set()
    mover.join()
    first[:] = 0  # a copy
    assert a.get_value()[0] != 0 or b.get_value()[0] == 7


def test_reads_of_large_values_and_of_nothing() -> None:
    large = shared(np.arange(700_000.0), "large")
    small = shared(2, "small")
    function([], large.sum() + small)
    values = exprd.read([large, small, large])
    assert [v.shape for v in values] == [(700_000,), (), (700_000,)]
    assert values[2][-1] == 699_999
    assert exprd.read([]) == []
    with pytest.raises(CallError, match="takes shared variables, not str 'w'; open_shared"):
        exprd.read(["w"])


def test_reads_of_what_lives_nowhere_yet() -> None:
    here, there = shared(1.0), shared(2.0)
    assert [v.item() for v in exprd.read([here, there])] == [1, 2]
    function([], there * 2)()
    assert [v.item() for v in exprd.read([here, there])] == [1, 2]
    assert here.version == 1


def test_variables_by_name() -> None:
    with pytest.raises(UnknownHandle, match="'shared state'"):
        exprd.open_shared("shared state")
    first = exprd.open_shared("shared state", np.zeros(3))
    second = exprd.open_shared("shared state", np.ones(3))
    add = function([], [], updates=[(first, first + 1)])
    add()
    assert second.get_value().tolist() == [1, 1, 1]
    assert (second.name, second.durability, second.version) == ("shared state", "durable", 2)
    with pytest.raises(Conflict, match=r"float64\[\?\]"):
        exprd.open_shared("shared state", 0)
    with pytest.raises(CallError, match="has a name"):
        exprd.open_shared("")
    assert second is first  # so that a function has one slot for it
    mine = shared(5.0, "mine", durability="durable")
    function([], mine)()
    assert exprd.open_shared("mine") is mine


def test_durable_variables_stay_when_their_objects_go() -> None:
    kept = exprd.open_shared("kept state", 3.0)
    del kept
    function([], T.constant(1.0))()  # gives up what has no owner any more
    exprd.session.current_session().sweep()
    assert exprd.open_shared("kept state").get_value() == 3


def test_sessions_have_no_moment_in_common(server: str) -> None:
    a = shared(1.0)
    function([], a)()
    with exprd.connect(server):
        b = shared(1.0)
        function([], b)()
        with pytest.raises(CallError, match="different sessions"):
            exprd.read([a, b])


def test_a_client_resumes_with_more_variables_than_fit_into_one_message(mode: str) -> None:
    if mode == "remote":
        connection = current_session().transport._connection
        known = [(f"u{number}", 1) for number in range(10_001)]
        found = connection.resume("of long ago", known)
        assert found.incarnation == connection.incarnation_now()
        assert found.missing == tuple(uuid for uuid, _ in known)
