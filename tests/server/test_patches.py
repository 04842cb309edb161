"""Patches in an engine: nothing is torn, nothing is half done, nobody's values change."""

from __future__ import annotations

import sys
import threading
import weakref

import numpy as np
import pytest

from exprd_compiler.errors import Cancelled, IndexOutOfRange, LimitExceeded
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add
from exprd_compiler.ops.index import scatter
from exprd_compiler.ops.leaves import const, input_, shared
from exprd_server.compilers import InProcessCompiler
from exprd_server.deadline import Deadline
from exprd_server.engine import LocalEngine
from exprd_server.settings import Settings
from exprd_server.store import MemoryStore
from exprd_server.stores.folder import StateFolder
from exprd_server.stores.sqlite import SqliteStore
from exprd_server.values import CompileCall, Durability, ExecuteCall, SetCall, VariableRef
from exprd_server.variables import NewVariable

ROWS, COLUMNS = 64, 16
TABLE = TensorType("float64", (None, None))
INDEX = TensorType("int64", (None,))


class Watched(MemoryStore):
    """A store that notes what it is told, and refuses it on demand."""

    def __init__(self, *, lasting: bool = False) -> None:
        super().__init__()
        self.lasting = lasting
        self.refuses: BaseException | None = None
        self.admits = True
        self.changes = []
        self.asked = []

    def commit(self, changes, record, policy=None) -> int:
        if self.refuses is not None:
            raise self.refuses
        self.changes += changes
        return super().commit(changes, record, policy)

    def may_patch(self, uuid, dirty) -> bool:
        self.asked.append((uuid, dirty))
        return self.admits


class Bench:
    """An engine with a table and a function that adds 1 to rows of it."""

    def __init__(self, store: Watched, durability: Durability = Durability.VOLATILE) -> None:
        self.store = store
        self.engine = LocalEngine(Settings(), InProcessCompiler(), store)
        self.uuid = self.variable(np.zeros((ROWS, COLUMNS)), durability)
        self.adds = self.compile(*rows_and_total(with_total=False), self.uuid)

    def variable(self, value, durability=Durability.VOLATILE) -> str:
        new = NewVariable(value=value, durability=durability, name="w")
        return self.engine.create_variable("c", new).uuid

    def compile(self, graph: Graph, *bindings: str) -> str:
        call = CompileCall(client_id="c", graph=graph, bindings=bindings)
        return self.engine.compile(call).handle

    def call(self, handle: str, *inputs, deadline=None):
        given = tuple(x if isinstance(x, VariableRef) else np.asarray(x) for x in inputs)
        return self.engine.execute(ExecuteCall(handle=handle, inputs=given), deadline)

    def value(self, uuid: str = ""):
        return self.engine.get_variable("c", uuid or self.uuid)[1]

    def version(self) -> int:
        return self.engine.get_variable("c", self.uuid)[0].version

    def address(self) -> int:
        return self.value().ctypes.data


def rows_and_total(*, with_total: bool) -> tuple[Graph]:
    """Adds 1 to rows; with a total, also their count to that."""
    i, w = input_(type=INDEX), shared(type=TABLE)
    new = scatter(w, const(1.0), i, mode="inc")
    if not with_total:
        return (Graph((i,), (), (w,), ((0, new),)),)
    total = shared(type=TensorType("float64", ()))
    return (Graph((i,), (), (w, total), ((0, new), (1, add(total, const(1.0))))),)


@pytest.fixture
def bench():
    made = Bench(Watched())
    yield made
    made.engine.close()


def test_rows_are_written_where_they_lie(bench) -> None:
    address = bench.address()
    for _ in range(3):
        bench.call(bench.adds, [1, 1, -1])
    assert bench.address() == address
    assert bench.version() == 4
    want = np.zeros((ROWS, COLUMNS))
    want[1], want[-1] = 6, 3
    np.testing.assert_array_equal(bench.value(), want)


def test_the_short_way_writes_in_place_too(bench) -> None:
    address = bench.address()
    run = bench.engine.direct(bench.adds)
    for _ in range(3):
        run([np.array([2])])
    assert bench.address() == address
    assert (bench.value()[2] == 3).all()


def test_values_that_a_reader_has_do_not_change(bench) -> None:
    """Whichever view of it the reader keeps."""
    row = bench.value()[3:4]
    before = bench.address()
    bench.call(bench.adds, [3])
    assert (row == 0).all()
    assert (bench.value()[3] == 1).all()
    assert bench.address() != before
    del row
    after = bench.address()
    bench.call(bench.adds, [3])
    assert bench.address() == after


