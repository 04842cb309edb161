"""What an engine finds again in the store of an earlier one, and what it says of the rest."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from exprd_compiler.errors import (
    CallError,
    Conflict,
    DamagedFile,
    LimitExceeded,
    ResultExpired,
    UnknownHandle,
)
from exprd_server.compilers import InProcessCompiler
from exprd_server.engine import LocalEngine
from exprd_server.keeping import KIND
from exprd_server.policy import ALWAYS, OFF, Policy
from exprd_server.settings import Limits, Settings
from exprd_server.store import MemoryStore
from exprd_server.stores.folder import StateFolder
from exprd_server.stores.sqlite import SqliteStore
from exprd_server.values import (
    BufferRef,
    CallId,
    CompileCall,
    Delivery,
    Durability,
    ExecuteCall,
    SetCall,
)
from exprd_server.variables import NewVariable
from exprd_server.versions import PublishCall
from tests.server import graphs

LIMITS = Limits(functions=4, inline_bytes=100, replay_bytes=64, replay_calls=4)
LEASE = 60


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Place:
    """A state directory and the engine that uses it at the moment."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stores: list[SqliteStore] = []
        self.clock = Clock()
        self.open()

    def open(self, policy: Policy = ALWAYS) -> LocalEngine:
        """Another engine on the directory."""
        self.store = SqliteStore(StateFolder(self._path), policy)
        self._stores.append(self.store)
        settings = Settings(lease_seconds=LEASE, limits=LIMITS)
        self.engine = LocalEngine(settings, InProcessCompiler(), self.store, clock=self.clock)
        return self.engine

    def restart(self, policy: Policy = ALWAYS) -> LocalEngine:
        """Ends the engine in order and opens another."""
        self.engine.close()
        return self.open(policy)

    def variable(self, value: object, client_id: str = "c", **facts: object) -> str:
        facts.setdefault("durability", Durability.DURABLE)
        new = NewVariable(value=np.array(value, dtype=float), **facts)
        return self.engine.create_variable(client_id, new).uuid

    def compile(self, graph, *bindings: str, client_id: str = "c") -> str:
        call = CompileCall(client_id=client_id, graph=graph, bindings=bindings, name="f")
        return self.engine.compile(call).handle

    def execute(self, handle: str, *inputs: object, **facts: object):
        values = tuple(x if isinstance(x, BufferRef) else np.asarray(x, float) for x in inputs)
        facts.setdefault("client_id", "c")
        return self.engine.execute(ExecuteCall(handle=handle, inputs=values, **facts))

    def value(self, uuid: str):
        return self.engine.get_variable("c", uuid)[1]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path / "state")
    yield place
    place.engine.close()


def call(seq: int, acked: int = 0) -> CallId:
    return CallId(client_id="c", seq=seq, acked_through=acked)


def test_functions_keep_their_handles_and_bindings(place):
    w = place.variable([1, 2])
    handle = place.compile(graphs.step(), w)
    text = place.engine.describe(handle).texts["graph"]
    place.execute(handle, [2, 2])
    for _ in range(2):
        engine = place.restart()
        assert engine.usage().functions == 1
        info = engine.describe(handle)
        assert (info.name, info.texts["graph"], info.signature.updated) == ("f", text, (0,))
        reply = place.execute(handle, [0, 0])
        assert reply.outputs[0] == 0
    np.testing.assert_array_equal(place.value(w), [0, 1])
    assert place.compile(graphs.step(), w) == handle
    assert place.engine.usage().functions == 1


def test_an_equal_graph_is_the_function_that_was_kept(place):
    w = place.variable([1, 2])
    handle = place.compile(graphs.step(), w)
    digest = place.engine.describe(handle, texts=False).graph_digest
    place.restart()
    assert place.compile(graphs.step(), w, client_id="other") == handle
    place.restart()
    assert place.compile(digest, w) == handle
    assert place.engine.release_functions("c", [handle]) == 1
    place.execute(handle, [2, 2])  # which the other client holds
    place.restart()
    assert place.engine.release_functions("c", [handle]) == 0
    assert place.engine.release_functions("other", [handle]) == 1
    with pytest.raises(UnknownHandle):
        place.execute(handle, [2, 2])
    assert place.restart().usage().functions == 0


