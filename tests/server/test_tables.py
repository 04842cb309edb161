"""Leases, buffers and variables: who holds what, what it costs, when it goes."""

from __future__ import annotations

import threading
import uuid

import numpy as np
import pytest

from exprd_compiler.errors import CallError, Conflict, LimitExceeded, ShapeError, UnknownHandle
from exprd_compiler.ir.type import TensorType
from exprd_server.buffers import BufferTable
from exprd_server.leases import LeaseTable
from exprd_server.settings import Limits
from exprd_server.store import MemoryStore
from exprd_server.stores.folder import StateFolder
from exprd_server.stores.sqlite import SqliteStore
from exprd_server.values import Durability
from exprd_server.variables import NewVariable, VariableTable

LIMITS = Limits(client_bytes=1000, buffers=3, variables=3, clients=2, tensor_bytes=900)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def leases(clock):
    return LeaseTable(60.0, LIMITS, clock)


@pytest.fixture
def buffers(leases):
    return BufferTable(leases, LIMITS)


@pytest.fixture
def variables(leases):
    return VariableTable(MemoryStore(), leases, LIMITS)


def create(table, value, **facts):
    array = np.asarray(value)
    return table.create("c", NewVariable(value=array, **facts), array)


def test_a_lease_lapses_after_silence(leases, clock):
    leases.touch("a")
    clock.now = 30
    leases.touch("b")
    clock.now = 61
    assert leases.lapsed() == ("a",)
    leases.end("a")
    assert leases.lapsed() == ()


def test_the_anonymous_client_has_no_lease(leases):
    leases.touch("")
    with pytest.raises(CallError, match="client_id"):
        leases.charge("", 1)


@pytest.mark.parametrize("name", ["a b", "a/../b", "x" * 65, "a\n", "é"])
def test_odd_client_ids_are_refused(leases, name):
    with pytest.raises(CallError, match="client_id"):
        leases.touch(name)


def test_clients_are_counted(leases):
    leases.touch("a")
    leases.touch("b")
    with pytest.raises(LimitExceeded, match="2 clients"):
        leases.touch("d")


def test_buffers_are_charged_and_refunded(buffers, leases):
    info = buffers.put("c", np.zeros(100))
    assert leases.held_bytes("c") == 800
    with pytest.raises(LimitExceeded, match="limit of 1000"):
        buffers.put("c", np.zeros(100))
    assert buffers.release([info.handle, "nope"]) == 1
    assert leases.held_bytes("c") == 0
    with pytest.raises(UnknownHandle, match="put the array again"):
        buffers.get(info.handle)


def test_a_refused_buffer_is_not_charged(buffers, leases):
    for _ in range(3):
        buffers.put("c", np.zeros(1))
    with pytest.raises(LimitExceeded, match="3 buffers"):
        buffers.put("c", np.zeros(1))
    assert leases.held_bytes("c") == 24
    with pytest.raises(LimitExceeded, match="above the limit of 900"):
        buffers.put("c", np.zeros(200))


def test_buffers_are_read_only(buffers):
    value = buffers.get(buffers.put("c", np.zeros(3)).handle)
    with pytest.raises(ValueError, match="read-only"):
        value[0] = 1


def test_creation_is_idempotent_by_uuid(variables, leases):
    name = str(uuid.uuid4())
    first = create(variables, [1.0, np.nan], uuid=name)
    assert create(variables, [1.0, np.nan], uuid=name) == first
    assert len(variables) == 1
    assert leases.held_bytes("c") == 16
    with pytest.raises(Conflict, match="other content"):
        create(variables, [2.0, 3.0], uuid=name)
    assert leases.held_bytes("c") == 16


@pytest.mark.parametrize("name", ["nope", "04E790B8-0F52-4C8C-89AE-F0D59726205F", "../../etc"])
def test_a_uuid_is_a_uuid(variables, name):
    with pytest.raises(CallError, match="uuid"):
        create(variables, 1.0, uuid=name)


def test_names_are_printable(variables):
    with pytest.raises(CallError, match="printable"):
        create(variables, 1.0, name="a\nb")


def test_a_value_must_fit_the_declared_type(variables):
    with pytest.raises(ShapeError, match=r"float64\[1\], but the new value is float64\[2\]"):
        create(variables, [1.0, 2.0], type=TensorType("float64", (1,)))


def test_variables_are_counted(variables, leases):
    for _ in range(3):
        create(variables, 1.0)
    with pytest.raises(LimitExceeded, match="3 shared variables"):
        create(variables, 1.0)
    assert leases.held_bytes("c") == 24


