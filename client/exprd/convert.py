"""Values into nodes: what a python number, an array or a variable becomes in an expression.

Theano's policy: a number takes the smallest dtype that holds it, so that it does not widen what it
meets; arrays keep their dtype. Knows nodes only, not the variables that show them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeGuard

import numpy as np
from numpy.typing import NDArray

from exprd.config import config
from exprd_compiler.errors import DTypeError, GraphError
from exprd_compiler.ir.dtype import EVERY, INTEGERS, SIGNED, check_dtype, complex_of
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.arithmetic import cast
from exprd_compiler.ops.creation import make_vector
from exprd_compiler.ops.leaves import const, constant_value

__all__ = [
    "as_array",
    "as_extent",
    "as_node",
    "cast_to",
    "dtype_name",
    "is_array",
    "is_mapping",
    "is_scalar",
    "is_sequence",
    "node_of",
    "split_extents",
    "static_int",
]

_NO_VALUE: Final[tuple[type, ...]] = (str, bytes, dict, set)


def is_sequence(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether a value is a list or a tuple."""
    return isinstance(value, list | tuple)


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Whether a value is a dict or the like."""
    return isinstance(value, Mapping)


def is_array(value: object) -> TypeGuard[NDArray[Any]]:
    """Whether a value is a numpy array."""
    return isinstance(value, np.ndarray)


def is_scalar(value: object) -> TypeGuard[np.generic[Any]]:
    """Whether a value is a numpy scalar."""
    return isinstance(value, np.generic)


def node_of(value: object) -> Node | None:
    """The node that a value shows, if it is a variable or a node."""
    node = value if isinstance(value, Node) else getattr(value, "node", None)
    return node if isinstance(node, Node) else None


def as_node(value: object) -> Node:
    """The node of a variable; a constant for anything else.

    Raises:
        GraphError: numpy makes no numeric array of it.
    """
    node = node_of(value)
    if node is not None:
        return node
    if is_sequence(value) and any(node_of(item) is not None for item in value):
        return make_vector(*map(as_node, value))
    return const(as_array(value))


def as_array(value: object) -> NDArray[Any]:
    """The constant array of a python value under the cast policy."""
    if value is None or type(value) in _NO_VALUE:
        raise GraphError(
            f"cannot make a tensor of {type(value).__name__} {value!r}",
            hint="pass a variable, an array or a number",
        )
    if type(value) in (int, float):
        return _number(value)  # type: ignore[arg-type]
    if type(value) is complex:
        return _complex_number(value)
    array = np.asarray(value)
    if array.size == 0 and not hasattr(value, "dtype"):
        return array.astype(config.floatX)
    if array.dtype.name not in EVERY:
        raise DTypeError(
            f"cannot make a tensor of dtype {array.dtype} of {value!r}",
            hint=f"convert it to one of {', '.join(EVERY)}",
        )
    return array


def _number(value: float) -> NDArray[Any]:
    if config.cast_policy == "numpy+floatX":
        return np.asarray(value, config.floatX if type(value) is float else "int64")
    if isinstance(value, int):
        dtype = next((d for d in (*SIGNED, "uint64") if _holds(d, value)), None)
        if dtype is None:
            raise DTypeError(f"{value} fits in no integer type")
        return np.array(value, dtype)
    # Theano: with a narrower floatX a python float never widens; else float32 where that is exact
    with np.errstate(over="ignore"):
        if config.floatX != "float64":
            return np.array(value, config.floatX)
        narrow = np.array(value, "float32")
    exact = math.isnan(value) or float(narrow) == value
    return narrow if exact else np.array(value, "float64")


def _complex_number(value: complex) -> NDArray[Any]:
    """complex64 where a float of these digits would be float32."""
    if config.cast_policy == "numpy+floatX":
        return np.array(value, complex_of(config.floatX))
    narrow = all(_number(part).dtype.itemsize <= 4 for part in (value.real, value.imag))
    return np.array(value, "complex64" if narrow else "complex128")


def _holds(dtype: str, value: int) -> bool:
    info = np.iinfo(dtype)
    return bool(info.min <= value <= info.max)


def cast_to(node: Node, dtype: str) -> Node:
    """The node in a dtype; itself if it has it. "floatX" is the configured float type."""
    name = dtype_name(dtype)
    return node if node.dtype == name else cast(node, dtype=name)


def dtype_name(dtype: str) -> str:
    """The name of a dtype given in any form that numpy takes, or as "floatX".

    Raises:
        DTypeError: numpy does not know it, or it does not exist here.
    """
    if dtype == "floatX":
        return str(config.floatX)
    if dtype in EVERY:
        return dtype
    try:
        return check_dtype(np.dtype(dtype).name)
    except TypeError as error:
        if isinstance(error, DTypeError):
            raise
        raise DTypeError(f"unknown dtype {dtype!r}", hint=f"one of {', '.join(EVERY)}") from None


def static_int(value: object) -> int | None:
    """The integer, if the value is one or a constant scalar of an integer dtype."""
    node = node_of(value)
    if node is None:
        numeric = isinstance(value, int) or (is_scalar(value) and value.dtype.kind in "iu")
        return int(value) if numeric and not isinstance(value, bool) else None  # type: ignore[call-overload]
    array = constant_value(node)
    known = array is not None and array.ndim == 0 and array.dtype.name in INTEGERS
    return int(array) if known else None  # type: ignore[arg-type]


def as_extent(value: object, what: str) -> int | Node:
    """A static integer where it is known, else a 0-d integer node.

    Raises:
        GraphError: it is neither.
    """
    known = static_int(value)
    if known is not None:
        return known
    node = node_of(value)
    if node is None or node.ndim or node.dtype not in INTEGERS:
        shown = node.type if node is not None else repr(value)
        raise GraphError(f"{what} is an integer or a 0-d integer variable, got {shown}")
    return node


def split_extents(values: Iterable[int | Node]) -> tuple[tuple[int | None, ...], tuple[Node, ...]]:
    """A shape as the ops want it: static entries with None for each node, and the nodes."""
    entries = tuple(values)
    spec = tuple(entry if isinstance(entry, int) else None for entry in entries)
    return spec, tuple(entry for entry in entries if isinstance(entry, Node))
