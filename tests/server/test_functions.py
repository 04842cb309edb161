"""The table of functions: what is written down, what waits for that, and what does not."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from exprd_compiler.errors import (
    Cancelled,
    DamagedFile,
    DeadlineExceeded,
    LimitExceeded,
    UnknownHandle,
)
from exprd_server.binding import function_of, signature_of
from exprd_server.deadline import Deadline
from exprd_server.fairness import CompilerTurns
from exprd_server.functions import Compiled, Function, FunctionTable
from exprd_server.keeping import KIND
from exprd_server.outline import outline_of
from exprd_server.reviving import Revivals
from exprd_server.settings import Limits
from exprd_server.store import MemoryStore
from exprd_server.values import CompileChoices, FunctionInfo
from tests.server import graphs

LIMITS = Limits(functions=3)
SECONDS = 10  # a wait that ends at once, unless something is wrong


class Gate:
    """A place at which whoever comes stays until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def stop(self) -> None:
        self.reached.set()
        assert self.opened.wait(2 * SECONDS)


class Disk(MemoryStore):
    """A store whose disk is slow for some entry, or full."""

    slow = ""
    full = False

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()

    def put_entry(self, kind: str, key: str, data: bytes) -> None:
        self._write(key)
        super().put_entry(kind, key, data)

    def drop_entry(self, kind: str, key: str) -> None:
        self._write(key)
        super().drop_entry(kind, key)

    def _write(self, key: str) -> None:
        if key == self.slow:
            self.gate.stop()
        if self.full:
            raise LimitExceeded("the disk is full")


def function(number: int, name: str = "") -> Function:
    outline = outline_of(graphs.chain(number))
    info = FunctionInfo(
        handle=f"fn-{number}",
        signature=signature_of(outline, ()),
        plan=(),
        timings=(),
        graph_digest=outline.digest,
        choices=CompileChoices(),
        name=name,
    )
    compiled = Compiled(run=lambda inputs, _: (inputs, ()), plan=(), timings=())
    return function_of(info, outline, f"content {number}", compiled, ())


def table_of(store: Disk, **clients: int) -> FunctionTable:
    """A table with functions, by the client that holds each."""
    table = FunctionTable(LIMITS, store)
    for client, number in clients.items():
        table.add(function(number), client)
    return table


def reviving(store: Disk, revive, turns: int = 4) -> FunctionTable:
    """A table of a later process, in which few functions of a client are revived at a time."""
    return FunctionTable(LIMITS, store, revive, Revivals(CompilerTurns(turns), SECONDS))


def held(table: FunctionTable) -> dict[str, set[str]]:
    return {one.handle: set(one.holders) for one in table.each()}


def while_waiting(store: Disk, change, look) -> None:
    """Makes a change that waits for the disk, and has a look while it does."""
    with ThreadPoolExecutor(2) as pool:
        changing = pool.submit(change)
        try:
            assert store.gate.reached.wait(SECONDS)
            pool.submit(look).result(SECONDS)
            assert not changing.done()
        finally:
            store.gate.opened.set()
        changing.result(SECONDS)


CHANGES = {
    "add": lambda table: table.add(function(3), "c"),
    "hold": lambda table: table.hold("fn-1", "c"),
    "release": lambda table: table.release(["fn-1"], "a"),
    "release of a client": lambda table: table.release_client("a"),
}


@pytest.mark.parametrize("dormant", [False, True], ids=["live", "dormant"])
@pytest.mark.parametrize("name", list(CHANGES))
def test_nobody_waits_for_what_another_has_written_down(name, dormant):
    store = Disk()
    table = table_of(store, a=1, b=2)
    if dormant and name != "hold":  # which is for those that live
        table = FunctionTable(LIMITS, store)
    before = held(table)
    store.slow = "fn-3" if name == "add" else "fn-1"

    def look() -> None:
        assert held(table) == before
        table.with_content("content 2")
        assert table.with_digest(function(2).info.graph_digest) is not None
        table.add(function(2), "d")
        assert table.hold("fn-2", "e") is not None
        assert table.release(["fn-2"], "d") == 1
        assert table.holders() == {"a", "b", "e"}
        assert table.release(["fn-2"], "e") == 1

    while_waiting(store, lambda: CHANGES[name](table), look)
    assert held(table) != before
    assert held(table) == held(FunctionTable(LIMITS, store))


@pytest.mark.parametrize("dormant", [False, True], ids=["live", "dormant"])
@pytest.mark.parametrize("name", list(CHANGES))
def test_what_the_disk_refuses_has_not_happened(name, dormant):
    store = Disk()
    table = table_of(store, a=1, b=2)
    if dormant and name != "hold":
        table = FunctionTable(LIMITS, store)
    before = held(table)
    store.full = True
    with pytest.raises(LimitExceeded, match="disk"):
        CHANGES[name](table)
    store.full = False
    assert held(table) == before == held(FunctionTable(LIMITS, store))
    CHANGES[name](table)  # which takes a place that is free
    assert held(table) == held(FunctionTable(LIMITS, store)) != before


