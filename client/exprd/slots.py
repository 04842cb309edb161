"""Slot: one declared input of a compiled function, and how its values are taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from exprd.buffers import Buffer
from exprd.io import In
from exprd.session import Session
from exprd.shared import TensorSharedVariable
from exprd.transport import BufferRef, InputValue
from exprd.types import filter_value
from exprd_compiler.errors import CallError
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.type import TensorType

__all__ = ["Slot", "slot_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slot:
    """One declared input of a function.

    Attributes:
        node: the variable that was declared.
        name: keyword in calls, or None.
        default: first default value, or None.
        strict: whether only arrays of exactly the dtype are taken.
        downcast: Theano's `allow_downcast`.
        implicit: whether calls may not give it.
        state: the variable that keeps its value between calls; such an input is no input of the
            compiled graph.
    """

    node: Node
    name: str | None
    default: object
    strict: bool
    downcast: bool | None
    implicit: bool
    state: TensorSharedVariable | None

    @property
    def type(self) -> TensorType:
        """What its values must be."""
        return self.node.type

    def shown(self, place: int) -> str:
        """The input for a message."""
        return self.name or f"number {place}"

    def take(self, value: object, session: Session) -> InputValue:
        """The array or reference to send for a value."""
        if isinstance(value, Buffer):
            return self._take_buffer(value, session)
        return self.filtered(value)

    def filtered(self, value: object) -> NDArray[Any]:
        """The array for a value, by the rules of this input.

        Raises:
            CallError: it does not fit.
        """
        return filter_value(self.type, value, strict=self.strict, allow_downcast=self.downcast)

    def _take_buffer(self, buffer: Buffer, session: Session) -> BufferRef:
        if buffer.session is not session:
            raise CallError(f"{buffer!r} lives elsewhere than this function, in {buffer.session!r}")
        if not self.type.accepts(buffer.type):
            raise CallError(
                f"{buffer!r} is no {self.type}", hint="put an array of the right dtype and rank"
            )
        return buffer.ref


def slot_of(entry: In, downcast: bool | None, state: TensorSharedVariable | None) -> Slot:
    """The slot of a declared input; `downcast` is the function's own rule."""
    return Slot(
        node=entry.variable.node,
        name=entry.name,
        default=None if state is not None else entry.value,
        strict=entry.strict,
        downcast=downcast if entry.allow_downcast is None else entry.allow_downcast,
        implicit=entry.implicit,
        state=state,
    )
