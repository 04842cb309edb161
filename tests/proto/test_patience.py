"""Who waits awake leaves a core to others, and gives up where it does not pay."""

from __future__ import annotations

from collections import deque

import pytest

from exprd_proto import patience
from exprd_proto.patience import NOTHING, Patience


@pytest.fixture(autouse=True)
def one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_PLACES", deque([None]))


class Looks:
    """Gives what it was told to, and counts."""

    def __init__(self, found: int) -> None:
        self.found, self.count = found, 0

    def __call__(self) -> int:
        self.count += 1
        return self.found


def test_what_comes_in_time_is_always_waited_for() -> None:
    waiting, looks = Patience(1.0), Looks(7)
    assert [waiting.wait(looks) for _ in range(100)] == [7] * 100
    assert looks.count == 100


def test_what_never_comes_is_looked_for_less_and_less() -> None:
    waiting, looks = Patience(1.0), Looks(NOTHING)
    counts = []
    for _ in range(4):
        before = looks.count
        assert all(waiting.wait(looks) == NOTHING for _ in range(2048))
        counts.append(looks.count - before)
    assert counts[0] < 12
    assert counts[-1] == 2


def test_what_comes_again_is_waited_for_again() -> None:
    waiting, looks = Patience(1.0), Looks(NOTHING)
    for _ in range(5000):
        waiting.wait(looks)
    looks.found = 7
    for _ in range(4096):
        waiting.wait(looks)
    assert [waiting.wait(looks) for _ in range(10)] == [7] * 10


def test_half_in_vain_is_too_often() -> None:
    waiting, looks = Patience(1.0), Looks(NOTHING)
    for _ in range(20_000):
        waiting.wait(looks)
        looks.found = 7 if looks.count % 2 else NOTHING
    assert looks.count < 200


def test_one_core_is_left_to_others() -> None:
    first, second, looks = Patience(1.0), Patience(1.0), Looks(7)
    assert first.wait(lambda: second.wait(looks)) == NOTHING
    assert looks.count == 0
    assert second.wait(looks) == 7


def test_a_place_is_given_back_when_looking_fails() -> None:
    waiting = Patience(1.0)

    def fails() -> int:
        raise BlockingIOError

    with pytest.raises(BlockingIOError):
        waiting.wait(fails)
    assert waiting.wait(Looks(7)) == 7


def test_no_time_is_never() -> None:
    looks = Looks(7)
    assert Patience(0.0).wait(looks) == NOTHING
    assert looks.count == 0
