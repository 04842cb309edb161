"""Variables: what the user holds, each a thin view of one node.

Two variables are equal exactly when they show the same node. A variable holds nothing that the node
does not: name, type and origin live there.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from exprd.config import config
from exprd.convert import as_array, as_node, dtype_name
from exprd.methods import Methods
from exprd.naming import node_text
from exprd.operators import Operators
from exprd.origin import Origin, mark, origin_of
from exprd.types import filter_value
from exprd_compiler.errors import DTypeError, ShapeError
from exprd_compiler.ir import type as ir_type
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.leaves import const, constant_value, input_

V = TypeVar("V", bound="TensorVariable")

__all__ = [
    "Apply",
    "TensorConstant",
    "TensorType",
    "TensorVariable",
    "Variable",
    "as_tensor_variable",
    "constant",
    "variable_of",
]


class TensorType:
    """A dtype and a broadcast pattern or shape; calling it makes a variable of that type.

    Args:
        dtype: element type; "floatX" for the configured one.
        broadcastable: per axis, whether its length is always 1 (Theano's way).
        shape: per axis, its length, or None when it is known only at run time.
        name: default name of the variables.
    """

    __slots__ = ("ir", "name")

    def __init__(
        self,
        dtype: str,
        broadcastable: Sequence[Any] | None = None,
        name: str | None = None,
        *,
        shape: Sequence[int | None] | None = None,
    ) -> None:
        if (broadcastable is None) == (shape is None):
            raise ShapeError("a TensorType has either broadcastable= or shape=")
        given: Sequence[Any] = shape if shape is not None else broadcastable or ()
        self.ir = ir_type.TensorType(dtype_name(dtype), tuple(map(_extent, given)))
        self.name = name

    @classmethod
    def of(cls, ir: ir_type.TensorType) -> TensorType:
        """The user's form of a type of the compiler."""
        return cls(ir.dtype, shape=ir.shape)

    def __call__(self, name: str | None = None) -> TensorVariable:
        """A new variable of this type."""
        node = input_(type=self.ir)
        node.name = name if name is not None else self.name
        return _fresh(node)

    @property
    def dtype(self) -> str:
        """The element type."""
        return self.ir.dtype

    @property
    def ndim(self) -> int:
        """The rank."""
        return self.ir.ndim

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The extents, None where they are known only at run time."""
        return self.ir.shape

    @property
    def broadcastable(self) -> tuple[bool, ...]:
        """Per axis, whether its length is always 1."""
        return self.ir.broadcastable

    def filter(
        self, value: object, strict: bool = False, allow_downcast: bool | None = None
    ) -> NDArray[Any]:
        """The array that a variable of this type would take for a value."""
        return filter_value(self.ir, value, strict=strict, allow_downcast=allow_downcast)

    def make_variable(self, name: str | None = None) -> TensorVariable:
        """A new variable of this type."""
        return self(name)

    def clone(
        self, dtype: str | None = None, broadcastable: Sequence[bool] | None = None
    ) -> TensorType:
        """The type with another dtype or pattern."""
        if broadcastable is not None:
            return TensorType(dtype or self.dtype, broadcastable)
        return TensorType(dtype or self.dtype, shape=self.shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TensorType) and self.ir == other.ir

    def __hash__(self) -> int:
        return hash(self.ir)

    def __repr__(self) -> str:
        return f"TensorType({self.ir})"


def _extent(entry: object) -> int | None:
    if isinstance(entry, bool | np.bool_):
        return 1 if entry else None
    return None if entry is None else int(entry)  # type: ignore[call-overload]


class NamedOp:
    """An op as users look at it: its class name is Theano's."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"{type(self).__name__}{{{self.name}}}"


def named_op(theano: str, name: str) -> NamedOp:
    """An op object of the class of Theano's name."""
    kind: type[NamedOp] = type(theano, (NamedOp,), {"__slots__": ()})
    return kind(name)


@dataclass(frozen=True, slots=True)
class Apply:
    """The application of an op that a variable is the result of."""

    op: NamedOp
    node: Node

    @property
    def inputs(self) -> list[TensorVariable]:
        """The variables that the op was applied to."""
        return [variable_of(node) for node in self.node.inputs]

    @property
    def outputs(self) -> list[TensorVariable]:
        """The result, in a list as Theano has it."""
        return [variable_of(self.node)]

    def __repr__(self) -> str:
        return f"{self.op!r}({', '.join(map(repr, self.inputs))})"


class Variable:
    """The root of all variables: anything that stands for a value to come."""

    __slots__ = ("__weakref__", "node")

    def __init__(self, node: Node) -> None:
        self.node = node

    @property
    def type(self) -> TensorType:
        """The dtype and static shape."""
        return TensorType.of(self.node.type)

    @property
    def name(self) -> str | None:
        """The name, for messages and keyword arguments."""
        return self.node.name

    @name.setter
    def name(self, name: str | None) -> None:
        self.node.name = name

    @property
    def dtype(self) -> str:
        """The element type."""
        return self.node.dtype

    @property
    def ndim(self) -> int:
        """The rank."""
        return self.node.ndim

    @property
    def broadcastable(self) -> tuple[bool, ...]:
        """Per axis, whether its length is always 1."""
        return self.node.type.broadcastable

    @property
    def tag(self) -> SimpleNamespace:
        """A place for remarks of the user's own, such as `test_value`."""
        mark([self.node])
        origin = origin_of(self.node)
        return origin.tag if origin is not None else SimpleNamespace()

    @property
    def owner(self) -> Apply | None:
        """The application that this is the result of; None for inputs, constants and shared."""
        if not self.node.inputs:
            return None
        return Apply(named_op(self.node.op.theano, self.node.op.name), self.node)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Variable) and self.node is other.node

    def __hash__(self) -> int:
        return hash(self.node)

    def __str__(self) -> str:
        return self.name or node_text(self.node)

    def __repr__(self) -> str:
        return self.name or f"<{type(self).__name__} {self.node.op.name} {self.node.type}>"


