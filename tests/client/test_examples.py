"""The examples run as their users run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("place", ["embedded", "remote"])
def test_logistic_regression_learns_its_targets(
    place: str, request: pytest.FixtureRequest, child_env: dict[str, str]
) -> None:
    command = [sys.executable, str(EXAMPLES / "logistic_regression.py"), "--steps", "6000"]
    if place == "remote":
        command += ["--target", request.getfixturevalue("server"), "--put"]
    run = subprocess.run(command, env=child_env, capture_output=True, text=True, check=True)
    assert "Used the cpu" in run.stdout
    assert run.stdout.strip().endswith("predictions equal to the targets: True")
