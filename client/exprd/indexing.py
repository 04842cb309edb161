"""Indexing over nodes: what `x[...]` means, and how a view of x is set or increased.

Slices and integers become views, integer arrays become gathers, None becomes a new axis; the rules
are numpy's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from exprd.convert import as_extent, as_node, node_of, static_int
from exprd.shaping import dimshuffle, extent, flatten
from exprd_compiler.errors import DTypeError, GraphError, ShapeError
from exprd_compiler.ir.dtype import INTEGERS
from exprd_compiler.ir.node import Node
from exprd_compiler.ops import creation, index, movement
from exprd_compiler.ops.leaves import const

__all__ = ["getitem", "inc_subtensor", "set_subtensor", "take"]

_FULL: Final = ("slice", None, None, None)


@dataclass(slots=True)
class _Parsed:
    """An index by axis of the tensor: basic entries with their bounds, and integer arrays."""

    entries: list[Any]
    bounds: list[Node]
    arrays: dict[int, Node]
    new_axes: list[int]  # places, counted in entries


def getitem(x: object, key: object) -> Node:
    """`x[key]` by numpy's rules.

    Raises:
        GraphError: the key holds something that is no index.
        ShapeError: there are more indexes than axes.
    """
    node = as_node(x)
    items: tuple[Any, ...] = key if isinstance(key, tuple) else (key,)  # pyright: ignore[reportUnknownVariableType]
    static = static_int(items[0]) if len(items) == 1 else None
    if node.op is creation.shape and static is not None:
        return _extent_at(node.inputs[0], static)
    parsed = _parse(node, _without_ellipsis(node, items))
    if parsed.arrays:
        return _gathered(node, parsed)
    return _with_new_axes(_view(node, parsed), parsed)


def _extent_at(x: Node, place: int) -> Node:
    if not -x.ndim <= place < x.ndim:
        raise ShapeError(f"axis {place} is not an axis of {x.type}", op="shape")
    found = extent(x, place % x.ndim)
    return const(found, "int64") if isinstance(found, int) else found


def _without_ellipsis(x: Node, items: tuple[Any, ...]) -> list[Any]:
    used = sum(item is not None and item is not Ellipsis for item in items)
    if used > x.ndim:
        raise ShapeError(f"{used} indexes for {x.type}", op="subtensor")
    places = [place for place, item in enumerate(items) if item is Ellipsis]
    if len(places) > 1:
        raise GraphError("an index holds one ellipsis at most", op="subtensor")
    if not places:
        return list(items)
    full = [slice(None)] * (x.ndim - used)
    return [*items[: places[0]], *full, *items[places[0] + 1 :]]


def _parse(x: Node, items: Sequence[Any]) -> _Parsed:
    parsed = _Parsed([], [], {}, [])
    for item in items:
        if item is None:
            parsed.new_axes.append(len(parsed.entries))
        elif isinstance(item, slice):
            parsed.entries.append(_slice_entry(item, parsed))  # pyright: ignore[reportUnknownArgumentType]
        else:
            _add_position(item, parsed)
    if parsed.arrays:  # numpy: beside arrays, single positions are arrays too
        _positions_to_arrays(parsed)
    return parsed


def _slice_entry(item: slice[Any, Any, Any], parsed: _Parsed) -> tuple[Any, ...]:
    step = None if item.step is None else static_int(item.step)
    if item.step is not None and not step:
        raise GraphError("the step of a slice is a constant other than 0", op="subtensor")
    parts = [None if b is None else _bound(b, parsed) for b in (item.start, item.stop)]
    return ("slice", *parts, step)


def _bound(value: object, parsed: _Parsed) -> int | str:
    bound = as_extent(value, "a slice bound")
    if isinstance(bound, int):
        return bound
    parsed.bounds.append(bound)
    return index.NEXT


def _add_position(item: object, parsed: _Parsed) -> None:
    place = static_int(item)
    if place is not None:
        parsed.entries.append(("at", place))
        return
    node = _index_array(item)
    if node.ndim == 0:
        parsed.entries.append(("at", index.NEXT))
        parsed.bounds.append(node)
        return
    parsed.arrays[len(parsed.entries)] = node
    parsed.entries.append(_FULL)


def _index_array(item: object) -> Node:
    node = node_of(item)
    if node is None:
        array = np.asarray(item)
        node = as_node(array if array.size or hasattr(item, "dtype") else array.astype("int64"))
    if node.dtype == "bool":
        raise GraphError(
            "boolean masks do not index yet", op="subtensor", hint="use T.switch, or positions"
        )
    if node.dtype not in INTEGERS:
        raise DTypeError(
            f"indexes are integers, got {node.type}", op="subtensor", hint="cast them to int64"
        )
    return node


def _positions_to_arrays(parsed: _Parsed) -> None:
    bounds, parsed.bounds = iter(parsed.bounds), []
    for place, entry in enumerate(parsed.entries):
        values = [next(bounds) if part == index.NEXT else part for part in entry[1:]]
        if entry[0] == "at":
            parsed.arrays[place] = as_node(values[0])
            parsed.entries[place] = _FULL
        else:
            parsed.bounds += [v for v in values if isinstance(v, Node)]


def _view(x: Node, parsed: _Parsed) -> Node:
    entries = list(parsed.entries)
    while entries and entries[-1] == _FULL:
        entries.pop()
    return index.subtensor(x, *parsed.bounds, index=tuple(entries)) if entries else x


def _with_new_axes(view: Node, parsed: _Parsed) -> Node:
    if not parsed.new_axes:
        return view
    order: list[object] = []
    axes = iter(range(view.ndim))
    for place in range(len(parsed.entries) + 1):
        order += ["x"] * parsed.new_axes.count(place)
        if place < len(parsed.entries) and parsed.entries[place][0] == "slice":
            order.append(next(axes))
    return dimshuffle(view, [*order, *axes])


def _gathered(x: Node, parsed: _Parsed) -> Node:
    if parsed.new_axes:
        raise GraphError("None beside integer arrays", op="subtensor", hint="use dimshuffle after")
    places = sorted(parsed.arrays)
    view = _view(x, parsed)
    rest = [axis for axis in range(view.ndim) if axis not in places]
    leading = view if places == list(range(len(places))) else dimshuffle(view, places + rest)
    out = index.gather(leading, *[parsed.arrays[place] for place in places])
    front = out.ndim - len(rest)
    if places[0] == 0 or places != list(range(places[0], places[-1] + 1)):
        return out  # numpy puts the axes of scattered arrays first
    moved = list(range(front, front + places[0]))
    return dimshuffle(out, [*moved, *range(front), *range(front + places[0], out.ndim)])


def take(x: object, indices: object, axis: int | None = None) -> Node:
    """The elements, rows or columns at integer positions along an axis."""
    node = as_node(x)
    if axis is None:
        return getitem(flatten(node), (as_node(indices),))
    place = axis + node.ndim if axis < 0 else axis
    if not 0 <= place < node.ndim:
        raise ShapeError(f"axis {axis} is not an axis of {node.type}", op="take")
    return getitem(node, (*[slice(None)] * place, as_node(indices)))


# ---- writing
def set_subtensor(view: object, value: object) -> Node:
    """A copy of x in which the view `x[...]` holds other values."""
    return _written(as_node(view), as_node(value), "set")


def inc_subtensor(view: object, value: object) -> Node:
    """A copy of x in which the view `x[...]` is increased; equal positions add up."""
    return _written(as_node(view), as_node(value), "inc")


def _written(view: Node, value: Node, mode: str) -> Node:
    if view.op is index.subtensor:
        x, bounds = view.inputs[0], view.inputs[1:]
        return index.assign(x, value, *bounds, index=view["index"], mode=mode)
    if view.op is index.gather:
        x, arrays = view.inputs[0], view.inputs[1:]
        if x.op in (index.subtensor, movement.dimshuffle):
            raise GraphError(
                "cannot write through slices and integer arrays at once",
                op="set_subtensor",
                hint="index the leading axes by arrays alone",
            )
        return index.scatter(x, value, *arrays, mode=mode)
    if view.op is movement.dimshuffle:
        return _written(view.inputs[0], _undone(view, value), mode)
    raise GraphError(
        f"{view!r} is no view of another tensor", op="set_subtensor", hint="pass x[...]"
    )


def _undone(view: Node, value: Node) -> Node:
    """The value under the axes of what the dimshuffled view is made from."""
    order = view["order"]
    padded = dimshuffle(value, ["x"] * (len(order) - value.ndim) + list(range(value.ndim)))
    back = movement.inverse_order(order, view.inputs[0].ndim)
    return dimshuffle(padded, ["x" if axis == movement.NEW_AXIS else axis for axis in back])