def commit(table, infos, values):
    found = [table.find(info.uuid) for info in infos]
    table.commit(list(zip(found, map(np.asarray, values), strict=True)), None)


def test_a_commit_publishes_all_or_nothing(variables):
    a, b = create(variables, 1.0), create(variables, [2.0])
    commit(variables, [a, b], [5.0, [6.0, 7.0]])
    assert [variables.describe(x.uuid)[0].version for x in (a, b)] == [2, 2]
    with pytest.raises(ShapeError):
        commit(variables, [a, b], [8.0, 9.0])
    assert variables.describe(a.uuid)[1] == 5.0
    assert variables.describe(a.uuid)[0].version == 2


def test_growth_is_charged_before_it_is_published(variables, leases):
    a, b = create(variables, [1.0]), create(variables, [1.0])
    with pytest.raises(LimitExceeded):
        commit(variables, [a, b], [np.zeros(80), np.zeros(80)])
    assert leases.held_bytes("c") == 16
    commit(variables, [a], [np.zeros(80)])
    assert leases.held_bytes("c") == 648
    commit(variables, [a], [np.zeros(2)])
    assert leases.held_bytes("c") == 24
    variables.delete([a.uuid, b.uuid])
    assert leases.held_bytes("c") == 0


def test_a_commit_to_a_deleted_variable_changes_nothing(variables):
    a, b = create(variables, 1.0), create(variables, 2.0)
    found = [variables.find(a.uuid), variables.find(b.uuid)]
    variables.delete([b.uuid])
    with pytest.raises(UnknownHandle):
        variables.commit([(found[0], np.asarray(3.0)), (found[1], np.asarray(3.0))], None)
    assert variables.describe(a.uuid)[1] == 1.0
    with pytest.raises(UnknownHandle, match="deleted"):
        variables.snapshot(found)


def test_a_lapsed_client_leaves_named_durable_variables(variables):
    create(variables, 1.0)
    create(variables, 1.0, name="kept", durability=Durability.DURABLE)
    create(variables, 1.0, name="gone")
    assert variables.release_client("c") == 2
    assert [info.name for info in variables.page("", 10, "")[0]] == ["kept"]


@pytest.fixture
def on_disk(leases, tmp_path):
    """A table on a disk, and a way to make that read-only."""
    store = SqliteStore(StateFolder(tmp_path))
    connection = store._database.connection  # the fault is injected below SQLite
    yield VariableTable(store, leases, LIMITS), lambda: connection.execute("PRAGMA query_only=ON")
    connection.execute("PRAGMA query_only=OFF")
    store.close()


def test_a_removal_that_the_disk_refuses_has_not_happened(on_disk, leases):
    table, fail = on_disk
    kept = create(table, 1.0, durability=Durability.DURABLE)
    fail()
    charged = leases.held_bytes("c")
    with pytest.raises(LimitExceeded):
        table.delete([kept.uuid])
    assert table.describe(kept.uuid)[1] == 1.0
    assert leases.held_bytes("c") == charged


def test_a_variable_that_cannot_be_made_durable_stays_as_it_was(on_disk):
    table, fail = on_disk
    volatile = create(table, 1.0)
    fail()
    with pytest.raises(LimitExceeded):
        table.pin([volatile.uuid])
    variable = table.find(volatile.uuid)
    assert variable.durability is Durability.VOLATILE
    table.commit(((variable, np.asarray(2.0)),), None)
    assert table.describe(volatile.uuid)[1] == 2.0


def test_pages_follow_uuid_order(variables):
    infos = sorted((create(variables, 1.0, name=f"n{i}") for i in range(3)), key=lambda i: i.uuid)
    first, after = variables.page("n", 2, "")
    assert first == tuple(infos[:2])
    assert variables.page("n", 2, after) == ((infos[2],), "")
    assert variables.page("m", 2, "") == ((), "")


def test_readers_see_whole_commits(variables):
    a, b = create(variables, 0.0), create(variables, 0.0)
    pair = [variables.find(a.uuid), variables.find(b.uuid)]
    stop = threading.Event()
    torn = []

    def read() -> None:
        while not stop.is_set():
            x, y = variables.snapshot(pair).values
            if x != y:
                torn.append((x, y))

    reader = threading.Thread(target=read)
    reader.start()
    for step in range(500):
        commit(variables, [a, b], [float(step), float(step)])
    stop.set()
    reader.join()
    assert not torn


def test_a_table_starts_from_its_store(leases):
    store = MemoryStore()
    info = create(VariableTable(store, leases, LIMITS), 4.0, name="w")
    revived = VariableTable(store, leases, LIMITS)
    assert revived.describe(info.uuid) == (info, np.float64(4.0))
