"""Batches: what has changed since the last write, and rows for the next one.

Invariant: a batch names keys, not steps. Whatever happened to a key in between, a write brings the
file from what it had to what the state is now; so many commits of one variable cost one write.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from exprd_server.stores.packing import pack_reply
from exprd_server.stores.schema import row_crc

if TYPE_CHECKING:
    from exprd_server.store import CallRecord, State, StoredVariable
    from exprd_server.stores.chunks import Ranges

CallKey: TypeAlias = "tuple[str, int]"
EntryKey: TypeAlias = "tuple[str, str]"
CallRow: TypeAlias = "tuple[str, int, bytes, bytes | None, int, int]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The rows of one transaction; None stands for no row."""

    sequence: int
    variables: tuple[tuple[str, StoredVariable | None, Ranges | None], ...] = ()
    calls: tuple[tuple[CallKey, CallRow | None], ...] = ()
    floors: tuple[tuple[str, int | None], ...] = ()
    entries: tuple[tuple[EntryKey, bytes | None], ...] = ()


@dataclass(slots=True)
class Dirty:
    """The keys whose rows may differ from the state."""

    variables: dict[str, Ranges | None] = field(default_factory=dict[str, "Ranges | None"])
    calls: dict[CallKey, CallRow | None] = field(default_factory=dict[CallKey, "CallRow | None"])
    floors: set[str] = field(default_factory=set[str])
    entries: set[EntryKey] = field(default_factory=set[EntryKey])

    def __bool__(self) -> bool:
        return bool(self.variables or self.calls or self.floors or self.entries)

    def touch(self, uuid: str, ranges: Ranges | None) -> None:
        """Notes that a variable has changed, within ranges of bytes or anywhere."""
        before = self.variables.get(uuid, ())
        self.variables[uuid] = None if before is None or ranges is None else (*before, *ranges)

    def absorb(self, earlier: Dirty) -> None:
        """Takes back what an earlier batch could not write."""
        for uuid, ranges in earlier.variables.items():
            self.touch(uuid, ranges)
        self.calls = {**earlier.calls, **self.calls}
        self.floors |= earlier.floors
        self.entries |= earlier.entries

    def batch(self, state: State, sequence: int) -> Batch:
        """The rows of these keys as the state is now."""
        kinds = state.entries
        return Batch(
            sequence=sequence,
            variables=tuple((u, state.variable(u), r) for u, r in self.variables.items()),
            calls=tuple(self.calls.items()),
            floors=tuple((client, state.floors.get(client)) for client in self.floors),
            entries=tuple((key, kinds.get(key[0], {}).get(key[1])) for key in self.entries),
        )


def call_row(record: CallRecord) -> CallRow:
    """The row of a call record."""
    reply = pack_reply(record.reply)
    nbytes = 0 if reply is None else record.nbytes
    columns = (record.client_id, record.seq, record.digest, reply, nbytes)
    return (*columns, row_crc(*columns))
