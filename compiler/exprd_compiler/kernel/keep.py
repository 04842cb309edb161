"""Keeping: expensive values of one stage that a later stage needs wait in the output's own memory.

A stage computes what it needs from the loads on. Where that would repeat an exponential, the first
stage stores it to where the last one will write its result, and later stages load it from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from exprd_compiler.ir.lowering import Scalar
from exprd_compiler.kernel.form import (
    Access,
    Apply,
    Fold,
    Kernel,
    Load,
    Make,
    Position,
    Store,
    Value,
    references,
)


def keep(kernel: Kernel) -> Kernel:
    """The kernel, values kept where that spares work and memory is at hand."""
    taken: set[Access] = set()
    while True:
        stages = _Stages(kernel)
        found = next(_chances(kernel, stages, taken), None)
        if found is None:
            return kernel
        ref, access = found
        taken.add(access)
        kernel = _kept(kernel, stages, ref, access)


class _Stages:
    """Per value its stage, whether it varies along row axes, and whether it is costly to repeat."""

    def __init__(self, kernel: Kernel) -> None:
        self.stage: list[int] = []
        self.in_rows: list[bool] = []
        self.costly: list[bool] = []
        self._grid = kernel.grid
        for value in kernel.values:
            self._add(value)

    def _add(self, value: Value) -> None:
        refs = references(value)
        fold = isinstance(value, Fold)
        rows = any(self.in_rows[ref] for ref in refs) or self._steps(value)
        costly = any(self.costly[ref] for ref in refs) or _costly(value)
        self.stage.append(max((self.stage[ref] for ref in refs), default=0) + fold)
        self.in_rows.append(rows and not fold)
        self.costly.append(costly and rows and not fold)

    def _steps(self, value: Value) -> bool:
        match value:
            case Load():
                return any(s.known != 0 for s in value.access.strides[self._grid :])
            case Position():
                return value.axis >= self._grid
            case _:
                return False

    def of_store(self, store: Store) -> int:
        """The stage in which a store is made."""
        refs = (store.ref, *(index.ref for index in store.access.indexes))
        return max(self.stage[ref] for ref in refs)


def _costly(value: Value) -> bool:
    rule = value.op.lowering if isinstance(value, Apply) else None
    return isinstance(rule, Scalar) and not rule.cheap


def _chances(kernel: Kernel, stages: _Stages, taken: set[Access]) -> Iterator[tuple[int, Access]]:
    """Values that a later stage would compute again, with a place for them."""
    computed = _computed_for_folds(kernel, stages)
    for ref in sorted(computed):
        if stages.costly[ref] and _later_users(kernel, stages, ref):
            last = _last_stage(kernel, stages, ref)
            dtype = kernel.values[ref].dtype
            for store in kernel.stores:
                if store.access not in taken and _free(kernel, stages, store, dtype, last):
                    yield ref, store.access
                    break


def _later_users(kernel: Kernel, stages: _Stages, ref: int) -> list[int]:
    return [
        user
        for user, value in enumerate(kernel.values)
        if ref in references(value)
        and stages.in_rows[user]
        and stages.stage[user] > stages.stage[ref]
    ]


def _last_stage(kernel: Kernel, stages: _Stages, ref: int) -> int:
    """The last stage that computes something from a value, be it by way of others."""
    made = {ref}
    for user, value in enumerate(kernel.values):
        if stages.in_rows[user] and not made.isdisjoint(references(value)):
            made.add(user)
    folds = [
        stages.stage[place] - 1
        for place, value in enumerate(kernel.values)
        if isinstance(value, Fold) and value.ref in made
    ]
    stores = [
        stages.of_store(store)
        for store in kernel.stores
        if store.ref in made or any(index.ref in made for index in store.access.indexes)
    ]
    return max((*folds, *stores), default=stages.stage[ref])


def _computed_for_folds(kernel: Kernel, stages: _Stages) -> set[int]:
    """Values that the stage of their own computes in any case, because it folds over them."""
    found: set[int] = set()
    for ref, value in enumerate(kernel.values):
        stack = [value.ref] if isinstance(value, Fold) else []
        while stack:
            item = stack.pop()
            if item not in found and stages.stage[item] == stages.stage[ref] - 1:
                found.add(item)
                stack += references(kernel.values[item])
    return found


def _free(kernel: Kernel, stages: _Stages, store: Store, dtype: str, last: int) -> bool:
    """Whether the place of a store is nobody's before the last user of a kept value has run."""
    access = store.access
    own = sum(other.access.buffer is access.buffer for other in kernel.stores) == 1
    read = any(
        isinstance(value, Load) and value.access.buffer is access.buffer for value in kernel.values
    )
    everywhere = all(stride.known != 0 for stride in access.strides)
    fits = store.mode == "set" and not access.indexes and access.buffer.dtype == dtype
    return own and not read and everywhere and fits and stages.of_store(store) >= last


# ---- the change
def _kept(kernel: Kernel, stages: _Stages, ref: int, access: Access) -> Kernel:
    """The kernel with a store of the value, and a load in its place for later stages."""
    later = set(_later_users(kernel, stages, ref))
    moved = {old: old + (old > ref) for old in range(len(kernel.values))}
    values = [
        _renumbered(value, {**moved, ref: ref + 1} if old in later else moved)
        for old, value in enumerate(kernel.values)
    ]
    values.insert(ref + 1, Load(access, kernel.values[ref].dtype))
    stores = [
        replace(store, ref=moved[store.ref], access=_renumbered_access(store.access, moved))
        for store in kernel.stores
    ]
    return replace(kernel, values=tuple(values), stores=(Store(ref, access), *stores))


def _renumbered(value: Value, moved: Mapping[int, int]) -> Value:
    match value:
        case Apply():
            return replace(value, refs=_all(value.refs, moved))
        case Make():
            return replace(
                value, positions=_all(value.positions, moved), refs=_all(value.refs, moved)
            )
        case Fold():
            return replace(value, ref=moved[value.ref])
        case Load():
            return replace(value, access=_renumbered_access(value.access, moved))
        case _:
            return value


def _renumbered_access(access: Access, moved: Mapping[int, int]) -> Access:
    indexes = tuple(replace(index, ref=moved[index.ref]) for index in access.indexes)
    return replace(access, indexes=indexes)


def _all(refs: Sequence[int], moved: Mapping[int, int]) -> tuple[int, ...]:
    return tuple(moved[ref] for ref in refs)
