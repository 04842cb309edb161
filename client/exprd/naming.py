"""Names: how ops, types and variables are spelled, Theano's way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from exprd_compiler.ir.lowering import Scalar
from exprd_compiler.ir.node import Const, Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.leaves import constant_value

__all__ = ["char_ids", "node_text", "op_text", "type_text"]

_RANKS: Final[dict[tuple[bool, ...], str]] = {
    (): "scalar",
    (False,): "vector",
    (False, False): "matrix",
    (True, False): "row",
    (False, True): "col",
}
_LONGEST: Final = 75  # of the digits of a constant


def type_text(kind: TensorType) -> str:
    """A type, for example "TensorType(float64, matrix)"."""
    pattern = kind.broadcastable
    shape = _RANKS.get(pattern, str(pattern) if any(pattern) else f"{len(pattern)}D")
    return f"TensorType({kind.dtype}, {shape})"


def op_text(node: Node) -> str:
    """The op of a node with its attributes, for example "Sum{axes=(0,)}"."""
    op = node.op
    if op.name == "cast":
        return f"Elemwise{{Cast{{{node.dtype}}}}}"
    if op.name == "dimshuffle":
        order = ",".join("x" if axis < 0 else str(axis) for axis in node["order"])
        return f"InplaceDimShuffle{{{order}}}"
    if op.name == "composed":
        return f"OpFromGraph{{{node['name']}}}"
    if isinstance(op.lowering, Scalar):
        return f"Elemwise{{{op.name},no_inplace}}"
    attrs = ", ".join(f"{name}={_attribute(value)}" for name, value in node.attrs)
    if op.theano.lower().replace("_", "") != op.name.replace("_", ""):
        attrs = f"{op.name}, {attrs}" if attrs else op.name
    return f"{op.theano}{{{attrs}}}" if attrs else op.theano


def node_text(node: Node) -> str:
    """What a node is called: name or value of a leaf, op of anything else."""
    if node.inputs:
        return f"{op_text(node)}.0"
    value = constant_value(node)
    if value is not None:
        return node.name or f"TensorConstant{{{_digits(value)}}}"
    return node.name or f"<{type_text(node.type)}>"


def char_ids() -> Iterator[str]:
    """A, B, ... Z, BA, BB, ...: numbers in the digits A to Z."""
    number = 0
    while True:
        text, rest = "", number
        while rest or not text:
            rest, digit = divmod(rest, 26)
            text = chr(ord("A") + digit) + text
        yield text
        number += 1


def _attribute(value: Any) -> str:
    if isinstance(value, Const):
        return _digits(value.array)
    return value.__name__ if callable(value) else str(value)


def _digits(value: np.ndarray[Any, Any]) -> str:
    """The elements of a constant, shortened in the middle."""
    if value.ndim and value.size and (value == value.flat[0]).all():
        return f"{value.shape} of {value.flat[0]}"
    text = " ".join(np.array2string(value, threshold=20).split())
    if len(text) <= _LONGEST:
        return text
    half = _LONGEST // 2
    return f"{text[:half]}..{text[-half:]}"
