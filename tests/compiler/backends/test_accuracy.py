"""The bars of docs/accuracy.md, on other samples than those the page was made from."""

from __future__ import annotations

import pytest

from exprd_compiler.ir.dtype import HALVES
from tools.accuracy import CASES, HALF_BAR, PAGE, SINGLE_BAR, UNARY, halves, measure, sweep

FEW = 100
STRIDE = 500_009


@pytest.mark.parametrize("name", CASES)
def test_float64_stays_below_its_bar(name: str) -> None:
    worst = measure(name, "float64", FEW, seed=31)
    assert worst.error <= CASES[name].bar, worst


@pytest.mark.parametrize("name", UNARY)
def test_float32_stays_below_its_bar(name: str) -> None:
    worst = sweep(name, STRIDE)
    assert worst.error <= SINGLE_BAR, worst


@pytest.mark.parametrize("dtype", HALVES)
def test_every_16_bit_float_stays_below_the_bar(dtype: str) -> None:
    found = halves(dtype)
    assert set(found) == set(UNARY)
    broken = {name: worst for name, worst in found.items() if worst.error > HALF_BAR}
    assert not broken


@pytest.mark.parametrize("name", sorted(CASES.keys() - set(UNARY)))
def test_float32_pairs_stay_below_the_bar(name: str) -> None:
    worst = measure(name, "float32", FEW, seed=31)
    assert worst.error <= SINGLE_BAR, worst


def test_the_page_lists_every_function() -> None:
    table, _ = PAGE.read_text(encoding="utf-8").split("## Where integers end")
    listed = [row.split("`")[1] for row in table.splitlines() if row.startswith("| `")]
    assert listed == list(CASES)