def test_kept_functions_count_and_known_ones_fit(place):
    handles = [place.compile(graphs.chain(n)) for n in range(1, 5)]
    place.restart()
    with pytest.raises(LimitExceeded):
        place.compile(graphs.chain(5))
    assert place.compile(graphs.chain(2)) == handles[1]


def test_a_function_whose_variable_is_gone_says_which(place):
    w = place.variable([1, 2], durability=Durability.VOLATILE)
    handle = place.compile(graphs.step(), w)
    place.restart()
    with pytest.raises(UnknownHandle, match=w):
        place.execute(handle, [2, 2])


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:20],
        lambda data: data.replace(b'"format": 1', b'"format": 9'),
        lambda data: data.replace(b"mul", b"add"),
        lambda data: data.replace(b" = sub", b" = mul"),
        lambda data: data.replace(b"inputs", b"in\xffputs"),
    ],
)
def test_a_damaged_function_is_refused_and_can_be_compiled_again(place, damage):
    w = place.variable([1, 2])
    handle = place.compile(graphs.step(), w)
    digest = place.engine.describe(handle, texts=False).graph_digest
    data = place.store.entries(KIND)[handle]
    assert damage(data) != data
    place.store.put_entry(KIND, handle, damage(data))
    place.restart()
    with pytest.raises(DamagedFile, match=handle):
        place.execute(handle, [2, 2])
    with pytest.raises(UnknownHandle, match="no graph of this digest"):
        place.compile(digest, w)
    assert place.compile(graphs.step(), w) == handle
    assert place.execute(handle, [2, 2]).outputs[0] == 6
    place.restart()
    place.execute(handle, [2, 2])


def test_a_published_version_mends_its_damaged_function(place):
    handle = place.compile(graphs.chain(1))
    facts = {"client_id": "c", "name": "f", "inputs": 1, "outputs": 1}
    place.engine.published.publish(PublishCall(handle=handle, **facts))
    place.store.put_entry(KIND, handle, b"{")
    place.restart()
    with pytest.raises(DamagedFile):
        place.execute(handle, [1])
    assert place.engine.published.lookup("other", "f").version.handle == handle
    place.execute(handle, [1])


def test_a_version_that_was_taken_away_holds_nothing_after_a_restart(place):
    handle = place.compile(graphs.chain(1))
    facts = {"client_id": "c", "inputs": 1, "outputs": 1}
    for name in ("gone", "there"):
        place.engine.published.publish(PublishCall(handle=handle, name=name, **facts))
    place.engine._functions.release = lambda *_: 0  # the server ends before it is written down
    assert place.engine.published.unpublish("c", "gone") == 1
    place.restart()
    ((one,), _) = place.engine.published.held()
    assert one.published == ("there@1",)


def test_a_store_without_a_future_keeps_no_functions():
    store = MemoryStore()
    engine = LocalEngine(Settings(), InProcessCompiler(), store)
    engine.compile(CompileCall(client_id="c", graph=graphs.chain(1)))
    assert not store.entries(KIND)
    engine.close()


def test_a_retry_after_a_restart_is_answered_from_the_record(place):
    total = place.variable(0)
    handle = place.compile(graphs.counter(), total)
    first = place.execute(handle, 5, call_id=call(1))
    place.restart()
    again = place.execute(handle, 5, call_id=call(1))
    assert again.replayed
    assert again.outputs == first.outputs
    assert again.versions == first.versions
    assert place.value(total) == 5
    with pytest.raises(CallError, match="another call"):
        place.execute(handle, 6, call_id=call(1))
    place.execute(handle, 1, call_id=call(2))
    assert place.value(total) == 6


def test_an_assignment_is_answered_from_the_record(place):
    total = place.variable(0)
    given = SetCall(uuid=total, value=np.array(7.0), call_id=call(1), expected_version=1)
    first = place.engine.set_variable(given)
    again = place.restart().set_variable(given)
    assert (again.replayed, again.variable) == (True, first.variable)
    assert place.engine.list_variables()[0][0].version == 2


