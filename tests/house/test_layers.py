"""The fences of the architecture: who may import whom, and what an import may cost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_every_import_contract_holds(child_env: dict[str, str]) -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run(
        [linter, "--config", "setup.cfg", "--no-cache"],
        cwd=ROOT, env=child_env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("module", ["exprd", "exprd.tensor"])
def test_importing_the_client_loads_no_code_generator_and_no_server(
    module: str, child_env: dict[str, str]
) -> None:
    program = (
        f"import sys, {module}\n"
        "heavy = {'llvmlite', 'exprd_server', 'scipy_openblas32', 'structlog', 'click', 'rich'}\n"
        "print(*sorted(heavy & sys.modules.keys()))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], env=child_env, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == ""
