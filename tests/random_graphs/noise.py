"""Noise: how far rounding can carry a value, found by running it several times disturbed.

A graph that is ill-conditioned tells nothing of a compiler, so such graphs are not made: each value
is computed once as numpy says, and again on tracks where every rounded result, also inside of
expansions, is off by some units in the last place. What must be exact (integers, booleans, NaNs)
has to be the same on every track, and floats must stay well within their tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

import numpy as np

from exprd_compiler.errors import CompilerBug, ExprdError, LinAlgError
from exprd_compiler.interpret import evaluate_nodes
from exprd_compiler.ir.dtype import is_complex, is_float, part_of
from exprd_compiler.ir.graph import toposort
from exprd_compiler.ir.lowering import (
    ArgReduce,
    Assign,
    Expand,
    Gather,
    Generate,
    Host,
    Join,
    Lapack,
    Leaf,
    Routine,
    Scalar,
    View,
)
from exprd_compiler.ir.node import Array, Node, Op
from exprd_compiler.ops import arithmetic, logic, rounding, special, transcendental, trigonometric
from exprd_compiler.ops.creation import alloc
from exprd_compiler.ops.movement import reshape

TRACKS: Final = (4.0, -4.0, None, None)  # units in the last place; None: at random
LARGEST: Final = 40_000  # elements
LONGEST: Final = 10_000  # of an integer that may be an extent
_UNITS: Final = {
    "float16": 2.0**-10,
    "bfloat16": 2.0**-7,
    "float32": 2.0**-23,
    "float64": 2.0**-52,
}
_MOVING: Final = (View, Gather, Join, ArgReduce, Leaf)
# All others combine many elements, so that what they are given is shaken too.
_SINGLE: Final = (Scalar, Generate, Host, Assign, *_MOVING)
# Whose values may come from integers: counts and extents.
_BY_VALUE: Final = (Expand, Generate, Routine)


def _ops(*modules: object) -> frozenset[Op]:
    found = [value for module in modules for value in vars(module).values()]
    return frozenset(op for op in found if isinstance(op, Op))


_WHOLE: Final = _ops(rounding, logic)
_APPROXIMATE: Final = _ops(transcendental, trigonometric, special) - _ops(arithmetic) - _WHOLE


class Unjudged(Exception):
    """A value is too large for a random program, or nobody says what it is."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """A value, the same value on each disturbed track, and the number of roundings before it."""

    value: Array
    tracks: tuple[Array, ...]
    depth: int

    @property
    def exact(self) -> bool:
        """Whether no rounding can have changed it."""
        return all(track is self.value for track in self.tracks)


def given(value: Array) -> Tracked:
    """A value that comes from outside."""
    return Tracked(value, (value,) * len(TRACKS), 0)


# ---- tolerance
def is_rounded(dtype: str) -> bool:
    """Whether values of a dtype are rounded."""
    return is_float(dtype) or is_complex(dtype)


def wide(array: Array) -> Array:
    """Floats as float64 and complex numbers as complex128, in which they are compared."""
    return array.astype("complex128" if is_complex(array.dtype.name) else "float64")


def unit(dtype: str) -> float:
    """The relative distance of neighbouring numbers of a dtype."""
    return _UNITS[part_of(dtype)]


def tolerance(dtype: str, depth: int) -> float:
    """How far two values may be apart, relative to their size, after so many roundings."""
    return min(unit(dtype) * 32 * (4 + depth), 0.25)


def allowed(want: Array, depth: int) -> Array:
    """How far a value may be off, element by element."""
    size = np.abs(np.where(np.isfinite(want), wide(want), 0))
    largest = float(size.max(initial=0.0))
    return np.asarray(tolerance(want.dtype.name, depth) * (size + largest / 16))


def agree(got: Array, want: Array, depth: int, share: float = 1.0) -> bool:
    """Whether a value is right: floats within a share of what is allowed, all else exactly."""
    if (got.dtype, got.shape) != (want.dtype, want.shape):
        return False
    if not is_rounded(want.dtype.name):
        return bool(np.array_equal(got, want))
    finite = np.isfinite(want)
    if not _same_oddities(wide(got)[~finite], wide(want)[~finite]):
        return False
    with np.errstate(all="ignore"):
        off = np.abs(wide(got)[finite] - wide(want)[finite])
    return bool(np.all(off <= share * allowed(want, depth)[finite]))


def _same_oddities(got: Array, want: Array) -> bool:
    """Whether infinities and NaNs are the same; of complex numbers, whether there are any."""
    if want.dtype.kind == "c":
        return bool(np.all(~np.isfinite(got)))
    return bool(np.array_equal(got, want, equal_nan=True))


def is_sound(tracked: Tracked) -> bool:
    """Whether noise leaves a value so much as it was that a compiler can be judged by it."""
    value, depth = tracked.value, tracked.depth
    return tracked.exact or all(agree(track, value, depth, 0.25) for track in tracked.tracks)


# ---- one node
def _moved(value: Array, operands: Sequence[Array]) -> bool:
    """Whether every element is, but for its sign, an element of an operand."""
    if not is_float(value.dtype.name):
        return False
    whole = np.nan_to_num(np.abs(wide(value))).ravel()
    return any(
        bool(np.isin(whole, np.nan_to_num(np.abs(wide(x)))).all())
        for x in operands
        if x.dtype == value.dtype
    )


def _on_lattice(value: Array) -> bool:
    """Whether all elements are short numbers, whose sums are exact in any order."""
    if not is_rounded(value.dtype.name):
        return True
    if unit(value.dtype.name) > _UNITS["float32"] or value.dtype.kind == "c":
        return False
    with np.errstate(all="ignore"):
        scaled = np.abs(np.where(np.isfinite(value), wide(value), 0)) * 256
    return bool(np.all(scaled == np.floor(scaled)) and scaled.max(initial=0.0) < 2**20)


def _unrounded(node: Node, value: Array, operands: Sequence[Array]) -> bool:
    """Whether an op gives the same bits however it is computed, from operands that are exact."""
    if not is_rounded(value.dtype.name) or isinstance(node.op.lowering, _MOVING):
        return True
    if node.op in _APPROXIMATE or isinstance(node.op.lowering, Lapack):
        return False
    if node.op in _WHOLE or _moved(value, operands):
        return True
    return _on_lattice(value) and all(map(_on_lattice, operands))


def _shaken(value: Array, track: int, who: str) -> Array:
    """Floats off by some units in the last place; anything else itself."""
    if not is_rounded(value.dtype.name):
        return value
    units: Any = TRACKS[track]
    if units is None:
        units = np.random.default_rng([track, value.size, crc32(who.encode())]).uniform(
            -4, 4, value.shape
        )
    with np.errstate(all="ignore"):
        noise = np.asarray(units * unit(value.dtype.name))
        turned = 1 + noise * (1 + 1j if value.dtype.kind == "c" else 1)
        shaken = wide(value) * turned
        if track % 2:  # the sign of a zero is noise as well
            shaken = np.where(shaken == 0, -shaken, shaken)
        return np.asarray(shaken).astype(value.dtype)


def _blurred(value: Array, track: int) -> Array:
    """Floats off by units in the last place of the largest: nothing small comes out of LAPACK."""
    size = float(np.abs(wide(value)[np.isfinite(value)]).max(initial=0.0))
    units = np.random.default_rng([track, value.size]).uniform(-4, 4, value.shape)
    return np.asarray(value + size * unit(value.dtype.name) * units).astype(value.dtype)


def _on_track(node: Node, operands: Sequence[Array], track: int) -> Array:
    """The value of a node with noise."""
    lowering = node.op.lowering
    inputs = dict(zip(node.inputs, operands, strict=True))
    if isinstance(lowering, Expand):
        return _through(lowering.body(*node.inputs, **node.attributes), inputs, track)
    if not isinstance(lowering, _SINGLE):
        inputs = {x: _shaken(array, track, x.op.name) for x, array in inputs.items()}
    (value,) = evaluate_nodes([node], inputs)
    if isinstance(lowering, Lapack):
        if not all(np.isfinite(x).all() for x in operands):
            raise Unjudged  # where NaNs come to lie is the routine's affair
        value = _blurred(value, track)
    still = isinstance(lowering, _MOVING) or node.op in _WHOLE or _moved(value, operands)
    return value if still else _shaken(value, track, node.op.name)


def _through(body: Node, inputs: Mapping[Node, Array], track: int) -> Array:
    """The value of an expansion with noise at each of its nodes."""
    values = dict(inputs)
    for node in toposort([body], stop=lambda n: n in inputs):
        if node not in values:
            operands = [values[x] for x in node.inputs]
            check_size(node, operands)
            values[node] = _on_track(node, operands, track)
    return values[body]


def check_size(node: Node, operands: Sequence[Array]) -> None:
    """Refuse to compute what an integer among the operands may make too large.

    Raises:
        Unjudged: it may.
    """
    if not isinstance(node.op.lowering, _BY_VALUE) and node.op not in (alloc, reshape):
        return
    for array in operands:
        counts = array.ndim < 2 and array.dtype.kind in "iu" and array.size > 0
        if counts and max(abs(int(array.max())), abs(int(array.min()))) > LONGEST:
            raise Unjudged


def _is_sorted(x: Array, _values: Array, *sorter: Array) -> bool:
    ordered = x[sorter[0] % max(len(x), 1)] if sorter else x
    return bool(np.array_equal(np.sort(ordered), ordered, equal_nan=is_rounded(x.dtype.name)))


def _has_rows(x: Array, *others: Array) -> bool:
    """Whether indexes are looked at; where there is nothing to show, that is left open."""
    return x.size > 0 or not any(other.size for other in others)


def _never(*_: Array) -> bool:
    return False


# Where an op has one meaning; elsewhere several values are right. Vectors have either sign, and
# eigenvalues any order: their own tests multiply them together again.
_SPECIFIED: Final[Mapping[str, Callable[..., bool]]] = {
    "searchsorted": _is_sorted,
    **dict.fromkeys(("gather", "scatter", "pick", "put"), _has_rows),
    **dict.fromkeys(("svd_packed", "svd_left", "svd_right", "eigh_packed", "eigh_vectors"), _never),
    **dict.fromkeys(("eig_packed", "eig_values", "eig_vectors"), _never),
    "householder": _never,  # not every matrix is a packed factorization
}


def run(node: Node, operands: Sequence[Tracked]) -> Tracked:
    """The value of a node on every track.

    Raises:
        ExprdError: the node says no.
        Unjudged: the value has too many elements, or is unspecified.
    """
    plain = [x.value for x in operands]
    check_size(node, plain)
    if node.op.name in _SPECIFIED and not _SPECIFIED[node.op.name](*plain):
        raise Unjudged
    try:
        (value,) = evaluate_nodes([node], dict(zip(node.inputs, plain, strict=True)))
    except LinAlgError:
        if all(np.isfinite(x).all() for x in plain):
            raise
        raise Unjudged from None  # what a routine makes of NaNs is its affair
    if value.size > LARGEST:
        raise Unjudged
    depth = 1 + max((x.depth for x in operands), default=0)
    if all(x.exact for x in operands) and _unrounded(node, value, plain):
        return Tracked(value, (value,) * len(TRACKS), depth)
    tracks = tuple(
        _on_track(node, [x.tracks[track] for x in operands], track) for track in range(len(TRACKS))
    )
    return Tracked(value, tracks, depth)


# ---- a whole graph
@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What numpy makes of a graph.

    Attributes:
        values: one per root, unless there is an error.
        errors: the kinds of error of which a call raises one.
        sound: whether a compiler can be judged by the values.
    """

    values: tuple[Tracked, ...]
    errors: frozenset[str]
    sound: bool


def outcome(roots: Sequence[Node], leaves: Mapping[Node, Array]) -> Outcome:
    """The outcome of a graph; nodes that need what has failed are not looked at.

    Raises:
        Unjudged: a value has too many elements, or is unspecified.
        CompilerBug: numpy does not know a meaning.
    """
    values: dict[Node, Tracked] = {node: given(array) for node, array in leaves.items()}
    errors: set[str] = set()
    sound = True
    for node in toposort(roots, stop=lambda n: n in leaves):
        if node in values:
            continue
        if any(x not in values for x in node.inputs):
            errors.add("ShapeError")  # perhaps: native code checks extents before it computes
            continue
        try:
            values[node] = run(node, [values[x] for x in node.inputs])
        except CompilerBug:
            raise
        except ExprdError as error:
            errors.add(type(error).__name__)
            continue
        sound = sound and is_sound(values[node])
    found = () if errors else tuple(values[root] for root in roots)
    return Outcome(values=found, errors=frozenset(errors), sound=sound)
