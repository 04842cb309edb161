"""Binding: what ties a compiled graph to the shared variables of its slots."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from exprd_compiler.errors import GraphError
from exprd_server.calls import is_fixed
from exprd_server.functions import Compiled, Function, form_of
from exprd_server.locks import in_order
from exprd_server.policy import parse_policy
from exprd_server.values import Durability, FunctionInfo, FunctionSignature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exprd_server.outline import Outline
    from exprd_server.variables import Variable, VariableTable


def bound(outline: Outline, bindings: Sequence[str], table: VariableTable) -> tuple[Variable, ...]:
    """The variables of the slots of a graph.

    Args:
        outline: of the graph.
        bindings: a uuid per slot.
        table: where they are.

    Raises:
        GraphError: the bindings do not fit the slots.
        UnknownHandle: a variable is not there.
    """
    if len(bindings) != len(outline.shared):
        raise GraphError(
            f"{len(bindings)} bindings for {len(outline.shared)} shared slots",
            hint="bind every slot to the uuid of a variable",
        )
    if len(set(bindings)) != len(bindings):
        raise GraphError("a variable is bound to two slots", hint="use one slot per variable")
    variables = tuple(table.find(uuid) for uuid in bindings)
    for slot, variable in enumerate(variables):
        _check_slot(outline, slot, variable)
    for slot in outline.updated:
        _check_updated(outline, slot, variables[slot])
    return variables


def function_of(
    info: FunctionInfo,
    outline: Outline,
    content: str,
    compiled: Compiled,
    variables: tuple[Variable, ...],
) -> Function:
    """A compiled graph bound to variables."""
    written = tuple(variables[slot] for slot in outline.updated)
    return Function(
        info=info,
        outline=outline,
        content=content,
        compiled=compiled,
        variables=variables,
        written=written,
        forms=tuple(form_of(p.type) for p in outline.inputs),
        order=in_order(written, [v for v in variables if not is_fixed(v)]) if written else (),
        policy=parse_policy(info.choices.durability) if info.choices.durability else None,
    )


def signature_of(outline: Outline, variables: Sequence[Variable]) -> FunctionSignature:
    """The signature of a graph bound to variables."""
    return FunctionSignature(
        inputs=outline.inputs,
        outputs=outline.outputs,
        shared=tuple(
            replace(p, variable=v.uuid) for p, v in zip(outline.shared, variables, strict=True)
        ),
        updated=outline.updated,
    )


def _check_slot(outline: Outline, slot: int, variable: Variable) -> None:
    wanted = outline.shared[slot].type
    if not wanted.accepts(variable.type):
        raise GraphError(
            f"shared slot {slot} is {wanted}, but the variable bound to it is {variable.type}",
            hint="bind a variable of the slot's type",
            fields={"uuid": variable.uuid},
        )


def _check_updated(outline: Outline, slot: int, variable: Variable) -> None:
    wanted = outline.shared[slot].type
    if variable.durability is Durability.CONSTANT:
        raise GraphError(
            f"{variable.name or variable.uuid} is a constant, which has no updates",
            hint='make it with durability="volatile", or "durable"',
            fields={"uuid": variable.uuid},
        )
    if wanted != variable.type:
        raise GraphError(
            f"shared slot {slot} is updated as {wanted}, but its variable is {variable.type}",
            hint="declare the slot with the variable's own type",
        )
