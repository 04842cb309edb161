"""Inputs and outputs of a function as the user declares them.

`In` gives an input a default, another keyword, or its own casting rule; `Out` marks an output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from exprd.convert import is_sequence
from exprd.shared import TensorSharedVariable
from exprd.variable import TensorConstant, TensorVariable
from exprd_compiler.errors import CallError, GraphError, UnusedInput

__all__ = ["In", "Out", "Param", "declared_inputs"]


class In:
    """An input of a function, with more said of it than its variable.

    Args:
        variable: the input.
        name: keyword in calls; the variable's name by default.
        value: default value; an input with one may be left out of a call.
        update: not supported, state belongs into shared variables.
        strict: take only arrays of exactly the right dtype.
        allow_downcast: as `allow_input_downcast` of the function, for this input alone.
        mutable: accepted for Theano's sake; inputs are never written to.
        borrow: accepted for Theano's sake; inputs are read where they are.
        autoname: whether the variable's name serves when `name` is not given.
        implicit: accepted for Theano's sake.
        shared: accepted for Theano's sake.
    """

    __slots__ = ("allow_downcast", "name", "strict", "value", "variable")

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
        if update is not None:
            raise GraphError(
                "In(update=...) keeps state inside one function, which is not supported",
                hint="make a shared variable and use updates= of function()",
            )
        if mutable and borrow is False:
            raise GraphError("mutable=True with borrow=False contradicts itself", op="In")
        self.variable, self.value, self.strict = variable, value, strict
        self.name = name if name is not None or not autoname else variable.name
        self.allow_downcast = allow_downcast

    def __repr__(self) -> str:
        return f"In({self.variable!r}, value={self.value!r})"


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
