"""Indexing over nodes: what `x[...]` means, and how a view of x is set or increased.

Slices and integers become views, integer arrays become gathers, masks become the positions of what
is true in them, None becomes a new axis; the rules are numpy's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np

from exprd.convert import as_extent, as_node, cast_to, is_sequence, node_of, static_int
from exprd.shaping import axis_of, dimshuffle, extent, flatten
from exprd_compiler.errors import DTypeError, GraphError, ShapeError
from exprd_compiler.ir.dtype import INTEGERS, promote
from exprd_compiler.ir.node import Node
from exprd_compiler.ops import choice, creation, index, masks, mixed, movement
from exprd_compiler.ops.arithmetic import add, sub
from exprd_compiler.ops.division import mod
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import maximum, minimum, switch

__all__ = [
    "choose",
    "flatnonzero",
    "getitem",
    "inc_subtensor",
    "nonzero",
    "nonzero_values",
    "set_subtensor",
    "take",
    "take_along_axis",
]

_FULL: Final = ("slice", None, None, None)
_ARRAY: Final = ("array",)
_NEW: Final = ("new",)
_REST: Final = ("rest",)

# An entry of an index as the ops have it, and the nodes that it takes.
_Item: TypeAlias = tuple[index.Entry, tuple[Node, ...]]


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
    parsed = _parse(node, items)
    if any(entry == _ARRAY for entry, _ in parsed):
        return _picked(node, [_beside_arrays(item) for item in parsed])
    return _view(node, parsed)


def _extent_at(x: Node, place: int) -> Node:
    if not -x.ndim <= place < x.ndim:
        raise ShapeError(f"axis {place} is not an axis of {x.type}", op="shape")
    found = extent(x, place % x.ndim)
    return const(found, "int64") if isinstance(found, int) else found


# ---- reading a key
def _parse(x: Node, items: Sequence[Any]) -> list[_Item]:
    given = [_known(item) for item in items]
    used = sum(_axes_of(item) for item in given)
    if used > x.ndim:
        raise ShapeError(f"{used} indexes for {x.type}", op="subtensor")
    if sum(item is Ellipsis for item in given) > 1:
        raise GraphError("an index holds one ellipsis at most", op="subtensor")
    parsed: list[_Item] = []
    axis = 0
    for item in given:
        parsed += _entries(x, axis, item)
        axis += x.ndim - used if item is Ellipsis else _axes_of(item)
    return parsed


def _known(item: object) -> object:
    """None, an ellipsis, a slice or an integer as it is; the node of anything else."""
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item  # pyright: ignore[reportUnknownVariableType]
    place = static_int(item)
    return _index_array(item) if place is None else place


def _index_array(item: object) -> Node:
    node = node_of(item)
    if node is None:
        array = np.asarray(item)
        node = as_node(array if array.size or hasattr(item, "dtype") else array.astype("int64"))
    if node.dtype == "bool" and not node.ndim:
        raise GraphError(
            "a single truth value is no index", op="subtensor", hint="use T.switch, or a mask"
        )
    if node.dtype not in (*INTEGERS, "bool"):
        raise DTypeError(
            f"indexes are integers or masks, got {node.type}",
            op="subtensor",
            hint="cast them to int64",
        )
    return node


def _axes_of(item: object) -> int:
    """The number of axes that an item of a key stands for."""
    if isinstance(item, Node) and item.dtype == "bool":
        return item.ndim
    return int(item is not None and item is not Ellipsis)


def _entries(x: Node, axis: int, item: object) -> list[_Item]:
    if item is None or item is Ellipsis:
        return [(_NEW if item is None else _REST, ())]
    if isinstance(item, slice):
        return [_slice_entry(item)]  # pyright: ignore[reportUnknownArgumentType]
    if not isinstance(item, Node):
        return [(("at", item), ())]
    if item.dtype == "bool":
        return [(_ARRAY, (place,)) for place in nonzero(_fitting(item, x, axis))]
    return [(_ARRAY if item.ndim else ("at", index.NEXT), (item,))]


def _slice_entry(item: slice[Any, Any, Any]) -> _Item:
    nodes: list[Node] = []
    parts: list[Any] = []
    for part, what in ((item.start, "bound"), (item.stop, "bound"), (item.step, "step")):
        known = None if part is None else as_extent(part, f"a slice {what}")
        nodes += [known] if isinstance(known, Node) else []
        parts.append(index.NEXT if isinstance(known, Node) else known)
    return ("slice", *parts), tuple(nodes)


def _fitting(mask: Node, x: Node, axis: int) -> Node:
    """The mask, its extents those of the axes of x that it chooses from."""
    wanted = [extent(x, place) for place in range(axis, axis + mask.ndim)]
    if tuple(wanted) == mask.type.shape:
        return mask
    spec = tuple(None if isinstance(entry, Node) else entry for entry in wanted)
    pairs = zip(mask.type.shape, spec, strict=True)
    if any(None not in (have, want) and have != want for have, want in pairs):
        raise ShapeError(f"the mask {mask.type} is not of the shape of {x.type}", op="subtensor")
    nodes = [entry for entry in wanted if isinstance(entry, Node)]
    return movement.specify_shape(mask, *nodes, shape=spec)


def _beside_arrays(item: _Item) -> _Item:
    """Beside arrays, single positions are arrays too."""
    entry, nodes = item
    if entry[0] != "at":
        return item
    return _ARRAY, nodes or (as_node(entry[1]),)


# ---- what a key shows
def _inputs(parsed: Sequence[_Item]) -> list[Node]:
    return [node for _, nodes in parsed for node in nodes]


def _picked(x: Node, parsed: list[_Item]) -> Node:
    entries = tuple(entry for entry, _ in parsed)
    while entries[-1] in (_FULL, _REST) and _REST not in entries[:-1]:
        entries = entries[:-1]
    if set(entries) == {_ARRAY}:
        return index.gather(x, *_inputs(parsed))
    return mixed.pick(x, *_inputs(parsed), index=entries)


def _view(x: Node, parsed: Sequence[_Item]) -> Node:
    entries = [entry for entry in _written_out(x, parsed) if entry != _NEW]
    while entries and entries[-1] == _FULL:
        entries.pop()
    # also a view of everything is one, so that it can be written to
    view = index.subtensor(x, *_inputs(parsed), index=tuple(entries))
    return _with_new_axes(view, list(_written_out(x, parsed)))


def _written_out(x: Node, parsed: Sequence[_Item]) -> Iterator[index.Entry]:
    """The entries with an ellipsis as the slices that it stands for."""
    used = sum(entry not in (_NEW, _REST) for entry, _ in parsed)
    for entry, _ in parsed:
        yield from [_FULL] * (x.ndim - used) if entry == _REST else [entry]


def _with_new_axes(view: Node, entries: Sequence[index.Entry]) -> Node:
    if _NEW not in entries:
        return view
    axes = iter(range(view.ndim))
    shown = [entry for entry in entries if entry[0] != "at"]
    return dimshuffle(view, [*["x" if entry == _NEW else next(axes) for entry in shown], *axes])


# ---- by position
def _wrapped(place: Node, count: Node) -> Node:
    return mod(place, count)


def _clipped(place: Node, count: Node) -> Node:
    last = sub(count, const(1, "int64"))
    return maximum(minimum(place, last), const(0, "int64"))


_MODES: Final[Mapping[str, Callable[[Node, Node], Node]]] = MappingProxyType(
    {"raise": lambda place, _: place, "wrap": _wrapped, "clip": _clipped}
)


def _positions(op: str, places: object, count: int | Node, mode: str) -> Node:
    """Integers as positions on an axis of `count` elements."""
    node = _index_array(places)
    if mode not in _MODES:
        raise GraphError(f"mode {mode!r} is not one of {', '.join(_MODES)}", op=op)
    if node.dtype == "bool":
        raise DTypeError(f"positions are integers, got {node.type}", op=op)
    return node if mode == "raise" else _MODES[mode](cast_to(node, "int64"), _int64(count))


def _int64(count: int | Node) -> Node:
    return const(count, "int64") if isinstance(count, int) else cast_to(count, "int64")


def take(x: object, indices: object, axis: int | None = None, mode: str = "raise") -> Node:
    """The elements, rows or columns at integer positions along an axis.

    Args:
        x: what to take from.
        indices: positions; negative ones count back.
        axis: along which; the elements in row-major order when None.
        mode: what a position out of range means: an error ("raise"), the one a number of lengths
            away ("wrap"), or the nearest there is ("clip": negative ones are the first).
    """
    node = as_node(x)
    if axis is None:
        return take(flatten(node), indices, 0, mode)
    place = axis_of(node, axis, "take")
    key = _positions("take", indices, extent(node, place), mode)
    return getitem(node, (*[slice(None)] * place, key))


def take_along_axis(x: object, indices: object, axis: int | None = -1) -> Node:
    """For each element of `indices`, the element of x at that position along an axis."""
    node, places = as_node(x), _index_array(indices)
    if axis is None:
        return take_along_axis(flatten(node), places, 0)
    place = axis_of(node, axis, "take_along_axis")
    if places.ndim != node.ndim:
        raise ShapeError(
            f"positions {places.type} are not of the rank of {node.type}", op="take_along_axis"
        )
    every = [places if at == place else choice.along(node, at) for at in range(node.ndim)]
    return index.gather(node, *every)


def choose(a: object, choices: object, mode: str = "raise") -> Node:
    """Element by element, the one of several choices that `a` numbers.

    Args:
        a: integers.
        choices: a sequence of values, or a tensor whose first axis counts them.
        mode: what a number out of range means, as in `take`.
    """
    if is_sequence(choices):
        given = [as_node(item) for item in choices]
        return choice.choose(_positions("choose", a, len(given), mode), *given)
    rows = as_node(choices)
    if not rows.ndim:
        raise ShapeError(f"{rows.type} holds no choices", op="choose")
    return choice.from_rows(_positions("choose", a, extent(rows, 0), mode), rows)


# ---- by truth
def nonzero(x: object) -> tuple[Node, ...]:
    """For each axis the positions of the elements that are not zero, in row-major order."""
    node = as_node(x)
    if not node.ndim:
        raise ShapeError("a 0-d value has no axes", op="nonzero")
    return tuple(masks.nonzero(node, axis=axis) for axis in range(node.ndim))


def flatnonzero(x: object) -> Node:
    """The row-major numbers of the elements that are not zero."""
    return masks.flatnonzero(as_node(x))


def nonzero_values(x: object) -> Node:
    """The elements that are not zero, in row-major order."""
    node = as_node(x)
    return index.gather(node, *nonzero(node))


# ---- writing
def set_subtensor(view: object, value: object) -> Node:
    """A copy of x in which the view `x[...]` holds other values; of equal positions the last."""
    return _written(as_node(view), as_node(value), "set")


def inc_subtensor(view: object, value: object) -> Node:
    """A copy of x in which the view `x[...]` is increased; equal positions add up."""
    return _written(as_node(view), as_node(value), "inc")


def _written(view: Node, value: Node, mode: str) -> Node:
    if view.op in (index.subtensor, mixed.pick):
        write = index.assign if view.op is index.subtensor else mixed.put
        x, rest = view.inputs[0], view.inputs[1:]
        return write(x, value, *rest, index=view["index"], mode=mode)
    if view.op is index.gather:
        x, arrays = view.inputs[0], view.inputs[1:]
        mask = _mask_of(arrays, x)
        if mask is not None and not value.ndim and promote(x.dtype, value.dtype) == x.dtype:
            return _where(mask, x, value, mode)
        return index.scatter(x, value, *arrays, mode=mode)
    if view.op is movement.dimshuffle:
        source = view.inputs[0]
        return _written(source, mixed.unshuffled(value, view["order"], source.ndim), mode)
    raise GraphError(
        f"{view!r} is no view of another tensor", op="set_subtensor", hint="pass x[...]"
    )


def _mask_of(arrays: Sequence[Node], x: Node) -> Node | None:
    """The mask over leading axes of x of which these are all positions."""
    if any(array.op is not masks.nonzero for array in arrays):
        return None
    mask = arrays[0].inputs[0]
    axes = [array["axis"] for array in arrays if array.inputs[0] is mask]
    whole = axes == list(range(len(arrays))) and mask.ndim == len(arrays)
    return mask if whole and mask.dtype == "bool" and _covers(mask, x) else None


def _covers(mask: Node, x: Node) -> bool:
    """Whether every call checks that the extents of a mask are those of x."""
    wanted = x.type.shape[: mask.ndim]
    if None not in wanted:
        return mask.type.shape == wanted
    if mask.op is not movement.specify_shape:
        return False
    open_ = [axis for axis, known in enumerate(wanted) if known is None]
    given = [node for node in mask.inputs[1:] if node.op is movement.shape_i]
    return [(n.inputs[0], n["axis"]) for n in given] == [(x, axis) for axis in open_]


def _where(mask: Node, x: Node, value: Node, mode: str) -> Node:
    """Without positions, which are not needed to write one value."""
    wide = dimshuffle(mask, [*range(mask.ndim), *["x"] * (x.ndim - mask.ndim)])
    return switch(wide, value if mode == "set" else add(x, value), x)
