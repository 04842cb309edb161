"""The console script, with and without the server's package."""

from __future__ import annotations

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


def test_without_the_server_the_extra_is_named(tmp_path: Path, child_env: dict[str, str]) -> None:
    # a package of that name that cannot be imported stands for one that is not installed
    (tmp_path / "exprd_server.py").write_text("raise ImportError('no', name='exprd_server')\n")
    env = {**child_env, "PYTHONPATH": f"{tmp_path}:{child_env['PYTHONPATH']}"}
    done = run("serve", env=env)
    assert done.returncode == 1
    assert "pip install 'exprd[server]'" in done.stderr
    program = "import exprd, exprd.tensor as T; x = T.scalar(); exprd.function([x], x)"
    failed = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
    )
    assert "MissingExtra" in failed.stderr
    assert "exprd[server]" in failed.stderr
