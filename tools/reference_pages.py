"""Writes the pages of the docs that are tables in the code: ops, errors, rewrites, options, seeds.

Run `make docs` after a change to the op table or to the exception tree; a test compares the pages
with what this program makes. It reads the code and never the pages.
"""

from __future__ import annotations

import inspect
from pathlib import Path

from exprd_compiler import errors
from exprd_compiler.ir.dtype import DTYPES, EVERY
from exprd_compiler.ir.node import NO_GRAD, NO_PATH, ZERO_GRAD, Op
from exprd_compiler.ops.table import OP_SET_VERSION, OPS
from tools import benchmarks_page, reliability, statistics
from tools.options_page import options_page
from tools.rewrites_page import rewrites_page
from tools.seeds_page import seeds_page

DOCS = Path(__file__).parents[1] / "docs"
KINDS = ("bool", "int", "uint", "float", "complex")
GRADIENTS = {repr(NO_GRAD): "none", repr(ZERO_GRAD): "zero", repr(NO_PATH): "no path"}

OPS_HEAD = f"""# Ops

Made from the op table by `make docs`. This is op set {OP_SET_VERSION}; an op keeps its name and its
meaning for ever, so a stored graph does not expire. "Inside" says how native code comes to it: an
elementwise body (Scalar), a fold (Reduce, ArgReduce), another view of the same elements (View),
elements from their position (Generate), reading and writing by index (Gather, Scatter, Assign),
parts one after the other (Join), a running fold (Scan), a library call (Library, Lapack), a call of
a function of our own (Routine), arithmetic on extents (Host), or other ops (Expand).

| op | meaning | dtypes | gradient | inside | Theano's class |
|---|---|---|---|---|---|
"""

ERRORS_HEAD = """# Errors

Made from the exception tree by `make docs`. The server raises these classes and the client raises
the very same ones; each says what, where and what to do, and carries the same facts as fields
(`message`, `op`, `nodes`, `hint`, `fields`). The right-hand column is the gRPC status.

"""


def ops_page() -> str:
    """The op table, one line for each op in the order of its declaration."""
    return OPS_HEAD + "".join(f"{_op_row(op)}\n" for op in OPS.values())


def _op_row(op: Op) -> str:
    gradient = GRADIENTS.get(repr(op.grad), "yes")
    inside = type(op.lowering).__name__
    doc = op.doc.replace("|", "\\|")
    return f"| `{op.name}` | {doc} | {_dtypes(op)} | {gradient} | {inside} | {op.theano} |"


def _dtypes(op: Op) -> str:
    """The dtypes of an op by kind, or one by one where it has a kind only in part."""
    if set(op.dtypes) in (set(), set(EVERY)):
        return "all"
    if set(op.dtypes) == set(DTYPES):
        return "all real ones"
    kinds = {name: tuple(d for d in EVERY if d.rstrip("0123456789") == name) for name in KINDS}
    whole = [name for name, members in kinds.items() if set(members) <= set(op.dtypes)]
    rest = [d for d in op.dtypes if d.rstrip("0123456789") not in whole]
    return ", ".join(whole + rest)


def errors_page() -> str:
    """The drawn tree, then each class with its cause and cure."""
    drawing = inspect.getdoc(errors) or ""
    tree = "\n".join(line for line in drawing.splitlines() if line.startswith("    "))
    classes = "".join(
        f"\n## {name}\n\n{(inspect.getdoc(cls) or '').split(chr(10))[0]}\n"
        for name, cls in errors.by_kind().items()
        if cls is not errors.ExprdError
    )
    return f"{ERRORS_HEAD}```\n{inspect.cleandoc(tree)}\n```\n{classes}"


def pages() -> dict[Path, str]:
    """Every generated page with its text."""
    return {
        DOCS / "ops.md": ops_page(),
        DOCS / "errors.md": errors_page(),
        DOCS / "rewrites.md": rewrites_page(),
        statistics.PAGE: statistics.refreshed(),
        reliability.PAGE: reliability.refreshed(),
        benchmarks_page.PAGE: benchmarks_page.page(),
        DOCS / "options.md": options_page(),
        DOCS / "seeds.md": seeds_page(),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
