"""Writes the table of docs/reliability.md out of what was measured.

Tests note figures as lines of JSON (the fixture `figure` with EXPRD_FIGURES); `--merge` takes such
files into benchmarks/results/reliability.json, where the newest of each test stays. The table shows
them beside the bars, with the figures of the benchmarks; a row that nobody has measured says so.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import machine
from tools import benchmarks_page
from tools.reliability_rows import AREAS, EVERY_RUN, ROWS, SOAK, Pick, Row

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "reliability.md"
RESULTS: Final = ROOT / "benchmarks" / "results"
FIGURES: Final = RESULTS / "reliability.json"
MEASURED: Final = "## Measured"
UNMEASURED: Final = "not measured"
MEGA: Final = 1e6
# How the unit that ends the name of a number is written.
UNITS: Final[Mapping[str, str]] = {
    **{unit: unit for unit in ("us", "ms", "s", "bytes")},
    "kb": "kB",
    "mb": "MB",
    "gb": "GB",
    "percent": "%",
}
_HEAD: Final = f"""{MEASURED}

Written by `make docs` from `benchmarks/results/`, where `make reliability`, `make bench-service`
and `make bench-store` put what they find. The tests ran on: {{machine}}. A bar is what we want to
hold on 2 cores; the figure beside it is what was found, whether it holds or not.

| Area | What is done | Bar | Measured | When | Run by |
|---|---|---|---|---|---|
"""

# area -> test -> {"date": ..., "soak": ..., "numbers": {...}}
Figures = dict[str, dict[str, dict[str, Any]]]


# ---- figures of tests
def noted(lines: Iterable[str]) -> Figures:
    """The figures of one file of lines; several of one test and area are one.

    Raises:
        ValueError: a line is no figure, or of an area that is no row of the table.
    """
    found: Figures = {}
    for line in lines:
        entry = json.loads(line)
        area = entry["area"]
        if area not in AREAS:
            raise ValueError(f"{area!r} is no area of the table; {entry['test']} notes it")
        kept = found.setdefault(area, {}).setdefault(entry["test"], {"numbers": {}})
        kept.update(date=entry["date"], soak=entry["soak"])
        kept["numbers"].update(entry["numbers"])
    return found


def merged(old: Figures, new: Figures) -> Figures:
    """Both, of a test that is in both the new one; sorted, so that files compare well."""
    return {
        area: dict(sorted({**old.get(area, {}), **new.get(area, {})}.items()))
        for area in sorted({*old, *new})
    }


def merge(paths: Iterable[Path]) -> None:
    """Takes files of figures, in their order, into the results."""
    figures: Figures = _read(FIGURES).get("figures", {})
    for path in paths:
        figures = merged(figures, noted(path.read_text(encoding="utf-8").splitlines()))
    record = {"machine": machine(), "figures": figures}
    FIGURES.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


# ---- the table
def table(figures: Figures, results: Mapping[str, Mapping[str, Any]]) -> str:
    """The rows as lines of Markdown.

    Args:
        figures: of tests.
        results: files of benchmarks, by their names without the ending.
    """
    return "".join(f"{_line(row, figures.get(row.area, {}), results)}\n" for row in ROWS)


def _line(
    row: Row, tests: Mapping[str, Mapping[str, Any]], results: Mapping[str, Mapping[str, Any]]
) -> str:
    shown = dict(_shown(tests))
    files = sorted({test.partition("::")[0] for test in shown})
    told = [_pick(pick, results) for pick in row.picks if pick.file in results]
    told += [_numbers(entry["numbers"]) for entry in shown.values()]
    dates = {entry["date"] for entry in shown.values()}
    dates |= {_date(results.get(pick.file, {})) for pick in row.picks}
    cells = (
        row.area,
        row.injected,
        row.bar,
        "; ".join(told) or UNMEASURED,
        max(dates, default=""),
        "<br>".join([_run_by(row, shown), *(f"`{name}`" for name in files)]),
    )
    return "| " + " | ".join(cells) + " |"


def _run_by(row: Row, shown: Mapping[str, Mapping[str, Any]]) -> str:
    """The command of a row; that of every run where no long form was measured."""
    short = shown and not any(entry["soak"] for entry in shown.values())
    return EVERY_RUN if short and row.run == SOAK else row.run


def _shown(tests: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The entries of a row, without short forms of what the same file also measured in full."""
    long = {test.partition("::")[0] for test, entry in tests.items() if entry["soak"]}
    for test, entry in tests.items():
        if entry["soak"] or test.partition("::")[0] not in long:
            yield test, entry


def _numbers(numbers: Mapping[str, float | str]) -> str:
    return ", ".join(_named(name, value) for name, value in numbers.items())


def _named(name: str, value: float | str) -> str:
    """A number with its name; the unit that ends a name stands behind the number."""
    words = name.split("_")
    unit = UNITS[words.pop()] if len(words) > 1 and words[-1] in UNITS else ""
    if unit == "bytes" and not isinstance(value, str) and abs(value) >= MEGA:
        value, unit = value / MEGA, "MB"
    return f"{' '.join(words)} {_readable(value)} {unit}".rstrip()


def _readable(value: float | str) -> str:
    """A number as people write it; of one that is not whole, three digits."""
    if isinstance(value, str):
        return value
    whole = isinstance(value, int) or value.is_integer() or abs(value) >= 1000
    return f"{value:,.0f}" if whole else f"{value:.3g}"


def _pick(pick: Pick, results: Mapping[str, Mapping[str, Any]]) -> str:
    found: Any = results.get(pick.file, {})
    for key in pick.path:
        found = found.get(key) if isinstance(found, Mapping) else None
    if found is None:
        return f"{pick.label}: {UNMEASURED}"
    return f"{pick.label} {_readable(found * pick.scale)} {pick.unit}".rstrip()


def _date(result: Mapping[str, Any]) -> str:
    return str(result.get("machine", {}).get("date", ""))


# ---- the page
def refreshed() -> str:
    """The page with its table made anew; what stands above it stays."""
    head = PAGE.read_text(encoding="utf-8").partition(MEASURED)[0]
    record = _read(FIGURES)
    results = {path.stem: _read(path) for path in sorted(RESULTS.glob("*.json"))}
    return head + _HEAD.format(machine=_machine(record)) + table(record.get("figures", {}), results)


def _machine(record: Mapping[str, Any]) -> str:
    facts: Mapping[str, Any] = record.get("machine", {})
    if not facts:
        return "none yet"
    return f"{facts['cpu']}, {facts['cores']} cores, Python {facts['python']}"


def main() -> None:
    """Merge what the command line names, and write the pages that show figures."""
    parser = argparse.ArgumentParser(prog="python -m tools.reliability", description=__doc__)
    parser.add_argument("--merge", type=Path, nargs="*", default=[], metavar="FILE")
    options = parser.parse_args()
    if options.merge:
        merge(options.merge)
    PAGE.write_text(refreshed(), encoding="utf-8")
    benchmarks_page.PAGE.write_text(benchmarks_page.page(), encoding="utf-8")


if __name__ == "__main__":
    main()
