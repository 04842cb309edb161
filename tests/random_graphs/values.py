"""Values: arrays for the leaves of random programs, in every dtype, content and memory layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from exprd_compiler.ir.dtype import is_complex, is_float
from exprd_compiler.ir.node import Array
from tests.random_graphs.choices import Choices

Rng: TypeAlias = np.random.Generator
Fill: TypeAlias = Callable[[Rng, tuple[int, ...], str], Array]

# Numbers of the lattice are multiples of 2**-3: their sums and products are exact in float32.
STEP: Final = 8


# ---- contents
def _lattice(rng: Rng, shape: tuple[int, ...], dtype: str) -> Array:
    return np.asarray(rng.integers(-16, 17, shape) / STEP, dtype)


def _normal(rng: Rng, shape: tuple[int, ...], dtype: str) -> Array:
    return np.asarray(rng.normal(size=shape), dtype)


def _positive(rng: Rng, shape: tuple[int, ...], dtype: str) -> Array:
    return np.asarray(rng.uniform(0.1, 3.0, shape), dtype)


def _special(rng: Rng, shape: tuple[int, ...], dtype: str) -> Array:
    odd = rng.choice([np.nan, np.inf, -np.inf, -0.0, 0.0, 1.0], shape)
    return np.asarray(
        np.where(rng.random(shape) < 0.3, odd, _lattice(rng, shape, "float64")), dtype
    )


def _complex(rng: Rng, shape: tuple[int, ...], dtype: str) -> Array:
    real, imaginary = (rng.uniform(-3.0, 3.0, shape) for _ in range(2))
    return np.asarray(real + 1j * imaginary, dtype)


def _small(rng: Rng, shape: tuple[int, ...], dtype: str) -> Array:
    low = 0 if dtype.startswith("uint") else -4
    return np.asarray(rng.integers(low, 5, shape), dtype)


def _wide(rng: Rng, shape: tuple[int, ...], dtype: str) -> Array:
    info = np.iinfo(dtype)
    drawn = rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    ends = rng.choice(np.array([info.min, info.max, 0, 1], dtype), shape)
    return np.asarray(np.where(rng.random(shape) < 0.2, ends, drawn), dtype)


def _coins(rng: Rng, shape: tuple[int, ...], dtype: str) -> Array:
    return np.asarray(rng.random(shape) < rng.choice([0.5, 0.5, 0.0, 1.0]), dtype)


FLOAT_FILLS: Final[tuple[tuple[int, Fill], ...]] = (
    (5, _lattice),
    (3, _normal),
    (2, _positive),
    (1, _special),
)
COMPLEX_FILLS: Final[tuple[tuple[int, Fill], ...]] = ((1, _complex),)
INTEGER_FILLS: Final[tuple[tuple[int, Fill], ...]] = ((7, _small), (1, _wide))
BOOL_FILLS: Final[tuple[tuple[int, Fill], ...]] = ((1, _coins),)


def fills(dtype: str) -> tuple[tuple[int, Fill], ...]:
    """The contents that arrays of a dtype may have, with weights."""
    if is_float(dtype):
        return FLOAT_FILLS
    if is_complex(dtype):
        return COMPLEX_FILLS
    return BOOL_FILLS if dtype == "bool" else INTEGER_FILLS


# ---- layouts: the same values, elsewhere in memory
def _reversed(array: Array) -> Array:
    turn: Any = (*[slice(None, None, -1)] * array.ndim, ...)
    return np.asarray(np.array(array[turn], order="C")[turn])


def _spread(array: Array) -> Array:
    wide = np.zeros([2 * extent for extent in array.shape], array.dtype)
    even: Any = (*[slice(None, None, 2)] * array.ndim, ...)
    part = wide[even]
    part[...] = array
    return np.asarray(part)


def _unaligned(array: Array) -> Array:
    raw = np.zeros(array.nbytes + 1, "uint8")[1:]
    moved = raw.view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


def _frozen(array: Array) -> Array:
    out = array.copy()
    out.flags.writeable = False
    return out


def _rotated(array: Array) -> Array:
    """Axes stored in another order than either C or Fortran."""
    order = (*range(1, array.ndim), 0)
    back = np.argsort(order)
    return np.ascontiguousarray(array.transpose(order)).transpose(back) if array.ndim else array


LAYOUTS: Final[Mapping[str, Callable[[Array], Array]]] = {
    "contiguous": lambda array: array,
    "fortran": lambda array: np.asarray(array, order="F"),
    "reversed": _reversed,
    "spread": _spread,
    "unaligned": _unaligned,
    "frozen": _frozen,
    "rotated": _rotated,
}


def laid_out(choices: Choices, array: Array) -> Array:
    """The array in some layout; as it is in half of the cases."""
    if choices.chance(50):
        return array
    moved = LAYOUTS[choices.pick(list(LAYOUTS))](array)
    assert moved.shape == array.shape
    return moved


def python_scalar(choices: Choices, dtype: str) -> Any:
    """A Python number that an expression of a dtype may meet."""
    if is_float(dtype) or is_complex(dtype):
        return choices.pick([0.5, 2, -1.25, 0.1, 3])
    return choices.pick([True, False]) if dtype == "bool" else choices.pick([1, 2, 3, 0])


def overlapping(rng: Rng, fill: Fill, shape: Sequence[int], dtype: str) -> tuple[Array, Array]:
    """Two arrays of one shape that share all but one row each; the shape has an axis."""
    base = fill(rng, (shape[0] + 1, *shape[1:]), dtype)
    return base[:-1], base[1:]
