"""Every target on the inputs of the corpus, and on those that hypothesis draws.

50 inputs of each in every run; `make soak` draws 40,000 (`EXPRD_SOAK` scales them), and `make fuzz`
has atheris look for further ones along the lines that they reach.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exprd_compiler.errors import CompilerBug
from tests.fuzz import targets
from tests.fuzz.source import Source
from tests.fuzz.targets import TARGETS, judge

CORPUS = Path(__file__).parent / "corpus"
DRAWN = 50
SOAKED = max(1, int(40_000 * float(os.environ.get("EXPRD_SOAK", "1"))))
INPUTS = st.one_of(st.binary(max_size=24), st.binary(min_size=40, max_size=320))


def judge_drawn(name: str, count: int) -> int:
    """How many of so many drawn inputs a target accepted."""
    accepted = 0
    judge(name, b"")  # what is made once takes longer than any input

    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(INPUTS)
    def run(data: bytes) -> None:
        nonlocal accepted
        accepted += judge(name, data)

    run()
    return accepted


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_has_no_findings(name: str) -> None:
    files = sorted((CORPUS / name).iterdir())
    assert files
    for file in files:
        judge(name, file.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_drawn_inputs_are_accepted_or_refused(name: str) -> None:
    assert judge_drawn(name, DRAWN) > 0


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_many_drawn_inputs_are_accepted_or_refused(figure) -> None:
    accepted = sum(judge_drawn(name, SOAKED) for name in TARGETS)
    cases = SOAKED * len(TARGETS)
    figure("bad input", drawn_inputs=cases, accepted=accepted, crashes=0, hangs=0)


def test_the_judge_notices(monkeypatch) -> None:
    def broken(source: Source) -> None:
        raise {0: KeyError("x"), 1: CompilerBug("y")}[source.number(0, 1)]

    monkeypatch.setattr(targets, "TARGETS", {"broken": broken})
    with pytest.raises(KeyError):
        judge("broken", b"")
    with pytest.raises(CompilerBug):
        judge("broken", b"\1")


def test_no_corpus_is_without_a_target() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == {*TARGETS}
