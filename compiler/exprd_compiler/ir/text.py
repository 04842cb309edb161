"""Text: a graph as lines that people and goldens read, that are hashed, and that parse back.

    graph   = node* "inputs" ref* "shared" ref* "outputs" ref* ("update" slot ref)*
    node    = ref ["name"] = op [(ref, ...)] [{attribute=value, ...}] [: type] [@ origin]
    ref     = %number

One line for each node, inputs before their users, numbered from 0; values are those of `literal`.
Equal graphs print equally. Text is trusted no further than that every type is derived again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from exprd_compiler.errors import GraphError, UnsupportedVersion
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.literal import STRING, TYPE, Reader, read_type, write_value
from exprd_compiler.ir.lowering import Leaf
from exprd_compiler.ir.node import Attrs, Node, Op

FindOp: TypeAlias = Callable[[str], Op]

_HEAD: Final = re.compile(
    rf"%(?P<label>\d+)(?: (?P<name>{STRING}))? = (?P<op>\w+)(?:\((?P<inputs>[%\d, ]*)\))?"
)
_TAIL: Final = re.compile(rf"(?: : (?P<type>{TYPE}))?(?: @ (?P<origin>-?\d+))?\s*")
_REF: Final = re.compile(r"%(\d+)")
_LISTS: Final = ("inputs", "shared", "outputs")


# ---- printing
def print_graph(graph: Graph, *, names: bool = True, origins: bool = False) -> str:
    """The text of a graph.

    Args:
        graph: what to print.
        names: without names the text is canonical: graphs that mean the same node by node agree.
        origins: whether integer origins are told.
    """
    nodes = graph.nodes()
    number = {node: f"%{place}" for place, node in enumerate(nodes)}
    lines = [_node_line(node, number, names=names, origins=origins) for node in nodes]
    for word, listed in zip(_LISTS, (graph.inputs, graph.shared, graph.outputs), strict=True):
        lines.append(" ".join([word, *[number[node] for node in listed]]))
    lines.extend(f"update {slot} {number[new]}" for slot, new in graph.updates)
    return "\n".join(lines) + "\n"


def _node_line(node: Node, number: Mapping[Node, str], *, names: bool, origins: bool) -> str:
    name = f" {json.dumps(node.name)}" if names and node.name is not None else ""
    inputs = f"({', '.join([number[x] for x in node.inputs])})" if node.inputs else ""
    attrs = ", ".join([f"{key}={write_value(value)}" for key, value in node.attrs])
    # the attributes of a leaf say its type already
    given = "" if isinstance(node.op.lowering, Leaf) else f" : {node.type}"
    origin = f" @ {node.origin}" if origins and isinstance(node.origin, int) else ""
    body = f"{number[node]}{name} = {node.op.name}{inputs}"
    return f"{body}{f' {{{attrs}}}' if attrs else ''}{given}{origin}"


# ---- parsing
def parse_graph(text: str, find_op: FindOp) -> Graph:
    """The graph of this text.

    Args:
        text: as `print_graph` makes it.
        find_op: gives the op of a name (`ops.table.find_op`).

    Raises:
        GraphError: the text is not that of a graph; the line is named.
        UnsupportedVersion: an op is not known.
    """
    parser = _Parser(find_op)
    for number, line in enumerate(text.splitlines(), 1):
        try:
            parser.line(line)
        except UnsupportedVersion:
            raise
        # a type rule that is given what it does not expect may fail in any of these ways
        except (
            GraphError,
            TypeError,
            ValueError,
            ArithmeticError,
            LookupError,
            AttributeError,
        ) as error:
            raise GraphError(f"line {number}: {error}", fields={"line": str(number)}) from error
    return parser.graph()


class _Parser:
    """What has been read of a graph so far."""

    def __init__(self, find_op: FindOp) -> None:
        self._find_op = find_op
        self._nodes: dict[str, Node] = {}
        self._lists: dict[str, tuple[Node, ...]] = {}
        self._updates: list[tuple[int, Node]] = []

    def line(self, line: str) -> None:
        if line.startswith("%"):
            self._node(line)
        elif line.strip():
            self._interface(line.split())

    def graph(self) -> Graph:
        missing = [word for word in _LISTS if word not in self._lists]
        if missing:
            raise GraphError(f"the text ends before the line {missing[0]!r}")
        lists = self._lists
        return Graph(lists["inputs"], lists["outputs"], lists["shared"], tuple(self._updates))

    def _node(self, line: str) -> None:
        head = _HEAD.match(line)
        if head is None:
            raise GraphError(f"not a node: {line[:40]!r}")
        if head["label"] in self._nodes:
            raise GraphError(f"%{head['label']} is defined already")
        inputs = tuple([self._ref(label) for label in _REF.findall(head["inputs"] or "")])
        attrs, at = _attributes(line, head.end())
        node = Node(self._find_op(head["op"]), inputs, attrs)
        tail = _TAIL.fullmatch(line, at)
        if tail is None:
            raise GraphError(f"cannot read {line[at : at + 20]!r}")
        if tail["type"] is not None and read_type(tail["type"]) != node.type:
            raise GraphError(f"{node.op.name} gives {node.type}, not {tail['type']}")
        node.name = None if head["name"] is None else json.loads(head["name"])
        node.origin = None if tail["origin"] is None else int(tail["origin"])
        self._nodes[head["label"]] = node

    def _interface(self, words: list[str]) -> None:
        word, *rest = words
        if word in _LISTS and word not in self._lists:
            self._lists[word] = tuple([self._written_ref(ref) for ref in rest])
        elif word == "update" and len(rest) == 2:
            self._updates.append((int(rest[0]), self._written_ref(rest[1])))
        else:
            raise GraphError(f"not understood: {' '.join(words)[:40]!r}")

    def _written_ref(self, text: str) -> Node:
        found = _REF.fullmatch(text)
        if found is None:
            raise GraphError(f"{text[:20]!r} is not a reference to a node")
        return self._ref(found[1])

    def _ref(self, label: str) -> Node:
        if label not in self._nodes:
            raise GraphError(f"%{label} is not defined above")
        return self._nodes[label]


def _attributes(line: str, at: int) -> tuple[Attrs, int]:
    """The attributes that begin at this place, and where they end."""
    if not line.startswith(" {", at):
        return (), at
    reader = Reader(line, at)
    out: tuple[tuple[str, Any], ...] = reader.attributes()
    return out, reader.at
