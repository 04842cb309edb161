"""The package list of setup.cfg against the tree, and the marker files that typing needs."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOTS = {
    "exprd": "client",
    "exprd_compiler": "compiler",
    "exprd_proto": "proto",
    "exprd_server": "server",
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


@pytest.mark.parametrize("package", ROOTS)
def test_every_root_package_is_typed(package: str) -> None:
    assert (ROOT / ROOTS[package] / package / "py.typed").exists()
