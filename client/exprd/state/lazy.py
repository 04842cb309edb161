"""Lazy parameters: they have a name and a place, and get their shape later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

__all__ = ["Owner", "UninitializedParameter"]


class Owner(Protocol):
    """What holds a lazy parameter as an attribute."""

    def materialize(self, name: str, value: NDArray[Any]) -> None:
        """Puts a shared variable with a first value in the place of an attribute."""
        ...


class UninitializedParameter:
    """Stands for a shared variable until its shape is known.

    Args:
        owner: whose attribute it is.
        name: of the attribute.
        dtype: of the variable.
        shape: what is known of its extents.
    """

    __slots__ = ("_name", "_owner", "dtype", "shape")

    def __init__(self, owner: Owner, name: str, dtype: str, shape: Sequence[int | None]) -> None:
        self._owner, self._name = owner, name
        self.dtype, self.shape = dtype, tuple(shape)

    def materialize(self, value: NDArray[Any]) -> None:
        """Makes the variable, with a first value."""
        self._owner.materialize(self._name, value)

    def __repr__(self) -> str:
        return "<UninitializedParameter>"
