"""The fences of the architecture: who may import whom, and what an import may cost."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MAY_IMPORT_GRPC = {"interceptors", "serve", "service"}
MAY_IMPORT_LLVMLITE = "exprd_compiler.backends"


def contract(name: str) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg")
    return parser[f"importlinter:contract:{name}"]


def modules_below(package: Path) -> set[str]:
    """The modules and packages right under a package, by name."""
    found = {p.stem for p in package.glob("*.py")} | {
        p.parent.name for p in package.glob("*/__init__.py")
    }
    return found - {"__init__"}


def test_every_import_contract_holds(child_env: dict[str, str]) -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run(
        [linter, "--config", "setup.cfg", "--no-cache"],
        cwd=ROOT, env=child_env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_grpc_contract_names_every_other_module_of_the_server() -> None:
    fenced = set(contract("engine-without-grpc")["source_modules"].split())
    expected = modules_below(ROOT / "server/exprd_server") - MAY_IMPORT_GRPC
    assert fenced == {f"exprd_server.{name}" for name in expected}


def test_the_llvmlite_contract_names_every_module_but_the_backends() -> None:
    fenced = set(contract("one-code-generator")["source_modules"].split())
    compiler = {
        f"exprd_compiler.{name}" for name in modules_below(ROOT / "compiler/exprd_compiler")
    }
    assert fenced == compiler - {MAY_IMPORT_LLVMLITE} | {"exprd", "exprd_proto", "exprd_server"}


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
