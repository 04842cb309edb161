"""What a shared variable may be: names, values, what is the same one, what a store gets of it."""

from __future__ import annotations

import uuid as uuids
from typing import TYPE_CHECKING

import numpy as np

from exprd_compiler.errors import CallError, Conflict, ShapeError
from exprd_compiler.ir.type import TensorType
from exprd_server.store import StoredVariable

if TYPE_CHECKING:
    from exprd_server.settings import Limits
    from exprd_server.values import Array
    from exprd_server.variables import NewVariable, Variable


def check_names(new: NewVariable, limits: Limits) -> None:
    """Returns if the name and the uuid of a new variable are allowed."""
    if len(new.name) > limits.name_length or not new.name.isprintable():
        raise CallError(f"a name is up to {limits.name_length} printable characters")
    if new.uuid:
        try:
            canonical = str(uuids.UUID(new.uuid))
        except ValueError:
            canonical = ""
        if canonical != new.uuid:
            raise CallError(f"{new.uuid[:64]!r} is not a uuid in its usual lower-case form")


def check_value(variable: Variable, value: Array) -> None:
    """Returns if the variable's type admits the value."""
    # Written out, because this runs for every update of every call.
    dtype, extents = variable.dtype, variable.extents
    if (
        (value.dtype is not dtype and value.dtype != dtype)
        or value.ndim != len(variable.type.shape)
        or (extents and any(value.shape[axis] != extent for axis, extent in extents))
    ):
        given = TensorType(value.dtype.name, value.shape)
        label = f"{variable.name!r} " if variable.name else ""
        raise ShapeError(
            f"shared variable {label}has type {variable.type}, but the new value is {given}",
            hint="a variable keeps its dtype, rank and static extents",
            fields={"uuid": variable.uuid},
        )


def frozen(value: Array) -> Array:
    """A read-only view, so that no reader of a snapshot can change it by mistake."""
    view = value.view()
    view.setflags(write=False)
    return view


def same_creation(a: Variable, b: Variable) -> bool:
    """Whether creating `b` is creating `a` again."""
    same = (a.name, a.type, a.durability, a.owner) == (b.name, b.type, b.durability, b.owner)
    # After the first assignment the initial value is gone, and so is the need to compare it.
    return same and (
        a.version > 1 or np.array_equal(a.value, b.value, equal_nan=a.value.dtype.kind != "b")
    )


def stored_of(variable: Variable) -> StoredVariable:
    """A variable as a store keeps it."""
    return StoredVariable(
        uuid=variable.uuid,
        name=variable.name,
        type=variable.type,
        durability=variable.durability,
        version=variable.version,
        value=variable.value,
        owner=variable.owner,
    )


def check_attachable(variable: Variable, wanted: TensorType) -> None:
    """Returns if a variable has the dtype and rank that a caller expects."""
    if (variable.type.dtype, variable.type.ndim) != (wanted.dtype, wanted.ndim):
        raise Conflict(
            f"the durable shared variable {variable.name!r} is {variable.type}, not {wanted}",
            hint="attach to it without a default, or use another name",
            fields={"uuid": variable.uuid, "name": variable.name},
        )
