"""Gathering: what a batch gave, made into results while the server makes more."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import exprd_proto as wire
from exprd.looping import Given
from exprd.statuses import error_of_detail

__all__ = ["Gathering", "item_error"]


class Give(Protocol):
    """What makes the result of an answer."""

    def __call__(self, response: wire.ExecuteResponse, *, keep: bool) -> Given:
        """The outputs and events."""
        ...


class Gathering:
    """The outcomes of a batch on their way to results.

    Args:
        give: makes the result of an answer.
        noted: is told of answers that changed variables.
        keep: whether outputs stay on the server.

    Attributes:
        found: the results so far, in order.
    """

    def __init__(
        self, give: Give, noted: Callable[[wire.ExecuteResponse], None], *, keep: bool
    ) -> None:
        self._give = give
        self._noted = noted
        self._keep = keep
        self._waiting: deque[wire.CallOutcome] = deque()
        self._error: Exception | None = None
        self.found: list[Given] = []

    @property
    def waits(self) -> bool:
        """Whether there is something to gather."""
        return bool(self._waiting)

    def add(self, outcomes: Sequence[wire.CallOutcome]) -> None:
        """Takes outcomes, in order; only the last of all can be a failure."""
        self._waiting += outcomes

    def gather(self) -> None:
        """Makes results of what waits; an error is kept for `finish`."""
        keep, found = self._keep, self.found
        try:
            while self._waiting:
                outcome = self._waiting.popleft()
                if outcome.HasField("failure"):
                    raise item_error(outcome, len(found))
                response = outcome.response
                if response.versions:
                    self._noted(response)
                found.append(self._give(response, keep=keep))
        except Exception as error:
            self._error = self._error or error

    def finish(self) -> Sequence[Given]:
        """All results.

        Raises:
            ExprdError: what went wrong first.
        """
        self.gather()
        if self._error is not None:
            raise self._error
        return self.found


def item_error(outcome: wire.CallOutcome, position: int) -> Exception:
    """The error of an item, with its position in the batch."""
    error = error_of_detail(outcome.failure.detail)
    error.fields = {**error.fields, "item": str(position)}
    return error
