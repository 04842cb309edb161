"""The page of the seeds: every snippet of five documents, the test that shows it, and its state.

Made from the marks of the tests under tests/seeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

from tests.seeds.seeding import DOCUMENTS, Snippet

FOLDER = Path(__file__).parents[1] / "tests" / "seeds"

HEAD = """# Seeds

Made from the tests by `make docs`. Five documents say what a user of Theano, and of saved models,
expects to work. Every snippet of theirs is a test under `tests/seeds`, with our imports; what runs
a function runs in this process and against a server (of the 10,000 steps of the regressions, 100
do). "Mended" is how the test differs from the document, beyond imports and Python 3. What is not
done is declared in the tests all the same, and stands here with what it waits for.

"""
COLUMNS = "| snippet | lines | what it shows | test | state | mended |\n|---|---|---|---|---|---|\n"


def modules() -> list[ModuleType]:
    """The modules of tests that show snippets."""
    names = sorted(path.stem for path in FOLDER.glob("test_*.py"))
    return [import_module(f"tests.seeds.{name}") for name in names]


def shown() -> Iterator[tuple[Snippet, str]]:
    """Every snippet with the test that shows it, "" for one that waits."""
    for module in modules():
        for name, value in vars(module).items():
            if name.startswith("test_"):
                file = f"{module.__name__.rpartition('.')[2]}.py"
                yield from ((s, f"`{file}` {name}") for s in getattr(value, "snippets", ()))
        yield from ((s, "") for s in getattr(module, "WAITING", ()))


def seeds_page() -> str:
    """The documents one after the other, each with its snippets in their order."""
    found = sorted(shown(), key=lambda pair: (pair[0].document, pair[0].number))
    done = sum(not snippet.needs for snippet, _ in found)
    counts = f"Of {len(found)} snippets {done} are done.\n"
    parts = (
        f"\n## {number}: {title}\n\n{COLUMNS}"
        + "".join(_row(s, test) for s, test in found if s.document == number)
        for number, title in DOCUMENTS.items()
    )
    return HEAD + counts + "".join(parts)


def _row(snippet: Snippet, test: str) -> str:
    state = f"next: {snippet.needs}" if snippet.needs else "done"
    cells = (str(snippet.number), snippet.lines, snippet.what, test, state, snippet.mended)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"
