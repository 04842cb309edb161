"""Draws: how many random programs are judged, and from which seeds.

`EXPRD_SOAK` scales a soak run (1 is 10,000 programs), `EXPRD_SOAK_SEED` moves it to others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final

from hypothesis import HealthCheck, given, seed, settings

from exprd.session import Session
from tests.random_graphs.judge import judge
from tests.random_graphs.program import Program, programs

COUNT: Final = 300  # programs in every run of the tests
BATCH: Final = 50
SOAKED: Final = 10_000
_FIRST_SOAKED: Final = 1000  # no batch of the ordinary tests has such a number


def soak_batches() -> range:
    """The batches of a soak run."""
    count = int(SOAKED * float(os.environ.get("EXPRD_SOAK", "1")))
    first = _FIRST_SOAKED + int(os.environ.get("EXPRD_SOAK_SEED", "0"))
    return range(first, first + max(1, count // BATCH))


def each_of(batch: int, visit: Callable[[Program], None]) -> None:
    """Visit the programs of a batch: always the same ones; the smallest that fails is told."""

    @seed(batch)
    @settings(
        max_examples=BATCH, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(program=programs())
    def visited(program: Program) -> None:
        visit(program)

    visited()


def judged(batch: int, here: Session, there: Session, modes: Sequence[str] = ()) -> None:
    """Judge the programs of a batch, in these modes or in one that each program has drawn."""
    each_of(batch, lambda program: judge(program, here, there, modes))
