"""The table of bars: what holds, what does not, and what was not measured."""

from __future__ import annotations

import pytest

from tools.bars import BARS, HEAD, Bar, printed, rows


@pytest.mark.parametrize(
    ("bar", "text", "found", "echo", "holds"),
    [
        (Bar(label="", figure="f", unit="us", most=60, echo="e"), "≤ echo + 60 us", 160, 100, True),
        (
            Bar(label="", figure="f", unit="us", most=60, echo="e"),
            "≤ echo + 60 us",
            161,
            100,
            False,
        ),
        (Bar(label="", figure="f", unit="us", most=250), "≤ 250 us", 250, None, True),
        (Bar(label="", figure="f", unit="us", most=250), "≤ 250 us", 251, None, False),
        (Bar(label="", figure="f", unit="GB/s", least=1.8, echo="e"), "≥ 1.8 GB/s", 1.8, 9, True),
        (Bar(label="", figure="f", unit="1/s", least=30_000), "≥ 30,000 1/s", 29_999, None, False),
        (
            Bar(label="", figure="f", unit="1/s", echo="e", share=0.7),
            "≥ 70% of the echo",
            7,
            10,
            True,
        ),
        (
            Bar(label="", figure="f", unit="1/s", echo="e", share=0.7),
            "≥ 70% of the echo",
            6,
            10,
            False,
        ),
    ],
)
def test_a_bar_says_what_it_asks_for_and_whether_it_holds(bar, text, found, echo, holds) -> None:
    assert bar.text() == text
    assert bar.holds(found, echo) is holds


def test_figures_stand_beside_their_bar_and_the_echo() -> None:
    figures = {"server, x + 1 of 8, p50 us": {"median": 512.5}, BARS[0].echo: {"median": 400.0}}
    found = rows(figures)
    assert found[0] == ("unary call", "≤ echo + 60 us", "512 us", "400 us", "no")
    assert found[1][2] == "not measured"
    text = printed([HEAD, *found])
    assert text.splitlines()[0].split() == list(HEAD)
    assert len({line.find("≤") for line in text.splitlines() if "≤" in line}) == 1
