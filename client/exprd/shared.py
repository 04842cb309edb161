"""Shared variables: values that live where the graphs run, and that functions update.

A variable keeps its value in this process until a function that uses it is compiled; from then on
it belongs to that session. Its dtype and rank never change, its extents may.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from exprd.buffers import Buffer
from exprd.config import config
from exprd.convert import as_array, is_array, is_scalar, node_of
from exprd.origin import Origin, mark
from exprd.session import Session, current_session
from exprd.transport import InputValue, NewVariable
from exprd.types import filter_value
from exprd.variable import TensorType, TensorVariable
from exprd_compiler.errors import CallError, DTypeError, GraphError
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.leaves import shared as shared_op

__all__ = ["SharedVariable", "TensorSharedVariable", "shared", "shared_of", "shared_of_type"]

_DURABILITIES = ("default", "volatile", "durable", "constant")


class _Storage:
    """Where the value of a shared variable is: here until bound, then in a session."""

    __slots__ = ("__weakref__", "_local", "durability", "lock", "session", "uuid")

    def __init__(self, value: InputValue, durability: str) -> None:
        self._local: InputValue | None = value
        self.durability = durability
        self.lock = threading.Lock()
        self.session: Session | None = None
        self.uuid = str(uuid.uuid4())

    def bind(self, session: Session, variable: TensorSharedVariable) -> str:
        """Uploads the value to a session, once; the uuid there."""
        with self.lock:
            if self.session is None and self._local is not None:
                name = variable.name or ""
                new = NewVariable(
                    uuid=self.uuid,
                    name=name,
                    type=variable.node.type,
                    durability=self.durability,
                    value=self._local,
                )
                self.durability = session.transport.create_variable(new)
                if name and self.durability == "durable":  # which outlives its client
                    session.named[self.uuid] = variable
                else:
                    session.collect_with(self, "variable", self.uuid)
                self.session, self._local = session, None
            if self.session is not session:
                raise GraphError(
                    f"shared variable {variable!r} lives in {self.session!r},"
                    f" but the function is compiled for {session!r}",
                    hint="make a new variable of its get_value() in this session",
                )
        return self.uuid

    def read(self) -> NDArray[Any]:
        """The current value, not to be written to."""
        with self.lock:
            if self.session is None and isinstance(self._local, np.ndarray):
                return self._local
            session = self.session
        if session is None:
            raise CallError("a variable made of a buffer has no value in this process")
        return session.transport.get_variable(self.uuid)

    def write(self, value: NDArray[Any], expected_version: int | None = None) -> None:
        """A new value, given up by the caller."""
        with self.lock:
            if self.session is None:
                self._local = value
                return
            session = self.session
        session.transport.set_variable(self.uuid, value, expected_version)

    def attach(self, session: Session, uuid: str) -> None:
        """Takes a variable that is in a session already, in place of a value of its own."""
        with self.lock:
            self.session, self.uuid, self._local = session, uuid, None


class TensorSharedVariable(TensorVariable):
    """A tensor with a value of its own, which functions read and update."""

    __slots__ = ("_default_update", "_storage")
    __hash__ = TensorVariable.__hash__

    def __init__(self, node: Node, value: InputValue, durability: str) -> None:
        super().__init__(node)
        self._storage = _Storage(value, durability)
        self._default_update: TensorVariable | None = None
        mark([node])
        if isinstance(node.origin, Origin):
            node.origin.keep = self  # the leaf in a graph is enough to keep the value alive

    def get_value(self, borrow: bool = False, return_internal_type: bool = False) -> Any:
        """The current value; a copy, unless `borrow` allows a read-only view."""
        value = self._storage.read()
        return value if borrow else np.array(value)

    def set_value(
        self, value: object, borrow: bool = False, *, expected_version: int | None = None
    ) -> None:
        """Assigns the variable; the shape may change, dtype and rank may not.

        Args:
            value: anything of the variable's type.
            borrow: use the array itself instead of a copy; it must not be written to any more.
            expected_version: assign only if the variable is at this version still.

        Raises:
            CallError: the value does not fit the type.
            Conflict: the variable is at another version; nothing has changed.
        """
        if expected_version is not None:
            self.bind(self.session or current_session())  # versions count where it lives
        if self._storage.durability == "constant":
            raise CallError(f"{self!r} is a constant and is never assigned")
        array = filter_value(self.node.type, value)
        given = array if borrow else np.array(array, order="C")
        self._storage.write(given, expected_version)

    @property
    def version(self) -> int:
        """How often it was assigned where it lives, counted from 1.

        A variable that lives nowhere yet is put into the session in use.
        """
        session = self.session or current_session()
        return session.transport.variable_versions((self.bind(session),))[0]

    @property
    def value(self) -> NoReturn:
        """Always an error: Theano's users know the methods."""
        raise AttributeError("use get_value() and set_value() for the value of a shared variable")

    @value.setter
    def value(self, _: object) -> NoReturn:
        raise AttributeError("use set_value() to change the value of a shared variable")

    @property
    def default_update(self) -> TensorVariable | None:
        """The new value after each call of a function that does not say otherwise."""
        return self._default_update

    @default_update.setter
    def default_update(self, update: TensorVariable | None) -> None:
        self._default_update = update

    def zero(self, borrow: bool = False) -> None:
        """Sets every element to zero."""
        self.set_value(np.zeros_like(self._storage.read()), borrow=True)

    @property
    def durability(self) -> str:
        """How long the value lasts: "volatile", "durable", "constant".

        It is "default" as long as that is left to a session that has not been chosen yet.
        """
        return self._storage.durability

    @property
    def uuid(self) -> str:
        """Its name among all variables everywhere."""
        return self._storage.uuid

    def attach(self, session: Session, uuid: str) -> None:
        """Makes this stand for a variable that is in a session already."""
        self._storage.attach(session, uuid)

    @property
    def session(self) -> Session | None:
        """Where the value lives; None as long as that is this process and no session."""
        return self._storage.session

    def clone(self) -> TensorSharedVariable:
        """Another variable with a copy of the current value."""
        return _made(self.node.type, self.get_value(), self.name, self._storage.durability)

    def __copy__(self) -> TensorSharedVariable:
        return self.clone()

    def __deepcopy__(self, memo: dict[int, Any]) -> TensorSharedVariable:
        if id(self) not in memo:
            memo[id(self)] = self.clone()
        made: TensorSharedVariable = memo[id(self)]
        return made

    def bind(self, session: Session) -> str:
        """The uuid of the variable in a session, uploaded if it is not there yet."""
        return self._storage.bind(session, self)

    def __repr__(self) -> str:
        return self.name or f"<TensorSharedVariable {self.node.type}>"


