"""Inputs and outputs of a function as the user declares them.

`In` gives an input a default, another keyword, or its own casting rule; `Out` marks an output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from exprd.convert import is_sequence, node_of
from exprd.origin import origin_of
from exprd.shared import TensorSharedVariable
from exprd.types import filter_value
from exprd.variable import TensorConstant, TensorVariable, variable_of
from exprd_compiler.errors import CallError, DTypeError, GraphError, ShapeError, UnusedInput
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.leaves import const, constant

__all__ = ["In", "Out", "Param", "check_update", "declared_inputs", "described"]


class In:
    """An input of a function, with more said of it than its variable.

    Args:
        variable: the input.
        name: keyword in calls; the variable's name by default.
        value: default value; an input with one may be left out of a call. A shared variable makes
            the input stand for it.
        update: new value of the input after each call: the function keeps it for the next one.
        mutable: whether the call may write to the argument; never done, True for what is updated.
        strict: take only arrays of exactly the right dtype.
        allow_downcast: as `allow_input_downcast` of the function, for this input alone.
        autoname: whether the variable's name serves when `name` is not given.
        implicit: whether calls cannot give the input; only when it stands for a shared variable,
            by default.
        borrow: whether the function may keep the argument itself; arguments are read where they
            are.
        shared: accepted for Theano's sake.

    Raises:
        GraphError: `mutable` without `borrow`, or an update without a value to start from.
        DTypeError: the update has another dtype than the variable.
        ShapeError: the update has another rank or pattern than the variable.
    """

    __slots__ = (
        "allow_downcast",
        "borrow",
        "implicit",
        "mutable",
        "name",
        "shared",
        "strict",
        "update",
        "value",
        "variable",
    )

    def __init__(
        self,
        variable: TensorVariable,
        name: str | None = None,
        value: object = None,
        update: object = None,
        mutable: bool | None = None,
        strict: bool = False,
        allow_downcast: bool | None = None,
        autoname: bool = True,
        implicit: bool | None = None,
        borrow: bool | None = None,
        shared: bool = False,
    ) -> None:
        self.variable, self.value, self.strict = variable, value, strict
        self.name = name if name is not None or not autoname else variable.name
        self.allow_downcast, self.shared = allow_downcast, shared
        self.update = None if update is None else _update_of(variable, value, update)
        self.mutable = update is not None if mutable is None else mutable
        self.borrow = self.mutable if borrow is None else borrow
        stands = isinstance(value, TensorSharedVariable)
        self.implicit = stands if implicit is None else implicit
        if self.mutable and not self.borrow:
            raise GraphError("mutable=True with borrow=False contradicts itself", op="In")

    def __repr__(self) -> str:
        return f"In({self.variable!r}, value={self.value!r})"


def _update_of(variable: TensorVariable, value: object, update: object) -> TensorVariable:
    """The update of an input as a variable, checked."""
    if value is None:
        raise GraphError(
            f"the input {variable!r} has an update and no value", op="In", hint="pass value="
        )
    kind = variable.node.type
    node = node_of(update)
    if node is None:
        node = const(filter_value(kind, update))
    check_update(kind, node, repr(variable))
    return variable_of(node)


def check_update(kind: TensorType, value: Node, target: str) -> None:
    """Returns if a value can become the value of what has this type.

    Raises:
        DTypeError: the dtypes differ; the message names the node where the other one comes in.
        ShapeError: the ranks or patterns differ.
    """
    if kind.accepts(value.type):
        return
    text = (
        f"an update must have the same type as the original shared variable: {target} is"
        f" {kind}, its update is {value.type}"
    )
    if kind.dtype != value.dtype:
        site = _first_of_dtype(value)
        raise DTypeError(
            f"{text}; {value.dtype} comes in with {described(site)}",
            hint=f"cast there, or update with T.cast(expression, {kind.dtype!r})",
        )
    raise ShapeError(text, hint="the update needs the same rank and broadcast pattern")


def _first_of_dtype(node: Node) -> Node:
    """The node, below an expression, where its dtype comes into being."""
    while True:
        same = [
            child for child in node.inputs if child.dtype == node.dtype and child.op != constant
        ]
        if not same:
            return node
        node = same[0]


def described(node: Node) -> str:
    """A node for a message: its name or op, its type, and the user's line."""
    place = origin_of(node)
    where = f" ({place})" if place is not None else ""
    return f"{node.name or node.op.name} of type {node.type}{where}"


class Param(In):
    """Theano's older name of `In`, with `default` for `value`."""

    __slots__ = ()

    def __init__(
        self, variable: TensorVariable, default: object = None, name: str | None = None, **rest: Any
    ) -> None:
        super().__init__(variable, name, default, **rest)


@dataclass(frozen=True, slots=True)
class Out:
    """An output; `borrow` is accepted for Theano's sake, every call gives fresh arrays."""

    variable: object
    borrow: bool = False


def declared_inputs(inputs: object) -> tuple[In, ...]:
    """The inputs of a function, checked.

    Raises:
        CallError: not a list, or an entry is a constant, a shared variable, or no variable.
        UnusedInput: a variable is listed twice.
    """
    if not is_sequence(inputs):
        raise CallError(
            "the inputs of a function are contained in a list, even when there is a single one",
            hint="function([x], ...)",
        )
    declared = tuple(_declared(item) for item in inputs)
    seen: set[TensorVariable] = set()
    for entry in declared:
        if entry.variable in seen:
            raise UnusedInput(
                f"the variable {entry.variable!r} is listed twice among the inputs",
                hint="list each variable once",
            )
        seen.add(entry.variable)
    return declared


def _declared(item: object) -> In:
    entry = item if isinstance(item, In) else None
    variable = entry.variable if entry is not None else item
    if isinstance(variable, TensorSharedVariable):
        raise CallError(
            f"cannot use the shared variable {variable!r} as an explicit input",
            hint="leave it out; to replace its value use givens",
        )
    if isinstance(variable, TensorConstant):
        raise CallError(f"the constant {variable!r} cannot be an input")
    if not isinstance(variable, TensorVariable):
        raise CallError(f"an input is a variable, not {variable!r}")
    return entry if entry is not None else In(variable)
