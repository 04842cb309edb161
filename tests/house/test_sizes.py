"""No hand-written file grows past what one reads in a sitting, no function past a screen."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_FILE_LINES = 500
MOST_FUNCTION_LINES = 40
SHIPPED = ("client", "compiler", "proto", "server")
FOLDERS = (*SHIPPED, "benchmarks", "examples", "tests", "tools")


def sources(folder: str) -> list[Path]:
    """The hand-written Python files of a folder."""
    return [path for path in (ROOT / folder).rglob("*.py") if "_pb2" not in path.name]


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """The functions of a file, each with its lines, its docstring left out."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            has_doc = ast.get_docstring(node) is not None
            doc = node.body[0].end_lineno - node.body[0].lineno + 1 if has_doc else 0
            yield node.name, node.end_lineno - node.lineno + 1 - doc


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_file_is_over_500_lines(folder: str) -> None:
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in sources(folder)
    }
    assert lines
    assert {path: n for path, n in lines.items() if n > MOST_FILE_LINES} == {}


@pytest.mark.parametrize("folder", SHIPPED)
def test_no_function_is_over_40_lines(folder: str) -> None:
    found = {
        f"{path.relative_to(ROOT)}: {name}": lines
        for path in sources(folder)
        for name, lines in functions(path)
    }
    assert {name: n for name, n in found.items() if n > MOST_FUNCTION_LINES} == {}
