"""OrderedUpdates: updates of shared variables, collected before a function is made."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from exprd.shared import TensorSharedVariable
from exprd_compiler.errors import CallError, GraphError

__all__ = ["OrderedUpdates"]


class OrderedUpdates(OrderedDict[TensorSharedVariable, Any]):
    """Pairs (shared variable, new value) in order; `a + b` joins two that do not disagree.

    Raises:
        CallError: a key is not a shared variable.
        GraphError: two collections assign one variable in different ways.
    """

    def __setitem__(self, key: TensorSharedVariable, value: Any) -> None:
        if not isinstance(key, TensorSharedVariable):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise CallError(f"an update target must be a SharedVariable, not {key!r}")
        super().__setitem__(key, value)

    def update(self, other: Any = (), /, **more: Any) -> None:
        """Takes the pairs of another collection."""
        if more:
            raise CallError("an update target must be a SharedVariable, not a keyword")
        for key, value in OrderedDict[Any, Any](other).items():
            if key in self and self[key] is not value:
                raise GraphError(f"two updates of {key!r}")
            self[key] = value

    def __add__(self, other: Any) -> OrderedUpdates:
        out = OrderedUpdates(self)
        out.update(other)
        return out

    def __radd__(self, other: Any) -> OrderedUpdates:
        return OrderedUpdates(other) + self
