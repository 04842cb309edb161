"""Every Python block of the README and the docs runs, file by file, from top to bottom."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest

import exprd

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def snippets(text: str) -> list[tuple[int, str]]:
    """The Python blocks of a page, each with the line that it starts on."""
    return [(text.count("\n", 0, m.start(1)), m.group(1)) for m in BLOCK.finditer(text)]


PAGES_WITH_SNIPPETS = [page for page in PAGES if snippets(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", PAGES_WITH_SNIPPETS, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_snippets_of_a_page_run(
    page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EXPRD_TARGET", raising=False)
    program = types.ModuleType("__main__")  # a class of a page can be pickled as one of a program
    monkeypatch.setitem(sys.modules, "__main__", program)
    with exprd.connect(""):  # named state of other tests in this process is not seen
        for line, code in snippets(page.read_text(encoding="utf-8")):
            # The padding makes a traceback name the page's own line.
            exec(compile("\n" * line + code, str(page), "exec"), program.__dict__)
