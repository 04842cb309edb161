"""What the packages export: every `__all__` is true, and those of the public faces are complete.

Their order is ruff's business (RUF022).
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import pytest

import exprd
import exprd_compiler
import exprd_proto
import exprd_server

FACES = ("exprd", "exprd.tensor", "exprd_proto")


def public_modules() -> list[str]:
    """Every module without an underscore in front, entry points left out."""
    names = []
    for package in (exprd, exprd_compiler, exprd_proto, exprd_server):
        names.append(package.__name__)
        names += [m.name for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return [n for n in names if not n.rpartition(".")[2].startswith("_") and "_pb2" not in n]


@pytest.mark.parametrize("name", public_modules())
def test_every_exported_name_exists_once(name: str) -> None:
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", ())
    assert [n for n in exported if not hasattr(module, n)] == []
    assert len(exported) == len(set(exported))


@pytest.mark.parametrize("name", FACES)
def test_a_public_face_exports_all_that_it_shows(name: str) -> None:
    module = importlib.import_module(name)
    shown = {
        n
        for n, value in vars(module).items()
        if not n.startswith("_") and n != "annotations" and not isinstance(value, ModuleType)
    }
    assert shown - set(module.__all__) == set()