def test_a_function_that_is_being_written_down_has_its_place():
    store = Disk()
    table = table_of(store, a=1, b=2)
    store.slow = "fn-3"

    def look() -> None:
        for ask in (lambda: table.check_room("fn-4"), lambda: table.add(function(4), "d")):
            with pytest.raises(LimitExceeded, match="3 functions"):
                ask()

    while_waiting(store, lambda: table.add(function(3), "c"), look)
    assert set(held(table)) == {"fn-1", "fn-2", "fn-3"}


def test_who_wants_what_is_being_written_down_waits_for_it():
    store = Disk()
    table = table_of(store)
    store.slow = "fn-1"
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(table.add, function(1, "first"), "a")
        assert store.gate.reached.wait(SECONDS)
        others = [
            pool.submit(table.add, function(1, "x"), "b"),
            pool.submit(table.hold, "fn-1", "c"),
        ]
        assert not any(other.done() for other in others)
        store.gate.opened.set()
        assert {other.result(SECONDS) for other in others} == {first.result(SECONDS)}
    assert held(table) == {"fn-1": {"a", "b", "c"}} == held(FunctionTable(LIMITS, store))
    assert [one.name for one in FunctionTable(LIMITS, store).each()] == ["first"]


def test_a_function_that_is_revived_while_it_is_released_has_one_holder_less():
    store = Disk()
    table_of(store, a=1).hold("fn-1", "b")
    table = reviving(store, lambda *_: function(1))
    store.slow = "fn-1"
    while_waiting(store, lambda: table.release(["fn-1"], "a"), lambda: table.get("fn-1"))
    assert table.get("fn-1").holders == {"b"}
    assert held(table) == held(FunctionTable(LIMITS, store))
    assert table.release(["fn-1"], "b") == 1
    with pytest.raises(UnknownHandle):
        table.get("fn-1")


class Slow:
    """A compiler that is slow for the function 1; it notes how often it was asked for which."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.asked: list[str] = []

    def __call__(self, handle: str, *_: object) -> Function:
        self.asked.append(handle)
        if handle == "fn-1":
            self.gate.stop()
        return function(int(handle.removeprefix("fn-")))


def test_a_revival_takes_no_more_of_a_caller_than_its_time_and_is_done_all_the_same():
    store, slow = Disk(), Slow()
    table_of(store, a=1)
    table = reviving(store, slow)
    try:
        for _ in range(2):
            with pytest.raises(DeadlineExceeded, match="compiled again"):
                table.get("fn-1", "a", Deadline(0.01))
        gone = Deadline(SECONDS)
        gone.cancel()
        with pytest.raises(Cancelled):
            table.get("fn-1", "a", gone)
    finally:
        slow.gate.opened.set()
    assert table.get("fn-1", "a", Deadline(SECONDS)).holders == {"a"}
    assert slow.asked == ["fn-1"]


def test_a_revival_stops_nobody_but_the_client_whose_turn_it_takes():
    store, slow = Disk(), Slow()
    table_of(store, a=1, b=2, c=3)
    table = reviving(store, slow, turns=1)
    try:
        with pytest.raises(DeadlineExceeded):
            table.get("fn-1", "a", Deadline(0.01))
        with pytest.raises(DeadlineExceeded, match="earlier compilations"):
            table.get("fn-2", "a", Deadline(0.01))
        assert table.get("fn-3", "c", Deadline(SECONDS)).holders == {"c"}
        with pytest.raises(DeadlineExceeded, match="compiled again"):
            table.get("fn-1", "b", Deadline(0.01))  # which takes no turn of its own
        assert table.get("fn-2", "b", Deadline(SECONDS)).holders == {"b"}
    finally:
        slow.gate.opened.set()
    assert table.get("fn-1", "b", Deadline(SECONDS)).holders == {"a"}
    assert sorted(slow.asked) == ["fn-1", "fn-2", "fn-3"]  # on threads of their own


def test_a_revival_that_fails_is_told_and_tried_again():
    store, tries = Disk(), iter([UnknownHandle("a variable is gone"), None])
    table_of(store, a=1)

    def revive(*_: object) -> Function:
        if (error := next(tries)) is not None:
            raise error
        return function(1)

    table = reviving(store, revive)
    with pytest.raises(UnknownHandle, match="a variable is gone"):
        table.get("fn-1")
    assert table.get("fn-1").holders == {"a"}


def test_a_damaged_function_stays_until_it_is_compiled_again():
    store = Disk()
    table_of(store, a=1)
    store.put_entry(KIND, "fn-1", b"{")
    table = FunctionTable(LIMITS, store)
    assert table.release(["fn-1"], "a") == table.release_client("a") == 0
    told = []
    for _ in range(2):
        with pytest.raises(DamagedFile) as caught:
            table.get("fn-1")
        told.append(caught.value)
    assert told[0] is not told[1]  # one that is raised again keeps all that raised it before
    assert store.entries(KIND)
    table.add(function(1), "b")
    assert held(table) == {"fn-1": {"b"}} == held(FunctionTable(LIMITS, store))
    assert table.release(["fn-1"], "b") == 1
    assert not store.entries(KIND)