def test_an_array_that_its_giver_keeps_does_not_change(bench) -> None:
    mine = np.zeros((ROWS, COLUMNS))
    bench.engine.set_variable(SetCall(uuid=bench.uuid, value=mine))
    bench.call(bench.adds, [3])
    assert not mine.any()
    assert (bench.value()[3] == 1).all()


def test_a_kept_buffer_does_not_change(bench) -> None:
    info = bench.engine.put("c", np.ones((ROWS, COLUMNS)))
    uuid = bench.variable(bench.engine.get("c", info.handle))
    bench.call(bench.compile(*rows_and_total(with_total=False), uuid), [3])
    assert (bench.engine.get("c", info.handle) == 1).all()
    assert (bench.value(uuid)[3] == 2).all()


def test_memory_that_is_not_ours_does_not_change() -> None:
    """A message's bytes, a part of a larger array, other orders of elements."""
    bench = Bench(Watched())
    larger = np.zeros((2, ROWS, COLUMNS))
    sources = [
        np.frombuffer(bytes(8 * ROWS * COLUMNS)).reshape(ROWS, COLUMNS),
        np.frombuffer(bytearray(8 * ROWS * COLUMNS)).reshape(ROWS, COLUMNS),
        larger[1],
        np.zeros((COLUMNS, ROWS)).T,
    ]
    for source in sources:
        bench.engine.set_variable(SetCall(uuid=bench.uuid, value=source))
        bench.call(bench.adds, [3])
        assert not source.any()
        assert (bench.value()[3] == 1).all()


def test_a_bad_index_changes_nothing(bench) -> None:
    bench.call(bench.adds, [1])
    before = bench.value().copy()
    with pytest.raises(IndexOutOfRange):
        bench.call(bench.adds, [2, ROWS])
    np.testing.assert_array_equal(bench.value(), before)
    assert bench.version() == 2


@pytest.mark.parametrize("fault", [LimitExceeded("full"), KeyboardInterrupt()])
def test_a_refused_commit_is_undone(bench, fault) -> None:
    """Also after several writes of one row, and with another update in the same call."""
    total = bench.variable(np.zeros(()))
    both = bench.compile(*rows_and_total(with_total=True), bench.uuid, total)
    bench.call(both, [1, 5])
    before, address = bench.value().copy(), bench.address()
    bench.store.refuses = fault
    with pytest.raises(type(fault)):
        bench.call(both, [1, 1, 7, -1])
    bench.store.refuses = None
    np.testing.assert_array_equal(bench.value(), before)
    assert (bench.version(), float(bench.value(total))) == (2, 1.0)
    bench.call(both, [1])
    assert bench.address() == address
    assert (bench.value()[1] == 2).all()


def test_a_call_whose_time_is_up_changes_nothing(bench) -> None:
    deadline = Deadline(60.0)
    deadline.cancel()
    with pytest.raises(Cancelled):
        bench.call(bench.adds, [1], deadline=deadline)
    assert not bench.value().any()
    assert bench.version() == 1


