"""TensorType: the static facts of a value, dtype and shape.

The rank is always known; an extent is an int, or None when it is known only at run time. An axis
whose extent is statically 1 broadcasts, no other does (Theano's rule).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from exprd_compiler.errors import ShapeError
from exprd_compiler.ir.dtype import check_dtype

Extent: TypeAlias = int | None
MAX_RANK: Final = 32
MAX_EXTENT: Final = 2**62


@dataclass(frozen=True, slots=True)
class TensorType:
    """A dtype and a shape whose entries are extents or None (unknown until run time)."""

    dtype: str
    shape: tuple[Extent, ...] = ()

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        if len(self.shape) > MAX_RANK:
            raise ShapeError(f"rank {len(self.shape)} is above the limit of {MAX_RANK}")
        for extent in self.shape:
            if extent is not None and not 0 <= extent <= MAX_EXTENT:
                raise ShapeError(f"extent {extent} is not between 0 and 2**62")
        # so that no product of extents wraps around in 64 bits
        if math.prod([extent or 1 for extent in self.shape]) > MAX_EXTENT:
            raise ShapeError(f"a value of shape {self.shape} has more than 2**62 elements")

    @property
    def ndim(self) -> int:
        """The rank."""
        return len(self.shape)

    @property
    def broadcastable(self) -> tuple[bool, ...]:
        """Per axis, whether it is statically of length 1."""
        return tuple(extent == 1 for extent in self.shape)

    def with_dtype(self, dtype: str) -> TensorType:
        """The same shape with another dtype."""
        return self if dtype == self.dtype else TensorType(dtype, self.shape)

    def accepts(self, other: TensorType) -> bool:
        """Whether every value of `other` is a value of this type."""
        if self.dtype != other.dtype or len(self.shape) != len(other.shape):
            return False
        for mine, its in zip(self.shape, other.shape, strict=True):  # `all` takes three times that
            if mine is not None and mine != its:
                return False
        return True

    def __str__(self) -> str:
        inner = ",".join("?" if extent is None else str(extent) for extent in self.shape)
        return f"{self.dtype}[{inner}]"


def broadcast_extent(extents: Sequence[Extent], axis: int, op: str) -> Extent:
    """The common extent of one axis: 1s give way, unknown gives way to known."""
    known = {extent for extent in extents if extent not in (None, 1)}
    if len(known) > 1:
        raise ShapeError(
            f"cannot broadcast extents {sorted(map(str, known))} on axis {axis}",
            op=op,
            hint="reshape or slice one operand so that they agree",
        )
    if known:
        return known.pop()
    return None if None in extents else 1


def broadcast_shape(shapes: Sequence[tuple[Extent, ...]], op: str) -> tuple[Extent, ...]:
    """The shape of an elementwise result; lower ranks are padded on the left with 1s."""
    rank = max(map(len, shapes), default=0)
    if all(shape == shapes[0] for shape in shapes):
        return shapes[0] if shapes else ()
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(broadcast_extent([shape[i] for shape in padded], i, op) for i in range(rank))
