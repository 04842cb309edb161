"""Containers: the values that a function keeps between calls, as `f[x]`.

They are the defaults of inputs, the state of inputs with an update, and the shared variables of the
function; each is found by its variable or by its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from exprd.buffers import Buffer
from exprd.convert import node_of
from exprd.shared import TensorSharedVariable
from exprd.slots import Slot
from exprd_compiler.errors import CallError
from exprd_compiler.ir.node import Node

__all__ = ["Container", "Containers", "DefaultContainer", "SharedContainer", "Values"]


class SharedContainer:
    """The value of a shared variable, or of an input that keeps its own."""

    __slots__ = ("name", "node", "variable")

    def __init__(self, node: Node, name: str | None, variable: TensorSharedVariable) -> None:
        self.node, self.name, self.variable = node, name, variable

    @property
    def value(self) -> Any:
        """The current value, a copy."""
        return self.variable.get_value()

    @value.setter
    def value(self, value: object) -> None:
        self.variable.set_value(value)

    def __repr__(self) -> str:
        return f"<{self.value!r}>"


class DefaultContainer:
    """The default value of an input; None when it has none."""

    __slots__ = ("_value", "slot")

    def __init__(self, slot: Slot) -> None:
        self.slot, self._value = slot, slot.default

    @property
    def node(self) -> Node:
        """The input."""
        return self.slot.node

    @property
    def name(self) -> str | None:
        """The keyword of the input."""
        return self.slot.name

    @property
    def value(self) -> Any:
        """The default of the next calls."""
        return self._value

    @value.setter
    def value(self, value: object) -> None:
        keep = value is None or isinstance(value, Buffer)
        self._value = value if keep else self.slot.filtered(value)

    def __repr__(self) -> str:
        return f"<{self._value!r}>"


Container: TypeAlias = SharedContainer | DefaultContainer


class Containers(Mapping[Any, Container]):
    """The containers of a function by variable or by name."""

    __slots__ = ("_all",)

    def __init__(self, entries: Sequence[Container]) -> None:
        self._all = tuple(entries)

    def __getitem__(self, key: object) -> Container:
        node = node_of(key)
        found = [c for c in self._all if (c.node is node if node is not None else c.name == key)]
        if not found or key is None:
            raise KeyError(key)
        if len(found) > 1:
            raise CallError(f"several inputs are called {key!r}", hint="use the variable itself")
        return found[0]

    def __iter__(self) -> Iterator[Any]:
        return iter([c.name if c.name is not None else c.node for c in self._all])

    def __len__(self) -> int:
        return len(self._all)


class Values(Mapping[Any, Any]):
    """The values in the containers of a function; assigning one changes it."""

    __slots__ = ("_containers",)

    def __init__(self, containers: Containers) -> None:
        self._containers = containers

    def __getitem__(self, key: object) -> Any:
        return self._containers[key].value

    def __setitem__(self, key: object, value: object) -> None:
        self._containers[key].value = value

    def __iter__(self) -> Iterator[Any]:
        return iter(self._containers)

    def __len__(self) -> int:
        return len(self._containers)
