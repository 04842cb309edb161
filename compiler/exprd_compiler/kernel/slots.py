"""Slots: temporaries that are never alive together share storage.

A slot is a piece of memory of the execution context; it grows to the largest buffer it ever held
and stays for the next call. Lifetimes come from the order of steps, sizes are not needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from exprd_compiler.kernel.form import (
    Access,
    Blas,
    Buffer,
    Fetch,
    Kernel,
    LapackCall,
    Load,
    RoutineCall,
    Step,
)


def buffers_of(step: Step) -> Iterator[Buffer]:
    """The buffers that a step touches."""
    match step:
        case Kernel():
            yield from (access.buffer for access in accesses(step))
        case Fetch():
            yield step.buffer
        case Blas():
            yield from (step.a.buffer, step.b.buffer, step.out)
        case RoutineCall() | LapackCall():
            yield from (*(buffer for buffer, _ in step.operands), step.out, *step.scratch)
        case _:
            return


def accesses(kernel: Kernel) -> Iterator[Access]:
    """The accesses of a kernel, loads then stores."""
    yield from (value.access for value in kernel.values if isinstance(value, Load))
    yield from (store.access for store in kernel.stores)


def assign_slots(buffers: Sequence[Buffer], steps: Sequence[Step]) -> tuple[int, dict[int, int]]:
    """The number of slots and the slot of each temporary buffer, by its number."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for place, step in enumerate(steps):
        for buffer in buffers_of(step):
            first.setdefault(buffer.number, place)
            last[buffer.number] = place
    temporaries = [b.number for b in buffers if b.place == "temporary" and b.number in first]
    slot_of: dict[int, int] = {}
    free: list[int] = []
    alive: list[tuple[int, int]] = []
    count = 0
    for number in sorted(temporaries, key=lambda n: first[n]):
        free += [slot for end, slot in alive if end < first[number]]
        alive = [(end, slot) for end, slot in alive if end >= first[number]]
        if free:
            slot = free.pop()
        else:
            slot, count = count, count + 1
        slot_of[number] = slot
        alive.append((last[number], slot))
    return count, slot_of
