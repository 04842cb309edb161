"""The contract of a store; every implementation runs it."""

from __future__ import annotations

import numpy as np
import pytest

from exprd_compiler.errors import Conflict, UnknownHandle
from exprd_compiler.ir.type import TensorType
from exprd_server.store import CallRecord, Change, MemoryStore, StoredVariable
from exprd_server.values import Durability


@pytest.fixture(params=[MemoryStore])
def store(request):
    return request.param()


def variable(uuid: str, value: float = 0.0) -> StoredVariable:
    return StoredVariable(
        uuid=uuid,
        name=uuid,
        type=TensorType("float64", ()),
        durability=Durability.DURABLE,
        version=1,
        value=np.float64(value).reshape(()),
    )


def record(seq: int, client_id: str = "c") -> CallRecord:
    return CallRecord(client_id=client_id, seq=seq, digest=b"d", reply=None)


def change(uuid: str, expected: int, value: float) -> Change:
    return Change(uuid, expected, np.asarray(value))


def content(store):
    return {v.uuid: (v.version, float(v.value)) for v in store.variables()}


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
