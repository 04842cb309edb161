"""The page of all options, made from the client's table of them."""

from __future__ import annotations

from exprd.config import IGNORED, OPTIONS, PENDING, Option

HEAD = """# Options

Made from the table of options by `make docs`; how they are set is told in
[configuration](configuration.md).

| option | default | values | what it does |
|---|---|---|---|
"""

IGNORED_HEAD = """
## Theano's options without effect

They are accepted wherever an option is set, and warned about once.

| options | why |
|---|---|
"""


def options_page() -> str:
    """The options, then the keys of Theano that change nothing here."""
    rows = "".join(f"{_row(option)}\n" for option in OPTIONS)
    return HEAD + rows + IGNORED_HEAD + "".join(f"{row}\n" for row in _ignored())


def _row(option: Option) -> str:
    values = ", ".join(map(str, option.choices)) or type(option.default).__name__
    remark = " Fixed at start." if option.fixed else ""
    own = f" Also `{option.environment}`." if option.environment else ""
    cells = (f"`{option.name}`", _code(option.default), values, f"{option.doc}{remark}{own}")
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _code(value: object) -> str:
    return f"`{value}`" if value != "" else ""


def _ignored() -> list[str]:
    table = {**IGNORED, "not built yet": PENDING}
    return [f"| {', '.join(f'`{key}`' for key in keys)} | {why} |" for why, keys in table.items()]
