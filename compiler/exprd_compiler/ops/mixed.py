"""Mixed indexes: integer arrays beside slices and new axes, placed by numpy's rules.

An index has an entry per item: ("slice", start, stop, step) as in a view, ("array",), ("new",), and
("rest",) for all axes that no entry names. Inputs follow in the order of the entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from exprd_compiler.errors import DTypeError, GraphError, IndexOutOfRange, ShapeError
from exprd_compiler.ir.dtype import EVERY, INTEGERS
from exprd_compiler.ir.lowering import Expand
from exprd_compiler.ir.node import THROUGH_EXPANSION, Array, Example, Node, Op
from exprd_compiler.ir.type import Extent, TensorType, broadcast_shape
from exprd_compiler.ops.index import (
    NEXT,
    Entry,
    Index,
    assign,
    check_form,
    check_written,
    gather,
    numpy_index,
    scatter,
    subtensor,
    subtensor_type,
)
from exprd_compiler.ops.movement import (
    ANY,
    NEW_AXIS,
    dimshuffle,
    inverse_order,
    specify_shape,
)

_EVERY: Final = ("slice", None, None, None)
_ALONE: Final = (("array",), ("new",), ("rest",))
# What stands at a place of the result: an axis of x, a new axis, arrays, or nothing (a rest of 0).
_Place: TypeAlias = "int | str"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What an index does with the axes of x.

    Attributes:
        basic: the slices alone, an entry per axis, without those that take everything at the end.
        indexed: the axes that arrays index.
        places: what stands where in the result.
    """

    basic: Index
    indexed: tuple[int, ...]
    places: tuple[_Place, ...]

    @property
    def kept(self) -> tuple[int, ...]:
        """The axes of x that are axes of the result."""
        return tuple(place for place in self.places if isinstance(place, int))

    def order(self, rank: int) -> tuple[int, ...]:
        """The result as a dimshuffle of a gather whose first `rank` axes are the arrays'."""
        block, out = list(range(rank)), list[int]()
        if not self._together:  # numpy: the axes of scattered arrays come first
            out, block = block, []
        for place in self.places:
            if isinstance(place, int):
                out.append(rank + self.kept.index(place))
            elif place == "array":
                out += block
                block = []
            elif place == "new":
                out.append(NEW_AXIS)
        return tuple(out)

    @property
    def _together(self) -> bool:
        at = [number for number, place in enumerate(self.places) if place == "array"]
        return at[-1] - at[0] == len(at) - 1


def _expanded(name: str, ndim: int, index: Index) -> Iterator[tuple[Entry, _Place | None]]:
    """Entries per axis with a placeholder for what takes no axis; the rest written out."""
    used = sum(entry[0] in ("slice", "array") for entry in index)
    rests = index.count(("rest",))
    if used > ndim or rests > 1:
        raise ShapeError(f"{index} does not fit a value of rank {ndim}", op=name)
    whole = index if rests else (*index, ("rest",))
    for entry in whole:
        if entry == ("rest",):
            yield from [(_EVERY, None)] * (ndim - used)
            if ndim == used and entry in index:
                yield entry, "rest"
        else:
            yield entry, entry[0] if entry[0] == "new" else None


def _plan(name: str, ndim: int, index: Index) -> _Plan:
    basic: list[Entry] = []
    indexed: list[int] = []
    places: list[_Place] = []
    for entry, place in _expanded(name, ndim, index):
        if place is not None:
            places.append(place)
            continue
        is_array = entry == ("array",)
        if is_array:
            indexed.append(len(basic))
        places.append("array" if is_array else len(basic))
        basic.append(_EVERY if is_array else entry)
    if not indexed:
        raise GraphError("an index without arrays is a view", op=name, hint="use subtensor")
    while basic and basic[-1] == _EVERY:
        basic.pop()
    return _Plan(basic=tuple(basic), indexed=tuple(indexed), places=tuple(places))


def _wanted(index: Index) -> Iterator[bool]:
    """For each input in order, whether it is an array; the others are bounds."""
    for entry in index:
        if entry == ("array",):
            yield True
        elif entry[0] == "slice":
            yield from [False] * entry[1:].count(NEXT)


