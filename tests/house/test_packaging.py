"""The package list of setup.cfg against the tree, and the marker files that typing needs."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOTS = {
    "exprd": "client",
    "exprd_compiler": "compiler",
    "exprd_proto": "proto",
    "exprd_server": "server",
}
EXTRAS = ("server", "demo", "dev", "fuzz")
# Folders of programs and tests, which import one another by these names.
AROUND = ("benchmarks", "examples", "tests", "tools")
# Distributions whose import name is not their own.
IMPORT_NAMES = {
    "googleapis-common-protos": "google.rpc",
    "grpcio": "grpc",
    "grpcio-health-checking": "grpc_health",
    "grpcio-reflection": "grpc_reflection",
    "grpcio-status": "grpc_status",
    "prometheus-client": "prometheus_client",
    "protobuf": "google.protobuf",
    "scikit-learn": "sklearn",
    "scipy-openblas32": "scipy_openblas32",
}


@pytest.fixture(scope="module")
def metadata() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg")
    return parser


def test_every_package_is_listed(metadata: configparser.ConfigParser) -> None:
    listed = metadata["options"]["packages"].split()
    found = [
        ".".join(init.parent.relative_to(ROOT / folder).parts)
        for folder in ROOTS.values()
        for init in (ROOT / folder).rglob("__init__.py")
    ]
    assert sorted(listed) == sorted(found)


def test_folders_that_hold_the_packages_are_no_packages_themselves() -> None:
    # With an __init__.py, proto/ would shadow an installed package of that name.
    assert not [folder for folder in ROOTS.values() if (ROOT / folder / "__init__.py").exists()]


def declared(requirements: str) -> set[str]:
    """The import names of a list of requirements."""
    names = re.findall(r"^\s*([\w-]+)", requirements, re.MULTILINE)
    return {IMPORT_NAMES.get(name, name) for name in names}


def imported(folder: str) -> Iterator[str]:
    """What the files of a folder import from other distributions."""
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                top = name.split(".")[0]
                if top not in sys.stdlib_module_names and top not in {*ROOTS, *AROUND}:
                    yield ".".join(name.split(".")[:2]) if top == "google" else top


def test_the_plain_install_declares_what_the_client_imports(
    metadata: configparser.ConfigParser,
) -> None:
    plain = declared(metadata["options"]["install_requires"])
    assert {*imported("client"), *imported("proto")} == plain


def test_the_server_extra_declares_what_server_and_compiler_import(
    metadata: configparser.ConfigParser,
) -> None:
    plain = declared(metadata["options"]["install_requires"])
    extra = declared(metadata["options.extras_require"]["server"])
    assert {*imported("server"), *imported("compiler")} - plain == extra


def test_the_extras_declare_what_tests_and_programs_import(
    metadata: configparser.ConfigParser,
) -> None:
    extras = metadata["options.extras_require"]
    lists = [metadata["options"]["install_requires"], *(extras[name] for name in EXTRAS)]
    everything = {name for requirements in lists for name in declared(requirements)}
    assert {name for folder in AROUND for name in imported(folder)} <= everything


@pytest.mark.parametrize("package", ROOTS)
def test_every_root_package_is_typed(package: str) -> None:
    assert (ROOT / ROOTS[package] / package / "py.typed").exists()
