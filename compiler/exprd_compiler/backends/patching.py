"""Patching executables: functions some of whose updates are patches of the old values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from exprd_compiler.backends.executable import Executable, Guard
from exprd_compiler.backends.patch import Native, Patch
from exprd_compiler.ir.counts import EventCount
from exprd_compiler.ir.node import Array
from exprd_compiler.kernel.writes import Write


class LinkedWriter(NamedTuple):
    """The writes of one update, linked; see `kernel.writes.Writer`."""

    update: int
    argument: int
    operands: tuple[int, ...]
    old: tuple[int, ...]
    writes: tuple[Write, ...]
    native: Native


class PatchingExecutable:
    """A compiled graph whose writes are separate.

    Args:
        executable: gives outputs, the new values that are whole, and further values.
        writers: the other updates.
        returned: how many outputs there are.
    """

    def __init__(
        self, executable: Executable, writers: Sequence[LinkedWriter], returned: int
    ) -> None:
        self.interface = executable.interface
        self._executable = executable
        self._writers = sorted(writers, key=lambda writer: writer.update)
        self._returned = returned
        places = [place for writer in writers for place in (*writer.operands, *writer.old)]
        self._whole = len(self.interface.outputs) - len({x for x in places if x < 0})

    def __call__(self, arguments: Sequence[Array]) -> list[Array]:
        """Outputs, then new values, as fresh arrays."""
        return self.run(arguments)[0]

    def run(
        self, arguments: Sequence[Array], guard: Guard | None = None
    ) -> tuple[list[Array], tuple[EventCount, ...]]:
        """The same, and the events met; see `Executable.run`.

        A patched variable is the argument at its slot, which is left as it is.
        """
        found, met = self.changes(arguments, guard)
        results: list[Array] = [x for x in found if not isinstance(x, Patch)]
        for writer in self._writers:
            place = self._returned + writer.update
            patch = found[place]
            assert isinstance(patch, Patch)
            results.insert(place, patch.applied(arguments[writer.argument]))
        return results, met

    def changes(
        self, arguments: Sequence[Array], guard: Guard | None = None
    ) -> tuple[Sequence[Array | Patch], tuple[EventCount, ...]]:
        """The same with patches, which are not yet applied.

        Their indexes are within range, but their values may turn out not to fit.
        """
        found, met = self._executable.run(arguments, guard)
        results: list[Array | Patch] = [*found[: self._whole]]
        extra = found[self._whole :]
        for update, _, operands, old, writes, native in self._writers:
            given = tuple([arguments[x] if x >= 0 else extra[-1 - x] for x in operands])
            before = tuple([extra[-1 - x] for x in old])
            results.insert(self._returned + update, Patch(native, writes, given, before))
        return results, met
