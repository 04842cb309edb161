"""Writes docs/coverage.md: how many ops there are, how they are tested, and what Theano has more.

What follows from the op table and the client's names alone is checked by a test (`refreshed`);
what takes seconds to measure, the tests as collected and the random programs, is written anew by
`make statistics` only, and left as it is by `make docs`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from exprd_compiler.ir.dtype import EVERY
from exprd_compiler.ir.lowering import Leaf
from exprd_compiler.ir.node import NO_GRAD, Op
from exprd_compiler.ops import table
from exprd_compiler.ops.table import OPS
from tools.theano_names import EXPECTED, FAMILIES

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "coverage.md"
MEASURED: Final = "## Measured"

HEAD: Final = """# Coverage

Written by `make statistics`. The first sections follow from the code and a test holds them to it;
what stands under *Measured* was counted when the page was written.

"""


def families() -> dict[str, list[Op]]:
    """The ops by the module that declares them."""
    owner: dict[str, str] = {}
    for module in table.MODULES:
        name = module.__name__.rpartition(".")[2]
        for value in vars(module).values():
            if isinstance(value, Op):
                owner.setdefault(value.name, name)
    found: dict[str, list[Op]] = {}
    for op in OPS.values():
        if not isinstance(op.lowering, Leaf):
            found.setdefault(owner[op.name], []).append(op)
    return found


# ---- ops and dtypes
def _cases(op: Op) -> int:
    """Examples times dtypes: the cases that any generated test of an op has to choose from."""
    return len(op.examples) * len(op.dtypes)


def _ops_section() -> str:
    rows = [
        (name, len(ops), sum(1 for op in ops if op.grad is not NO_GRAD), sum(map(_cases, ops)))
        for name, ops in families().items()
    ]
    total = [sum(column) for column in zip(*[row[1:] for row in rows], strict=True)]
    lines = [f"| {name} | {ops} | {grads} | {cases:,} |" for name, ops, grads, cases in rows]
    return "\n".join(
        [
            "## Ops\n",
            "A case is one example of an op in one dtype; each is run by several tests.\n",
            "| family | ops | with a gradient | cases |",
            "|---|---|---|---|",
            *lines,
            f"| **all** | **{total[0]}** | **{total[1]}** | **{total[2]:,}** |\n",
        ]
    )


def _dtypes_section() -> str:
    counts = {
        name: [sum(dtype in op.dtypes for op in ops) for dtype in EVERY]
        for name, ops in families().items()
    }
    total = [sum(column) for column in zip(*counts.values(), strict=True)]
    rows = {**counts, "**all**": total}
    return "\n".join(
        [
            "## Ops by dtype\n",
            f"| family | {' | '.join(EVERY)} |",
            "|---" * (len(EVERY) + 1) + "|",
            *[f"| {name} | {' | '.join(map(str, row))} |" for name, row in rows.items()],
            "",
        ]
    )


# ---- Theano's names
# Modules whose functions have names of the tensor functions, but work on something else.
_OF_OTHER_THINGS: Final = (
    "theano.sparse",
    "theano.typed_list",
    "theano.misc.pkl_utils",
    "theano.tensor.io",
)


def _namespaces(module: str) -> Iterator[Any]:
    """Where a name of a module of Theano's may stand here: at its place, then in the usual ones."""
    here = module.partition(" ")[0].replace("theano", "exprd", 1)
    usual = () if module in _OF_OTHER_THINGS else ("exprd.tensor", "exprd")
    for name in (here, *usual):
        try:
            yield import_module(name)
        except ModuleNotFoundError:
            continue


def missing(module: str) -> list[str]:
    """The names of a module of Theano's that exist nowhere in the client."""
    places = list(_namespaces(module))
    return [
        name for name in FAMILIES[module].split() if not any(_has(place, name) for place in places)
    ]


def _has(place: ModuleType, name: str) -> bool:
    """Whether a module has a name that is more than a module's."""
    return not isinstance(getattr(place, name, place), ModuleType)


def _theano_section() -> str:
    lines: list[str] = []
    have = wanted = 0
    for module in FAMILIES:
        names, gone = FAMILIES[module].split(), missing(module)
        have, wanted = have + len(names) - len(gone), wanted + len(names)
        shown = ", ".join(f"`{name}`" for name in gone) if gone else "-"
        lines.append(f"| `{module}` | {len(names) - len(gone)} of {len(names)} | {shown} |")
    rest = "; ".join(EXPECTED.values())
    return "\n".join(
        [
            "## Theano's names\n",
            f"Of {wanted} public names of Theano 1.0.5, {have} exist here by that name, each",
            "counted once per module of Theano's that offers it. Families that are still to come:",
            f"{rest}.\n",
            "| module | here | missing |",
            "|---|---|---|",
            *lines,
            "",
        ]
    )


# ---- measured
def _collected() -> Counter[str]:
    """The number of tests by folder and file, as pytest collects them."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n0", "tests"]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [line.partition("::")[0] for line in out.splitlines() if "::" in line]
    return Counter(files)


def _tests_section() -> str:
    counted = sorted(_collected().items())
    lines = []
    for folder, group in groupby(counted, lambda item: str(Path(item[0]).parent)):
        files = list(group)
        largest = sorted(files, key=lambda item: -item[1])[:3]
        named = ", ".join(f"{Path(name).stem} {count:,}" for name, count in largest)
        lines.append(f"| {folder} | {sum(count for _, count in files):,} | {named} |")
    return "\n".join(
        [
            "### Tests\n",
            f"{sum(count for _, count in counted):,} cases run in `make test`.\n",
            "| folder | cases | most of them |",
            "|---|---|---|",
            *lines,
            "",
        ]
    )


def _random_section() -> str:
    from tests.random_graphs.census import census  # needs the test tools

    found = census()
    share = {name: f"{100 * count / found.programs:.0f} %" for name, count in found.with_.items()}
    never = ", ".join(f"`{name}`" for name in found.never) or "none"
    often = ", ".join(f"`{name}` {count}" for name, count in found.ops.most_common(12))
    dtypes = ", ".join(f"`{name}` {found.dtypes[name]}" for name in EVERY)
    return "\n".join(
        [
            "### Random programs\n",
            f"The {found.programs} of `make test`: {found.nodes:,} nodes, {found.calls} calls, of",
            f"which {found.failing} must fail.\n",
            "| | programs |",
            "|---|---|",
            *[f"| {name} | {percent} |" for name, percent in share.items()],
            "",
            f"Ops reached: {len(found.ops)} of {len(found.ops) + len(found.never)}; most often",
            f"{often}. Not reached by these: {never}.\n",
            f"Programs with a value of a dtype: {dtypes}.\n",
        ]
    )


def _page(measured: str) -> str:
    parts = (_ops_section(), _dtypes_section(), _theano_section(), measured)
    return re.sub(r"\n{3,}", "\n\n", HEAD + "\n".join(parts)).rstrip() + "\n"


def refreshed() -> str:
    """The page as the code has it now, with what was measured before."""
    return _page(MEASURED + PAGE.read_text(encoding="utf-8").partition(MEASURED)[2])


if __name__ == "__main__":
    PAGE.write_text(
        _page("\n".join([f"{MEASURED}\n", _tests_section(), _random_section()])), encoding="utf-8"
    )
