"""Dependence: with which loops each value of a kernel varies, hence where it is computed.

A value varies with loop axes through loads and positions. The folds divide the row work into
stages: stage s may use the folds of the stages before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from exprd_compiler.kernel.form import (
    Access,
    Fold,
    Kernel,
    Load,
    Position,
    Store,
    Value,
    references,
)


@dataclass(frozen=True, slots=True)
class Work:
    """The row work of one stage: folds it ends in, stores it makes, and all values for them."""

    folds: tuple[int, ...]
    stores: tuple[Store, ...]
    needed: frozenset[int]


@dataclass(frozen=True, slots=True)
class After:
    """What is computed between the row loops of one stage and those of the next."""

    values: tuple[int, ...]
    stores: tuple[Store, ...]


class Dependence:
    """Loop axes and stage of every value of a kernel.

    Attributes:
        stages: number of stages, at least 1.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._axes: list[frozenset[int]] = []
        self._stage: list[int] = []
        for value in kernel.values:
            self._add(value)
        self.stages = 1 + max(self._stage, default=0)

    def _add(self, value: Value) -> None:
        refs = references(value)
        axes = frozenset[int]().union(*(self._axes[ref] for ref in refs))
        stage = max((self._stage[ref] for ref in refs), default=0)
        match value:
            case Load():
                axes |= _stepped(value.access)
            case Position():
                axes |= {value.axis}
            case Fold():
                axes = frozenset(axis for axis in axes if axis < self._kernel.grid)
                stage += 1
            case _:
                pass
        self._axes.append(axes)
        self._stage.append(stage)

    def varies(self, ref: int, axis: int) -> bool:
        """Whether a value differs along an axis."""
        return axis in self._axes[ref]

    def store_varies(self, store: Store, axis: int) -> bool:
        """Whether a store's value or place differs along an axis."""
        return axis in self._store_axes(store)

    def _store_axes(self, store: Store) -> frozenset[int]:
        if store.mode == "inc":  # every position adds, also where nothing varies
            return frozenset(range(len(self._kernel.axes)))
        axes = self._axes[store.ref] | _stepped(store.access)
        return axes.union(*(self._axes[index.ref] for index in store.access.indexes))

    def _store_stage(self, store: Store) -> int:
        refs = (store.ref, *(index.ref for index in store.access.indexes))
        return max(self._stage[ref] for ref in refs)

    def _in_rows(self, axes: Iterable[int]) -> bool:
        return any(axis >= self._kernel.grid for axis in axes)

    def _depth(self, axes: Iterable[int], stage: int) -> int:
        """How many grid loops surround something outside the row loops."""
        return self._kernel.grid if stage else 1 + max(axes, default=-1)

    # ---- outside the row loops
    def at_depth(self, depth: int) -> tuple[int, ...]:
        """Values before any fold that belong right inside so many grid loops."""
        return tuple(
            ref
            for ref, axes in enumerate(self._axes)
            if not self._stage[ref] and not self._in_rows(axes) and self._depth(axes, 0) == depth
        )

    def stores_at(self, depth: int) -> tuple[Store, ...]:
        """Stores before any fold that belong right inside so many grid loops."""
        return tuple(
            store
            for store in self._kernel.stores
            if not self._store_stage(store)
            and not self._in_rows(axes := self._store_axes(store))
            and self._depth(axes, 0) == depth
        )

    def after_stage(self, stage: int) -> After:
        """Values and stores outside the row loops that wait for the folds of a stage."""
        values = tuple(
            ref
            for ref, axes in enumerate(self._axes)
            if self._stage[ref] == stage + 1
            and not self._in_rows(axes)
            and not isinstance(self._kernel.values[ref], Fold)
        )
        stores = tuple(
            store
            for store in self._kernel.stores
            if self._store_stage(store) == stage + 1 and not self._in_rows(self._store_axes(store))
        )
        return After(values, stores)

    # ---- inside the row loops
    def stage(self, stage: int) -> Work:
        """The row work of a stage."""
        folds = tuple(
            ref
            for ref, value in enumerate(self._kernel.values)
            if isinstance(value, Fold) and self._stage[ref] == stage + 1
        )
        stores = tuple(
            store
            for store in self._kernel.stores
            if self._store_stage(store) == stage and self._in_rows(self._store_axes(store))
        )
        roots = [self._kernel.values[ref] for ref in folds]
        wanted = [ref for value in roots for ref in references(value)]
        for store in stores:
            wanted += [store.ref, *(index.ref for index in store.access.indexes)]
        needed = self._closure(wanted)
        return Work(folds, stores, needed if folds or stores else frozenset())

    def _closure(self, wanted: Sequence[int]) -> frozenset[int]:
        """Values inside the row loops that some values are made of, those included."""
        stack = list(wanted)
        found: set[int] = set(wanted)
        while stack:
            for ref in references(self._kernel.values[stack.pop()]):
                if ref not in found and self._in_rows(self._axes[ref]):
                    found.add(ref)
                    stack.append(ref)
        return frozenset(found)

    def row_depth(self, depth: int, needed: frozenset[int]) -> tuple[int, ...]:
        """Those of the needed values that belong right inside so many loops in all."""
        return tuple(
            sorted(
                ref
                for ref in needed
                if self._in_rows(self._axes[ref]) and 1 + max(self._axes[ref]) == depth
            )
        )


def _stepped(access: Access) -> frozenset[int]:
    return frozenset(axis for axis, stride in enumerate(access.strides) if stride.known != 0)