def test_answers_that_are_gone_are_not_run_again(place):
    w = place.variable(np.zeros(20))
    handle = place.compile(graphs.keep_everything(), w)
    x = np.ones(20)
    place.execute(handle, x, call_id=call(1))  # 320 bytes: too large to be kept
    place.execute(handle, x, call_id=call(2), deliveries=(Delivery.KEEP, Delivery.DISCARD))
    assert place.execute(
        handle, x, call_id=call(2), deliveries=(Delivery.KEEP, Delivery.DISCARD)
    ).replayed
    version = place.engine.list_variables()[0][0].version
    place.restart()
    for seq, deliveries in ((1, ()), (2, (Delivery.KEEP, Delivery.DISCARD))):
        with pytest.raises(ResultExpired, match="gone"):
            place.execute(handle, x, call_id=call(seq), deliveries=deliveries)
    assert place.engine.list_variables()[0][0].version == version


def test_numbers_that_were_forgotten_stay_used(place):
    total = place.variable(0)
    handle = place.compile(graphs.counter(), total)
    for seq in range(1, 11):  # six of ten are beyond the window
        place.execute(handle, 1, call_id=call(seq))
    place.execute(handle, 1, call_id=call(11, acked=9))
    for _ in range(2):
        place.restart()
        for seq in (1, 6, 9):
            with pytest.raises(ResultExpired):
                place.execute(handle, 1, call_id=call(seq))
        assert place.execute(handle, 1, call_id=call(10)).replayed
    assert place.value(total) == 11


def test_a_failed_call_may_be_made_after_the_restart(place):
    total = place.variable(0)
    handle = place.compile(graphs.counter(), total)
    with pytest.raises(CallError):
        place.execute(handle, [1, 2], call_id=call(1))
    place.restart()
    place.execute(handle, 1, call_id=call(1))
    assert place.value(total) == 1


def test_clients_of_before_have_a_lease_to_come_back(place):
    volatile = place.variable([1, 2], client_id="a", durability=Durability.VOLATILE)
    mine = place.variable([1, 2], client_id="a")
    kept = place.variable([1, 2], client_id="a", name="kept")
    handle = place.compile(graphs.chain(1), client_id="b")
    total = place.variable(0)
    place.execute(place.compile(graphs.counter(), total), 1, call_id=call(1))
    place.clock.now = 1000
    engine = place.restart()
    with pytest.raises(UnknownHandle):
        place.value(volatile)
    assert engine.collect() == ()
    place.clock.now += LEASE - 1
    place.execute(handle, [1], client_id="b")
    engine.renew("b")
    place.clock.now += 2
    assert set(engine.collect()) == {"a", "c"}
    assert engine.usage().functions == 1
    with pytest.raises(UnknownHandle):
        place.value(mine)
    np.testing.assert_array_equal(place.value(kept), [1, 2])
    assert not place.store.records()
    assert not place.store.floors()


def test_memory_is_charged_to_those_who_come_back(tmp_path):
    limits = Limits(client_bytes=100)
    for turn in range(2):
        store = SqliteStore(StateFolder(tmp_path))
        engine = LocalEngine(Settings(limits=limits), InProcessCompiler(), store)
        new = NewVariable(value=np.zeros(8), durability=Durability.DURABLE)
        if turn == 0:
            engine.create_variable("c", new)
        else:
            with pytest.raises(LimitExceeded):
                engine.create_variable("c", new)
        engine.close()


def test_calls_for_an_earlier_incarnation_are_refused_before_they_run(place):
    total = place.variable(0)
    handle = place.compile(graphs.counter(), total)
    before = place.engine.incarnation
    place.execute(handle, 1, expected_incarnation=before)
    engine = place.restart()
    assert engine.incarnation != before
    given = SetCall(uuid=total, value=np.array(7.0), expected_incarnation=before)
    for use in (
        lambda: place.execute(handle, 1, expected_incarnation=before),
        lambda: engine.set_variable(given),
        lambda: engine.check_incarnation(before),
    ):
        with pytest.raises(UnknownHandle, match="restarted") as caught:
            use()
        assert caught.value.fields["incarnation"] == engine.incarnation
    assert place.value(total) == 1


