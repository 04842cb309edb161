from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest

from exprd_compiler.errors import Cancelled, DeadlineExceeded
from exprd_server.deadline import Deadline
from exprd_server.locks import Hold, ReadWriteLock, in_order


@dataclass(frozen=True)
class Item:
    uuid: str
    lock: ReadWriteLock = field(default_factory=ReadWriteLock)


def test_readers_share_and_a_writer_excludes():
    lock = ReadWriteLock()
    assert lock.acquire_read(0)
    assert lock.acquire_read(0)
    assert not lock.acquire_write(0)
    lock.release_read()
    lock.release_read()
    assert lock.acquire_write(0)
    assert not lock.acquire_read(0)
    lock.release_write()
    assert lock.acquire_read(0)


def test_a_waiting_writer_holds_new_readers_back_until_it_gives_up():
    lock = ReadWriteLock()
    assert lock.acquire_read(0)
    got: list[bool] = []
    writer = threading.Thread(target=lambda: got.append(lock.acquire_write(5)))
    writer.start()
    while lock.acquire_read(0):  # until the writer waits
        lock.release_read()
    lock.release_read()
    writer.join()
    assert got == [True]
    lock.release_write()


def test_a_reader_that_waits_gets_its_turn_before_the_next_writer():
    """Else variables that somebody always assigns could not be read by a call that writes."""
    lock, order = ReadWriteLock(), []
    assert lock.acquire_write(0)

    def write() -> None:
        assert lock.acquire_write(20)
        order.append("write")
        lock.release_write()

    def read() -> None:
        assert lock.acquire_read(20)
        order.append("read")
        lock.release_read()

    threads = [threading.Thread(target=work) for work in (write, write, read, read)]
    for thread in threads:
        thread.start()
    while lock._waiting < len(threads):
        pass
    lock.release_write()
    for thread in threads:
        thread.join()
    assert order == ["read", "read", "write", "write"]


def test_readers_that_give_up_hold_no_writer_back():
    lock = ReadWriteLock()
    for _ in range(100):
        assert lock.acquire_write(0)
        readers = [threading.Thread(target=lock.acquire_read, args=(1e-4,)) for _ in range(2)]
        for reader in readers:
            reader.start()
        lock.release_write()
        for reader in readers:
            reader.join()
        while lock._readers:
            lock.release_read()
        assert lock.acquire_write(20)
        lock.release_write()


def test_hold_times_out_with_nothing_held():
    a, b = Item("a"), Item("b")
    with Hold(in_order((b,), ()), None):
        with (
            pytest.raises(DeadlineExceeded, match="shared variable b"),
            Hold(in_order((a, b), ()), Deadline(0)),
        ):
            pass
        assert a.lock.acquire_write(0)


def test_hold_reads_what_it_does_not_write():
    a, b = Item("a"), Item("b")
    with Hold(in_order((a,), (a, b)), None):
        assert b.lock.acquire_read(0)
        b.lock.release_read()
        assert not a.lock.acquire_read(0)
    assert a.lock.acquire_write(0)


def test_opposite_orders_do_not_deadlock():
    a, b = Item("a"), Item("b")
    done = []

    def work(first: Item, second: Item) -> None:
        for _ in range(300):
            with Hold(in_order((first, second), ()), None):
                pass
        done.append(1)

    threads = [threading.Thread(target=work, args=pair) for pair in ((a, b), (b, a)) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 4


def test_a_deadline_lapses_and_cancels():
    now = [0.0]
    deadline = Deadline(2.0, lambda: now[0])
    deadline.check("the start")
    now[0] = 1.5
    assert deadline.remaining() == 0.5
    child = deadline.capped(10)
    deadline.cancel()
    for each in (deadline, child):
        with pytest.raises(Cancelled, match="before the end"):
            each.check("the end")


def test_a_deadline_at_its_end_is_over():
    now = [0.0]
    deadline = Deadline(2.0, lambda: now[0])
    now[0] = 2.0
    assert deadline.remaining() == 0
    with pytest.raises(DeadlineExceeded, match="2 s ran out before the end"):
        deadline.check("the end")
