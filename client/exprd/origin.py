"""Origin: what the client remembers of a node beyond its meaning.

Where the user built it, the tag, and the one living variable that shows it. Hangs on the node's
`origin` slot, so it is never compared, hashed or sent; errors are told by it.
"""

from __future__ import annotations

import inspect
import linecache
import os
import weakref
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import exprd_compiler
from exprd_compiler.ir.node import Node

__all__ = ["Origin", "here", "mark", "origin_of"]

_OWN = tuple(f"{Path(file).parent}{os.sep}" for file in (__file__, exprd_compiler.__file__))


class Origin:
    """The user's line that made a node, its tag, and its variable."""

    __slots__ = ("_tag", "file", "functions", "keep", "line", "note", "view")

    def __init__(self, file: str, line: int) -> None:
        self.file, self.line = file, line
        self.view: weakref.ref[Any] | None = None
        self.keep: object = None  # a shared variable lives as long as its leaf
        self._tag: SimpleNamespace | None = None
        self.functions: dict[Any, Any] = {}  # compiled by eval()
        self.note: object = None  # what the op was made with, beyond its attributes

    @property
    def tag(self) -> SimpleNamespace:
        """A place for the user's own remarks, such as `test_value`."""
        if self._tag is None:
            self._tag = SimpleNamespace()
        return self._tag

    @property
    def gradient(self) -> Any:
        """The gradient that was given to the node, in place of its op's; None mostly."""
        return getattr(self.note, "gradient", None)

    def again(self) -> Origin:
        """The same line, for another node."""
        out = Origin(self.file, self.line)
        out.note = self.note
        return out

    @property
    def text(self) -> str:
        """The source line, read only when somebody asks."""
        return linecache.getline(self.file, self.line).strip()

    def shown(self) -> object:
        """The living variable of the node, if there is one."""
        return (
            self.keep if self.keep is not None else (self.view() if self.view is not None else None)
        )

    def __str__(self) -> str:
        text = f": {self.text}" if self.text else ""
        return f'File "{self.file}", line {self.line}{text}'


def here() -> Origin:
    """The innermost line outside exprd on the current stack."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_OWN):
        frame = frame.f_back
    if frame is None:
        return Origin("<unknown>", 0)
    return Origin(frame.f_code.co_filename, frame.f_lineno)


def is_own(file: str) -> bool:
    """Whether a source file is exprd's own."""
    return file.startswith(_OWN)


def origin_of(node: Node) -> Origin | None:
    """The origin of a node, if the client has marked it."""
    return node.origin if isinstance(node.origin, Origin) else None


def mark(roots: Iterable[Node]) -> None:
    """Gives the current line to the roots and to whatever below them has none yet.

    A node that was marked has only marked nodes below it, so the walk stays within what is new.
    """
    fresh = [root for root in roots if root.origin is None]
    if not fresh:
        return
    line = here()
    while fresh:
        node = fresh.pop()
        if node.origin is None:
            node.origin = Origin(line.file, line.line)
            fresh.extend(child for child in node.inputs if child.origin is None)