def _split(index: Index, inputs: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """The bounds of slices and the arrays among the inputs."""
    pairs = list(zip(_wanted(index), inputs, strict=True))
    return [x for is_array, x in pairs if not is_array], [x for is_array, x in pairs if is_array]


def index_arrays(index: Index, inputs: Sequence[Any]) -> list[Any]:
    """The arrays among the inputs of an index, without the bounds of slices."""
    return _split(index, inputs)[1]


def _check_entries(name: str, inputs: Sequence[TensorType], index: Index) -> None:
    check_form(name, index)
    for entry in index:
        if entry not in _ALONE and (entry[:1], len(entry)) != (("slice",), 4):
            raise GraphError(f"index entry {entry!r} is not understood", op=name)
    expected = sum(1 for _ in _wanted(index))
    if expected != len(inputs):
        raise GraphError(f"needs {expected} arrays and bounds, got {len(inputs)}", op=name)
    for given in inputs:
        if given.dtype not in INTEGERS:
            raise DTypeError(f"indexes are integers, got {given}", op=name)


def _result(name: str, x: TensorType, inputs: Sequence[TensorType], index: Index) -> TensorType:
    _check_entries(name, inputs, index)
    plan = _plan(name, x.ndim, index)
    bounds, arrays = _split(index, inputs)
    view = subtensor_type(name, x, bounds, plan.basic)
    lead = broadcast_shape([t.shape for t in arrays], name)
    shape: list[Extent] = [*lead, *[view.shape[axis] for axis in plan.kept]]
    order = plan.order(len(lead))
    return TensorType(x.dtype, tuple(1 if a == NEW_AXIS else shape[a] for a in order))


def _numpy_key(index: Index, inputs: Sequence[Any]) -> tuple[Any, ...]:
    rest = iter(inputs)
    out: list[Any] = []
    for entry in index:
        match entry[0]:
            case "array":
                out.append(next(rest))
            case "new":
                out.append(None)
            case "rest":
                out.append(Ellipsis)
            case _:
                bounds = [next(rest) for _ in range(entry[1:].count(NEXT))]
                out += numpy_index((entry,), bounds)
    return tuple(out)


# ---- reading
def _leading(x: Node, bounds: Sequence[Node], plan: _Plan) -> Node:
    """x with slices taken and the axes that arrays index in front."""
    view = subtensor(x, *bounds, index=plan.basic) if plan.basic else x
    return _shuffled(view, (*plan.indexed, *plan.kept))


def _shuffled(x: Node, order: tuple[int, ...]) -> Node:
    return x if order == tuple(range(x.ndim)) else dimshuffle(x, order=order)


def _rank(arrays: Sequence[Node]) -> int:
    return max(array.ndim for array in arrays)


def _without_rows(x: Array, inputs: Sequence[Array], index: Index) -> Array | None:
    """What an index shows if there is nothing behind its arrays; then none of them is looked at."""
    indexed = _plan("pick", x.ndim, index).indexed
    blank = np.broadcast_to(
        x.dtype.type(0), [1 if i in indexed else n for i, n in enumerate(x.shape)]
    )
    first = [
        np.zeros_like(given) if is_array else given
        for is_array, given in zip(_wanted(index), inputs, strict=True)
    ]
    shown = blank[_numpy_key(index, first)]
    return None if shown.size else np.array(shown)


def _pick_numpy(x: Array, *inputs: Array, index: Index) -> Array:
    empty = _without_rows(x, inputs, index)
    if empty is not None:
        return empty
    try:
        return np.asarray(x[_numpy_key(index, inputs)])
    except IndexError as error:
        raise IndexOutOfRange(str(error), op="pick") from error


def _pick_expand(x: Node, *inputs: Node, index: Index) -> Node:
    plan = _plan("pick", x.ndim, index)
    bounds, arrays = _split(index, inputs)
    return _shuffled(gather(_leading(x, bounds, plan), *arrays), plan.order(_rank(arrays)))


_A, _N, _R = ("array",), ("new",), ("rest",)
_CASES: Final[tuple[tuple[tuple[int, ...], Index, tuple[Any, ...]], ...]] = (
    ((7,), (_A,), ([3, -1, 3],)),
    ((5, 37), (_EVERY, _A), ([3, -1, 0],)),
    ((5, 6), (("slice", 1, None, 2), _A), ([[3, -1], [0, 3]],)),
    ((5, 6), (_A, ("slice", NEXT, NEXT, NEXT)), ([3, -1, 3], -1, 0, -2)),
    ((3, 4, 5), (_A, _EVERY, _A), ([2, 0, 1], [4, -4, 4])),
    ((3, 4, 5), (_EVERY, _A, _A), ([2, 0, 3], [[4], [1]])),
    ((3, 4, 5), (_EVERY, _A, _R, _A), ([2, 0, 3], 4)),
    ((3, 4, 5), (_N, ("slice", None, 2, None), _A, _N), ([1, 1],)),
    ((3, 4), (_A, _N, _A), ([2, 0], [1, 3])),
    ((2, 3, 4, 5), (_R, _A, ("slice", 3, 0, -1)), ([[2, 1, 2]],)),
    ((4, 3), (("slice", 2, 2, None), _A), ([0, 2],)),
    ((4, 3), (_EVERY, _A), ([],)),
    ((0, 3), (_EVERY, _A), ([0, 2],)),
)

pick: Op = Op(
    name="pick",
    type=lambda x, *inputs, index: _result("pick", x, inputs, index),
    numpy=_pick_numpy,
    grad=THROUGH_EXPANSION,
    lowering=Expand(_pick_expand),
    dtypes=EVERY,
    examples=tuple(
        Example(
            shapes=(shape, *map(np.shape, values)),
            attrs={"index": index},
            integers={1 + place: value for place, value in enumerate(values)},
        )
        for shape, index, values in _CASES
    ),
    theano="AdvancedSubtensor",
    doc="x[index] for integer arrays beside slices and new axes, axes placed as numpy places them.",
)


# ---- writing
def _put_type(
    x: TensorType, y: TensorType, *inputs: TensorType, index: Index, mode: str
) -> TensorType:
    check_written("put", x, y, _result("put", x, inputs, index), mode)
    return x


def _put_numpy(x: Array, y: Array, *inputs: Array, index: Index, mode: str) -> Array:
    out = np.array(x)
    if _without_rows(x, inputs, index) is not None:
        return out
    key = _numpy_key(index, inputs)
    try:
        if mode == "set":
            out[key] = y
        else:
            np.add.at(out, key, y.astype(x.dtype))
    except IndexError as error:
        raise IndexOutOfRange(str(error), op="put") from error
    return out


def unshuffled(y: Node, order: Sequence[int], ndim: int) -> Node:
    """A value for the axes of a dimshuffled view under those of the source, which has rank `ndim`.

    What belongs to new axes is dropped; their extent is checked to be 1 where the type is silent.
    """
    lead = len(order) - y.ndim
    spec = tuple(1 if axis == NEW_AXIS else ANY for axis in order[lead:])
    unsure = any(want == 1 != have for want, have in zip(spec, y.type.shape, strict=True))
    checked = specify_shape(y, shape=spec) if unsure else y
    back = [axis - lead if axis >= lead else NEW_AXIS for axis in inverse_order(order, ndim)]
    return _shuffled(checked, tuple(back))


def _put_expand(x: Node, y: Node, *inputs: Node, index: Index, mode: str) -> Node:
    plan = _plan("put", x.ndim, index)
    bounds, arrays = _split(index, inputs)
    source = _leading(x, bounds, plan)
    rank = _rank(arrays)
    order = plan.order(rank)
    value = unshuffled(y, order, rank + len(plan.kept))
    changed = scatter(source, value, *arrays, mode=mode)
    back = _shuffled(changed, inverse_order((*plan.indexed, *plan.kept), x.ndim))
    return assign(x, back, *bounds, index=plan.basic, mode="set") if plan.basic else back


put: Op = Op(
    name="put",
    type=_put_type,
    numpy=_put_numpy,
    grad=THROUGH_EXPANSION,
    lowering=Expand(_put_expand),
    dtypes=EVERY,
    examples=tuple(
        Example(
            shapes=(shape, (), *map(np.shape, values)),
            attrs={"index": index, "mode": mode},
            integers={2 + place: value for place, value in enumerate(values)},
        )
        for shape, index, values in _CASES
        for mode in ("set", "inc")
    ),
    theano="AdvancedIncSubtensor",
    doc="A copy of x in which x[index], for such a mixed index, is set or increased.",
)
