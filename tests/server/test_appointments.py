"""When callers that found no place come back: one after the other, at the pace of the server."""

from __future__ import annotations

import pytest

from exprd_server.appointments import Appointments


def test_all_at_once_are_spread_over_the_places_that_become_free():
    times = Appointments()
    times.next(10.0, 100)  # who knows nothing else asks for the soonest
    found = [10.5 + times.next(10.5, 150) for _ in range(5)]  # 50 places in 0.5 s
    assert found == pytest.approx([10.55, 10.56, 10.57, 10.58, 10.59])
    assert 10.9 + times.next(10.9, 160) == pytest.approx(10.95)


def test_nobody_waits_for_longer_than_a_second():
    times = Appointments()
    times.next(10.0, 0)
    found = [times.next(10.5, 1) for _ in range(9)]
    assert found == pytest.approx([0.05, 0.55, *[1.0] * 7])


def test_a_pace_of_long_ago_is_forgotten():
    times = Appointments()
    times.next(10.0, 0)
    times.next(10.5, 1)
    assert [times.next(100.0, 1) for _ in range(3)] == pytest.approx([0.05, 0.051, 0.052])


def test_while_no_place_becomes_free_each_window_counts_as_one():
    times = Appointments()
    times.next(10.0, 7)
    times.next(10.5, 7)
    assert [times.next(10.75, 7) for _ in range(3)] == pytest.approx([0.05, 0.3, 0.55])
