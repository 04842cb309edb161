"""Patches of a commit: new values that are made of the old ones by writing where these lie.

Invariant: a variable is patched in place only when nobody else can see its memory; otherwise its
value is copied first. While it is being patched, readers without its lock wait. A commit that fails
puts back what was there.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from exprd_compiler.backends.executable import owns_memory
from exprd_server.values import Durability

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from types import TracebackType

    from exprd_compiler.backends.patch import Patch
    from exprd_server.store import Store
    from exprd_server.values import Array
    from exprd_server.variables import Variable


class Patched(NamedTuple):
    """A variable and the value that a patch has made; `dirty` as in `store.Change`."""

    variable: Variable
    value: Array
    dirty: Sequence[tuple[int, int]] | None


class Settling:
    """Who waits for whom: readers without locks for patches, and the next patches for them.

    So a reader waits for those patches only that were begun before it came.

    Args:
        lock: of the table of variables.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self._changed = threading.Condition(lock)
        self._readers = 0

    def wait(self, variables: Collection[Variable]) -> None:
        """Returns when none of the variables is being patched; the caller has the lock."""
        if not any(v.settling for v in variables):
            return
        self._readers += 1
        try:
            while any(v.settling for v in variables):
                self._changed.wait()
        finally:
            self._readers -= 1
            if not self._readers:
                self._changed.notify_all()

    def let_readers_go(self) -> None:
        """Returns when no reader waits; the caller has begun no patch that one may wait for."""
        with self._changed:
            while self._readers:
                self._changed.wait()

    def begin(self, variable: Variable) -> Array | None:
        """The memory of a variable, from now on nobody else's; None if others may look at it."""
        with self._changed:
            memory = _memory_of(variable)
            variable.settling = memory is not None
            return memory

    def end(self, variables: Iterable[Variable]) -> None:
        """Lets readers go on."""
        with self._changed:
            for variable in variables:
                variable.settling = False
            self._changed.notify_all()


class Patching:
    """The patches of one commit, as a context; when it is left by an exception, nothing was done.

    The caller holds the write locks of the variables.

    Args:
        settling: of the table of variables.
        patches: with their variables.
        store: which says of durable values whether it reads them later on; those are copied.
    """

    def __init__(
        self,
        settling: Settling,
        patches: Sequence[tuple[Variable, Patch]],
        store: Store,
    ) -> None:
        self._settling = settling
        self._patches = patches
        self._store = store
        self._begun: list[tuple[Array, Patch]] = []

    def __enter__(self) -> list[Patched]:
        try:
            self._settling.let_readers_go()
            return [self._applied(variable, patch) for variable, patch in self._patches]
        except BaseException:
            self._undo()
            self._settle()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._undo()
        self._settle()

    def _applied(self, variable: Variable, patch: Patch) -> Patched:
        lasting = self._store.lasting and variable.durability is not Durability.VOLATILE
        dirty = patch.dirty(variable.value) if lasting else None
        if dirty is not None and not self._store.may_patch(variable.uuid, dirty):
            return Patched(variable, patch.applied(variable.value), dirty)
        memory = self._settling.begin(variable)
        if memory is None:
            return Patched(variable, patch.applied(variable.value), dirty)
        # noted before the first write, so that an interrupt at any moment finds it
        self._begun.append((memory, patch))
        patch.write(memory)
        return Patched(variable, variable.value, dirty)

    def _undo(self) -> None:
        for memory, patch in reversed(self._begun):
            patch.restore(memory)

    def _settle(self) -> None:
        self._settling.end(variable for variable, _ in self._patches)


def _memory_of(variable: Variable) -> Array | None:
    """The value as it may be written to, or None if somebody else may be looking at it."""
    value = variable.value
    if _references(value) > _ALONE:
        return None
    memory: Array | None = value.base
    if memory is None or not (memory.flags.writeable and owns_memory(memory)):
        return None
    same = memory.nbytes == value.nbytes and memory.flags.c_contiguous and value.flags.c_contiguous
    return memory.view(value.dtype).reshape(value.shape) if same else None


def _references(value: Array) -> int:
    """How often the memory of a view is referred to: by the view, this call, and anybody else."""
    return sys.getrefcount(value.base)


_ALONE: Final = _references(np.zeros(1).view())