def told(
    engine: LocalEngine, incarnation: str, *known: tuple[str, int]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    resumed = engine.resume("c", incarnation, known)
    assert resumed.incarnation == engine.incarnation
    return resumed.missing, resumed.rolled_back


def test_a_restart_in_order_takes_only_what_is_volatile(place):
    kept, lost = place.variable(0), place.variable(0, durability=Durability.VOLATILE)
    for name in (kept, lost):
        place.execute(place.compile(graphs.counter(), name), 1)
    before = place.engine.incarnation
    known = ((kept, 2), (lost, 2))
    assert told(place.engine, before, *known) == ((), ())
    assert told(place.restart(), before, *known) == ((lost,), ())
    assert told(place.restart(), before, *known) == ((lost,), ())


def test_updates_that_were_not_written_are_told(place, tmp_path):
    total, other = place.variable(0), place.variable(0)
    place.restart(OFF)
    before = place.engine.incarnation
    handle = place.compile(graphs.counter(), total)
    place.execute(handle, 1)
    place.execute(handle, 1)
    # What a killed process leaves: the files as they are now, which nobody closes.
    shutil.copytree(tmp_path / "state", tmp_path / "killed")
    engine = Place(tmp_path / "killed").engine
    assert told(engine, before, (total, 3), (other, 1)) == ((), (total,))
    assert told(engine, before, (total, 1)) == ((), ())
    engine.close()


def test_a_run_that_nobody_knows_counts_as_lost(place):
    total = place.variable(0)
    place.execute(place.compile(graphs.counter(), total), 1)
    assert told(place.engine, "elsewhere", (total, 2), (place.variable(0), 1)) == ((), (total,))


def test_attaching_by_name(place):
    def attach(value: object = None) -> str:
        new = NewVariable(
            value=None if value is None else np.array(value, dtype=float),
            name="w",
            durability=Durability.DURABLE,
            attach=True,
        )
        return place.engine.create_variable("d", new).uuid

    with pytest.raises(UnknownHandle, match="'w'"):
        attach()
    place.variable([9.0], name="w", durability=Durability.VOLATILE)
    uuid = attach([1.0])
    assert attach() == attach([2.0, 3.0]) == uuid
    np.testing.assert_array_equal(place.value(uuid), [1])
    with pytest.raises(Conflict, match="not float64"):
        attach(1.0)
    place.restart()
    assert attach() == uuid
    place.variable([9.0], name="w")
    with pytest.raises(Conflict, match="2 durable"):
        attach()


def test_a_snapshot_is_of_one_moment(place):
    a, b = place.variable(0), place.variable([1.0] * 20)
    (first, x), (second, y) = place.engine.snapshot("c", [a, b])
    assert (first.uuid, second.version) == (a, 1)
    assert (x, y.shape) == (0, (20,))
    described = place.engine.snapshot("c", [b], Delivery.DISCARD)
    assert described[0][1] is None
    (_, kept), *_ = place.engine.snapshot("c", [b], Delivery.AUTO)
    np.testing.assert_array_equal(place.engine.get("c", kept.handle), [1.0] * 20)
    with pytest.raises(LimitExceeded):
        place.engine.snapshot("c", [b], Delivery.INLINE, 100)
    with pytest.raises(UnknownHandle):
        place.engine.snapshot("c", [a, "nothing"])


def test_a_buffer_may_be_sent_again_under_its_handle(place):
    handle = f"buf-{'0123456789abcdef' * 2}"
    value = np.arange(3.0)
    assert place.engine.put("c", value, handle).handle == handle
    assert place.engine.put("c", value, handle).handle == handle
    assert place.engine.usage().buffers == 1
    for client_id, other in (("d", value), ("c", value[:2])):
        with pytest.raises(Conflict, match="exists already"):
            place.engine.put(client_id, other, handle)
    for odd in ("buf-1", "fn-" + "0" * 32, f"{handle}\n"):
        with pytest.raises(CallError, match="hexadecimal"):
            place.engine.put("c", value, odd)
    assert place.engine.release_buffers("c", [handle]) == 1
    assert place.engine.put("c", value[:2], handle).nbytes == 16
