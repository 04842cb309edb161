"""No hand-written file grows past what one reads in a sitting."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_LINES = 500
FOLDERS = ("benchmarks", "client", "compiler", "examples", "proto", "server", "tests", "tools")


def test_no_hand_written_file_is_over_500_lines() -> None:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in files
        if "_pb2" not in path.name
    }
    assert lines
    assert {path: n for path, n in lines.items() if n > MOST_LINES} == {}
