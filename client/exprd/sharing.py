"""Shared variables of several clients: attaching to one by name, reading many at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exprd.session import Session, current_session
from exprd.shared import TensorSharedVariable, attached, shared
from exprd.transport import NewVariable
from exprd_compiler.errors import CallError

__all__ = ["open_shared", "read"]


def open_shared(
    name: str, default: object = None, *, session: Session | None = None
) -> TensorSharedVariable:
    """The durable shared variable of a name, whoever made it.

    Its value lies in the session; it stays there when this client ends.

    Args:
        name: of the variable.
        default: its value if there is none of the name; the one that is there keeps its own.
        session: where it is; the one in use by default.

    Raises:
        UnknownHandle: there is none, and no default.
        Conflict: what is there has another dtype or rank than the default, or there are several.
    """
    if not name:
        raise CallError("a shared variable that others can open has a name")
    where = session or current_session()
    first = None if default is None else shared(default, name, durability="durable")
    new = None if first is None else _new(first, name)
    found = where.transport.attach_variable(name, new)
    return attached(where, found.uuid, found.type, name)


def read(variables: Sequence[TensorSharedVariable]) -> list[NDArray[Any]]:
    """The values of shared variables, all of one moment, each a copy.

    No update of a function lies between them: either all values are from before it, or all from
    after it. Variables that no function uses yet have the values of this process.

    Raises:
        CallError: they live in different sessions, which have no moment in common, or something
            is no shared variable.
    """
    _all_shared(variables)
    sessions = {id(v.session): v.session for v in variables if v.session is not None}
    if len(sessions) > 1:
        raise CallError(
            "the variables live in different sessions, so there is no moment they share",
            hint="read those of each session together",
        )
    if not sessions:
        return [np.array(v.get_value(borrow=True)) for v in variables]
    (session,) = sessions.values()
    assert session is not None
    uuids = [v.bind(session) for v in variables]
    return [np.array(value) for value in session.transport.read_variables(uuids)]


def _all_shared(things: Sequence[Any]) -> None:
    for thing in things:
        if not isinstance(thing, TensorSharedVariable):
            raise CallError(
                f"read takes shared variables, not {type(thing).__name__} {thing!r}",
                hint="open_shared finds a variable by its name",
            )


def _new(variable: TensorSharedVariable, name: str) -> NewVariable:
    return NewVariable(
        uuid=variable.uuid,
        name=name,
        type=variable.node.type,
        durability="durable",
        value=np.array(variable.get_value(borrow=True)),
    )
