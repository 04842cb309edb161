"""The table of functions: what is written down, what waits for that, and what does not."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from exprd_compiler.errors import DamagedFile, LimitExceeded, UnknownHandle
from exprd_server import keeping
from exprd_server.engine import function_of, signature_of
from exprd_server.functions import Compiled, Function, FunctionTable
from exprd_server.keeping import KIND
from exprd_server.outline import outline_of
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
        assert table.outline_of(function(2).info.graph_digest).inputs
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
    table = FunctionTable(LIMITS, store, lambda _, __: function(1))
    store.slow = "fn-1"
    while_waiting(store, lambda: table.release(["fn-1"], "a"), lambda: table.get("fn-1"))
    assert table.get("fn-1").holders == {"b"}
    assert held(table) == held(FunctionTable(LIMITS, store))
    assert table.release(["fn-1"], "b") == 1
    with pytest.raises(UnknownHandle):
        table.get("fn-1")


def test_the_text_of_a_kept_graph_is_read_while_others_go_on(monkeypatch):
    store = Disk()
    table_of(store, a=1)
    table = FunctionTable(LIMITS, store)
    parse = keeping.parse_graph

    def slowly(*given):
        store.gate.stop()
        return parse(*given)

    monkeypatch.setattr(keeping, "parse_graph", slowly)
    digest = function(1).info.graph_digest
    while_waiting(store, lambda: table.outline_of(digest), lambda: table.add(function(2), "b"))
    assert table.outline_of(digest).digest == digest


def test_a_damaged_function_is_forgotten_when_it_is_released():
    store = Disk()
    table_of(store, a=1)
    store.put_entry(KIND, "fn-1", b"{")
    table = FunctionTable(LIMITS, store)
    with pytest.raises(DamagedFile):
        table.get("fn-1")
    store.full = True
    with pytest.raises(LimitExceeded):
        table.release(["fn-1"], "a")
    with pytest.raises(DamagedFile):
        table.get("fn-1")
    store.full = False
    assert [table.release(["fn-1"], "a") for _ in range(2)] == [1, 0]
    assert not store.entries(KIND)
    with pytest.raises(UnknownHandle):
        table.get("fn-1")
