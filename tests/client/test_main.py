"""The console script, with and without the server's package."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

import exprd


def run(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "exprd", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_version_and_usage(child_env: dict[str, str]) -> None:
    assert run("version", env=child_env).stdout == f"exprd {exprd.__version__}\n"
    assert "serve" in run(env=child_env).stdout


def test_commands_go_to_the_server(server: str, child_env: dict[str, str]) -> None:
    assert run("health", server, env=child_env).stdout.strip() == "SERVING"
    assert "incarnation" in run("info", server, env=child_env).stdout


def test_the_script_loads_grpc_no_sooner_than_it_has_silenced_it(child_env: dict[str, str]) -> None:
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg")
    script = setup["options.entry_points"]["console_scripts"].split()
    assert script == ["exprd", "=", "exprd_server.console:main"]
    program = """
import os, sys
from exprd_server.console import main
assert "grpc" not in sys.modules
sys.argv = ["exprd", "health", "--help"]
try:
    main()
finally:
    print("grpc" in sys.modules, os.environ["GRPC_VERBOSITY"])
"""
    env = {name: value for name, value in child_env.items() if name != "GRPC_VERBOSITY"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["True ERROR"], done.stderr


def test_without_the_server_the_extra_is_named(tmp_path: Path, child_env: dict[str, str]) -> None:
    # a package of that name that cannot be imported stands for one that is not installed
    for name in ("click", "llvmlite"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('no', name={name!r})\n")
    env = {**child_env, "PYTHONPATH": f"{tmp_path}:{child_env['PYTHONPATH']}"}
    done = run("serve", env=env)
    assert done.returncode == 1
    assert "needs click, which belongs to the server; pip install 'exprd[server]'" in done.stderr
    program = "import exprd, exprd.tensor as T; x = T.scalar(); exprd.function([x], x)"
    failed = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
    )
    assert "MissingExtra" in failed.stderr
    assert "exprd[server]" in failed.stderr
