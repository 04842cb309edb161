"""Trees: `debugprint` and `min_informative_str`, a line for each node.

The form is that of Theano 1.0. Nothing recurses, so depth is no limit; a sub-expression is written
out once, and named by its id from then on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TextIO

import numpy as np

from exprd.naming import char_ids, node_text, op_text, type_text
from exprd.printing.roots import Roots, roots_of
from exprd.shared import shared_of
from exprd_compiler.errors import CallError
from exprd_compiler.ir.graph import consumers, toposort
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.leaves import constant_value

__all__ = ["debugprint", "min_informative_str"]

_DEEP: Final = 50  # levels of indentation, then it starts anew with their number
_IDS: Final = ("CHAR", "int", "id", "")


def debugprint(
    obj: object,
    depth: int = -1,
    print_type: bool = False,
    file: TextIO | str | None = None,
    ids: str = "CHAR",
    stop_on_name: bool = False,
    done: dict[Any, str] | None = None,
    print_storage: bool = False,
    print_clients: bool = False,
) -> str | TextIO:
    """Prints expressions as a tree.

    Args:
        obj: a variable, an application, a list of these, or a compiled function; of a function,
            the optimized graph is shown, with the position of each node in the order of execution.
        depth: levels to print; -1 for all.
        print_type: add the type of each variable.
        file: where to; None for standard output, "str" to get the text instead.
        ids: how nodes are told apart: "CHAR" for letters, "int", "id" for addresses, "" for not.
        stop_on_name: do not go below variables that have a name.
        done: ids of what was printed before, to be continued.
        print_storage: add the values of constants and shared variables.
        print_clients: add who uses each variable.

    Returns:
        The text with file="str", else the file.

    Raises:
        CallError: there is nothing to print in `obj`, or no such `ids`.
    """
    if ids not in _IDS:
        raise CallError(f"ids is one of {_IDS}, not {ids!r}", op="debugprint")
    roots = roots_of(obj)
    writer = _Writer(roots, ids=ids, known={} if done is None else done)
    if print_type:
        writer.remarks.append(lambda node: f" <{type_text(node.type)}>")
    if print_storage:
        writer.remarks.append(_storage)
    if print_clients:
        writer.remarks.append(_clients(roots))
    lines = writer.lines(depth, stop_on_name=stop_on_name)
    if file == "str":
        return "".join(f"{line}\n" for line in lines)
    out = sys.stdout if file is None or isinstance(file, str) else file
    out.writelines(f"{line}\n" for line in lines)
    return out


Remark = Callable[[Node], str]


@dataclass(slots=True)
class _Writer:
    """One printing: which nodes have an id already, and what is added to each line."""

    roots: Roots
    ids: str
    known: dict[Any, str]
    remarks: list[Remark] = field(default_factory=list[Remark])
    letters: Iterator[str] = field(default_factory=char_ids)

    def __post_init__(self) -> None:
        for _ in self.known:
            next(self.letters)

    def lines(self, depth: int, *, stop_on_name: bool) -> Iterator[str]:
        """The lines of all roots."""
        order = toposort(self.roots.nodes) if self.roots.compiled else []
        position = {node: i for i, node in enumerate(n for n in order if n.inputs)}
        todo = [(root, "", "", 0) for root in reversed(self.roots.nodes)]
        while todo:
            node, prefix, below, level = todo.pop()
            if level == depth:
                continue
            new = node not in self.known
            yield prefix + self._line(node, position)
            if not new or (stop_on_name and node.name is not None and prefix):
                continue
            if level and level % _DEEP == 0:
                below = f" ({level})"  # else a chain would be indented by as much as it is long
            last = len(node.inputs) - 1
            todo += [
                (child, f"{below} |", f"{below}{'  ' if i == last else ' |'}", level + 1)
                for i, child in reversed(list(enumerate(node.inputs)))
            ]

    def _line(self, node: Node, position: dict[Node, int]) -> str:
        extra = "".join(remark(node) for remark in self.remarks)
        name = f"{self._id(node)}{extra}"
        if not node.inputs:
            return f"{node_text(node)}{name}"
        place = position.get(node, "")
        return f"{op_text(node)}{name} '{node.name or ''}'   {place}"

    def _id(self, node: Node) -> str:
        if node not in self.known:
            makers = {"int": len(self.known), "id": id(node), "": ""}
            self.known[node] = next(self.letters) if self.ids == "CHAR" else str(makers[self.ids])
        return f" [id {self.known[node]}]" if self.ids else ""


def _storage(node: Node) -> str:
    variable = shared_of(node)
    value = constant_value(node) if variable is None else variable.get_value(borrow=True)
    return "" if value is None else f" [{' '.join(np.array2string(value, threshold=20).split())}]"


def _clients(roots: Roots) -> Remark:
    users = consumers(toposort(roots.nodes))

    def remark(node: Node) -> str:
        found = [f"({op_text(user)}, {place})" for user, place in users.get(node, [])]
        return f" clients:[{', '.join(['output'] * (node in roots.nodes) + found)}]"

    return remark


def _indent(level: int) -> str:
    whole, rest = divmod(level, _DEEP)
    return f"{f'({whole * _DEEP})' if whole else ''}{' ' * rest}"


def min_informative_str(obj: object, indent_level: int = 0) -> str:
    """The expression as an indented list, an op or leaf per line, with letters for what repeats.

    Raises:
        CallError: there is nothing to print in `obj`.
    """
    letters = char_ids()
    known: dict[Node, str] = {}
    lines: list[str] = []
    todo = [(node, indent_level) for node in reversed(roots_of(obj).nodes)]
    while todo:
        node, level = todo.pop()
        if node in known:
            lines.append(f"{_indent(level)}<{known[node]}>")
            continue
        known[node] = next(letters)
        text = op_text(node) if node.inputs and node.name is None else node.name or node_text(node)
        lines.append(f"{_indent(level)}{known[node]}. {text}")
        if node.name is None:
            todo += [(child, level + 1) for child in reversed(node.inputs)]
    return "\n".join(lines)
