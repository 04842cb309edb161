"""What the service should reach, beside what it reached and what a bare echo did in the same run.

`make bench-service` prints this at its end; docs/benchmarks.md shows it above the figures.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).parents[1] / "benchmarks" / "results"
HEAD: Final = ("what", "bar", "found", "echo", "holds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A figure of benchmarks/results/service.json and what it should be.

    Attributes:
        label: what is measured.
        figure: its name in the file.
        unit: of the figure, the echo and the bounds.
        most: it should be this at most; with an echo, the echo and this much more.
        least: it should be this at least.
        echo: the name of the echo's figure beside it.
        share: it should be this part of the echo at least.
    """

    label: str
    figure: str
    unit: str
    most: float | None = None
    least: float | None = None
    echo: str = ""
    share: float | None = None

    def text(self) -> str:
        """The bar in words."""
        if self.share is not None:
            return f"≥ {self.share:.0%} of the echo"
        if self.most is None:
            return f"≥ {self.least:,g} {self.unit}"
        beyond = "echo + " if self.echo else ""
        return f"≤ {beyond}{self.most:,g} {self.unit}"

    def holds(self, found: float, echo: float | None) -> bool:
        """Whether a figure keeps to the bar."""
        if self.share is not None:
            return echo is not None and found >= self.share * echo
        if self.most is None:
            return self.least is not None and found >= self.least
        return found <= self.most + (echo or 0.0)


_ECHO: Final = "echo, unary, 64 B, p50 us"
BARS: Final = (
    Bar(label="unary call", figure="server, x + 1 of 8, p50 us", unit="us", most=60, echo=_ECHO),
    Bar(
        label="call in a session", figure="server, x + 1 of 8, session, p50 us", unit="us", most=250
    ),
    Bar(
        label="call by doorbell", figure="server, x + 1 of 8, doorbell, p50 us", unit="us", most=20
    ),
    Bar(
        label="64 callers",
        figure="server, x + 1 of 8, 64 callers, 1/s",
        unit="calls/s",
        echo="echo, unary, 64 B, 64 callers, 1/s",
        share=0.7,
    ),
    Bar(
        label="pipelined",
        figure="server, x + 1 of 8, submitted, 1/s",
        unit="calls/s",
        least=30_000,
        echo="echo, stream, messages pipelined, 1/s",
    ),
    Bar(
        label="256 MiB up",
        figure="server, put 256 MiB, GB/s",
        unit="GB/s",
        least=1.8,
        echo="echo, chunks of 1 MiB up, GB/s",
    ),
    Bar(
        label="256 MiB down",
        figure="server, get 256 MiB, GB/s",
        unit="GB/s",
        least=1.8,
        echo="echo, chunks of 1 MiB down, GB/s",
    ),
    Bar(
        label="256 MiB by shared memory",
        figure="server, shared memory 256 MiB, GB/s",
        unit="GB/s",
        least=12,
    ),
    Bar(
        label="tutorial step, data sent, by doorbell",
        figure="server, tutorial step, data sent, doorbell, p50 us",
        unit="us",
        most=500,
        echo="",
    ),
    Bar(
        label="tutorial step, data put, by doorbell",
        figure="server, tutorial step, data put, doorbell, p50 us",
        unit="us",
        most=60,
    ),
)


def rows(figures: Mapping[str, Mapping[str, float]]) -> list[Sequence[str]]:
    """A row for each bar, as in `HEAD`; what was not measured says so."""
    return [_row(bar, figures) for bar in BARS]


def _row(bar: Bar, figures: Mapping[str, Mapping[str, float]]) -> Sequence[str]:
    found, echo = _median(bar.figure, figures), _median(bar.echo, figures)
    if found is None:
        return (bar.label, bar.text(), "not measured", _told(echo, bar.unit), "")
    holds = "yes" if bar.holds(found, echo) else "no"
    return (bar.label, bar.text(), _told(found, bar.unit), _told(echo, bar.unit), holds)


def _median(name: str, figures: Mapping[str, Mapping[str, float]]) -> float | None:
    return figures[name]["median"] if name in figures else None


def _told(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def printed(table: Sequence[Sequence[str]]) -> str:
    """Rows as columns for a terminal."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        + "\n"
        for row in table
    )


def main() -> None:
    """Prints the table of the committed results, or of the file that is named."""
    path = Path(sys.argv[1]) if sys.argv[1:] else RESULTS / "service.json"
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    sys.stdout.write(printed([HEAD, *rows(record["figures"])]))


if __name__ == "__main__":
    main()
