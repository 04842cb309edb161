"""Infix: expressions as a formula in one line, as `pp` prints them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Any, Final

from exprd.naming import node_text
from exprd.printing.roots import roots_of
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.index import NEXT

__all__ = ["pp", "pprint"]

_INFIX: Final[Mapping[str, str]] = MappingProxyType(
    {
        "add": "+",
        "sub": "-",
        "mul": "*",
        "true_div": "/",
        "int_div": "//",
        "mod": "%",
        "pow": "**",
        "dot": "\\dot",
        "matmul": "@",
        "lt": "<",
        "le": "<=",
        "gt": ">",
        "ge": ">=",
        "eq": "==",
        "neq": "!=",
        "and": "&",
        "or": "|",
        "xor": "^",
        "left_shift": "<<",
        "right_shift": ">>",
    }
)
_PREFIX: Final[Mapping[str, str]] = MappingProxyType({"neg": "-", "invert": "~"})
_NAMES: Final[Mapping[str, str]] = MappingProxyType({"second": "fill"})
_PIECES: Final = 1_000_000  # a formula repeats what is shared, so it can be longer than any memory


def pp(*expressions: object) -> str:
    """Expressions as formulas, in parentheses throughout; several are joined by commas.

    What is used twice is written twice; a formula of more than a million pieces ends in "...".

    Raises:
        CallError: something is no expression.
    """
    return ", ".join(_formula(node) for item in expressions for node in roots_of(item).nodes)


pprint: Final = pp


def _formula(root: Node) -> str:
    pieces = _pieces(root)
    text = "".join(islice(pieces, _PIECES))
    return text if next(pieces, None) is None else f"{text}..."


def _pieces(root: Node) -> Iterator[str]:
    """The pieces of a formula from left to right."""
    todo: list[Node | str] = [root]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            yield item
        elif item.name is not None or not item.inputs:
            yield item.name or node_text(item)
        else:
            todo.extend(reversed(_parts(item)))


def _parts(node: Node) -> Sequence[Node | str]:
    """What stands for a node: nodes, and the text around them."""
    name = node.op.name
    if name in _INFIX and len(node.inputs) == 2:
        return ["(", node.inputs[0], f" {_INFIX[name]} ", node.inputs[1], ")"]
    if name in _PREFIX:
        return ["(", _PREFIX[name], node.inputs[0], ")"]
    if name == "dimshuffle":
        return _shuffled(node)
    if name == "subtensor":
        return _indexed(node)
    if name == "cast":
        return [f"Cast{{{node.dtype}}}", "(", node.inputs[0], ")"]
    attrs = [f"{key}={value}" for key, value in node.attrs]
    return [f"{_NAMES.get(name, name)}(", *_joined(node.inputs, attrs), ")"]


def _joined(nodes: Sequence[Node], attrs: Sequence[str]) -> list[Node | str]:
    out: list[Node | str] = []
    parts: list[Node | str] = [*nodes, *attrs]
    for part in parts:
        out.extend([", ", part] if out else [part])
    return out


def _shuffled(node: Node) -> Sequence[Node | str]:
    order: tuple[int, ...] = node["order"]
    if order == (1, 0):
        return [node.inputs[0], ".T"]
    pattern = ",".join("x" if axis < 0 else str(axis) for axis in order)
    return [f"DimShuffle{{{pattern}}}(", node.inputs[0], ")"]


def _indexed(node: Node) -> Sequence[Node | str]:
    """A variable and its index, as it is written in Python."""
    computed = iter(node.inputs[1:])
    out: list[Node | str] = [node.inputs[0], "["]
    for number, entry in enumerate(node["index"]):
        bounds = [next(computed) if part == NEXT else part for part in entry[1:]]
        out += [", "] * (number > 0)
        out += [_bound(bounds[0])] if entry[0] == "at" else _slice(*bounds)
    return [*out, "]"]


def _slice(start: Any, stop: Any, step: Any) -> list[Node | str]:
    tail: list[Node | str] = [] if step in (None, 1) else [":", _bound(step)]
    return [_bound(start), ":", _bound(stop), *tail]


def _bound(value: Any) -> Node | str:
    if isinstance(value, Node):
        return value
    return "" if value is None else str(value)
