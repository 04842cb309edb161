"""Counts: what a call tells about values that are defined but rarely wanted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EventCount:
    """How many elements of one node met an event in one call.

    Attributes:
        kind: the event, for example "integer division by zero".
        op: name of the op.
        origin: wire index of the node, or -1.
        count: elements, at least 1.
    """

    kind: str
    op: str
    origin: int
    count: int
