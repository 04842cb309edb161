"""Items that a thread of its own asks for."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from exprd_proto.ahead import ahead

LARGE, SMALL = 64 << 20, 1 << 20


@pytest.mark.parametrize("nbytes", [LARGE, SMALL])
def test_items_come_in_order_and_what_is_raised_comes_after_them(nbytes: int) -> None:
    def items() -> Iterator[int]:
        yield from range(10)
        raise LookupError("broken off")

    found: list[int] = []
    with pytest.raises(LookupError, match="broken off"):
        found.extend(ahead(items(), nbytes))
    assert found == list(range(10))
    assert list(ahead(iter(()), nbytes)) == []


@pytest.mark.parametrize(("nbytes", "other"), [(LARGE, True), (SMALL, False)])
def test_large_items_are_asked_for_by_another_thread(nbytes: int, other: bool) -> None:
    asked = []

    def items() -> Iterator[int]:
        asked.append(threading.current_thread())
        yield 1

    assert list(ahead(items(), nbytes)) == [1]
    assert (asked[0] is not threading.current_thread()) == other


def test_no_more_is_asked_for_than_there_is_room_for_or_after_the_end() -> None:
    asked = threading.Semaphore(0)
    ended = threading.Event()

    def items() -> Iterator[int]:
        try:
            for number in range(100):
                asked.release()
                yield number
        finally:
            ended.set()

    found = ahead(items(), LARGE)
    assert next(found) == 0
    for _ in range(4):  # the one that was given, two that wait, and one for which there is no room
        assert asked.acquire(timeout=60)
    assert not asked.acquire(timeout=0.05)
    found.close()  # type: ignore[attr-defined]
    assert ended.wait(60)
    assert not asked.acquire(blocking=False)
