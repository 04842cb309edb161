"""Writes docs/benchmarks.md: every committed result, file by file.

It shows what the files say and adds nothing; whoever measures anew commits the file and the page.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tools import bars

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "benchmarks.md"
RESULTS: Final = ROOT / "benchmarks" / "results"
ELSEWHERE: Final = frozenset({"reliability"})  # has a table of its own
TITLES: Final[Mapping[str, tuple[str, str]]] = {
    "service": ("Calls to a server", "make bench-service"),
    "store": ("The durable store", "make bench-store"),
    "sparse": ("Updates of a part of a table of 1 GB", "python -m benchmarks.sparse"),
    "native": ("Native code beside numpy", "make bench"),
    "details": ("Masks, short arrays and single functions", "python -m benchmarks.details"),
    "products": ("Products of tensors", "python -m benchmarks.products"),
    "sorting": ("Sorting and sets", "python -m benchmarks.sorting"),
    "logistic_regression": (
        "The logistic regression of Theano's tutorial",
        "python -m benchmarks.logistic_regression",
    ),
    "neighbours": ("Eight clients on one server", "python -m benchmarks.neighbours"),
}
_HEAD: Final = """# Benchmarks

Written by `make docs` from `benchmarks/results/`. A figure is the median of several rounds, with
the least and the greatest beside it; what it is compared with was measured in the same run. Figures
say little about another machine, and those of calls little without the echo beside them:
`make bench-service` and `make bench-store` measure here. What holds under faults is in
[the table of reliability](reliability.md#measured).
"""


def page() -> str:
    """The page: a section for each file."""
    paths = sorted(RESULTS.glob("*.json"), key=_place)
    return _HEAD + "".join(_section(path) for path in paths if path.stem not in ELSEWHERE)


def _place(path: Path) -> tuple[int, str]:
    names = [*TITLES]
    return (names.index(path.stem) if path.stem in TITLES else len(names), path.stem)


def _section(path: Path) -> str:
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    title, command = TITLES.get(path.stem, (path.stem.capitalize().replace("_", " "), ""))
    out = f"\n## {title}\n\n{_circumstances(path.name, command, record.get('machine', {}))}\n\n"
    if path.stem == "service":
        out += _table(bars.HEAD, bars.rows(record["figures"])) + "\n"
    return out + _figures(record)


def _circumstances(name: str, command: str, machine: Mapping[str, Any]) -> str:
    facts = [f"[{name}](../benchmarks/results/{name})"]
    if command:
        facts.append(f"`{command}`")
    if machine:
        facts.append(f"{machine['cpu']}, {machine['cores']} cores")
        facts.append(f"Python {machine['python']}, numpy {machine['numpy']}")
        facts += [str(machine[key]) for key in ("date",) if key in machine]
    return " · ".join(facts)


def _figures(record: Mapping[str, Any]) -> str:
    """The figures of any of the forms that the benchmarks write."""
    if "measurements" in record:
        found = [
            (m["name"], *(_seconds(m[key]) for key in ("median", "fastest", "slowest")))
            for m in record["measurements"]
        ]
        return _table(("what", "median", "fastest", "slowest"), found)
    if "figures" in record:
        found = [
            (name, *(f"{facts[key]:,.4g}" for key in ("median", "least", "greatest")))
            for name, facts in record["figures"].items()
        ]
        return _table(("what", "median", "least", "greatest"), found)
    rest = {key: value for key, value in record.items() if key != "machine"}
    return _table(("what", "found"), list(_flat("", rest)))


def _flat(name: str, value: object) -> Iterator[tuple[str, str]]:
    """The numbers of nested tables, named by their way."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{name}: {key}" if name else str(key), inner)
    elif isinstance(value, (int, float)):
        yield name, f"{value:,.4g}"


def _seconds(value: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def _table(head: Sequence[str], found: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *found]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
