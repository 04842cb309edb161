"""Choices: what a random program is made of, drawn one by one so that hypothesis can shrink it.

The contents of arrays come from a numpy generator whose seed is drawn; they do not shrink.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st

T = TypeVar("T")


@cache
def _below(count: int) -> st.SearchStrategy[int]:
    return st.integers(0, count - 1)


class Choices:
    """Draws; the first of several choices is the simplest."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self._draw = draw

    def below(self, count: int) -> int:
        """An integer from 0 to count - 1."""
        return int(self._draw(_below(count))) if count > 1 else 0

    def pick(self, items: Sequence[T]) -> T:
        """One of several."""
        return items[self.below(len(items))]

    def weighed(self, items: Sequence[tuple[int, T]]) -> T:
        """One of several, each as often as its weight says."""
        rest = self.below(sum(weight for weight, _ in items))
        for weight, item in items:
            rest -= weight
            if rest < 0:
                return item
        raise AssertionError("the weights are positive")

    def chance(self, percent: int) -> bool:
        """True so many times out of a hundred; False is the simpler one."""
        return self.below(100) >= 100 - percent

    def rng(self) -> np.random.Generator:
        """A generator of array contents."""
        return np.random.default_rng(self.below(1 << 16))
