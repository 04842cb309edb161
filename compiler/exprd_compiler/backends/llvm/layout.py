"""The binary interface of a native entry: its context record, error codes and allocation.

    i32 entry(ptr context, ptr pointers, ptr extents, ptr results)

`pointers` and `extents` hold the arguments' addresses and all their extents one after the other;
`results` receives per output its address and its extents. The same numbers are used by the
emitter, by the ctypes caller, and nowhere else.
"""

from __future__ import annotations

from typing import Final

# the context: i32 site | i32 cancel | i64 values[VALUES] | i64 room | i64 taken | i64 held
#              | {ptr, i64 capacity} slots[] | i64 counters[]
#
# `held` is what the slots have, `taken` what results of this call have; together they stay within
# `room`, which the caller sets.
SITE_OFFSET: Final = 0
CANCEL_OFFSET: Final = 4
VALUES_OFFSET: Final = 8
VALUES: Final = 6
ROOM_OFFSET: Final = 56
TAKEN_OFFSET: Final = 64
HELD_OFFSET: Final = 72
SLOTS_OFFSET: Final = 80
SLOT_BYTES: Final = 16
COUNTER_BYTES: Final = 8

OK: Final = 0
FAILED: Final = 1  # the site and its values tell why
CANCELLED: Final = 2
# The site is the number of the buffer that was refused; the values are its size and first extents.
NO_MEMORY: Final = 3

ALIGNMENT: Final = 64
LARGEST: Final = 2**46  # bytes of one allocation; more is refused before asking the system
UNBOUNDED: Final = 2**62  # the room of a call that has no limit
HUGE_PAGE: Final = 2**21
HUGE_FROM: Final = 2**22  # bytes of an allocation that asks for huge pages
UNKEPT_FROM: Final = 2**24  # bytes of what is not worth being kept by every thread
PAGE: Final = 2**12
MADV_HUGEPAGE: Final = 14  # Linux's number

ENTRY: Final = "exprd_entry"


def counters_offset(slots: int) -> int:
    """Where the counters of a context with so many slots begin."""
    return SLOTS_OFFSET + slots * SLOT_BYTES
