"""Writes that are refused or fail: what was there before stays, and nobody waits for ever."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable

import numpy as np
import pytest

from exprd_compiler.errors import CompilerBug, LimitExceeded
from exprd_server.policy import ALWAYS, OFF, Policy
from exprd_server.store import CallRecord
from exprd_server.stores import sqlite
from exprd_server.stores.batch import Dirty
from exprd_server.stores.checkpoints import Checkpoints
from exprd_server.stores.folder import StateFolder
from exprd_server.stores.salvage import repair_state
from exprd_server.values import Durability, ExecuteReply
from tests.server.stores.facts import change, content, keys, record, variable
from tests.server.stores.recording import rule
from tests.server.stores.test_faults import full_after
from tests.server.stores.test_sqlite import copied


def told(work: Callable[[], object]) -> Exception | None:
    """The error of some work, which ends."""
    said: list[Exception | None] = []

    def run() -> None:
        try:
            work()
        except Exception as error:
            said.append(error)
        else:
            said.append(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    assert said, "it waits for ever"
    return said[0]


def progress(steps: int) -> CallRecord:
    """The record of a repetition that goes on."""
    reply = ExecuteReply(outputs=(), steps=steps, unfinished=True)
    return CallRecord(client_id="c", seq=1, digest=b"d", reply=reply)


@pytest.mark.parametrize("policy", [ALWAYS, OFF])
def test_a_step_that_is_refused_leaves_the_record_of_those_before_it(open_store, tmp_path, policy):
    """Without it the call would be made from its beginning after a restart: steps done twice."""
    store = open_store(policy)
    store.create(variable("a", np.zeros(100)))
    store.flush()
    store.commit([change("a", 1, np.ones(100))], progress(1))
    full_after(store, 1)
    with pytest.raises(LimitExceeded, match="full"):
        store.commit([change("a", 2, np.ones(100_000))], progress(2), ALWAYS)
    assert [r.reply.steps for r in store.records()] == [1]
    full_after(store, 10_000)
    store.flush()
    store.create(variable("b"))
    store.flush()
    again = open_store(path=copied(tmp_path / "state", tmp_path / "crashed"))
    assert [r.reply.steps for r in again.records()] == [1]
    assert content(again)["a"][0] == 2


def test_a_repair_without_room_on_the_disk_changes_nothing(recorder, open_store, tmp_path):
    """A file whose log cannot be folded in never takes the place of the damaged one."""
    place = tmp_path / "state"
    store = open_store(path=place)
    store.create(variable("a", np.ones(300_000)))
    Checkpoints(place / "checkpoints").write("good", store.variables())
    store.close()
    full = rule("w", "state.db.repaired$", 2, errno.ENOSPC, 1_000_000)
    said = recorder.run("tests.server.stores.power_repair", str(place), root=place, rule=full)
    assert said == "spoilt\n"
    assert sorted(path.name for path in place.glob("state.db*")) == ["state.db"]
    folder = StateFolder(place)
    assert len(repair_state(folder).restored) == 1  # now there is room
    folder.close()
    assert (open_store(path=place).variables()[0].value == 1).all()


def without_marker(store) -> None:
    """Has the file of the marker take no more, as a disk that is full or fails would."""
    marker = store._marker
    marker.close()
    marker._file = -1  # the kernel refuses to write to it


def test_a_marker_that_cannot_be_written_refuses_what_it_should_tell(open_store):
    """A weak commit that nobody could miss later is not answered; it changes nothing."""
    store = open_store(OFF)
    store.create(variable("a"))
    without_marker(store)
    assert isinstance(told(lambda: store.commit([change("a", 1, 1.0)], record(1))), LimitExceeded)
    assert (content(store), keys(store)) == ({"a": (1, 0.0)}, [])
    # What is on the disk before its answer needs no marker.
    assert told(lambda: store.commit([change("a", 1, 2.0)], record(1), ALWAYS)) is None
    store.close()
    assert content(open_store()) == {"a": (2, 2.0)}


@pytest.mark.parametrize("policy", [ALWAYS, Policy(0.01)])
def test_whoever_waits_is_told_whatever_happens(open_store, monkeypatch, policy):
    store = open_store(policy)
    store.create(variable("a"))
    store.flush()
    real, left = Dirty.batch, [1]

    def batch(self: Dirty, *facts):
        if left:
            left.pop()
            raise MemoryError
        return real(self, *facts)

    monkeypatch.setattr(Dirty, "batch", batch)
    error = told(lambda: store.commit([change("a", 1, 1.0)], record(1), ALWAYS))
    assert isinstance(error, CompilerBug)
    assert (content(store), keys(store)) == ({"a": (1, 0.0)}, [])
    assert told(lambda: store.commit([change("a", 1, 1.0)], record(1), ALWAYS)) is None
    store.close()
    assert content(open_store()) == {"a": (2, 1.0)}


def test_everybody_is_refused_by_an_error_of_his_own(open_store, monkeypatch):
    """One for all would keep the frames of each refused call, and what they refer to."""
    monkeypatch.setattr(sqlite, "_RETRY_SECONDS", 1000.0)  # which might be accepted meanwhile
    store = open_store(OFF)
    store.create(variable("a"))
    store.flush()
    full_after(store, 0)
    calls = [lambda: store.commit([change("a", 1, np.ones(100_000))], None, ALWAYS)]
    calls += [lambda: store.commit([change("a", 1, 1.0)], None)] * 3
    errors = [told(call) for call in calls]
    assert all(isinstance(error, LimitExceeded) and "full" in error.message for error in errors)
    assert len(set(map(id, errors))) == len(errors)


def test_records_of_volatile_calls_leave_nothing_behind(open_store):
    """They are never in the file, so that nothing is to be removed there."""
    store = open_store()
    store.create(variable("v", 0.0, Durability.VOLATILE))
    for seq in range(1, 200):
        store.commit([change("v", seq, float(seq))], record(seq))
        store.forget("c", seq - 1)
    assert keys(store) == [("c", 199)]
    assert len(store._dirty.calls) + len(store._forgotten.calls) == 0


def test_a_removal_that_is_refused_brings_back_what_was_answered(open_store, monkeypatch):
    """Not the value of a commit that was on its way when it came, and was refused before it."""
    store = open_store()
    store.create(variable("a"))
    begun, go_on = threading.Event(), threading.Event()

    def refuse(batch):
        begun.set()
        assert go_on.wait(20)
        raise LimitExceeded("no room")

    with monkeypatch.context() as patched:
        patched.setattr(store._database, "write", refuse)
        errors: list[Exception | None] = []
        works = [
            lambda: store.commit([change("a", 1, 1.0)], None),
            lambda: store.delete(["a"]),
        ]
        threads = [
            threading.Thread(target=lambda work=work: errors.append(told(work))) for work in works
        ]
        threads[0].start()
        assert begun.wait(20)
        threads[1].start()
        while not store._waiting:
            pass
        go_on.set()
        for thread in threads:
            thread.join()
    assert [str(error) for error in errors] == ["no room", "no room"]
    assert content(store) == {"a": (1, 0.0)}
    store.commit([change("a", 1, 3.0)], None)
    store.delete(["a"])
    store.close()
    assert content(open_store()) == {}
