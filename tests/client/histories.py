"""Histories of concurrent calls, and whether some order of single calls explains them.

For calls that give distinct totals the order is known, and it must agree with time: no call may
come before one that had ended when it began (Gibbons and Korach, Testing Shared Memories, 1997).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """One call: when it began and ended, and its place in the order that its answer tells."""

    begin: float
    end: float
    place: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A compare-and-set that found another version than the expected one."""

    begin: float
    end: float
    expected: int


def check_order(calls: Sequence[Call], first: int) -> None:
    """Asserts that places count from `first` without a gap, and agree with time."""
    ordered = sorted(calls, key=lambda call: call.place)
    places = [call.place for call in ordered]
    twice = [place for place, count in Counter(places).items() if count > 1]
    assert not twice, f"places {twice[:5]} were given twice"
    assert places == list(range(first, first + len(places))), "places are missing"
    earliest_end = float("inf")
    for call in reversed(ordered):
        # Whatever comes later must not have ended before this one began.
        assert call.begin <= earliest_end, f"place {call.place} was begun after a later one ended"
        earliest_end = min(earliest_end, call.end)


def check_refusals(refusals: Sequence[Refusal], winners: Sequence[Call]) -> None:
    """Asserts that each refusal has a reason: by its end, somebody had begun to take the version.

    The place of a winner is the version that it expected.
    """
    begun = {call.place: call.begin for call in winners}
    for refusal in refusals:
        reason = begun.get(refusal.expected)
        assert reason is not None, f"version {refusal.expected} was refused to everybody"
        assert reason <= refusal.end, f"version {refusal.expected} was refused before it was taken"
