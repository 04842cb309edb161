"""Unpublished values: what the steps of a repetition make of variables before its only commit.

Invariant: nobody but the repetition sees them, and they share no memory with what is published.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from exprd_compiler.backends.patch import Patch
from exprd_server.creation import check_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from exprd_server.values import Array
    from exprd_server.variables import Variable


class Unpublished:
    """New values of variables, made by one step after the other."""

    def __init__(self) -> None:
        self._values: dict[Variable, Array] = {}

    def over(self, variables: Iterable[Variable], published: Iterable[Array]) -> list[Array]:
        """The values that a step reads: those of the steps before it, else what is published."""
        both = zip(variables, published, strict=True)
        return [self._values.get(variable, value) for variable, value in both]

    def take(
        self, updates: Iterable[tuple[Variable, Array | Patch]], outputs: Sequence[Array]
    ) -> None:
        """Notes what a step has made; its outputs stay as they are."""
        for variable, new in updates:
            value = self._patched(variable, new, outputs) if isinstance(new, Patch) else new
            check_value(variable, value)
            self._values[variable] = value

    def updates(self) -> tuple[tuple[Variable, Array], ...]:
        """The last values, to be committed together."""
        return tuple(self._values.items())

    def _patched(self, variable: Variable, patch: Patch, outputs: Sequence[Array]) -> Array:
        value = self._values.get(variable)
        if value is None:
            return patch.applied(variable.value)
        if not value.flags.writeable or any(np.may_share_memory(value, x) for x in outputs):
            return patch.applied(value)
        patch.write(value)
        return value
