"""Descriptor: how a variable is computed as one line, the same for equal expressions."""

from __future__ import annotations

import hashlib

from exprd.printing.roots import roots_of
from exprd_compiler.ir.graph import toposort
from exprd_compiler.ir.lowering import Leaf
from exprd_compiler.ir.node import Const, Node
from exprd_compiler.ops.leaves import constant_value

__all__ = ["var_descriptor"]

_LONGEST = 400


def var_descriptor(obj: object) -> str:
    """How a variable is computed, in one line without names: equal lines mean equal expressions.

    Inputs are told by their type and number of appearance. What would be longer than a few hundred
    characters stands as the digest of its text.

    Raises:
        CallError: there is no variable in `obj`.
    """
    nodes = roots_of(obj).nodes
    texts: dict[Node, str] = {}
    inputs = 0
    for node in toposort(nodes):
        leaf = isinstance(node.op.lowering, Leaf) and constant_value(node) is None
        texts[node] = _short(f"{node.op.name}{inputs}:{node.type}" if leaf else _text(node, texts))
        inputs += leaf
    return ", ".join(texts[node] for node in nodes)


def _text(node: Node, texts: dict[Node, str]) -> str:
    parts = [texts[x] for x in node.inputs]
    parts += [f"{name}={_value(value)}" for name, value in node.attrs]
    return f"{node.op.name}({', '.join(parts)}):{node.type}"


def _value(value: object) -> str:
    if not isinstance(value, Const):
        return repr(value)
    whole = value.array.tobytes()
    return f"[{value.dtype} {value.array.shape} {hashlib.sha256(whole).hexdigest()[:16]}]"


def _short(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    return f"<{hashlib.sha256(text.encode()).hexdigest()}>"
