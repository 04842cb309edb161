"""The contract of a store; every implementation runs it."""

from __future__ import annotations

import numpy as np
import pytest

from exprd_compiler.errors import Conflict, UnknownHandle
from exprd_server.policy import ALWAYS, OFF, Policy
from exprd_server.store import MemoryStore
from exprd_server.values import Durability
from tests.server.stores.facts import change, content, keys, record, variable

POLICIES = {"always": ALWAYS, "interval": Policy(0.01), "off": OFF}


@pytest.fixture(params=["memory", *POLICIES])
def store(request, open_store):
    return MemoryStore() if request.param == "memory" else open_store(POLICIES[request.param])


def test_commit_applies_every_change_and_the_record(store):
    store.create(variable("a"))
    store.create(variable("b"))
    store.commit([change("a", 1, 5.0), change("b", 1, 6.0)], record(1))
    assert content(store) == {"a": (2, 5.0), "b": (2, 6.0)}
    assert [r.seq for r in store.records()] == [1]


@pytest.mark.parametrize(
    ("second", "error"),
    [(change("b", 7, 6.0), Conflict), (change("nope", 1, 6.0), UnknownHandle)],
)
def test_a_refused_change_takes_the_others_and_the_record_with_it(store, second, error):
    store.create(variable("a"))
    store.create(variable("b"))
    with pytest.raises(error):
        store.commit([change("a", 1, 5.0), second], record(1))
    assert content(store) == {"a": (1, 0.0), "b": (1, 0.0)}
    assert not store.records()


def test_a_uuid_is_created_once(store):
    store.create(variable("a"))
    with pytest.raises(Conflict):
        store.create(variable("a", 1.0))
    assert content(store) == {"a": (1, 0.0)}


def test_delete_ignores_what_is_not_there(store):
    store.create(variable("a"))
    store.delete(["a", "nope"])
    assert content(store) == {}


def test_forget_drops_records_of_one_client_up_to_a_number(store):
    for seq in (1, 2, 3):
        store.commit([], record(seq))
    store.commit([], record(1, "other"))
    store.forget("c", 2)
    assert sorted((r.client_id, r.seq) for r in store.records()) == [("c", 3), ("other", 1)]
    store.forget("c", 3)
    store.forget("never seen", 9)
    assert [r.client_id for r in store.records()] == ["other"]


def test_entries_are_kept_by_kind_and_key(store):
    store.put_entry("name", "a", b"1")
    store.put_entry("name", "a", b"2")
    store.put_entry("version", "a", b"3")
    assert store.entries("name") == {"a": b"2"}
    assert store.entries("version") == {"a": b"3"}
    store.drop_entry("name", "a")
    store.drop_entry("name", "never there")
    assert store.entries("name") == {}
    assert store.entries("other") == {}


def test_commits_are_numbered(store):
    store.create(variable("a"))
    first = store.commit([change("a", 1, 5.0)], record(1))
    second = store.commit([], record(2))
    assert second > first
    run = store.incarnations()[-1]
    assert run.first < first
    store.flush()
    assert run.id == store.incarnations()[-1].id
    assert store.incarnations()[-1].acknowledged == second


def test_a_commit_may_have_a_policy_of_its_own(store):
    store.create(variable("a"))
    for version, policy in enumerate([ALWAYS, OFF, Policy(3600), ALWAYS], start=1):
        store.commit([change("a", version, float(version))], None, policy)
    assert content(store) == {"a": (5, 4.0)}


def test_volatile_variables_and_constants_are_there_like_others(store):
    store.create(variable("v", 1.0, Durability.VOLATILE))
    store.create(variable("k", 2.0, Durability.CONSTANT))
    store.create(variable("d", 3.0))
    store.commit([change("v", 1, 5.0), change("d", 1, 6.0)], record(1))
    store.commit([change("v", 2, 7.0)], record(2))
    assert content(store) == {"v": (3, 7.0), "k": (1, 2.0), "d": (2, 6.0)}
    assert keys(store) == [("c", 1), ("c", 2)]
    store.delete(["v", "k"])
    assert content(store) == {"d": (2, 6.0)}


def test_floors_only_rise_and_end_with_their_client(store):
    for seq in (1, 2, 3):
        store.commit([], record(seq))
    store.forget("c", 2)
    store.forget("c", 1)
    assert store.floors() == {"c": 2}
    store.drop_client("c")
    store.drop_client("nobody")
    assert store.floors() == {}
    assert keys(store) == []


def test_a_deleted_uuid_may_be_created_again(store):
    store.create(variable("a", 1.0))
    store.delete(["a"])
    store.create(variable("a", np.ones(3)))
    assert content(store) == {"a": (1, [1, 1, 1])}


def test_a_store_may_be_flushed_and_closed_twice(store):
    store.create(variable("a"))
    for _ in range(2):
        store.flush()
    for _ in range(2):
        store.close()