SharedVariable = TensorSharedVariable


def shared_of(node: Node) -> TensorSharedVariable | None:
    """The shared variable of a leaf."""
    keep = node.origin.keep if isinstance(node.origin, Origin) else None
    return keep if isinstance(keep, TensorSharedVariable) else None


def shared(
    value: object,
    name: str | None = None,
    strict: bool = False,
    allow_downcast: bool | None = None,
    borrow: bool = False,
    broadcastable: Sequence[bool] | None = None,
    durability: str | None = None,
) -> TensorSharedVariable:
    """A shared variable with a first value.

    Args:
        value: its value; a python int is int64, a python float is float64.
        name: for messages and listings; names need not be unique.
        strict: refuse anything but an array or a numpy scalar.
        allow_downcast: accepted for Theano's sake; a first value is never cast.
        borrow: use the array itself instead of a copy; it must not be written to any more.
        broadcastable: per axis, whether it is always of length 1; nowhere by default, since the
            shape of the value may change.
        durability: "volatile", "durable" (outlives its client when named), "constant" (never
            assigned: a data set), or "default", what its server has as its own default;
            `config.durability` by default.

    Raises:
        DTypeError: the value has an element type that does not exist here.
    """
    if node_of(value) is not None:
        raise DTypeError(f"the value of a shared variable is an array, not the variable {value!r}")
    if strict and not (is_array(value) or is_scalar(value)):
        raise CallError(f"strict: needs an array, got {type(value).__name__}")
    durability = config.durability if durability is None else durability
    if durability not in _DURABILITIES:
        raise CallError(f"durability is one of {', '.join(_DURABILITIES)}, not {durability!r}")
    array = np.array(_first_value(value), order="C", copy=None if borrow else True)
    pattern = tuple(broadcastable or (False,) * array.ndim)
    kind = TensorType(array.dtype.name, pattern).ir
    return _made(kind, filter_value(kind, array), name, durability)


def _first_value(value: object) -> NDArray[Any]:
    """Theano: python numbers are not squeezed into small types here, they are to be stored."""
    if type(value) in (int, float, bool):
        return np.asarray(value)
    return as_array(value)


def shared_of_type(
    kind: TensorType, value: NDArray[Any], *, name: str | None, durability: str = "default"
) -> TensorSharedVariable:
    """A variable of exactly a type, with a copy of a value of that type."""
    array = filter_value(kind.ir, np.array(value, order="C"), strict=True)
    return _made(kind.ir, array, name, durability)


def _made(kind: Any, value: InputValue, name: str | None, durability: str) -> TensorSharedVariable:
    node = shared_op(type=kind)
    node.name = name
    return TensorSharedVariable(node, value, durability)


def attached(session: Session, uuid: str, kind: Any, name: str) -> TensorSharedVariable:
    """The durable variable that is in a session already; the same object each time."""
    known = session.named.get(uuid)
    if isinstance(known, TensorSharedVariable):
        return known
    made = session.named[uuid] = _made(kind, np.empty(0), name, "durable")
    made.attach(session, uuid)
    return made


def shared_from_buffer(buffer: Buffer, kind: Any) -> TensorSharedVariable:
    """The constant that stands for a buffer in a graph, with the type of what it replaces."""
    made: TensorSharedVariable | None = buffer.leaf
    if made is None or made.node.type != kind:
        made = buffer.leaf = _made(kind, buffer.ref, None, "constant")
    return made