class TensorVariable(Variable, Operators, Methods):
    """A tensor to come: an input, or the result of an op."""

    __slots__ = ()
    __array_ufunc__ = None  # numpy's operators leave the work to ours
    __hash__ = Variable.__hash__

    def show(self, node: Node) -> TensorVariable:
        """The variable of a node built just now."""
        return variable_of(node)

    def eval(
        self, inputs_to_values: Mapping[Any, Any] | None = None, mode: object = None, **named: Any
    ) -> Any:
        """The value, for values of inputs by variable or name; compiled for the first one.

        Raises:
            CallError: no input has the name.
            MissingInput: an input has no value.
        """
        from exprd.evaluate import evaluate  # the one upward arrow: eval is function and call

        return evaluate(self, inputs_to_values or {}, named, mode)


class TensorConstant(TensorVariable):
    """A value fixed when the expression was built."""

    __slots__ = ()
    __hash__ = Variable.__hash__

    @property
    def data(self) -> NDArray[Any]:
        """The value, read-only."""
        array = constant_value(self.node)
        return np.zeros(0) if array is None else array

    def __repr__(self) -> str:
        return self.name or f"TensorConstant{{{np.array2string(self.data, threshold=5)}}}"


def variable_of(node: Node) -> TensorVariable:
    """The variable that shows a node; always the same one while somebody holds it."""
    if node.origin is None:
        mark([node])
    origin = origin_of(node)
    shown = origin.shown() if origin is not None else None
    return shown if isinstance(shown, TensorVariable) else _fresh(node)


def _fresh(node: Node) -> TensorVariable:
    if node.dtype == "float64" and config.warn_float64 != "ignore":
        _warn_float64(node)
    kind = TensorConstant if constant_value(node) is not None else TensorVariable
    return attach(kind(node))


def _warn_float64(node: Node) -> None:
    """What `config.warn_float64` asks for, in Theano's words."""
    text = (
        f"you are creating a variable of dtype float64, by {node.op.name};"
        f" you asked to be told with warn_float64={config.warn_float64}"
    )
    if config.warn_float64 == "raise":
        raise DTypeError(text, hint="cast an operand to float32")
    if config.warn_float64 == "pdb":
        breakpoint()
    else:
        warnings.warn(text, stacklevel=4)


def attach(variable: V) -> V:
    """The variable, made the one that shows its node."""
    mark([variable.node])
    origin = variable.node.origin
    if isinstance(origin, Origin):
        origin.view = weakref.ref(variable)
    return variable


def constant(value: object, name: str | None = None, dtype: str | None = None) -> TensorConstant:
    """A constant tensor."""
    array = as_array(value)
    node = const(array, None if dtype is None else dtype_name(dtype))
    node.name = name
    return attach(TensorConstant(node))


def as_tensor_variable(
    value: object, name: str | None = None, ndim: int | None = None
) -> TensorVariable:
    """The variable itself, or a constant of anything else; padded on the left to `ndim`."""
    variable = value if isinstance(value, TensorVariable) else variable_of(as_node(value))
    if ndim is not None and variable.ndim != ndim:
        if variable.ndim > ndim:
            raise ShapeError(f"{variable!r} has more than {ndim} axes")
        variable = variable.dimshuffle(*["x"] * (ndim - variable.ndim), *range(variable.ndim))
    if name is not None and not isinstance(value, TensorVariable):
        variable.name = name
    return variable
