"""The checked-in protobuf stubs are what the protos say, and the protos break no earlier client."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    # The make that started these tests must not pass its flags on.
    env = {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.timeout(600)  # the first run makes the generator's own virtual environment
def test_stubs_are_fresh() -> None:
    result = run("make", "proto-check")
    assert result.returncode == 0, result.stdout + result.stderr


def test_protos_break_no_client_of_the_baseline(figure: Callable[..., None]) -> None:
    buf = Path(sys.executable).with_name("buf")
    result = run(buf, "breaking", "--against", "proto/baseline.binpb")
    assert result.returncode == 0, result.stdout + result.stderr
    figure("upgrade", breaking_changes_of_the_protocol=0)
