"""The plain install in an empty environment: a thin client that works, and says what it lacks.

A wheel is built from a copy of the tree and installed without extras; a server, where one is
needed, runs in the environment of the tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = (
    "client",
    "compiler",
    "proto",
    "server",
    "setup.cfg",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

BUILD_A_GRAPH = """
import numpy as np, exprd, exprd.tensor as T
x = T.vector("x")
w = exprd.shared(np.ones(3), name="w")
cost = T.exp(x * w).sum()
slope = exprd.grad(cost, w)
"""


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "EXPRD_TARGET"}}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("source")
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    for name in SHIPPED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=ignore)
        else:
            shutil.copy(source, copy / name)
    made = run(
        sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", copy / "dist", copy
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return next((copy / "dist").glob("exprd-*.whl"))


@pytest.fixture(scope="module")
def thin(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the wheel and what it asks for, nothing else."""
    venv = tmp_path_factory.mktemp("thin") / "venv"
    made = run(ROOT / "tools/make-venv", venv)
    assert made.returncode == 0, made.stderr
    installed = run(venv / "bin/python", "-m", "pip", "install", wheel)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    return venv / "bin/python"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The target of a server that runs in the environment of the tests."""
    socket = tmp_path_factory.mktemp("server") / "s"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "exprd", "serve", "--listen", f"unix://{socket}"]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        with grpc.insecure_channel(f"unix://{socket}") as channel:
            grpc.channel_ready_future(channel).result(timeout=60)
        yield f"unix://{socket}"
        process.terminate()
        process.communicate(timeout=60)


def test_the_wheel_holds_types_and_protos(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    packages = ("exprd", "exprd_compiler", "exprd_proto", "exprd_server")
    assert {f"{package}/py.typed" for package in packages} <= names
    assert {"exprd_proto/graph.proto", "exprd_proto/graph_pb2.pyi"} <= names


def test_a_plain_install_brings_three_libraries(thin: Path) -> None:
    listed = run(thin, "-m", "pip", "list", "--format=freeze").stdout.split()
    names = {line.partition("==")[0].replace("_", "-").lower() for line in listed}
    assert names - {"pip", "setuptools"} == {
        "exprd", "grpcio", "numpy", "protobuf", "typing-extensions",
    }  # fmt: skip


def test_a_thin_client_builds_graphs_and_gradients(thin: Path, tmp_path: Path) -> None:
    built = run(thin, "-c", BUILD_A_GRAPH, cwd=tmp_path)
    assert built.returncode == 0, built.stderr


def test_embedded_use_says_which_extra_to_install(thin: Path, tmp_path: Path) -> None:
    called = run(thin, "-c", BUILD_A_GRAPH + "exprd.function([x], cost)", cwd=tmp_path)
    assert called.returncode != 0
    assert "MissingExtra" in called.stderr
    assert "exprd[server]" in called.stderr


def test_the_server_commands_say_which_extra_to_install(thin: Path, tmp_path: Path) -> None:
    called = run(thin.with_name("exprd"), "serve", cwd=tmp_path)
    assert called.returncode != 0
    assert "exprd[server]" in called.stdout + called.stderr
    assert "Traceback" not in called.stderr


def test_a_thin_client_computes_on_a_server(thin: Path, server: str, tmp_path: Path) -> None:
    program = f"""
exprd.connect({server!r})
f = exprd.function([x], [cost, slope], updates=[(w, w - slope)])
cost, slope = f(np.zeros(3))
assert (cost, slope.tolist(), w.get_value().tolist()) == (3.0, [0.0] * 3, [1.0] * 3)
"""
    called = run(thin, "-c", BUILD_A_GRAPH + program, cwd=tmp_path)
    assert called.returncode == 0, called.stderr
