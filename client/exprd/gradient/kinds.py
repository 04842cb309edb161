"""Gradients that are not there: their types, and what stands for them in a result.

A gradient is disconnected if the cost does not depend on a variable, and null if it does, through
an op that has no gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

from exprd_compiler.errors import CallError

__all__ = [
    "DisconnectedType",
    "NoGradient",
    "NullType",
    "disconnected_type",
    "grad_not_implemented",
    "grad_undefined",
]


@dataclass(frozen=True, slots=True)
class DisconnectedType:
    """The type of the gradient by a variable on which the cost does not depend."""

    def __call__(self, name: str | None = None) -> NoGradient:
        """A gradient of this type."""
        return NoGradient(self, name)

    def filter(
        self, value: object, strict: bool = False, allow_downcast: bool | None = None
    ) -> None:
        """Refuses every value: there is none of this type."""
        raise CallError("a disconnected gradient takes no value", hint="leave the variable out")

    def __str__(self) -> str:
        return "DisconnectedType"


@dataclass(frozen=True, slots=True)
class NullType:
    """The type of a gradient that does not exist.

    Attributes:
        why_null: the reason, for people.
    """

    why_null: str = "(no explanation given)"

    def __call__(self, name: str | None = None) -> NoGradient:
        """A gradient of this type."""
        return NoGradient(self, name)

    def filter(
        self, value: object, strict: bool = False, allow_downcast: bool | None = None
    ) -> None:
        """Refuses every value: there is none of this type."""
        raise CallError(f"a null gradient takes no value: {self.why_null}")

    def __str__(self) -> str:
        return "NullType"


class NoGradient:
    """What stands for a gradient that is disconnected or null; its type says which."""

    __slots__ = ("name", "type")

    def __init__(self, kind: DisconnectedType | NullType, name: str | None = None) -> None:
        self.type, self.name = kind, name

    def __repr__(self) -> str:
        return self.name or f"<{self.type}>"


disconnected_type = DisconnectedType()


def grad_undefined(op: object, x_pos: int, x: object, comment: str = "") -> NoGradient:
    """The gradient of an op by its input number `x_pos`, x, for which mathematics has none."""
    return _null(op, x_pos, x, "is undefined", comment)


def grad_not_implemented(op: object, x_pos: int, x: object, comment: str = "") -> NoGradient:
    """The gradient of an op by its input number `x_pos`, x, that nobody has written."""
    return _null(op, x_pos, x, "is not implemented", comment)


def _null(op: object, x_pos: int, x: object, what: str, comment: str) -> NoGradient:
    return NullType(f"the gradient of {op} by input {x_pos} ({x!r}) {what}. {comment}".strip())()
