"""The table of reliability: figures of tests and benchmarks beside their bars, none invented."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tools import reliability
from tools.reliability import UNMEASURED, merged, noted, table
from tools.reliability_rows import ROWS

SHORT, LONG, OTHER = "tests/a.py::test_short", "tests/a.py::test_long", "tests/b.py::test_it"


def line(test: str, area: str = "crash", *, soak: bool = False, **numbers: Any) -> str:
    entry = {"area": area, "test": test, "soak": soak, "date": "2026-01-02", "numbers": numbers}
    return json.dumps(entry)


def row(area: str, text: str) -> list[str]:
    (found,) = [row for row in text.splitlines() if row.startswith(f"| {area} |")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_figures_of_an_area_stand_together_with_their_units() -> None:
    figures = noted(
        [line(OTHER, kills=500, lost=0), line(SHORT, p99_ms=1.23456, drift_bytes=5.9e6)]
    )
    _, _, bar, measured, date, run = row("crash", table(figures, {}))
    assert bar == "0 acknowledged updates lost, 0 torn"
    assert measured == "kills 500, lost 0; p99 1.23 ms, drift 5.9 MB"
    assert date == "2026-01-02"
    assert run == "`make test`<br>`tests/a.py`<br>`tests/b.py`"


def test_a_long_form_stands_for_the_short_one_beside_it() -> None:
    figures = noted([line(SHORT, kills=3), line(LONG, soak=True, kills=500), line(OTHER, cuts=7)])
    found = row("crash", table(figures, {}))
    assert found[3] == "kills 500; cuts 7"
    assert found[5].startswith("`make soak`<br>")


def test_several_figures_of_a_test_are_one() -> None:
    assert noted([line(SHORT, a=1), line(SHORT, b=2)])["crash"][SHORT]["numbers"] == {
        "a": 1,
        "b": 2,
    }


def test_the_newest_figure_of_a_test_stays_and_others_are_kept() -> None:
    old = noted([line(SHORT, kills=1, gone=1), line(OTHER, cuts=7)])
    found = merged(old, noted([line(SHORT, kills=2), line(SHORT, area="auth", cases=9)]))
    assert found["crash"][SHORT]["numbers"] == {"kills": 2}
    assert found["crash"][OTHER]["numbers"] == {"cuts": 7}
    assert found["auth"][SHORT]["numbers"] == {"cases": 9}


def test_what_nobody_has_measured_says_so() -> None:
    rows = [row(r.area, table({}, {})) for r in ROWS]
    assert all(UNMEASURED in cells[3] for cells in rows)
    assert {cells[4] for cells in rows} == {""}


def test_a_figure_of_a_benchmark_is_found_by_its_name() -> None:
    results = {"store": {"machine": {"date": "2026-03-04"}, "variable of 100 MB": {"open": 1.5}}}
    cells = row("restart", table({}, results))
    assert cells[3] == f"100 MB 1.5 s; 1 GB: {UNMEASURED}"
    assert cells[4] == "2026-03-04"


def test_a_figure_of_no_row_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'crush' is no area of the table; tests/a\.py"):
        noted([line(SHORT, area="crush")])


def test_files_of_figures_are_merged_into_the_results(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(reliability, "FIGURES", tmp_path / "reliability.json")
    first, second = tmp_path / "1", tmp_path / "2"
    first.write_text(line(SHORT, kills=1) + "\n")
    second.write_text(line(SHORT, kills=2) + "\n" + line(OTHER, cuts=3) + "\n")
    reliability.merge([first, second])
    record = json.loads((tmp_path / "reliability.json").read_text())
    assert record["figures"]["crash"][SHORT]["numbers"] == {"kills": 2}
    assert record["figures"]["crash"][OTHER]["numbers"] == {"cuts": 3}
    assert record["machine"]["cores"] >= 1


def test_the_rows_have_names_of_their_own() -> None:
    assert len({row.area for row in ROWS}) == len(ROWS)
