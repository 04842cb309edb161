"""Leaves: inputs, shared variables and constants."""

from __future__ import annotations

from typing import Any

import numpy as np

from exprd_compiler.errors import CompilerBug, GraphError
from exprd_compiler.ir.dtype import is_complex
from exprd_compiler.ir.lowering import Leaf
from exprd_compiler.ir.node import NO_GRAD, Array, Const, Node, Op
from exprd_compiler.ir.type import TensorType


def _given(**_: Any) -> Array:
    raise CompilerBug("a leaf was evaluated without a value", op="input")


def _given_type(*, type: TensorType) -> TensorType:  # noqa: A002 - the attribute is called that
    if not isinstance(type, TensorType):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise GraphError(f"{type!r} is not a type")
    return type


def _leaf(name: str, doc: str) -> Op:
    return Op(
        name=name,
        type=_given_type,
        numpy=_given,
        grad=NO_GRAD,
        lowering=Leaf(),
        dtypes=(),
        examples=(),
        theano="Input",
        doc=doc,
    )


input_ = _leaf("input", "A value that each call supplies.")
shared = _leaf("shared", "A variable whose value lives with the engine.")

constant = Op(
    name="constant",
    type=lambda *, value: TensorType(value.dtype, value.array.shape),
    numpy=lambda *, value: value.array,
    grad=NO_GRAD,
    lowering=Leaf(),
    dtypes=(),
    examples=(),
    theano="Constant",
    doc="A value fixed when the graph was built.",
)


def const(value: Any, dtype: str | None = None) -> Node:
    """A constant node.

    Args:
        value: anything numpy makes an array of.
        dtype: element type; that of the array when not given.
    """
    return constant(value=Const(value, dtype))


def constant_value(node: Node) -> Array | None:
    """The array of a constant node, else None."""
    return node["value"].array if node.op is constant else None


def repeated_value(node: Node) -> complex | None:
    """The number if the node is a constant of one repeated element, else None."""
    array = constant_value(node)
    if array is None or array.size == 0:
        return None
    first = array.reshape(-1)[0]
    number: complex = first.item()
    return number if array.size == 1 or bool(np.all(array == first)) else None


def scalar_value(node: Node) -> float | int | bool | None:
    """The number if the node is a constant of one repeated real element, else None."""
    return None if is_complex(node.dtype) else repeated_value(node)  # type: ignore[return-value]
