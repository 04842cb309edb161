"""Fixtures that every test may use: goldens, a seeded generator, a child's environment.

Nothing here knows a package of ours; fixtures that do live in the conftest.py of their own folder.
"""

from __future__ import annotations

import datetime
import gc
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tools.reliability_rows import AREAS

TESTS = Path(__file__).parent
# What takes long comes first, so that no worker is left with it when the others are done: a worker
# is given whole files. Of those that take more than 15 seconds, the longest first.
LONG = tuple(
    TESTS / name
    for name in (
        "docs",
        "house",
        "random_graphs",
        "seeds",
        "server",
        "ops/test_table.py",
        "ops/test_gradients.py",
        "compiler/kernel/test_random_graphs.py",
        "ops/test_special_values.py",
        "ops/test_halves.py",
        "compiler/test_driver.py",
        "compiler/backends/test_math.py",
        "ops/test_strictness.py",
    )
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the golden files from what the tests produce now, instead of comparing",
    )


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is collected stays; the garbage collector need not look at it, now or ever again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def turn_of(path: Path) -> int:
    """The place in `LONG` of a file or of its folder; the number of places for what is short."""
    return next((i for i, long in enumerate(LONG) if path.is_relative_to(long)), len(LONG))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that note figures, for `-m figure`, and has what takes long come first."""
    turns = {path: turn_of(path) for path in {item.path for item in items}}
    items.sort(key=lambda item: turns[item.path])
    for item in items:
        if "figure" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.figure)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[..., None]:
    """A function `golden(text, name="")` that compares text with its file under tests/golden/.

    The file is found by the test's own path and name; `name` tells several texts of one test apart.
    """
    module = request.path.relative_to(TESTS).with_suffix("")
    test = request.node.name.replace("/", "_")

    def check(text: str, name: str = "") -> None:
        path = TESTS / "golden" / module / f"{test}{'.' * bool(name)}{name}.txt"
        text = text if text.endswith("\n") else f"{text}\n"
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"no golden file {path}; look at the text, then run --update-golden"
        assert text == path.read_text(encoding="utf-8")

    return check


@pytest.fixture
def rng() -> np.random.Generator:
    """A random generator with the same seed in every test."""
    return np.random.default_rng(20070911)


@pytest.fixture(scope="session")
def child_env() -> dict[str, str]:
    """The environment for a Python child process: it finds our packages as this process does."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[..., None]:
    """A function `figure(area, **numbers)` that prints what a test has measured or counted.

    `area` is a row of the table in docs/reliability.md. A unit may end a name (`p99_ms`). With
    EXPRD_FIGURES naming a file, the figure is also added to it as a line of JSON;
    `make reliability` makes the table of these.
    """

    def note(area: str, **numbers: float | str) -> None:
        assert area in AREAS, f"{area!r} is no row of tools/reliability_rows.py"
        listed = ", ".join(f"{name} {value}" for name, value in numbers.items())
        sys.stdout.write(f"{area}: {listed}\n")
        if path := os.environ.get("EXPRD_FIGURES"):
            entry = {
                "area": area,
                "test": request.node.nodeid,
                "soak": request.node.get_closest_marker("soak") is not None,
                "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
                "numbers": numbers,
            }
            with Path(path).open("a", encoding="utf-8") as file:
                # one write, so that two processes do not mix lines
                file.write(json.dumps(entry) + "\n")

    return note
