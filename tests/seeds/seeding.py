"""Seeds: the documents whose every snippet has to work, and the marks that tie tests to them.

A test shows a snippet as our users write it: for Python 3, `exprd` for `theano` or `torch`, slips
of the documents mended. What is not built yet is declared, so that the table in docs/seeds.md is
whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

# By their number: what the documents are.
DOCUMENTS: Final = {
    "000": "Loading and saving; conditions (a Chinese digest of Theano's tutorial)",
    "001": "Loading and saving (Theano's tutorial)",
    "002": "Saving and loading models (PyTorch; a Chinese digest of a textbook)",
    "003": "Configuration and compiling modes (a Chinese translation of Theano's tutorial)",
    "004": "Notes on Theano, part 1 (a Chinese blog)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """A snippet of a document.

    Attributes:
        document: its number.
        number: of the snippet within the document, counted from 1.
        lines: of the document, "first-last".
        what: what it shows.
        mended: how it differs from the document, beyond imports and Python 3.
        needs: what is not built yet, or "".
    """

    document: str
    number: int
    lines: str
    what: str
    mended: str = ""
    needs: str = ""


def seed(document: str, number: int, lines: str, what: str, mended: str = "") -> Callable[[F], F]:
    """The mark of a test that shows a snippet; a test may show several."""

    def mark(test: F) -> F:
        snippet = Snippet(document=document, number=number, lines=lines, what=what, mended=mended)
        vars(test).setdefault("snippets", []).insert(0, snippet)
        return test

    return mark


def waits(document: str, number: int, lines: str, what: str, needs: str) -> Snippet:
    """A snippet that no test shows yet, and what it needs."""
    return Snippet(document=document, number=number, lines=lines, what=what, needs=needs)
