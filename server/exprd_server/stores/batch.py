"""Batches: what has changed since the last write, and rows for the next one.

Invariant: a batch names keys, not steps. Whatever happened to a key in between, a write brings the
file from what it had to what the state is now; so many commits of one variable cost one write.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from exprd_server.stores.chunks import CHUNK_BYTES
from exprd_server.stores.packing import pack_reply
from exprd_server.stores.schema import row_crc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exprd_server.store import CallRecord, State, StoredVariable
    from exprd_server.stores.chunks import Bytes, Ranges
    from exprd_server.stores.journal import Due, Journal

_GONE: Final[NDArray[Any]] = np.empty(0)

CallKey: TypeAlias = "tuple[str, int]"
EntryKey: TypeAlias = "tuple[str, str]"
CallRow: TypeAlias = "tuple[str, int, bytes, bytes | None, int, int]"


class Patch(NamedTuple):
    """A commit that wrote a part of a value where it lies.

    Attributes:
        packed: what it wrote; see `journal`.
        due: chunks that go with it.
        chunks: their bytes.
    """

    packed: bytes
    due: Due
    chunks: tuple[Bytes, ...]

    @property
    def nbytes(self) -> int:
        """How much memory it takes."""
        return len(self.packed) + len(self.chunks) * CHUNK_BYTES


@dataclass(slots=True)
class Touched:
    """How a value may differ from the file's: by patches, or anywhere within ranges of bytes.

    Attributes:
        whole: whether it may differ without a patch; then the journal ends with the write.
        ranges: the bounds of that, but for patches; None has none.
        patches: by commit, in order.
    """

    whole: bool = False
    ranges: Ranges | None = ()
    patches: dict[int, Patch] = field(default_factory=dict[int, Patch])

    def touch(self, ranges: Ranges | None) -> None:
        """Notes a difference that no patch tells."""
        self.whole = True
        both = None not in (self.ranges, ranges)
        self.ranges = (*(self.ranges or ()), *(ranges or ())) if both else None


class VariableRows(NamedTuple):
    """What is to be written of a variable.

    Attributes:
        uuid: of it.
        variable: as it was created; None when it has gone.
        version: that it has now.
        value: likewise.
        whole: whether chunks that differ are written and the journal ends; else only patches are.
        ranges: outside of which nothing differs; None has no bounds.
        behind: chunks that are written whether they differ or not.
        patch: number and bytes of the patch that is added; None adds none.
        chunks: that are written with it.
        dropped: numbers of the first patch that goes, and of the one after the last.
    """

    uuid: str
    variable: StoredVariable | None
    version: int
    value: NDArray[Any]
    whole: bool = True
    ranges: Ranges | None = None
    behind: frozenset[int] = frozenset()
    patch: tuple[int, bytes] | None = None
    chunks: Mapping[int, Bytes] = MappingProxyType({})
    dropped: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The rows of one transaction; None stands for no row."""

    sequence: int
    variables: tuple[VariableRows, ...] = ()
    calls: tuple[tuple[CallKey, CallRow | None], ...] = ()
    floors: tuple[tuple[str, int | None], ...] = ()
    entries: tuple[tuple[EntryKey, bytes | None], ...] = ()


@dataclass(slots=True)
class Dirty:
    """The keys whose rows may differ from the state.

    Attributes:
        nbytes: how much memory its patches take.
    """

    variables: dict[str, Touched] = field(default_factory=dict[str, Touched])
    calls: dict[CallKey, CallRow | None] = field(default_factory=dict[CallKey, "CallRow | None"])
    floors: set[str] = field(default_factory=set[str])
    entries: set[EntryKey] = field(default_factory=set[EntryKey])
    nbytes: int = 0

    def __bool__(self) -> bool:
        return bool(self.variables or self.calls or self.floors or self.entries)

    def touch(self, uuid: str, ranges: Ranges | None) -> None:
        """Notes that a variable has changed, within ranges of bytes or anywhere."""
        self.variables.setdefault(uuid, Touched()).touch(ranges)

    def patch(self, uuid: str, commit: int, patch: Patch) -> None:
        """Notes that a commit has written into a variable."""
        self.variables.setdefault(uuid, Touched()).patches[commit] = patch
        self.nbytes += patch.nbytes

    def retract(self, uuid: str, commit: int) -> Patch | None:
        """Drops the patch of a commit that has failed."""
        touched = self.variables.get(uuid)
        patch = None if touched is None else touched.patches.pop(commit, None)
        self.nbytes -= 0 if patch is None else patch.nbytes
        return patch

    def reads(self, uuid: str) -> bool:
        """Whether the value of a variable will be read when this is written."""
        touched = self.variables.get(uuid)
        return touched is not None and touched.whole

    def absorb(self, earlier: Dirty) -> None:
        """Takes back what an earlier batch could not write."""
        for uuid, old in earlier.variables.items():
            new = self.variables.get(uuid, Touched())
            if old.whole:
                new.touch(old.ranges)
            new.patches = {**old.patches, **new.patches}
            self.variables[uuid] = new
        self.calls = {**earlier.calls, **self.calls}
        self.floors |= earlier.floors
        self.entries |= earlier.entries
        self.nbytes += earlier.nbytes

    def batch(self, state: State, sequence: int, journals: Mapping[str, Journal]) -> Batch:
        """The rows of these keys as the state is now."""
        kinds = state.entries
        return Batch(
            sequence=sequence,
            variables=tuple(
                _rows(uuid, state, touched, journals.get(uuid))
                for uuid, touched in self.variables.items()
            ),
            calls=tuple(self.calls.items()),
            floors=tuple((client, state.floors.get(client)) for client in self.floors),
            entries=tuple((key, kinds.get(key[0], {}).get(key[1])) for key in self.entries),
        )


def _rows(uuid: str, state: State, touched: Touched, journal: Journal | None) -> VariableRows:
    version, value = state.current(uuid) or (0, _GONE)
    now = uuid, state.created(uuid), version, value
    if journal is None:
        return VariableRows(*now, ranges=touched.ranges)
    chunks = {
        index: data
        for patch in touched.patches.values()
        for index, data in zip(patch.due.chunks, patch.chunks, strict=True)
    }
    if touched.whole:
        behind = journal.behind.union(chunks)
        return VariableRows(*now, ranges=touched.ranges, behind=behind)
    packed = b"".join([patch.packed for patch in touched.patches.values()])
    return VariableRows(
        *now,
        whole=False,
        patch=(journal.next_number, packed) if packed else None,
        chunks=chunks,
        dropped=journal.droppable(),
    )


def call_row(record: CallRecord) -> CallRow:
    """The row of a call record."""
    reply = pack_reply(record.reply)
    nbytes = 0 if reply is None else record.nbytes
    columns = (record.client_id, record.seq, record.digest, reply, nbytes)
    return (*columns, row_crc(*columns))
