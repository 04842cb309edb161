"""The examples run as their users run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("place", ["embedded", "remote"])
def test_a_perceptron_is_saved_and_loaded_bit_for_bit(
    place: str, request: pytest.FixtureRequest, child_env: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "mlp.params"
    command = [sys.executable, str(EXAMPLES / "mlp.py"), "--steps", "100", "--file", str(file)]
    if place == "remote":
        command += ["--target", request.getfixturevalue("server")]
    run = subprocess.run(command, env=child_env, capture_output=True, text=True, check=True)
    assert "LazyLinear(in_features=0, out_features=256, bias=True)" in run.stdout
    assert "<All keys matched successfully>" in run.stdout
    assert run.stdout.strip().endswith("equal bit for bit: True")
    assert file.exists()


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


def test_riding_through_ends_with_the_same_bits(child_env: dict[str, str]) -> None:
    command = [sys.executable, str(EXAMPLES / "ride_through.py"), "--steps", "120"]
    run = subprocess.run(command, env=child_env, capture_output=True, text=True, check=True)
    assert run.stdout.count("kill -9") == 2
    assert run.stdout.strip().endswith("bit for bit: True")