def test_the_variable_as_its_own_operand(bench) -> None:
    """Rows become those of the old value, though they lie in what is written."""
    start = np.arange(1.0 * ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    bench.engine.set_variable(SetCall(uuid=bench.uuid, value=start.copy()))
    i, y, w = input_(type=INDEX), input_(type=TABLE), shared(type=TABLE)
    turns = Graph((i, y), (), (w,), ((0, scatter(w, y, i, mode="set")),))
    order = np.arange(ROWS)[::-1].copy()
    bench.call(bench.compile(turns, bench.uuid), order, VariableRef(bench.uuid))
    np.testing.assert_array_equal(bench.value(), start[::-1])


@pytest.mark.parametrize("admits", [True, False])
def test_durable_values_are_written_where_they_lie_if_their_store_admits_it(admits) -> None:
    """Else it still reads the old value. What was written is told in either case."""
    bench = Bench(Watched(lasting=True), Durability.DURABLE)
    bench.store.admits = admits
    address = bench.address()
    first = bench.store.variables()[0].value.copy()
    bench.call(bench.adds, [2, 2])
    assert (bench.address() == address) is admits
    (change,) = bench.store.changes
    row = 8 * COLUMNS
    assert change.dirty == ((2 * row, 3 * row),)
    assert bench.store.asked == [(bench.uuid, change.dirty)]
    first[2] += 2
    np.testing.assert_array_equal(change.value, first)


def test_a_bad_index_into_a_durable_value_changes_nothing() -> None:
    bench = Bench(Watched(lasting=True), Durability.DURABLE)
    with pytest.raises(IndexOutOfRange):
        bench.call(bench.adds, [2, ROWS])
    assert not bench.value().any()
    assert bench.version() == 1


def test_volatile_values_of_a_lasting_store_stay_where_they_are() -> None:
    bench = Bench(Watched(lasting=True))
    address = bench.address()
    bench.call(bench.adds, [2])
    assert bench.address() == address


def test_readers_see_no_half_of_a_write(bench) -> None:
    """Every call adds 1 to all rows; a value whose rows differ would be torn or undone."""
    everything = np.arange(ROWS)
    done = threading.Event()
    torn: list[np.ndarray] = []

    def read() -> None:
        while not done.is_set():
            value = bench.value()
            first = value.copy()
            if len(np.unique(first)) != 1 or not np.array_equal(value, first):
                torn.append(first)

    def write() -> None:
        for turn in range(150):
            bench.store.refuses = LimitExceeded("full") if turn % 3 == 0 else None
            try:
                bench.call(bench.adds, everything)
            except LimitExceeded:
                continue

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        write()
    finally:
        done.set()
        for reader in readers:
            reader.join()
        sys.setswitchinterval(before)
    assert not torn
    assert (bench.value() == 100).all()


def test_two_writers_add_up(bench) -> None:
    def work() -> None:
        for _ in range(50):
            bench.call(bench.adds, [1, 2])

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (bench.value()[1:3] == 150).all()
    assert bench.version() == 151


def test_the_first_value_is_not_kept_by_the_store(bench) -> None:
    """Otherwise a variable would take twice its memory for ever."""
    value = np.zeros((ROWS, COLUMNS))
    uuid = bench.variable(value)
    alive = weakref.ref(value)
    del value
    assert alive() is not None
    bench.engine.set_variable(SetCall(uuid=uuid, value=np.ones((ROWS, COLUMNS))))
    assert alive() is None


def test_rows_of_a_durable_table_on_a_full_disk(tmp_path) -> None:
    """What was written in place is taken back, and nothing of it comes back with a restart."""
    store = SqliteStore(StateFolder(tmp_path))
    bench = Bench(store, Durability.DURABLE)
    address = bench.address()
    bench.call(bench.adds, [1, 5])
    assert bench.address() == address
    before = bench.value().copy()
    connection = store._database.connection  # the fault is injected below SQLite
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute("PRAGMA cache_size=0")
    connection.execute(f"PRAGMA max_page_count={pages}")
    refused = 0
    for row in [*range(ROWS)] * 3:  # more than what fits into the pages that are there
        try:
            bench.call(bench.adds, [row])
        except LimitExceeded:
            refused += 1
            np.testing.assert_array_equal(bench.value(), before)
        else:
            before[row] += 1
    assert refused
    connection.execute("PRAGMA max_page_count=1000000")
    bench.call(bench.adds, [2])
    before[2] += 1
    np.testing.assert_array_equal(bench.value(), before)
    version = bench.version()
    bench.engine.close()
    again = SqliteStore(StateFolder(tmp_path))
    (stored,) = again.variables()
    np.testing.assert_array_equal(stored.value, before)
    assert stored.version == version
    again.close()


class Overlapping(Watched):
    """A store whose commits last until the next one has begun, so that one is always under way."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Condition()
        self.count = 0

    def commit(self, changes, record, policy=None) -> int:
        with self.begun:
            self.count += 1
            mine = self.count
            self.begun.notify_all()
            self.begun.wait_for(lambda: self.count > mine, 0.1)
        return super().commit(changes, record, policy)


def test_a_reader_of_everything_is_not_kept_waiting_by_writers() -> None:
    """At every moment one of the tables is being written; a snapshot of all still comes."""
    store = Overlapping()
    bench = Bench(store)
    tables = [bench.variable(np.zeros((ROWS, COLUMNS))) for _ in range(2)]
    adds = [bench.compile(*rows_and_total(with_total=False), uuid) for uuid in tables]
    over = threading.Event()

    def write(handle: str) -> None:
        while not over.is_set():
            bench.call(handle, [1])

    threads = [threading.Thread(target=write, args=(handle,)) for handle in adds]
    for thread in threads:
        thread.start()
    with store.begun:
        store.begun.wait_for(lambda: store.count > 10)
    try:
        bench.engine.snapshot("c", tables)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    bench.engine.close()
