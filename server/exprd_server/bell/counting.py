"""What a doorbell has done so far, as the page of metrics shows it.

Invariant: a call counts itself by plain additions to numbers of its connection alone, which are
summed when somebody asks.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.core import Metric

    from exprd_server.bell.listener import Doorbell

_TEXTS = {
    "calls": "calls that came by the doorbell",
    "commits": "those of them that changed shared variables",
    "seconds": "time of them all",
}


@dataclass(slots=True)
class Counts:
    """Calls that were answered, those that changed variables, and the time of all together."""

    calls: int = 0
    commits: int = 0
    seconds: float = 0.0

    def add(self, other: Counts) -> None:
        """Adds the counts of another connection."""
        self.calls += other.calls
        self.commits += other.commits
        self.seconds += other.seconds


class DoorbellMetrics:
    """The counts of a doorbell, asked at each visit of the page."""

    def __init__(self, doorbell: Doorbell) -> None:
        self._doorbell = doorbell

    def collect(self) -> Iterable[Metric]:
        """The metrics of this moment."""
        counts = self._doorbell.counts()
        for field in fields(counts):
            name = f"exprd_doorbell_{field.name}"
            yield CounterMetricFamily(name, _TEXTS[field.name], getattr(counts, field.name))
        yield GaugeMetricFamily(
            "exprd_doorbell_connections",
            "connections to the doorbell that are open",
            len(self._doorbell),
        )
